//! A client for the Open vSwitch database (RFC 7047)
