//! Months in UTC, by which usage is summed: a record belongs to the month in which its attempt ended.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use oc_kernel::{Classify, Kind};

/// A month, written `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i16,
    month: i8,
}

/// A text that is no month.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a month: write for example 2026-11")]
pub struct ParseMonthError(String);

impl Classify for ParseMonthError {
    fn kind(&self) -> Kind {
        Kind::Malformed
    }
}

impl Month {
    /// The month of a time in ms since the epoch. Times beyond the calendar fall into its last month.
    pub fn of_ms(ms: u64) -> Self {
        let at = i64::try_from(ms)
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .unwrap_or(Timestamp::MAX);
        let date = TimeZone::UTC.to_datetime(at).date();
        Self {
            year: date.year(),
            month: date.month(),
        }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = ParseMonthError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseMonthError(text.chars().take(40).collect());
        let (year, month) = text.split_once('-').ok_or_else(wrong)?;
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if year.len() != 4 || month.len() != 2 || !digits(year) || !digits(month) {
            return Err(wrong());
        }
        let (year, month) = (
            year.parse().map_err(|_| wrong())?,
            month.parse().map_err(|_| wrong())?,
        );
        Date::new(year, month, 1).map_err(|_| wrong())?;
        Ok(Self { year, month })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_changes_at_midnight_utc() {
        let last: Timestamp = "2026-10-31T23:59:59.999Z".parse().unwrap();
        let ms = u64::try_from(last.as_millisecond()).unwrap();
        assert_eq!(Month::of_ms(ms).to_string(), "2026-10");
        assert_eq!(Month::of_ms(ms + 1), "2026-11".parse().unwrap());
        assert_eq!(Month::of_ms(u64::MAX).to_string(), "9999-12");
    }

    #[test]
    fn what_is_no_month_is_refused() {
        for text in [
            "", "2026", "2026-13", "2026-00", "26-11", "2026-1", "2026-+1", "+026-11",
        ] {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
    }
}
