//! Times as people read them at night: how long ago.

use std::time::{SystemTime, UNIX_EPOCH};

use fseg_api::Timestamp;
use fseg_model::Wall;

/// This machine's clock.
pub(crate) fn now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// `2h ago`, `in 3d`, `now`.
pub(crate) fn relative(at: Timestamp, now: Wall) -> String {
    let (past, future) = (now.since(at.0).as_secs(), at.0.since(now).as_secs());
    match (past, future) {
        (0, 0) => "now".to_owned(),
        (past, 0) => format!("{} ago", span(past)),
        (_, future) => format!("in {}", span(future)),
    }
}

/// The same for a time that may be missing.
pub(crate) fn relative_or(at: Option<Timestamp>, now: Wall, missing: &str) -> String {
    at.map_or_else(|| missing.to_owned(), |at| relative(at, now))
}

/// Seconds in the largest unit that fits.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_unit_that_fits() {
        let now = Wall(1_000_000_000_000);
        for (offset, text) in [
            (0, "now"),
            (999, "now"),
            (-1000, "1s ago"),
            (-59_999, "59s ago"),
            (-60_000, "1m ago"),
            (-7_200_000, "2h ago"),
            (-172_800_000, "2d ago"),
            (3_600_000, "in 1h"),
        ] {
            assert_eq!(relative(Timestamp(Wall(now.0.saturating_add_signed(offset))), now), text);
        }
    }
}
