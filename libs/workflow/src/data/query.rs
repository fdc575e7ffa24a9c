//! A narrowing of a dataset: which of its images, and which of their files.

use std::collections::BTreeSet;

use jiff::Timestamp;
use oc_kernel::Name;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Area;

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The range ends before it begins.
    #[error("the time range ends at {to}, before it begins at {from}")]
    TimeReversed {
        /// The begin.
        from: Timestamp,
        /// The end.
        to: Timestamp,
    },
    /// A comparison with a list, an object or nothing.
    #[error("`{property}` can be compared with a text, a number or true and false only")]
    Value {
        /// The property of the comparison.
        property: String,
    },
    /// A comparison of nothing.
    #[error("a comparison names no property: write for example `eo:cloud_cover <= 20`")]
    NoProperty,
    /// An order between things that have none.
    #[error("`{property} {operator}` needs a number or a text")]
    Order {
        /// The property of the comparison.
        property: String,
        /// The operator of the comparison.
        operator: Operator,
    },
    /// An operator that does not exist.
    #[error("`{0}` is not a comparison: use one of =, !=, <, <=, > and >=")]
    Operator(String),
    /// The same asset twice.
    #[error("the asset `{0}` is named twice")]
    AssetTwice(Name),
    /// More comparisons than a query may carry.
    #[error("a query may have {limit} comparisons, this one has {given}")]
    TooManyComparisons {
        /// What is allowed.
        limit: usize,
        /// What was given.
        given: usize,
    },
}

/// Images that match area, time and every comparison, newest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DatasetQuery {
    /// Images whose footprint touches this area; everywhere when missing.
    pub area: Option<Area>,
    /// Images of this time; always when missing.
    pub time: Option<TimeRange>,
    /// Comparisons that must all hold.
    pub filters: Vec<Comparison>,
    /// The files wanted of each image, in this order; all of them when empty.
    pub assets: Vec<Name>,
    /// At most this many images, the newest; all when zero.
    pub limit: u32,
}

impl DatasetQuery {
    /// Most comparisons a query may have.
    pub const COMPARISONS: usize = 32;

    /// Checks what the parts cannot check by themselves.
    ///
    /// # Errors
    /// When there are too many comparisons or an asset is named twice.
    pub fn check(self) -> Result<Self, QueryError> {
        if self.filters.len() > Self::COMPARISONS {
            return Err(QueryError::TooManyComparisons {
                limit: Self::COMPARISONS,
                given: self.filters.len(),
            });
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.assets.iter().find(|asset| !seen.insert(*asset)) {
            return Err(QueryError::AssetTwice(twice.clone()));
        }
        Ok(self)
    }
}

/// A time range with both ends included, as in STAC; an end that is missing is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRange {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl TimeRange {
    /// A checked range.
    ///
    /// # Errors
    /// When it ends before it begins.
    pub fn new(from: Option<Timestamp>, to: Option<Timestamp>) -> Result<Self, QueryError> {
        match (from, to) {
            (Some(from), Some(to)) if to < from => Err(QueryError::TimeReversed { from, to }),
            _ => Ok(Self { from, to }),
        }
    }

    /// The first moment.
    pub const fn from(&self) -> Option<Timestamp> {
        self.from
    }

    /// The last moment.
    pub const fn to(&self) -> Option<Timestamp> {
        self.to
    }
}

/// One condition on a property of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    property: String,
    operator: Operator,
    value: Value,
}

impl Comparison {
    /// A checked condition, for example `eo:cloud_cover <= 20`.
    ///
    /// # Errors
    /// When it names no property, or the value is no text, number or truth, or has no order and the operator asks for
    /// one.
    pub fn new(property: String, operator: Operator, value: Value) -> Result<Self, QueryError> {
        if property.trim().is_empty() {
            return Err(QueryError::NoProperty);
        }
        let ordered = !matches!(operator, Operator::Equal | Operator::Unequal);
        match &value {
            Value::Bool(_) if ordered => Err(QueryError::Order { property, operator }),
            Value::Bool(_) | Value::String(_) | Value::Number(_) => Ok(Self {
                property,
                operator,
                value,
            }),
            Value::Null | Value::Array(_) | Value::Object(_) => Err(QueryError::Value { property }),
        }
    }

    /// The property's name, for example `eo:cloud_cover`.
    pub fn property(&self) -> &str {
        &self.property
    }

    /// How it is compared.
    pub const fn operator(&self) -> Operator {
        self.operator
    }

    /// What it is compared with: a text, a number, or true and false.
    pub const fn value(&self) -> &Value {
        &self.value
    }
}

/// How a property is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operator {
    /// The same.
    #[serde(rename = "=")]
    Equal,
    /// Not the same.
    #[serde(rename = "!=")]
    Unequal,
    /// Less.
    #[serde(rename = "<")]
    Less,
    /// Less or the same.
    #[serde(rename = "<=")]
    AtMost,
    /// More.
    #[serde(rename = ">")]
    More,
    /// More or the same.
    #[serde(rename = ">=")]
    AtLeast,
}

impl Operator {
    const ALL: [Self; 6] = [
        Self::Equal,
        Self::Unequal,
        Self::Less,
        Self::AtMost,
        Self::More,
        Self::AtLeast,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }
}

impl std::str::FromStr for Operator {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let mut all = Self::ALL.into_iter();
        all.find(|operator| operator.as_str() == text)
            .ok_or_else(|| QueryError::Operator(text.chars().take(20).collect()))
    }
}

impl std::fmt::Display for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_operator_is_found_again_by_its_sign() {
        for operator in Operator::ALL {
            assert_eq!(operator.as_str().parse(), Ok(operator));
            assert_eq!(json!(operator), json!(operator.as_str()));
        }
        assert_eq!(
            "~".parse::<Operator>(),
            Err(QueryError::Operator("~".into()))
        );
    }

    #[test]
    fn a_comparison_without_sense_is_refused() {
        let compare = |operator, value| Comparison::new("p".into(), operator, value);
        assert!(compare(Operator::AtMost, json!(20)).is_ok());
        assert!(compare(Operator::Equal, json!(true)).is_ok());
        assert!(matches!(
            compare(Operator::Less, json!(true)),
            Err(QueryError::Order { .. })
        ));
        assert_eq!(
            Comparison::new(" ".into(), Operator::Equal, json!(1)),
            Err(QueryError::NoProperty)
        );
        for value in [json!(null), json!([1]), json!({})] {
            assert!(matches!(
                compare(Operator::Equal, value),
                Err(QueryError::Value { .. })
            ));
        }
    }

    #[test]
    fn a_reversed_time_and_a_repeated_asset_are_refused() {
        let (early, late) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        assert!(TimeRange::new(Some(early), Some(early)).is_ok());
        assert!(TimeRange::new(None, Some(early)).is_ok());
        assert!(TimeRange::new(Some(late), Some(early)).is_err());
        let red: Name = "red".parse().unwrap();
        let query = DatasetQuery {
            assets: vec![red.clone(), red.clone()],
            ..DatasetQuery::default()
        };
        assert_eq!(query.check(), Err(QueryError::AssetTwice(red)));
    }
}
