//! Prices, and the one way a charge is computed from them: both sides must come to the same millionth.

use std::fmt;
use std::str::FromStr;

use oc_kernel::Money;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// A currency code: three capital letters (ISO 4217, whose list is not checked).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// A text that is not a currency code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three capital letters, for example EUR")]
pub struct ParseCurrencyError;

impl Currency {
    /// The euro.
    pub const EUR: Currency = Currency(*b"EUR");

    /// The code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Currency {
    type Err = ParseCurrencyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| ParseCurrencyError)?;
        if !code.iter().all(u8::is_ascii_uppercase) {
            return Err(ParseCurrencyError);
        }
        Ok(Self(code))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// What things cost, in one currency. Amounts are millionths and not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The currency of all amounts.
    pub currency: Currency,
    /// For one core during one hour, used or not.
    pub core_hour: Money,
    /// For one GiB (2^30 bytes) that leaves.
    pub egress_gib: Money,
    /// For one GiB stored during one month of 30 days.
    pub storage_gib_month: Money,
}

/// What is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chargeable {
    /// Cores held.
    pub cores: u32,
    /// How long they were held, in ms.
    pub wall_ms: u64,
    /// What left, in bytes.
    pub bytes_out: u64,
    /// What was stored times how long, in byte-seconds.
    pub storage_byte_seconds: u64,
}

const MS_PER_HOUR: u128 = 3_600_000;
const GIB: u128 = 1 << 30;
const SECONDS_PER_MONTH: u128 = 30 * 24 * 3600;
// The least common multiple of the three divisors: 2^38 * 3^4 * 5^5.
const COMMON: u128 = (1 << 38) * 81 * 3125;

impl Price {
    /// Everything for nothing.
    pub const fn free(currency: Currency) -> Self {
        Self {
            currency,
            core_hour: Money::ZERO,
            egress_gib: Money::ZERO,
            storage_gib_month: Money::ZERO,
        }
    }

    /// True when no amount is negative.
    pub fn is_valid(&self) -> bool {
        [self.core_hour, self.egress_gib, self.storage_gib_month]
            .iter()
            .all(|amount| *amount >= Money::ZERO)
    }
}

/// The charge for one record: the exact sum of its parts, rounded half up once. It stays at the largest
/// amount instead of wrapping.
pub fn charge(price: &Price, used: &Chargeable) -> Money {
    let core_ms = u128::from(used.cores) * u128::from(used.wall_ms);
    let parts = [
        (price.core_hour, core_ms, MS_PER_HOUR),
        (price.egress_gib, u128::from(used.bytes_out), GIB),
        (
            price.storage_gib_month,
            u128::from(used.storage_byte_seconds),
            GIB * SECONDS_PER_MONTH,
        ),
    ];
    let mut whole: u128 = 0;
    let mut rest: u128 = 0;
    for (amount, units, per) in parts {
        let amount = u128::try_from(amount.micros()).unwrap_or(0);
        let Some(total) = amount.checked_mul(units) else {
            return Money(i64::MAX);
        };
        whole = whole.saturating_add(total / per);
        rest += (total % per) * (COMMON / per);
    }
    let rounded = whole.saturating_add((2 * rest + COMMON) / (2 * COMMON));
    Money(i64::try_from(rounded).unwrap_or(i64::MAX))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn price(core_hour: i64, egress: i64, storage: i64) -> Price {
        Price {
            currency: Currency::EUR,
            core_hour: Money(core_hour),
            egress_gib: Money(egress),
            storage_gib_month: Money(storage),
        }
    }

    #[test]
    fn the_common_divisor_is_a_multiple_of_all_three() {
        for per in [MS_PER_HOUR, GIB, GIB * SECONDS_PER_MONTH] {
            assert_eq!(COMMON % per, 0);
        }
    }

    #[test]
    fn parts_below_half_a_millionth_add_up_before_they_are_rounded() {
        let used = Chargeable {
            cores: 1,
            wall_ms: 900_000,
            bytes_out: 1 << 28,
            storage_byte_seconds: 0,
        };
        // A quarter of a millionth twice: each alone rounds to nothing, together they are a half.
        assert_eq!(charge(&price(1, 1, 0), &used), Money(1));
        assert_eq!(charge(&price(1, 0, 0), &used), Money(0));
    }

    #[test]
    fn a_core_hour_a_gibibyte_and_a_month_of_storage_cost_their_price() {
        let used = Chargeable {
            cores: 2,
            wall_ms: 1_800_000,
            bytes_out: 1 << 30,
            storage_byte_seconds: (1 << 30) * 2_592_000,
        };
        assert_eq!(charge(&price(250_000, 10_000, 7), &used), Money(260_007));
    }

    #[test]
    fn a_charge_too_large_for_money_stays_at_the_largest() {
        let used = Chargeable {
            cores: u32::MAX,
            wall_ms: u64::MAX,
            ..Chargeable::default()
        };
        assert_eq!(charge(&price(i64::MAX, 0, 0), &used), Money(i64::MAX));
    }

    #[test]
    fn a_currency_is_three_capitals() {
        assert_eq!("CHF".parse::<Currency>().unwrap().to_string(), "CHF");
        for text in ["eur", "EURO", "E1R", "", "€"] {
            assert!(text.parse::<Currency>().is_err(), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn with_one_part_the_charge_is_the_kernels(core_hour in 0..10_000_000i64, cores in 0..512u32, wall in 0..10_000_000u64) {
            let used = Chargeable { cores, wall_ms: wall, ..Chargeable::default() };
            let expected = Money::for_units(Money(core_hour), u64::from(cores) * wall, 3_600_000);
            prop_assert_eq!(charge(&price(core_hour, 0, 0), &used), expected);
        }

        #[test]
        fn more_use_never_costs_less(
            prices in (0..1_000_000i64, 0..1_000_000i64, 0..1_000_000i64),
            cores in 0..64u32, wall in 0..u64::from(u32::MAX), out in 0..1u64 << 40, more in 0..1u64 << 30,
        ) {
            let price = price(prices.0, prices.1, prices.2);
            let less = Chargeable { cores, wall_ms: wall, bytes_out: out, storage_byte_seconds: 0 };
            let larger = Chargeable { wall_ms: wall + more, bytes_out: out + more, storage_byte_seconds: more, ..less };
            prop_assert!(charge(&price, &less) <= charge(&price, &larger));
        }
    }
}
