//! The end of a permit's life.

use fseg_model::Wall;
use thiserror::Error;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time};

/// Text that is not a point in time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExpiryError {
    /// Neither a date nor RFC 3339.
    #[error("{0} is not a date (expected 2027-03-31, or a time with its zone: 2027-03-31T18:00:00+09:00)")]
    Form(String),
    /// The calendar has no such day, or the clock no such time.
    #[error("{0} does not exist in the calendar")]
    Calendar(String),
    /// Outside the years 1970 to 9999.
    #[error("{0} is out of range (years 1970 to 9999)")]
    Range(String),
}

/// Reads `YYYY-MM-DD`, which begins with that day in UTC, or an RFC 3339 time, as the first instant at which the permit holds.
pub fn parse_start(text: &str) -> Result<Wall, ExpiryError> {
    instant(text, false)
}

/// Reads `YYYY-MM-DD`, which lasts to the end of that day in UTC, or an RFC 3339 time, as the first instant at which the
/// permit no longer holds.
pub fn parse_expiry(text: &str) -> Result<Wall, ExpiryError> {
    instant(text, true)
}

fn instant(text: &str, end_of_day: bool) -> Result<Wall, ExpiryError> {
    let quoted = || fseg_yaml::quote(text);
    let has_date = text.len() >= 10
        && text
            .bytes()
            .take(10)
            .enumerate()
            .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
    if !has_date {
        return Err(ExpiryError::Form(quoted()));
    }
    let instant = if text.len() == 10 {
        let day = Date::parse(text, format_description!("[year]-[month]-[day]"))
            .map_err(|_| ExpiryError::Calendar(quoted()))?;
        let first = if end_of_day { day.next_day().ok_or_else(|| ExpiryError::Range(quoted()))? } else { day };
        OffsetDateTime::new_utc(first, Time::MIDNIGHT)
    } else {
        OffsetDateTime::parse(text, &Rfc3339).map_err(|_| ExpiryError::Form(quoted()))?
    };
    let millis = instant.unix_timestamp_nanos() / 1_000_000;
    u64::try_from(millis).map(Wall).map_err(|_| ExpiryError::Range(quoted()))
}

/// An expiry as people read it: the last day it holds, or the exact time where it does not end with a day.
pub fn expiry_text(end: Wall) -> String {
    let beyond = || format!("{} ms after 1970", end.0);
    let Ok(seconds) = i64::try_from(end.0 / 1000) else { return beyond() };
    let Ok(instant) = OffsetDateTime::from_unix_timestamp(seconds) else { return beyond() };
    if end.0.is_multiple_of(86_400_000)
        && let Some(day) = instant.date().previous_day()
    {
        return day.format(format_description!("[year]-[month]-[day]")).unwrap_or_else(|_| beyond());
    }
    instant.format(&Rfc3339).unwrap_or_else(|_| beyond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_lasts_to_the_end_of_its_day() {
        let end = parse_expiry("2027-03-31").unwrap();
        assert_eq!(end, parse_expiry("2027-04-01T00:00:00Z").unwrap());
        assert_eq!(end, parse_expiry("2027-04-01T09:00:00+09:00").unwrap());
        assert_eq!(end, Wall(1_806_537_600_000));
        assert_eq!(parse_start("2027-04-01").unwrap(), end, "the next day begins when this one is over");
        assert_eq!(expiry_text(end), "2027-03-31");
        assert_eq!(expiry_text(parse_expiry("2027-03-31T18:00:00+09:00").unwrap()), "2027-03-31T09:00:00Z");
        assert!(parse_expiry("2028-02-29").is_ok());
        assert_eq!(expiry_text(Wall(u64::MAX)), "18446744073709551615 ms after 1970");
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [
            "",
            "tomorrow",
            "2027",
            "2027-3-31",
            "31.03.2027",
            "2027/03/31",
            "2027-03-31 18:00",
            "+027-03-31",
            "2027-03-31T18:00:00",
            "２０２７-03-31",
        ] {
            assert!(matches!(parse_expiry(bad), Err(ExpiryError::Form(_))), "{bad:?} was accepted");
        }
        assert!(matches!(parse_expiry("2027-02-29"), Err(ExpiryError::Calendar(_))));
        assert!(matches!(parse_expiry("2027-13-01"), Err(ExpiryError::Calendar(_))));
        assert!(matches!(parse_expiry("1969-01-01"), Err(ExpiryError::Range(_))));
        assert!(matches!(parse_expiry("9999-12-31"), Err(ExpiryError::Range(_))));
    }
}
