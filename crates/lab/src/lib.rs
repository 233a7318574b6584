//! Networks in namespaces: private switches, real clients, for demo and tests
