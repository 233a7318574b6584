//! Who may join: portal, device and location authentication, session lifetimes
