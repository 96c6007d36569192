//! A moment as people write it: `-10m`, `2026-01-01T00:00Z`, `1767225600000`.

use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

const FORMS: &str = "-10m, -2h or -3d for that long ago, or a time with its zone such as 2026-01-01T00:00Z";

/// Milliseconds since 1970 have at least as many digits from 2001 on; fewer are probably seconds.
const MILLISECOND_DIGITS: usize = 13;

/// Reads a moment:
///
/// - so long before `now`: `-` and a whole number with `ms`, `s`, `m`, `h`, `d` or `w`,
/// - RFC 3339, where the seconds may be missing: `2026-01-01T00:00Z`, `2026-01-01 01:30:15.5+01:30`,
/// - milliseconds since 1970, as Kafka's own tools print them, from 2001 on.
///
/// The future is a moment too: whether it makes sense is for the caller to say.
///
/// # Errors
/// What is wrong with it and what is right, in one line.
pub(super) fn parse(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, String> {
    if let Some(ago) = text.strip_prefix('-') {
        return before(ago, now);
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return since_1970(text);
    }
    let text = with_seconds(text);
    OffsetDateTime::parse(&text, &Rfc3339).map_err(|error| match error {
        // There is no 30th of February, and no 25 o'clock.
        time::error::Parse::TryFromParsed(_) => format!("there is no such time; {FORMS}"),
        _ => format!("not a time; {FORMS}"),
    })
}

fn before(ago: &str, now: OffsetDateTime) -> Result<OffsetDateTime, String> {
    let malformed = || format!("not a time; {FORMS}");
    let unit = ago.find(|c: char| !c.is_ascii_digit()).filter(|unit| *unit > 0).ok_or_else(malformed)?;
    let milliseconds: i64 = match &ago[unit..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        _ => return Err(malformed()),
    };
    ago[..unit]
        .parse()
        .ok()
        .and_then(|number: i64| number.checked_mul(milliseconds))
        .and_then(|milliseconds| now.checked_sub(Duration::milliseconds(milliseconds)))
        .filter(|moment| *moment >= OffsetDateTime::UNIX_EPOCH)
        .ok_or_else(|| "so long ago was before 1970, where Kafka's times begin".to_owned())
}

fn since_1970(digits: &str) -> Result<OffsetDateTime, String> {
    if digits.len() < MILLISECOND_DIGITS {
        return Err(format!(
            "a number is milliseconds since 1970, which has {MILLISECOND_DIGITS} digits; else {FORMS}"
        ));
    }
    let nanoseconds = digits.parse().ok().and_then(|number: i128| number.checked_mul(1_000_000));
    nanoseconds
        .and_then(|nanoseconds| OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok())
        .ok_or_else(|| format!("behind the year 9999; {FORMS}"))
}

/// `2026-01-01T00:00Z` as RFC 3339 has it, with `:00` before the zone. Whatever else is left as it is.
fn with_seconds(text: &str) -> String {
    const MINUTES: usize = "2026-01-01T00:00".len();
    let upper = text.to_ascii_uppercase();
    match (upper.get(..MINUTES), upper.get(MINUTES..)) {
        (Some(date), Some(zone)) if zone.starts_with(['Z', '+', '-']) => format!("{date}:00{zone}"),
        _ => upper,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-25 12:00 UTC);

    #[test]
    fn so_long_ago() {
        for (text, expected) in [
            ("-0s", NOW),
            ("-250ms", datetime!(2026-11-25 11:59:59.75 UTC)),
            ("-30s", datetime!(2026-11-25 11:59:30 UTC)),
            ("-10m", datetime!(2026-11-25 11:50 UTC)),
            ("-2h", datetime!(2026-11-25 10:00 UTC)),
            ("-3d", datetime!(2026-11-22 12:00 UTC)),
            ("-1w", datetime!(2026-11-18 12:00 UTC)),
        ] {
            assert_eq!(parse(text, NOW), Ok(expected), "{text}");
        }
    }

    #[test]
    fn with_a_zone_and_perhaps_seconds() {
        let new_year = datetime!(2026-01-01 00:00 UTC);
        for text in [
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00Z",
            "2026-01-01 00:00Z",
            "2026-01-01t00:00z",
            "2026-01-01T01:30+01:30",
            "2025-12-31T19:00:00.000-05:00",
            "1767225600000",
        ] {
            assert_eq!(parse(text, NOW), Ok(new_year), "{text}");
        }
        assert_eq!(parse("2026-01-01T00:00:00.5Z", NOW), Ok(datetime!(2026-01-01 00:00:00.5 UTC)));
        assert_eq!(parse("2036-01-01T00:00Z", NOW), Ok(datetime!(2036-01-01 00:00 UTC)), "the future is a time");
    }

    #[test]
    fn whatever_else_is_told_with_what_is_right() {
        for text in [
            "",
            "-",
            "-m",
            "-10",
            "-1.5h",
            "--1h",
            "-10x",
            "- 1h",
            "10m",
            "now",
            "yesterday",
            "2026-01-01",
            "12:00",
            "2026-01-01T00:00",
            "2026-13-01T00:00Z",
            "2026-01-01T00:00Zx",
            "\u{662}",
            "-\u{662}m",
            "é026-01-01T00:00Z",
            "1767225600",
            "0",
        ] {
            let error = parse(text, NOW).unwrap_err();
            assert!(error.contains("2026-01-01T00:00Z"), "{text}: {error}");
        }
        assert!(parse("2026-02-30T00:00Z", NOW).unwrap_err().contains("no such time"));
        for text in ["-9999999999999999999999d", "-3000w", "-9223372036854775807w"] {
            assert!(parse(text, NOW).unwrap_err().contains("1970"), "{text}");
        }
        assert!(parse("999999999999999999", NOW).unwrap_err().contains("9999"));
    }
}
