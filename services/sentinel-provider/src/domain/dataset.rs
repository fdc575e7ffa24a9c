//! A dataset: a STAC collection that is offered.

use oc_kernel::{Name, OrgId};
use oc_store::Collection as Documents;
use oc_trust::Price;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::DataError;

/// The documents of datasets, by name.
pub(crate) static DATASETS: Documents = Documents::new("datasets", &[]);

/// Largest collection document, in bytes.
const LARGEST: usize = 256 * 1024;
/// Longest name: its listing is `dataset.<name>`.
const LONGEST_NAME: usize = Name::LIMIT - "dataset.".len();

/// Where a dataset is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// Offered.
    Offered,
    /// Taken back: its listing, its reservations, images and files go, in that order, then this document.
    Leaving,
}

/// A dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dataset {
    /// STAC collection id.
    pub(crate) name: Name,
    /// One line for people.
    pub(crate) title: String,
    /// A paragraph for people.
    pub(crate) description: String,
    /// Terms of use for people.
    pub(crate) terms: String,
    /// What reading costs; none is free.
    pub(crate) price: Option<Price>,
    /// Who may see it; nobody in particular means every member.
    pub(crate) visible_to: Vec<OrgId>,
    /// The STAC collection as it was given.
    pub(crate) collection: Map<String, Value>,
    /// Where it is in its life.
    pub(crate) state: State,
    /// When it was made, in ms since the epoch.
    pub(crate) created_ms: u64,
}

impl Dataset {
    /// Reads a STAC collection (STAC 1.0.0, "Collection Specification"). Its links and its extent are not
    /// read: both are made from what is there.
    ///
    /// # Errors
    /// The rule that is broken, with its place.
    pub(crate) fn parse(text: &str, created_ms: u64) -> Result<Self, DataError> {
        if text.len() > LARGEST {
            let reason = format!(
                "a collection may have {LARGEST} bytes, this one has {}",
                text.len()
            );
            return Err(DataError::stac("", reason));
        }
        let collection: Map<String, Value> =
            serde_json::from_str(text).map_err(|reason| DataError::Json {
                what: "collection",
                reason,
            })?;
        require(
            &collection,
            "type",
            |kind| kind == "Collection",
            "must be `Collection`",
        )?;
        require(
            &collection,
            "stac_version",
            |v| v.starts_with("1."),
            "must be 1.0.0 or a later 1.x",
        )?;
        let id = require(&collection, "id", |_| true, "")?;
        let name: Name = id
            .parse()
            .map_err(|reason| DataError::name("a dataset's name", id, reason))?;
        if id.len() > LONGEST_NAME {
            let reason = format!("may have {LONGEST_NAME} characters");
            return Err(DataError::stac("/id", reason));
        }
        let description = require(
            &collection,
            "description",
            |text| !text.is_empty(),
            "must not be empty",
        )?;
        require(
            &collection,
            "license",
            |text| !text.is_empty(),
            "must name a licence, for example `proprietary`",
        )?;
        let title = collection.get("title").and_then(Value::as_str);
        Ok(Self {
            title: title.unwrap_or(id).to_owned(),
            description: description.to_owned(),
            terms: String::new(),
            price: None,
            visible_to: Vec::new(),
            state: State::Offered,
            created_ms,
            name,
            collection,
        })
    }

    /// The id of its listing.
    pub(crate) fn listing_id(&self) -> String {
        listing_id(&self.name)
    }
}

/// The id of a dataset's listing.
pub(crate) fn listing_id(name: &Name) -> String {
    format!("dataset.{name}")
}

/// A text that must be there and hold a rule.
pub(crate) fn require<'a>(
    object: &'a Map<String, Value>,
    field: &str,
    rule: impl Fn(&str) -> bool,
    reason: &str,
) -> Result<&'a str, DataError> {
    let pointer = || format!("/{field}");
    let text = object
        .get(field)
        .and_then(Value::as_str)
        .ok_or_else(|| DataError::stac(pointer(), "must be there and be a text"))?;
    if !rule(text) {
        return Err(DataError::stac(pointer(), reason));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn collection() -> Value {
        json!({
            "type": "Collection", "stac_version": "1.0.0", "id": "demo", "license": "MIT",
            "description": "A demo.", "extent": {}, "links": [],
        })
    }

    #[test]
    fn a_collection_becomes_a_dataset_of_its_name() {
        let dataset = Dataset::parse(&collection().to_string(), 7).unwrap();
        assert_eq!(dataset.name.as_str(), "demo");
        assert_eq!(dataset.title, "demo");
        assert_eq!(dataset.listing_id(), "dataset.demo");
        assert_eq!(dataset.created_ms, 7);
    }

    #[test]
    fn a_faulty_collection_is_refused_with_the_place() {
        for (field, value, pointer) in [
            ("type", json!("Feature"), "/type"),
            ("stac_version", json!("0.9.0"), "/stac_version"),
            ("stac_version", json!(1.0), "/stac_version"),
            ("id", json!(null), "/id"),
            ("id", json!("x".repeat(125)), "/id"),
            ("description", json!(""), "/description"),
            ("license", json!(null), "/license"),
        ] {
            let mut faulty = collection();
            faulty[field] = value;
            match Dataset::parse(&faulty.to_string(), 0).unwrap_err() {
                DataError::Stac { pointer: found, .. } => assert_eq!(found, pointer),
                other => panic!("{other}"),
            }
        }
        let mut climbing = collection();
        climbing["id"] = json!("../x");
        let error = Dataset::parse(&climbing.to_string(), 0).unwrap_err();
        assert!(matches!(error, DataError::Name { .. }));
    }

    #[test]
    fn what_is_no_json_or_nested_without_end_is_refused() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for text in ["", "[]", "{", &deep] {
            let error = Dataset::parse(text, 0).unwrap_err();
            assert!(matches!(error, DataError::Json { .. }), "{error}");
        }
    }
}
