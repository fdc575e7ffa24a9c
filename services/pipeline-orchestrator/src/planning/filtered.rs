//! Which filter of a query is why no image matches. The data provider is asked nothing but counts: of the same query
//! with fewer filters, and of the whole dataset for a property that no image seems to have.

use futures::future::BoxFuture;
use oc_proto::types::v1 as types;
use oc_service::CallError;
use oc_workflow::data::{Comparison, DatasetQuery, Operator};
use serde_json::{Value, json};

use crate::request::query_message;

/// Filters that are looked at one by one.
const LOOKED_AT: usize = 8;

/// Why no image matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blame {
    /// Images that match but for the filters.
    pub(super) without: u64,
    /// Which filter it is, and why.
    pub(super) reason: String,
}

/// Counts the images of a query.
pub(super) type Count<'a> =
    &'a (dyn Fn(types::DatasetQuery) -> BoxFuture<'a, Result<u64, CallError>> + Sync);

/// What the filters of a query that no image matches have to do with it; nothing where none matches without them
/// either.
pub(super) async fn blame(
    query: &DatasetQuery,
    count: Count<'_>,
) -> Result<Option<Blame>, CallError> {
    if query.filters.is_empty() {
        return Ok(None);
    }
    let with = |filters: Vec<Comparison>| {
        query_message(&DatasetQuery {
            filters,
            ..query.clone()
        })
    };
    let without = count(with(Vec::new())).await?;
    if without == 0 {
        return Ok(None);
    }
    for filter in query.filters.iter().take(LOOKED_AT) {
        if count(with(vec![filter.clone()])).await? == 0 {
            let reason = why_none(filter, count).await?;
            return Ok(Some(Blame { without, reason }));
        }
    }
    let reason = "each filter holds for some of them, all together for none".to_owned();
    Ok(Some(Blame { without, reason }))
}

/// Why a filter holds for none of the images that match otherwise.
async fn why_none(filter: &Comparison, count: Count<'_>) -> Result<String, CallError> {
    let property = filter.property();
    let mut types = Vec::new();
    for (type_, value) in [
        ("a number", json!(0)),
        ("a text", json!("")),
        ("true or false", json!(true)),
    ] {
        if has_type(property, &value, count).await? {
            let same = std::mem::discriminant(filter.value()) == std::mem::discriminant(&value);
            types.push((type_, same));
        }
    }
    Ok(match types.first() {
        None => format!("no image of the dataset has the property `{property}`"),
        Some((type_, _)) if types.iter().all(|(_, same)| !same) => format!(
            "`{property}` is {type_} there, which {} is not",
            filter.value()
        ),
        Some(_) => format!(
            "`{property} {} {}` holds for none of them",
            filter.operator(),
            filter.value()
        ),
    })
}

/// True when an image of the dataset has the property with a value of this one's type: an image of another type
/// holds neither comparison.
async fn has_type(property: &str, value: &Value, count: Count<'_>) -> Result<bool, CallError> {
    for operator in [Operator::Equal, Operator::Unequal] {
        let Ok(filter) = Comparison::new(property.to_owned(), operator, value.clone()) else {
            continue;
        };
        if count(whole(filter)).await? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// All of a dataset that holds one comparison.
fn whole(filter: Comparison) -> types::DatasetQuery {
    query_message(&DatasetQuery {
        filters: vec![filter],
        ..DatasetQuery::default()
    })
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use serde_json::Map;

    use super::*;

    /// Counts as a data provider does, over the properties of three images. An order counts numbers only.
    fn count(query: types::DatasetQuery) -> BoxFuture<'static, Result<u64, CallError>> {
        let images = [
            json!({"eo:cloud_cover": 3, "platform": "s2a"}),
            json!({"eo:cloud_cover": 40, "platform": "s2b"}),
            json!({"eo:cloud_cover": 90, "platform": "s2b"}),
        ];
        let holds = |image: &Map<String, Value>, filter: &types::PropertyFilter| {
            let wanted: Value = serde_json::from_str(&filter.value_json).unwrap();
            let order = match (image.get(&filter.property), &wanted) {
                (Some(Value::Number(a)), Value::Number(b)) => {
                    a.as_f64().unwrap().total_cmp(&b.as_f64().unwrap())
                }
                (Some(Value::String(a)), Value::String(b)) => a.cmp(b),
                _ => return false,
            };
            match filter.operator.as_str() {
                "=" => order == Ordering::Equal,
                "!=" => order != Ordering::Equal,
                "<=" => order != Ordering::Greater,
                other => panic!("{other} is not asked here"),
            }
        };
        let images = images.iter().filter_map(Value::as_object);
        let all = |image: &&Map<String, Value>| query.filters.iter().all(|f| holds(image, f));
        // July is empty.
        let july = query.time.is_some();
        let counted = match july {
            true => 0,
            false => images.filter(all).count() as u64,
        };
        Box::pin(std::future::ready(Ok(counted)))
    }

    fn asked(filters: &[(&str, &str, Value)]) -> DatasetQuery {
        let filters = filters.iter().map(|(property, operator, value)| {
            let operator = operator.parse().unwrap();
            Comparison::new((*property).to_owned(), operator, value.clone()).unwrap()
        });
        DatasetQuery {
            filters: filters.collect(),
            ..DatasetQuery::default()
        }
    }

    #[tokio::test]
    async fn the_filter_that_no_image_holds_is_named_with_its_reason() {
        let clouds = "eo:cloud_cover";
        for (filters, expected) in [
            (
                vec![("platform", "=", json!("s2b")), (clouds, "<=", json!(0))],
                "`eo:cloud_cover <= 0` holds for none of them",
            ),
            (
                vec![("eo:wolken", "<=", json!(20))],
                "no image of the dataset has the property `eo:wolken`",
            ),
            (
                vec![(clouds, "<=", json!("abc"))],
                "`eo:cloud_cover` is a number there, which \"abc\" is not",
            ),
            (
                vec![("platform", "=", json!("s2a")), (clouds, "=", json!(40))],
                "each filter holds for some of them, all together for none",
            ),
        ] {
            let blamed = blame(&asked(&filters), &count).await.unwrap().unwrap();
            assert_eq!((blamed.without, blamed.reason.as_str()), (3, expected));
        }
    }

    #[tokio::test]
    async fn filters_are_not_blamed_where_no_image_matches_without_them_either() {
        let july = DatasetQuery {
            time: Some(oc_workflow::data::TimeRange::new(None, None).unwrap()),
            ..asked(&[("eo:wolken", "<=", json!(20))])
        };
        assert_eq!(blame(&july, &count).await.unwrap(), None);
        assert_eq!(blame(&asked(&[]), &count).await.unwrap(), None);
    }
}
