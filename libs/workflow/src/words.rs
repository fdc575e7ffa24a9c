//! Amounts as a person reads them. Texts here end up in reasons and causes, never in a program.

use jiff::Timestamp;

use crate::steps::Resources;

/// Bytes in binary units (IEC 80000-13), in which limits and offers are written, with at most one decimal.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1 << 10 {
        return format!("{count} bytes");
    }
    let mut unit = 0;
    let mut divisor: u64 = 1 << 10;
    while count / divisor >= 1 << 10 && unit + 1 < UNITS.len() {
        divisor <<= 10;
        unit += 1;
    }
    let tenths = u128::from(count) * 10 / u128::from(divisor);
    match tenths % 10 {
        0 => format!("{} {}", tenths / 10, UNITS[unit]),
        rest => format!("{}.{rest} {}", tenths / 10, UNITS[unit]),
    }
}

/// Processor cores.
pub(crate) fn cores(count: u32) -> String {
    match count {
        1 => "1 core".to_owned(),
        count => format!("{count} cores"),
    }
}

/// Cores and memory.
pub(crate) fn resources(amount: Resources) -> String {
    format!("{} and {}", cores(amount.cores), bytes(amount.memory_bytes))
}

/// Seconds in the two largest units.
pub(crate) fn span(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes, rest) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, 0) => format!("{m} min"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, 0, _) => format!("{h} h"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, 0, ..) => format!("{d} d"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

/// From one moment to a later one, in words; zero when it is not later.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs();
    span(u64::try_from(seconds).unwrap_or(0))
}

/// Names in a sentence, at most `limit` of them.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>, limit: usize) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown = names[..names.len().min(limit)].join(", ");
    match names.len().saturating_sub(limit) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_people_write_them() {
        assert_eq!(bytes(0), "0 bytes");
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(8_649_000), "8.2 MiB");
        assert_eq!(bytes(3 << 30), "3 GiB");
        assert_eq!(bytes(u64::MAX), "15.9 EiB");
        assert_eq!(cores(1), "1 core");
        assert_eq!(cores(0), "0 cores");
        assert_eq!(span(0), "0 s");
        assert_eq!(span(75), "1 min 15 s");
        assert_eq!(span(3_600), "1 h");
        assert_eq!(span(90_000), "1 d 1 h");
        assert_eq!(list(["a", "b", "c"], 2), "a, b and 1 more");
    }
}
