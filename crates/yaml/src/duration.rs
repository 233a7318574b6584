//! Durations as people write them in configuration.

use std::time::Duration;

use thiserror::Error;

/// Text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Not a number followed by a unit.
    #[error("{0} is not a duration (expected a whole number and a unit: 500ms, 90s, 30m, 12h or 7d)")]
    Form(String),
    /// More than a hundred years.
    #[error("{0} is too long a duration (at most 36500d)")]
    TooLong(String),
}

/// The longest duration that is accepted: 36500 days, in milliseconds.
const LONGEST: u64 = 36_500 * 86_400_000;

/// Reads `500ms`, `90s`, `30m`, `12h` or `7d`: one whole number, one unit, nothing between them.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let form = || DurationError::Form(crate::quote(text));
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(form)?;
    let (digits, unit) = text.split_at(unit_at);
    let scale: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(form()),
    };
    if digits.is_empty() {
        return Err(form());
    }
    let millis = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)).filter(|n| *n <= LONGEST);
    millis.map(Duration::from_millis).ok_or_else(|| DurationError::TooLong(crate::quote(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_scale() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("36500d"), Ok(Duration::from_millis(LONGEST)));
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in ["", "5", "h", "1 h", "-1h", "+1h", "1.5h", "1h30m", "1H", "１h"] {
            assert!(matches!(parse_duration(bad), Err(DurationError::Form(_))), "{bad:?} was accepted");
        }
        for long in ["36501d", "99999999999999999999s", "18446744073709551615d"] {
            assert!(matches!(parse_duration(long), Err(DurationError::TooLong(_))), "{long:?} was accepted");
        }
    }
}
