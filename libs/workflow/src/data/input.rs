//! One input of a run, and the place of its outputs.

use oc_kernel::{Digest, Name, ObjectKey, OrgId, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DatasetQuery;

/// Why an input is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// A CWL file that points somewhere.
    #[error(
        "`{0}` points at a file by location: upload the file and name it as `oc://storage.NAME/KEY`, or give its \
         `contents`"
    )]
    Location(String),
    /// Lists and records within one another without end.
    #[error("the value is nested deeper than {0} levels")]
    Depth(usize),
}

/// A listing of any owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListingRef {
    /// Who listed it.
    pub owner: OrgId,
    /// Its id there, for example `dataset.sentinel-2`.
    pub listing: Name,
}

/// One immutable object, named by who owns it and what it holds, never by a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Whose object.
    pub owner: OrgId,
    /// Which of the owner's services serves it.
    pub role: Role,
    /// Its key there.
    pub key: ObjectKey,
    /// The digest of its content.
    pub sha256: Digest,
    /// Its length in bytes.
    pub length: u64,
    /// Its media type; empty where unknown.
    pub media_type: String,
}

/// Which service of an organisation serves an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The data provider.
    Data,
    /// The storage offers.
    Objects,
}

/// One input of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A CWL value that holds its data, possibly file literals; made by [`Input::literal`].
    Value(Value),
    /// Files of a dataset.
    Dataset {
        /// The dataset.
        dataset: ListingRef,
        /// Which images and files of it.
        query: DatasetQuery,
    },
    /// A file that was put into a storage offer before.
    File {
        /// The object.
        object: ObjectRef,
        /// The storage listing it lies in; our first storage offer where none is named.
        storage: Option<Name>,
    },
    /// An output of an earlier run.
    RunOutput {
        /// The run, which must have succeeded.
        run: RunId,
        /// The name of one of its workflow's outputs.
        output: String,
    },
}

/// Where the outputs of a run are put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// A storage listing.
    pub storage: ListingRef,
    /// All outputs lie below this prefix and the run's id, so two runs never collide.
    pub prefix: ObjectKey,
}

impl Input {
    /// Levels of lists and records a value may have.
    pub const DEPTH: usize = 64;

    /// A CWL value.
    ///
    /// # Errors
    /// When a file within is named by location, or it is nested too deep.
    pub fn literal(value: Value) -> Result<Self, InputError> {
        check_literal(&value, Self::DEPTH)?;
        Ok(Self::Value(value))
    }
}

/// Begin of the location of an object in a storage offer of ours, `oc://storage.NAME/KEY`, which is looked up.
const STORED: &str = "oc://storage.";

/// A literal points nowhere but at objects of ours: not at this machine's files, not at a partner's URL.
fn check_literal(value: &Value, depth: usize) -> Result<(), InputError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(InputError::Depth(Input::DEPTH));
    };
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| check_literal(item, depth)),
        Value::Object(object) => {
            let class = object.get("class").and_then(Value::as_str);
            if matches!(class, Some("File" | "Directory")) {
                let stored = |pointer: &str| class == Some("File") && pointer.starts_with(STORED);
                let mut pointers = ["location", "path"].into_iter().filter_map(|key| {
                    let pointer = object.get(key)?.as_str().unwrap_or_default();
                    (key == "path" || !stored(pointer)).then_some(pointer)
                });
                if let Some(pointer) = pointers.next() {
                    return Err(InputError::Location(pointer.chars().take(200).collect()));
                }
            }
            let mut fields = object.values();
            fields.try_for_each(|field| check_literal(field, depth))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_by_location_is_refused_however_deep_it_hides() {
        for value in [
            json!({"class": "File", "location": "file:///etc/passwd"}),
            json!([{"class": "File", "path": "/etc/passwd"}]),
            json!({"inner": [{"class": "Directory", "location": "http://10.0.0.1/"}]}),
            json!({"class": "File", "contents": "", "secondaryFiles": [{"class": "File", "path": "/x"}]}),
            json!({"class": "File", "location": "oc://storage.results/a", "path": "/etc/passwd"}),
            json!({"class": "File", "location": "oc:org-1/data/a"}),
            json!({"class": "Directory", "location": "oc://storage.results/a"}),
        ] {
            let error = Input::literal(value).unwrap_err();
            assert!(matches!(error, InputError::Location(_)), "{error}");
        }
        let file = json!({"class": "File", "basename": "a.txt", "contents": "hello"});
        assert_eq!(Input::literal(file.clone()), Ok(Input::Value(file)));
        let stored = json!([{"class": "File", "location": "oc://storage.results/a/b.txt"}]);
        assert_eq!(Input::literal(stored.clone()), Ok(Input::Value(stored)));
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let nested = |levels: usize| (0..levels).fold(json!(1), |value, _| json!([value]));
        assert!(Input::literal(nested(Input::DEPTH - 1)).is_ok());
        assert_eq!(
            Input::literal(nested(Input::DEPTH)),
            Err(InputError::Depth(64))
        );
    }

    #[test]
    fn an_input_is_read_back_as_it_was_stored() {
        let dataset = ListingRef {
            owner: OrgId::from_digest([1; 32]),
            listing: "dataset.s2".parse().unwrap(),
        };
        for input in [
            Input::Value(json!({"dataset": "a record's own field"})),
            Input::RunOutput {
                run: RunId::new(),
                output: "picture".into(),
            },
            Input::Dataset {
                dataset,
                query: DatasetQuery::default(),
            },
        ] {
            let stored = serde_json::to_string(&input).unwrap();
            assert_eq!(serde_json::from_str::<Input>(&stored).unwrap(), input);
        }
    }
}
