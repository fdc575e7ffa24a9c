//! Numbers that must not be mixed up: revisions and money.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The version of a stored document. Zero means that it was never written.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An amount in millionths of a grant's currency. Integers, so that two organisations' sums agree to
/// the last digit; the currency is a property of the grant.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Money(pub i64);

/// A text that is not an amount with at most six decimals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount: write for example 0.25, with at most six decimals")]
pub struct ParseMoneyError(String);

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// Millionths.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The sum; it stays at the largest amount instead of wrapping.
    #[must_use]
    pub const fn saturating_add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }

    /// `price` for each `per` units, for `units` of them, rounded half up once. Zero when `per` is zero.
    pub fn for_units(price: Money, units: u64, per: u64) -> Money {
        if per == 0 {
            return Money::ZERO;
        }
        let per = i128::from(per);
        let total = i128::from(price.0) * i128::from(units);
        let rounded = (2 * total + per).div_euclid(2 * per);
        Money(i64::try_from(rounded).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        let (whole, rest) = (micros / 1_000_000, micros % 1_000_000);
        let decimals = format!("{rest:06}");
        let decimals = decimals.trim_end_matches('0');
        write!(f, "{sign}{whole}.{decimals:0<2}")
    }
}

impl FromStr for Money {
    type Err = ParseMoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseMoneyError(text.chars().take(40).collect());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(decimals) || decimals.len() > 6 {
            return Err(wrong());
        }
        let whole: i64 = whole.parse().map_err(|_| wrong())?;
        let rest: i64 = format!("{decimals:0<6}").parse().map_err(|_| wrong())?;
        let micros = whole
            .checked_mul(1_000_000)
            .and_then(|w| w.checked_add(rest))
            .ok_or_else(wrong)?;
        Ok(Money(if negative { -micros } else { micros }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read_back_as_written() {
        for micros in [
            0,
            1,
            10,
            250_000,
            1_000_000,
            12_345_678,
            -1_500_000,
            i64::MAX,
        ] {
            let money = Money(micros);
            assert_eq!(money.to_string().parse(), Ok(money), "{money}");
        }
        assert_eq!(Money(250_000).to_string(), "0.25");
        assert_eq!(Money(1).to_string(), "0.000001");
    }

    #[test]
    fn an_amount_with_seven_decimals_or_a_sign_too_many_is_refused() {
        for text in [
            "0.0000001",
            "",
            ".",
            "1.",
            ".5",
            "+1",
            "--1",
            "1e3",
            "1.-5",
            "99999999999999",
        ] {
            assert!(text.parse::<Money>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_price_is_rounded_once_and_half_goes_up() {
        let hour = 3_600_000;
        assert_eq!(Money::for_units(Money(1), hour / 2, hour), Money(1));
        assert_eq!(Money::for_units(Money(1), hour / 2 - 1, hour), Money(0));
        assert_eq!(Money::for_units(Money(7), 3 * hour, hour), Money(21));
        assert_eq!(Money::for_units(Money(7), 3, 0), Money(0));
    }
}
