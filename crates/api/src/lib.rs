//! REST types of FSEG, versioned, and their OpenAPI document
