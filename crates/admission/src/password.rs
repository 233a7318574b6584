//! Password hashes: argon2id (RFC 9106) in the PHC string format.

use std::fmt;
use std::str::FromStr;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use serde::{Deserialize, Serialize};

use crate::PasswordError;

/// The hash of a password, with its salt and cost: `$argon2id$v=19$m=19456,t=2,p=1$…$…`.
///
/// It is serialised for the store, and shown nowhere: `Debug` prints only its cost.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PasswordHash(Box<str>);

impl PasswordHash {
    /// The fewest characters of a password (NIST SP 800-63B, 5.1.1.1).
    pub const MIN_CHARS: usize = 8;
    /// The longest password in bytes: enough for any pass phrase, and a bound on what a login form can make us hash.
    pub const MAX_BYTES: usize = 1024;

    /// A hash that no password is known to have: what logins to unknown accounts are checked against, so that they take
    /// as long as the others.
    pub(crate) fn dummy(params: HashParams) -> Self {
        let HashParams { memory_kib, passes, lanes } = params;
        // Salt and hash are a pattern, not the output of argon2id for anything.
        let hash = "9aLKV2pJmQxYc1TgW7uRzE4dHs0oNfBiXtCk3PvGy6U";
        Self(format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}$ZnNlZy1uby1hY2NvdW50IQ${hash}").into())
    }

    /// What stands for this hash where the hash must not be: a hash of the same cost that no password is known to have.
    /// Different numbers give different ones.
    pub fn stand_in(&self, number: u32) -> Self {
        let HashParams { memory_kib, passes, lanes } = self.params();
        // 43 characters of base64 are 32 octets; the last holds four bits, so that `A` is always right.
        let hash = format!("standsInForAHashThatIsNotShown{number:0>10}/+A");
        Self(format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}$ZnNlZy1uby1oYXNoLWhlcmUh${hash}").into())
    }

    /// What it costs to check.
    pub fn params(&self) -> HashParams {
        parse(&self.0).map(|(_, params)| params).unwrap_or_default()
    }
}

fn parse(text: &str) -> Result<(phc::PasswordHash, HashParams), PasswordError> {
    let hash = phc::PasswordHash::new(text).map_err(|_| PasswordError::NotAHash)?;
    if hash.algorithm != argon2::ARGON2ID_IDENT || hash.salt.is_none() || hash.hash.is_none() {
        return Err(PasswordError::NotAHash);
    }
    let params = Params::try_from(&hash).map_err(|_| PasswordError::NotAHash)?;
    let params = HashParams { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() };
    params.check()?;
    Ok((hash, params))
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PasswordHash").field(&self.params()).finish()
    }
}

impl FromStr for PasswordHash {
    type Err = PasswordError;
    fn from_str(text: &str) -> Result<Self, PasswordError> {
        parse(text).map(|_| Self(text.into()))
    }
}

impl TryFrom<String> for PasswordHash {
    type Error = PasswordError;
    fn try_from(text: String) -> Result<Self, PasswordError> {
        text.parse()
    }
}

impl From<PasswordHash> for String {
    fn from(hash: PasswordHash) -> String {
        hash.0.into()
    }
}

/// What one hash costs. The default is OWASP's minimum for argon2id: 19 MiB, 2 passes, 1 lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashParams {
    /// Memory in KiB; at least 8 per lane, at most 1 GiB.
    pub memory_kib: u32,
    /// Passes over the memory, 1 to 16.
    pub passes: u32,
    /// Lanes, 1 to 16.
    pub lanes: u32,
}

impl Default for HashParams {
    fn default() -> Self {
        Self { memory_kib: Params::DEFAULT_M_COST, passes: Params::DEFAULT_T_COST, lanes: Params::DEFAULT_P_COST }
    }
}

impl HashParams {
    /// Refuses what argon2id cannot do and what a store edited by hand could make a login cost.
    fn check(self) -> Result<(), PasswordError> {
        let Self { memory_kib, passes, lanes } = self;
        if (1..=16).contains(&lanes) && (1..=16).contains(&passes) && (8 * lanes..=1 << 20).contains(&memory_kib) {
            Ok(())
        } else {
            Err(PasswordError::Params { memory_kib, passes, lanes })
        }
    }
}

