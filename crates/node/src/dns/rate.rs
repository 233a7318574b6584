//! How many queries one client may send: the node's DNS serves everybody, and one endpoint must not take it from the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Queries a second, and at once. A busy browser asks some dozens.
const RATE: u32 = 200;
const BURST: u32 = 600;
/// Clients remembered; who has been silent for long is forgotten first.
const CLIENTS: usize = 65_536;
const SILENT: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Bucket {
    left: u32,
    since: Instant,
    /// Refusals are said once while they go on.
    said: bool,
}

/// A bucket of tokens for each client.
#[derive(Debug, Default)]
pub(super) struct Rates(HashMap<IpAddr, Bucket>);

/// What becomes of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is answered.
    Pass,
    /// It is dropped, for the first time in a while.
    FirstDrop,
    /// It is dropped.
    Drop,
}

impl Rates {
    pub(super) fn query(&mut self, client: IpAddr, now: Instant) -> Verdict {
        if self.0.len() >= CLIENTS && !self.0.contains_key(&client) {
            self.0.retain(|_, b| now.saturating_duration_since(b.since) < SILENT);
            if self.0.len() >= CLIENTS {
                return Verdict::Drop;
            }
        }
        let bucket = self.0.entry(client).or_insert(Bucket { left: BURST, since: now, said: false });
        let earned = now.saturating_duration_since(bucket.since).as_millis() * u128::from(RATE) / 1000;
        if earned > 0 {
            bucket.left = bucket.left.saturating_add(u32::try_from(earned).unwrap_or(BURST)).min(BURST);
            bucket.since = now;
        }
        if bucket.left == BURST {
            bucket.said = false;
        }
        match bucket.left.checked_sub(1) {
            Some(left) => {
                bucket.left = left;
                Verdict::Pass
            }
            None if std::mem::replace(&mut bucket.said, true) => Verdict::Drop,
            None => Verdict::FirstDrop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_is_bounded_and_the_others_are_not() {
        let begun = Instant::now();
        let (loud, quiet) = (IpAddr::from([10, 0, 0, 2]), IpAddr::from([10, 0, 0, 3]));
        let mut rates = Rates::default();
        let count = |rates: &mut Rates, at: Duration| {
            (0..10_000).filter(|_| rates.query(loud, begun + at) == Verdict::Pass).count()
        };
        assert_eq!(count(&mut rates, Duration::ZERO), BURST as usize);
        assert_eq!(rates.query(quiet, begun), Verdict::Pass);
        assert_eq!(count(&mut rates, Duration::from_secs(1)), RATE as usize);
        assert_eq!(count(&mut rates, Duration::from_secs(60)), BURST as usize);
    }

    #[test]
    fn a_drop_is_said_once_until_it_is_over() {
        let begun = Instant::now();
        let client = IpAddr::from([10, 0, 0, 2]);
        let mut rates = Rates::default();
        let first = |rates: &mut Rates, at: Duration| {
            (0..2_000).filter(|_| rates.query(client, begun + at) == Verdict::FirstDrop).count()
        };
        assert_eq!(first(&mut rates, Duration::ZERO), 1);
        assert_eq!(first(&mut rates, Duration::from_millis(500)), 0);
        assert_eq!(first(&mut rates, Duration::from_secs(60)), 1);
    }
}
