//! When a session ends. On monotonic time: a jump of the wall clock ends nothing and prolongs nothing.

use std::time::Duration;

use fseg_model::{Method, Mono, Session, Wall};

use crate::{AdmissionConfig, Grant};

/// Why a session ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// Its time is over.
    Expired,
    /// Its endpoint was away longer than [`AdmissionConfig::readmit`].
    Away,
    /// Its endpoint sent nothing for too long.
    Idle,
}

/// The deadlines of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionClock {
    until: Option<Mono>,
    idle: Option<Duration>,
    /// How long it may be away; `None` for as long as it likes (devices and locations are recognised again anyway).
    away: Option<Duration>,
    seen: Mono,
    left: Option<Mono>,
}

impl SessionClock {
    /// For a session that begins now.
    pub fn begin(grant: &Grant, config: &AdmissionConfig, now: Mono) -> Self {
        Self::new(grant.method(), grant.until().map(|d| now.plus(d)), grant.idle(), config, now)
    }

    /// For a session from the store, after a restart: it counts as seen now. What remains of it is told by the wall clock,
    /// but is never more than its whole length, should that clock have been set back.
    pub fn resume(session: &Session, config: &AdmissionConfig, now: Mono, wall: Wall) -> Self {
        let until = session.until.map(|until| now.plus(until.since(wall).min(until.since(session.since))));
        Self::new(session.method, until, Duration::from_secs(session.idle_seconds.into()), config, now)
    }

    fn new(method: Method, until: Option<Mono>, idle: Duration, config: &AdmissionConfig, now: Mono) -> Self {
        Self {
            until,
            idle: (!idle.is_zero()).then_some(idle),
            away: (method == Method::Portal).then_some(config.readmit),
            seen: now,
            left: None,
        }
    }

    /// Its endpoint sent something.
    pub fn seen(&mut self, now: Mono) {
        self.seen = self.seen.max(now);
    }

    /// Its endpoint's link went down. The first of several counts.
    pub fn left(&mut self, now: Mono) {
        self.left.get_or_insert(now);
    }

    /// Its endpoint is back: whether the session still stands, or why not.
    pub fn returned(&mut self, now: Mono) -> Result<(), SessionEnd> {
        match self.end(now) {
            Some(end) => Err(end),
            None => {
                self.left = None;
                self.seen(now);
                Ok(())
            }
        }
    }

    /// Whether it has ended by now, and why: the deadline that passed first.
    pub fn end(&self, now: Mono) -> Option<SessionEnd> {
        self.deadline().filter(|&(at, _)| at <= now).map(|(_, end)| end)
    }

    /// When it will end if nothing happens, and why; `None` for never.
    pub fn deadline(&self) -> Option<(Mono, SessionEnd)> {
        let expired = self.until.map(|at| (at, SessionEnd::Expired));
        let away = self.left.zip(self.away).map(|(left, d)| (left.plus(d), SessionEnd::Away));
        let idle = self.idle.map(|d| (self.seen.plus(d), SessionEnd::Idle));
        [expired, away, idle].into_iter().flatten().min_by_key(|&(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use fseg_model::Identity;
    use proptest::prelude::*;

    use super::*;
    use crate::NameWish;

    const MINUTE: u64 = 60_000;

    fn clock(method: Method) -> SessionClock {
        let grant = Grant {
            identity: Identity::plain("user:anna".parse().unwrap()),
            method,
            name: NameWish { base: "anna".parse().unwrap(), numbered: false },
            until: Some(Duration::from_secs(12 * 3600)),
            idle: Duration::from_secs(2 * 3600),
        };
        SessionClock::begin(&grant, &AdmissionConfig::default(), Mono(0))
    }

    #[test]
    fn each_deadline_ends_it() {
        let idle = clock(Method::Portal);
        assert_eq!(idle.end(Mono(120 * MINUTE - 1)), None);
        assert_eq!(idle.end(Mono(120 * MINUTE)), Some(SessionEnd::Idle));

        let mut busy = idle.clone();
        busy.seen(Mono(719 * MINUTE));
        assert_eq!(busy.deadline(), Some((Mono(720 * MINUTE), SessionEnd::Expired)));

        let mut away = idle.clone();
        away.left(Mono(MINUTE));
        away.left(Mono(5 * MINUTE));
        assert_eq!(away.clone().returned(Mono(11 * MINUTE)), Err(SessionEnd::Away));
        assert_eq!(away.returned(Mono(11 * MINUTE - 1)), Ok(()));
        assert_eq!(away.end(Mono(100 * MINUTE)), None);

        let mut device = clock(Method::Device);
        device.left(Mono(0));
        assert_eq!(device.end(Mono(60 * MINUTE)), None);
    }

    #[test]
    fn a_clock_that_was_set_back_prolongs_nothing() {
        let session = Session {
            method: Method::Portal,
            identity: Identity::plain("user:anna".parse().unwrap()),
            since: Wall(1000 * MINUTE),
            until: Some(Wall(1060 * MINUTE)),
            idle_seconds: 0,
        };
        let left = |wall| SessionClock::resume(&session, &AdmissionConfig::default(), Mono(7), Wall(wall)).deadline();
        assert_eq!(left(1030 * MINUTE), Some((Mono(7 + 30 * MINUTE), SessionEnd::Expired)));
        assert_eq!(left(0), Some((Mono(7 + 60 * MINUTE), SessionEnd::Expired)));
        assert_eq!(left(2000 * MINUTE), Some((Mono(7), SessionEnd::Expired)));
    }

    proptest! {
        /// Once ended it stays so while nothing happens, and the deadline is exactly when that begins.
        #[test]
        fn the_deadline_is_the_first_moment_of_the_end(events in prop::collection::vec((0u8..3, 0u64..200), 0..20), probe in 0u64..1000) {
            let (mut clock, mut now) = (clock(Method::Portal), 0);
            for (event, later) in events {
                now += later * MINUTE;
                match event {
                    0 => clock.seen(Mono(now)),
                    1 => clock.left(Mono(now)),
                    _ => drop(clock.returned(Mono(now))),
                }
            }
            let (at, why) = clock.deadline().unwrap();
            prop_assert_eq!(clock.end(Mono(probe * MINUTE)), (probe * MINUTE >= at.0).then_some(why));
        }
    }
}
