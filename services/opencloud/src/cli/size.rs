//! Amounts of bytes as people write them.

/// Reads `512MiB`, `2GiB`, `1.5 GB`. A unit is needed: nobody means 10 bytes by `10`.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size: write for example 512MiB or 2GiB");
    let text = text.trim();
    let unit_at = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" if !number.is_empty() && !number.chars().all(|c| c == '0') => {
            return Err(format!(
                "`{text}` has no unit: write {text}GiB, or {text}B for bytes"
            ));
        }
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "k" | "ki" | "kib" => 1024.0,
        "m" | "mi" | "mib" => 1024f64.powi(2),
        "g" | "gi" | "gib" => 1024f64.powi(3),
        "t" | "ti" | "tib" => 1024f64.powi(4),
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let bytes = (number * factor).round();
    if !bytes.is_finite() || bytes < 0.0 || bytes > 2f64.powi(62) {
        return Err(wrong());
    }
    Ok(bytes as u64)
}

/// Writes bytes with a unit that keeps the number short; whole gigabytes and megabytes as they were typed.
pub(crate) fn show(bytes: u64) -> String {
    for (unit, factor) in [
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
    ] {
        if bytes >= factor && bytes.is_multiple_of(factor / 10) && !bytes.is_multiple_of(1 << 20) {
            return format!("{} {unit}", bytes as f64 / factor as f64);
        }
    }
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value.fract() < 0.05 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(parse("512MiB"), Ok(512 << 20));
        assert_eq!(parse("1.5 GB"), Ok(1_500_000_000));
        assert_eq!((parse("42B"), parse("0")), (Ok(42), Ok(0)));
        let without = parse("10").unwrap_err();
        assert!(without.contains("write 10GiB, or 10B"), "{without}");
        for text in ["", "x", "1 parsec", "-1", "1.2.3", "9e9TiB", "99999999TiB"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(show(0), "0 B");
        assert_eq!(show(2 << 30), "2 GiB");
        assert_eq!(show(1_541_234), "1.5 MiB");
        for typed in ["10 GB", "1.5 GB", "500 MB", "2 TB", "512 MiB"] {
            assert_eq!(show(parse(typed).unwrap()), typed);
        }
    }
}
