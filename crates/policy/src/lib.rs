//! The policy language: parse, check, test, diff, and the reference answer
