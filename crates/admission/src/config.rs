//! Settings of admission, with defaults that are safe.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::HashParams;

/// Settings of admission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmissionConfig {
    /// How long a portal session lasts before its person must log in again. Default 12 h.
    pub session: Duration,
    /// After how long without traffic a portal session ends; zero for never. Default 2 h.
    pub idle: Duration,
    /// How long a portal session survives the loss of its link. Default 10 min.
    pub readmit: Duration,
    /// Guessing passwords.
    pub lockout: Lockout,
    /// Sizes.
    pub limits: Limits,
    /// Cost of new password hashes, and of the dummy hash that unknown accounts are checked against.
    pub hash: HashParams,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            session: Duration::from_secs(12 * 3600),
            idle: Duration::from_secs(2 * 3600),
            readmit: Duration::from_secs(600),
            lockout: Lockout::default(),
            limits: Limits::default(),
            hash: HashParams::default(),
        }
    }
}

/// When wrong passwords lock the door.
///
/// Counted three times: for the account (so that many machines cannot share the guessing), for the MAC address, and for
/// the place (a guesser can forge a MAC address but not the port it is plugged into). The limit for MAC and place is
/// higher, because several people may share a machine or a port, and it stops one guesser from locking out everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lockout {
    /// Wrong passwords for one account within the window that lock it; at least 1. Default 5.
    pub attempts: u32,
    /// Wrong passwords from one MAC address, or from one place, that lock it; at least 1. Default 20.
    pub place_attempts: u32,
    /// How long a wrong password counts. Default 10 min.
    pub window: Duration,
    /// How long the lock lasts. Default 10 min.
    pub ban: Duration,
}

impl Default for Lockout {
    fn default() -> Self {
        Self { attempts: 5, place_attempts: 20, window: Duration::from_secs(600), ban: Duration::from_secs(600) }
    }
}

/// Sizes, so that nothing grows without bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Accounts. Default 100,000.
    pub accounts: usize,
    /// Device entries. Default 100,000.
    pub devices: usize,
    /// Location rules. Default 10,000.
    pub rules: usize,
    /// Roles of one account, device or rule. Default 64.
    pub roles: usize,
    /// Logins being checked at the same time. Default 64.
    pub logins: usize,
    /// Accounts, MAC addresses and places remembered for wrong passwords, in all. Default 20,000.
    pub lockouts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { accounts: 100_000, devices: 100_000, rules: 10_000, roles: 64, logins: 64, lockouts: 20_000 }
    }
}
