//! Prices between the messages of the API and what is signed.

use oc_kernel::Money;
use oc_proto::types::v1 as types;
use oc_trust::{ParseCurrencyError, Price};

/// The price that a message names; amounts are not looked at.
///
/// # Errors
/// When its currency is none.
pub fn price(message: &types::Price) -> Result<Price, ParseCurrencyError> {
    Ok(Price {
        currency: message.currency.parse()?,
        core_hour: Money(message.core_hour_micros),
        egress_gib: Money(message.egress_gib_micros),
        storage_gib_month: Money(message.storage_gib_month_micros),
    })
}

/// The message that names a price.
pub fn price_message(price: &Price) -> types::Price {
    types::Price {
        currency: price.currency.to_string(),
        core_hour_micros: price.core_hour.micros(),
        egress_gib_micros: price.egress_gib.micros(),
        storage_gib_month_micros: price.storage_gib_month.micros(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_read_back_as_written() {
        let message = types::Price {
            currency: "EUR".to_owned(),
            core_hour_micros: 1,
            egress_gib_micros: 2,
            storage_gib_month_micros: 3,
        };
        assert_eq!(price_message(&price(&message).unwrap()), message);
        let euro = types::Price {
            currency: "euro".to_owned(),
            ..message
        };
        assert_eq!(price(&euro), Err(ParseCurrencyError));
    }
}
