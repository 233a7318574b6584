//! The form's token: proof that this very client was given this form by this process, not long ago.
//!
//! HMAC-SHA-256 over the client's address and a time step, with a key that lives as long as the process. It needs no
//! cookie (the small browsers that phones open for portals often drop them) and no memory here.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ring::hmac;

/// Length of a time step.
const STEP: Duration = Duration::from_secs(600);
/// A token is good in its own step and this many after it: an hour, give or take a step.
const STEPS: u64 = 6;

/// Makes and checks tokens.
pub(super) struct FormTokens {
    key: hmac::Key,
    start: Instant,
}

impl FormTokens {
    /// With a fresh key. Fails only when the operating system has no random numbers.
    pub(super) fn new(start: Instant) -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), start })
    }

    fn step(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs() / STEP.as_secs()
    }

    /// A token for this client: `STEP.MAC` in hexadecimal digits.
    pub(super) fn issue(&self, client: IpAddr, now: Instant) -> String {
        let step = self.step(now);
        let tag = hmac::sign(&self.key, &message(client, step));
        tag.as_ref().iter().fold(format!("{step:x}."), |mut out, b| {
            use std::fmt::Write as _;
            let _ = write!(out, "{b:02x}");
            out
        })
    }

    /// True when this client was given this token and it is not too old. Compared in constant time.
    pub(super) fn check(&self, client: IpAddr, token: &str, now: Instant) -> bool {
        let Some((step, tag)) = token.split_once('.') else { return false };
        let (Ok(step), Some(tag)) = (u64::from_str_radix(step, 16), unhex(tag)) else { return false };
        let age = self.step(now).checked_sub(step);
        let fresh = age.is_some_and(|age| age <= STEPS);
        hmac::verify(&self.key, &message(client, step), &tag).is_ok() && fresh
    }
}

fn message(client: IpAddr, step: u64) -> Vec<u8> {
    let mut out = step.to_be_bytes().to_vec();
    // The mapped form, so that an address has one spelling whatever the listener's family.
    match client.to_canonical() {
        IpAddr::V4(a) => out.extend(a.octets()),
        IpAddr::V6(a) => out.extend(a.octets()),
    }
    out
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| {
            pair.iter().try_fold(0_u8, |n, d| {
                let digit = char::from(*d).to_digit(16).and_then(|d| u8::try_from(d).ok())?;
                Some((n << 4) | digit)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_one_client_and_one_hour() {
        let start = Instant::now();
        let tokens = FormTokens::new(start).unwrap();
        let [anna, mallory] = [1, 2].map(|n| IpAddr::from([10, 0, 0, n]));
        let token = tokens.issue(anna, start);
        assert!(tokens.check(anna, &token, start));
        assert!(tokens.check("::ffff:10.0.0.1".parse().unwrap(), &token, start + Duration::from_secs(3000)));
        assert!(!tokens.check(mallory, &token, start), "another client");
        assert!(!tokens.check(anna, &token, start + Duration::from_secs(4300)), "too old");
        assert!(!FormTokens::new(start).unwrap().check(anna, &token, start), "another process");
        let later = tokens.issue(anna, start + Duration::from_secs(7000));
        assert!(!tokens.check(anna, &later, start), "from the future");
    }

    #[test]
    fn damaged_tokens_are_refused() {
        let start = Instant::now();
        let tokens = FormTokens::new(start).unwrap();
        let client = IpAddr::from([10, 0, 0, 1]);
        let token = tokens.issue(client, start);
        for end in 0..token.len() {
            assert!(!tokens.check(client, &token[..end], start), "cut at {end}");
        }
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'5' { b'6' } else { b'5' };
            assert!(!tokens.check(client, std::str::from_utf8(&bytes).unwrap(), start), "changed at {at}");
        }
        assert!(!tokens.check(client, &format!("{token}00"), start));
    }
}
