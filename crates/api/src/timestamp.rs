//! Times on the wire: RFC 3339, UTC.

use std::fmt;
use std::str::FromStr;

use fseg_model::Wall;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

/// A wall-clock time, written as RFC 3339 in UTC with milliseconds: `2026-11-20T09:30:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, format = DateTime, example = "2026-11-20T09:30:00.000Z")]
pub struct Timestamp(pub Wall);

/// 9999-12-31T23:59:59.999Z, the last moment RFC 3339 can write.
const LAST: u64 = 253_402_300_799_999;

/// A text that is not an RFC 3339 time from 1970 on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a time (expected RFC 3339, for example 2026-11-20T09:30:00Z)")]
pub struct TimestampError(pub String);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Times beyond the year 9999 exist only as "never" in disguise; they are shown as the last one there is.
        let millis = self.0.0.min(LAST);
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).map_err(|_| fmt::Error)?;
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second, milli) = at.to_hms_milli();
        write!(f, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", u8::from(month))
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(s: &str) -> Result<Self, TimestampError> {
        let refuse = || TimestampError(s.chars().take(60).collect());
        let at = OffsetDateTime::parse(s, &Rfc3339).map_err(|_| refuse())?;
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000).map(|ms| Self(Wall(ms))).map_err(|_| refuse())
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;
    fn try_from(s: String) -> Result<Self, TimestampError> {
        s.parse()
    }
}
impl From<Timestamp> for String {
    fn from(t: Timestamp) -> String {
        t.to_string()
    }
}
impl From<Wall> for Timestamp {
    fn from(w: Wall) -> Self {
        Self(w)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_milliseconds_round_trip() {
        for (text, ms) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2026-11-20T09:30:00.125Z", 1_795_167_000_125),
            ("2028-02-29T23:59:59.999Z", 1_835_481_599_999),
            ("9999-12-31T23:59:59.999Z", LAST),
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap(), Timestamp(Wall(ms)), "{text}");
            assert_eq!(Timestamp(Wall(ms)).to_string(), text);
        }
        assert_eq!("2026-11-20T18:30:00+09:00".parse::<Timestamp>().unwrap().to_string(), "2026-11-20T09:30:00.000Z");
        assert_eq!(Timestamp(Wall(u64::MAX)).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "now", "2026-11-20", "2026-13-01T00:00:00Z", "1969-12-31T23:59:58Z", "2026-02-30T00:00:00Z"] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad:?} was accepted");
        }
    }
}