/// Hashes a new password. Slow by intent (tens of milliseconds): for a worker thread. The salt must be random and fresh.
///
/// Fails when the password is too short or too long, or with parameters that argon2id cannot use.
pub fn hash_password(password: &str, salt: [u8; 16], params: HashParams) -> Result<PasswordHash, PasswordError> {
    if password.chars().count() < PasswordHash::MIN_CHARS {
        return Err(PasswordError::TooShort { min: PasswordHash::MIN_CHARS });
    }
    if password.len() > PasswordHash::MAX_BYTES {
        return Err(PasswordError::TooLong { max: PasswordHash::MAX_BYTES });
    }
    params.check()?;
    let HashParams { memory_kib, passes, lanes } = params;
    let refuse = || PasswordError::Params { memory_kib, passes, lanes };
    let cost = Params::new(memory_kib, passes, lanes, None).map_err(|_| refuse())?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost)
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| PasswordHash(hash.to_string().into()))
        .map_err(|_| refuse())
}

/// True when the password is the one that was hashed. Slow by intent: for a worker thread. Compares in constant time.
pub fn verify_password(hash: &PasswordHash, password: &str) -> bool {
    password.len() <= PasswordHash::MAX_BYTES
        && parse(&hash.0).is_ok_and(|(hash, _)| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: HashParams = HashParams { memory_kib: 8, passes: 1, lanes: 1 };

    #[test]
    fn only_the_password_verifies() {
        let hash = hash_password("correct horse", [7; 16], QUICK).unwrap();
        assert!(verify_password(&hash, "correct horse"));
        for wrong in ["", "correct hors", "Correct horse", "correct horse "] {
            assert!(!verify_password(&hash, wrong), "{wrong:?} was accepted");
        }
        assert!(!verify_password(&hash, &"x".repeat(5000)));
        assert_ne!(hash, hash_password("correct horse", [8; 16], QUICK).unwrap(), "the salt makes no difference");
    }

    /// From the tests of the reference implementation (phc-winner-argon2, src/test.c).
    #[test]
    fn the_reference_vector_verifies() {
        let hash: PasswordHash =
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc".parse().unwrap();
        assert!(verify_password(&hash, "password"));
        assert!(!verify_password(&hash, "passwore"));
    }

    #[test]
    fn the_dummy_is_a_hash_of_full_cost_that_nothing_verifies_against() {
        for params in [QUICK, HashParams::default()] {
            let text: String = PasswordHash::dummy(params).into();
            let dummy: PasswordHash = text.parse().unwrap();
            assert_eq!(dummy.params(), params);
            assert!(!verify_password(&dummy, "") && !verify_password(&dummy, "password"));
        }
    }

    #[test]
    fn passwords_and_costs_are_bounded() {
        let max = PasswordHash::MAX_BYTES;
        assert_eq!(hash_password("7 chars", [0; 16], QUICK), Err(PasswordError::TooShort { min: 8 }));
        assert_eq!(hash_password(&"x".repeat(max + 1), [0; 16], QUICK), Err(PasswordError::TooLong { max }));
        assert!(hash_password("ひみつのことばです", [0; 16], QUICK).is_ok());
        for (memory_kib, passes, lanes) in [(7, 1, 1), (8, 0, 1), (8, 1, 0), (15, 1, 2), (8, 17, 1), (2 << 20, 1, 1)] {
            let params = HashParams { memory_kib, passes, lanes };
            let refused = Err(PasswordError::Params { memory_kib, passes, lanes });
            assert_eq!(hash_password("long enough", [0; 16], params), refused);
        }
    }

    #[test]
    fn hostile_hash_texts_are_refused() {
        let good: String = hash_password("long enough", [3; 16], QUICK).unwrap().into();
        for cut in 0..good.len() {
            let _ = good[..cut].parse::<PasswordHash>().map(|h| verify_password(&h, "long enough"));
        }
        for bad in [
            "",
            "$",
            "secret",
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ",
            "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=65536,t=4294967295,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ] {
            assert!(bad.parse::<PasswordHash>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_hash_is_stored_but_not_shown() {
        let hash = hash_password("correct horse", [7; 16], QUICK).unwrap();
        let json = serde_json::to_string(&hash).unwrap();
        assert!(json.starts_with("\"$argon2id$"));
        assert_eq!(serde_json::from_str::<PasswordHash>(&json).unwrap(), hash);
        assert!(!format!("{hash:?}").contains('$'));
    }
}
