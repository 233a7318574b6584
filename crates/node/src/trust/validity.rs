//! When a certificate ends: the one thing that the node reads in certificates itself (RFC 5280, section 4.1; DER as in X.690).

use fseg_model::Wall;
use time::{Date, Month, PrimitiveDateTime, Time};

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT`: the version, which may be absent.
const VERSION: u8 = 0xa0;

/// The end of its validity; `None` when this is not a certificate.
pub(super) fn expires(certificate: &[u8]) -> Option<Wall> {
    let (tag, whole, _) = element(certificate)?;
    let (inner, signed, _) = element(whole)?;
    if (tag, inner) != (SEQUENCE, SEQUENCE) {
        return None;
    }
    let mut rest = signed;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // serialNumber, signature, issuer
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (tag, validity, _) = element(rest)?;
    let (_, _, after) = element(validity)?;
    let (kind, text, _) = element(after)?;
    if tag != SEQUENCE { None } else { moment(kind, text) }
}

/// The first element: its tag, its content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // More than four bytes of length are no certificate.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |n, d| n << 8 | usize::from(*d)), rest)
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280, section 4.1.2.5: always with seconds, always Zulu).
fn moment(kind: u8, text: &[u8]) -> Option<Wall> {
    let digits = text.strip_suffix(b"Z").filter(|d| d.iter().all(u8::is_ascii_digit))?;
    let number = |part: &[u8]| part.iter().fold(0_i32, |n, d| n * 10 + i32::from(d - b'0'));
    let (year, rest) = match (kind, digits.len()) {
        (UTC_TIME, 12) => {
            let (year, rest) = digits.split_at_checked(2)?;
            // 50 to 99 are of the last century.
            (number(year) + if number(year) >= 50 { 1900 } else { 2000 }, rest)
        }
        (GENERALIZED_TIME, 14) => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year), rest)
        }
        _ => return None,
    };
    let mut parts = rest.chunks(2).map(|pair| u8::try_from(number(pair)).unwrap_or(u8::MAX));
    let mut next = || parts.next().unwrap_or(u8::MAX);
    let date = Date::from_calendar_date(year, Month::try_from(next()).ok()?, next()).ok()?;
    let time = Time::from_hms(next(), next(), next()).ok()?;
    let seconds = PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp();
    u64::try_from(seconds).ok().map(|s| Wall(s.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 3, 4);
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn both_forms_of_dates_are_read() {
        for (year, seconds) in [(2027, 1_804_118_400_u64), (2049, 2_498_428_800), (2060, 2_845_584_000)] {
            assert_eq!(expires(&certificate(year)), Some(Wall(seconds * 1000)), "{year}");
        }
    }

    #[test]
    fn a_cut_certificate_has_no_end() {
        let whole = certificate(2030);
        for length in 0..whole.len() {
            assert_eq!(expires(&whole[..length]), None, "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn bytes_without_meaning_are_no_certificate_and_do_no_harm(bytes: Vec<u8>) {
            let _ = expires(&bytes);
        }

        #[test]
        fn a_flipped_byte_does_no_harm(at: prop::sample::Index, to: u8) {
            let mut bytes = certificate(2030);
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = expires(&bytes);
        }
    }
}
