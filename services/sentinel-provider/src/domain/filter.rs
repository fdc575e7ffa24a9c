//! Comparisons with a property of an image.

use std::cmp::Ordering;
use std::str::FromStr;

use serde_json::Value;

use super::{DataError, Image};

/// How a property is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl FromStr for Operator {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        Ok(match text {
            "=" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">" => Self::Greater,
            ">=" => Self::AtLeast,
            other => {
                let other: String = other.chars().take(20).collect();
                let text = format!("`{other}` does not compare: use =, !=, <, <=, > or >=");
                return Err(DataError::Question(text));
            }
        })
    }
}

/// A rule that an image must hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Filter {
    /// Property, for example `eo:cloud_cover`.
    pub(crate) property: String,
    /// How it is compared.
    pub(crate) operator: Operator,
    /// With what: a number, a text or a truth value.
    pub(crate) value: Value,
}

impl Filter {
    /// Reads a filter; `value` is JSON.
    ///
    /// # Errors
    /// When the operator or the value cannot be used.
    pub(crate) fn parse(property: &str, operator: &str, value: &str) -> Result<Self, DataError> {
        let value: Value = serde_json::from_str(value).map_err(|reason| DataError::Json {
            what: "value of a filter",
            reason,
        })?;
        if !matches!(value, Value::Number(_) | Value::String(_) | Value::Bool(_)) {
            let text = "a filter compares with a number, a text or a truth value";
            return Err(DataError::Question(text.to_owned()));
        }
        Ok(Self {
            property: property
                .strip_prefix("properties.")
                .unwrap_or(property)
                .to_owned(),
            operator: operator.parse()?,
            value,
        })
    }

    /// True when the image has the property and it compares so; one of another type does not.
    pub(crate) fn holds(&self, image: &Image) -> bool {
        let found = image.property(&self.property);
        let Some(order) = found.and_then(|found| compare(found, &self.value)) else {
            return false;
        };
        match self.operator {
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::AtMost => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::AtLeast => order.is_ge(),
        }
    }
}

/// The order of two values of one type; none for others.
pub(crate) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Some(a.as_f64()?.total_cmp(&b.as_f64()?)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::index::tests::image;

    #[test]
    fn an_image_holds_a_filter_only_with_a_value_of_its_type() {
        let image = image(
            "demo",
            "a",
            0,
            [0.0, 0.0],
            json!({"eo:cloud_cover": 12.5, "platform": "s2a"}),
        );
        for (property, operator, value, holds) in [
            ("eo:cloud_cover", "<=", "12.5", true),
            ("properties.eo:cloud_cover", "<", "12.5", false),
            ("eo:cloud_cover", ">", "12", true),
            ("eo:cloud_cover", "!=", "3", true),
            ("eo:cloud_cover", "<", "\"20\"", false),
            ("platform", "=", "\"s2a\"", true),
            ("platform", "!=", "\"s2a\"", false),
            ("id", "=", "\"a\"", true),
            ("missing", "!=", "1", false),
        ] {
            let filter = Filter::parse(property, operator, value).unwrap();
            assert_eq!(filter.holds(&image), holds, "{property} {operator} {value}");
        }
    }

    #[test]
    fn a_filter_that_compares_nothing_is_refused() {
        for (operator, value) in [("~", "1"), ("=", "null"), ("=", "[1]"), ("=", "x")] {
            assert!(
                Filter::parse("p", operator, value).is_err(),
                "{operator} {value}"
            );
        }
    }
}
