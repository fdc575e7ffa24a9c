//! Times and spans as people read and write them.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// `2026-11-21 10:30:00Z`; nothing for zero.
pub(crate) fn show(ms: u64) -> String {
    if ms == 0 {
        return String::new();
    }
    let at = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(String::new, |at| {
        at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
    })
}

/// `95 s ahead` or `40 s behind`; nothing for less than a second.
pub(crate) fn difference(ms: i64) -> String {
    match ms / 1000 {
        0 => String::new(),
        seconds @ 1.. => format!("{seconds} s ahead"),
        seconds => format!("{} s behind", seconds.unsigned_abs()),
    }
}

/// Reads `2026-11-21` or `2026-11-21T10:30:00Z`; a date stands for its begin, or with `end` for its last
/// millisecond.
pub(crate) fn parse(text: &str, end: bool) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let wrong =
        || format!("`{text}` is no time: write for example 2026-11-21 or 2026-11-21T10:30:00Z");
    let date: Date = text.parse().map_err(|_| wrong())?;
    let begin = date
        .to_zoned(TimeZone::UTC)
        .map_err(|_| wrong())?
        .timestamp();
    if !end {
        return Ok(begin);
    }
    let day = jiff::SignedDuration::from_hours(24) - jiff::SignedDuration::from_millis(1);
    begin.checked_add(day).map_err(|_| wrong())
}

/// Reads `90s`, `30m`, `8h`, `7d` as seconds.
pub(crate) fn parse_span(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no span of time: write for example 30m, 8h or 7d");
    let number_end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(number_end);
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number
        .checked_mul(factor)
        .filter(|s| *s <= 10 * 365 * 86_400)
        .ok_or_else(wrong)
}

/// A span in words: `3.5 s`, `2 min 5 s`, `30 min`, `7 d`.
pub(crate) fn show_span(ms: u64) -> String {
    let (units, seconds) = (["d", "h", "min", "s"], ms / 1000);
    match ms {
        0..1000 => return format!("{ms} ms"),
        1000..60_000 => return format!("{:.1} s", ms as f64 / 1000.0),
        _ => {}
    }
    let counts = [
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    ];
    let parts = counts
        .iter()
        .zip(units)
        .skip_while(|(count, _)| **count == 0);
    let parts = parts.take(2).filter(|(count, _)| **count > 0);
    let parts: Vec<_> = parts
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_stands_for_its_begin_or_its_end() {
        assert_eq!(
            parse("2026-11-21", false).unwrap().to_string(),
            "2026-11-21T00:00:00Z"
        );
        assert_eq!(
            parse("2026-11-21", true).unwrap().to_string(),
            "2026-11-21T23:59:59.999Z"
        );
        assert_eq!(
            parse("2026-11-21T10:00:00Z", true).unwrap().to_string(),
            "2026-11-21T10:00:00Z"
        );
        assert!(parse("yesterday", false).is_err());
    }

    #[test]
    fn spans_have_a_unit() {
        assert_eq!(parse_span("7d"), Ok(604_800));
        for text in ["7", "d", "7w", "-1h", "99999999999d"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
        for (ms, shown) in [
            (250, "250 ms"),
            (3_500, "3.5 s"),
            (65_000, "1 min 5 s"),
            (1_800_000, "30 min"),
            (3_600_000, "1 h"),
            (3_601_000, "1 h"),
            (604_800_000, "7 d"),
            (95_400_000, "1 d 2 h"),
        ] {
            assert_eq!(show_span(ms), shown);
        }
    }
}
