//! A small cache of upstream answers: bounded in number and size, obedient to TTLs (RFC 1035, section 3.2.1; RFC 2308).

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// The longest time an answer is kept.
const LONGEST: u32 = 3600;
/// The longest time "there is none" is kept.
const LONGEST_NEGATIVE: u32 = 300;
/// Answers with more records than this are not kept, so that the number of entries bounds the memory.
const RECORDS: usize = 64;

/// The parts of an answer that are worth keeping.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kept {
    pub(super) code: ResponseCode,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
}

impl Kept {
    pub(super) fn of(message: Message) -> Self {
        let code = message.metadata.response_code;
        Self { code, answers: message.answers, authorities: message.authorities }
    }

    /// How long this may be kept, in seconds; 0 for not at all.
    fn ttl(&self) -> u32 {
        let records = self.answers.len() + self.authorities.len();
        if records > RECORDS || !matches!(self.code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return 0;
        }
        let all = self.answers.iter().chain(&self.authorities).map(|r| r.ttl).min().unwrap_or(0);
        if self.code == ResponseCode::NoError && !self.answers.is_empty() {
            return all.min(LONGEST);
        }
        // RFC 2308, section 5: no SOA, no caching.
        let negative = self.authorities.iter().find_map(|r| match &r.data {
            RData::SOA(soa) => Some(soa.minimum.min(r.ttl)),
            _ => None,
        });
        negative.unwrap_or(0).min(all).min(LONGEST_NEGATIVE)
    }
}

#[derive(Debug)]
struct Entry {
    kept: Kept,
    since: Instant,
    until: Instant,
    /// Tells this entry from an earlier one under the same key.
    round: u64,
}

/// The cache.
#[derive(Debug)]
pub(super) struct Cache {
    entries: HashMap<(Name, RecordType), Entry>,
    /// Keys in the order they came in, with the round of their entry then.
    order: VecDeque<((Name, RecordType), u64)>,
    round: u64,
    most: usize,
}

impl Cache {
    pub(super) fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), round: 0, most }
    }

    /// What is known, with what is left of its TTLs.
    pub(super) fn get(&mut self, name: &Name, kind: RecordType, now: Instant) -> Option<Kept> {
        let key = (name.clone(), kind);
        let entry = self.entries.get(&key)?;
        if now >= entry.until {
            self.entries.remove(&key);
            return None;
        }
        let age = u32::try_from(now.saturating_duration_since(entry.since).as_secs()).unwrap_or(u32::MAX);
        let mut kept = entry.kept.clone();
        for record in kept.answers.iter_mut().chain(&mut kept.authorities) {
            record.ttl = record.ttl.saturating_sub(age);
        }
        Some(kept)
    }

    /// Keeps an answer, if it may be kept. The oldest goes when there are too many.
    pub(super) fn put(&mut self, name: Name, kind: RecordType, kept: Kept, now: Instant) {
        let ttl = kept.ttl();
        if ttl == 0 || self.most == 0 {
            return;
        }
        self.round += 1;
        let key = (name, kind);
        let until = now + Duration::from_secs(ttl.into());
        self.order.push_back((key.clone(), self.round));
        self.entries.insert(key, Entry { kept, since: now, until, round: self.round });
        // Replaced and expired entries leave their key behind in `order`; it is bounded with the entries.
        while self.entries.len() > self.most || self.order.len() > 2 * self.most {
            let Some((key, round)) = self.order.pop_front() else { break };
            if self.entries.get(&key).is_some_and(|e| e.round == round) {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use hickory_proto::rr::rdata::{A, SOA};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_str(text).unwrap()
    }

    fn positive(ttl: u32) -> Kept {
        let record = Record::from_rdata(name("a.example."), ttl, RData::A(A([192, 0, 2, 1].into())));
        Kept { code: ResponseCode::NoError, answers: vec![record], authorities: vec![] }
    }

    fn negative(ttl: u32, minimum: u32) -> Kept {
        let soa = SOA::new(name("example."), name("h.example."), 1, 1, 1, 1, minimum);
        let record = Record::from_rdata(name("example."), ttl, RData::SOA(soa));
        Kept { code: ResponseCode::NXDomain, answers: vec![], authorities: vec![record] }
    }

    #[test]
    fn ttls_run_down_and_out() {
        let start = Instant::now();
        let after = |s| start + Duration::from_secs(s);
        let mut cache = Cache::new(10);
        cache.put(name("a.example."), RecordType::A, positive(60), start);
        let got = cache.get(&name("A.Example."), RecordType::A, after(59)).unwrap();
        assert_eq!(got.answers[0].ttl, 1, "names are compared without case");
        assert_eq!(cache.get(&name("a.example."), RecordType::AAAA, start), None);
        assert_eq!(cache.get(&name("a.example."), RecordType::A, after(60)), None);
        cache.put(name("long.example."), RecordType::A, positive(1_000_000), start);
        assert!(cache.get(&name("long.example."), RecordType::A, after(3599)).is_some());
        assert!(cache.get(&name("long.example."), RecordType::A, after(3600)).is_none());
    }

    #[test]
    fn only_what_may_be_kept_is_kept() {
        let failed = Kept { code: ResponseCode::ServFail, ..positive(60) };
        let no_soa = Kept { code: ResponseCode::NXDomain, answers: vec![], authorities: vec![] };
        let huge = Kept { answers: vec![positive(60).answers[0].clone(); 65], ..positive(60) };
        for (kept, ttl) in [
            (positive(0), 0),
            (failed, 0),
            (no_soa, 0),
            (huge, 0),
            (negative(900, 30), 30),
            (negative(20, 30), 20),
            (negative(90_000, 90_000), 300),
        ] {
            assert_eq!(kept.ttl(), ttl, "{kept:?}");
        }
    }

    #[test]
    fn the_oldest_goes_first_and_the_bound_holds() {
        let start = Instant::now();
        let mut cache = Cache::new(3);
        for n in 0..100 {
            cache.put(name(&format!("n{}.example.", n % 5)), RecordType::A, positive(60), start);
            assert!(cache.entries.len() <= 3 && cache.order.len() <= 6);
        }
        let here: Vec<_> =
            (0..5).filter(|n| cache.get(&name(&format!("n{n}.example.")), RecordType::A, start).is_some()).collect();
        assert_eq!(here, [2, 3, 4]);
    }
}
