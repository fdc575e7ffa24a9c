//! Files in CWL values: how they are named here, and how a site names them.
//!
//! Here a File's location is `oc:<owner>/<role>/<key>`. In a fragment's job it is `input:<name>`, with
//! the object listed beside it, so that no value ever holds a way to somebody's bytes. A person names a file that
//! lies in storage of ours as `oc://storage.<offer>/<key>`.

use std::collections::BTreeMap;

use oc_kernel::{Name, ObjectKey, OrgId};
use oc_proto::types::v1 as types;
use oc_workflow::data::{ObjectRef, Role};
use serde_json::{Map, Value, json};

use crate::documents::KnownFile;
use crate::error::RunError;

/// The begin of the listings of storage offers.
pub(crate) const STORAGE: &str = "storage.";

/// The listing and the key that a location names, where it is one of storage of ours as people write it.
pub(crate) fn stored(location: &str) -> Option<(Name, ObjectKey)> {
    let (listing, key) = location.strip_prefix("oc://")?.split_once('/')?;
    let listing = listing.starts_with(STORAGE).then_some(listing)?;
    Some((listing.parse().ok()?, key.parse().ok()?))
}

/// The object that is to lie at a location of storage of ours, by the size and the checksum that a File says.
pub(crate) fn promised(value: &Value, location: &str, owner: OrgId) -> Option<ObjectRef> {
    match value {
        Value::Array(items) => items
            .iter()
            .find_map(|item| promised(item, location, owner)),
        Value::Object(fields) => {
            let text = |name: &str| fields.get(name).and_then(Value::as_str);
            let here = || {
                let (_, key) = stored(location).filter(|_| text("location") == Some(location))?;
                Some(ObjectRef {
                    owner,
                    role: Role::Objects,
                    key,
                    sha256: text("checksum")?.strip_prefix("sha256$")?.parse().ok()?,
                    length: fields.get("size")?.as_u64()?,
                    media_type: String::new(),
                })
            };
            let mut inner = fields.values();
            here().or_else(|| inner.find_map(|field| promised(field, location, owner)))
        }
        _ => None,
    }
}

/// A value with what is known of each File in it that `found` has by its location.
///
/// # Errors
/// When a File names other content than what was found.
pub(crate) fn settle(value: &Value, found: &BTreeMap<String, ObjectRef>) -> Result<Value, String> {
    match value {
        Value::Array(items) => items.iter().map(|item| settle(item, found)).collect(),
        Value::Object(fields) => {
            let settled = fields
                .iter()
                .map(|(name, field)| Ok((name.clone(), settle(field, found)?)));
            let mut settled: Map<String, Value> = settled.collect::<Result<_, String>>()?;
            let location = fields.get("location").and_then(Value::as_str);
            if let Some(object) = location.and_then(|location| found.get(location)) {
                fill_in(&mut settled, object)?;
            }
            Ok(Value::Object(settled))
        }
        scalar => Ok(scalar.clone()),
    }
}

fn fill_in(fields: &mut Map<String, Value>, object: &ObjectRef) -> Result<(), String> {
    let Value::Object(known) = file(object) else {
        return Ok(());
    };
    if fields
        .get("checksum")
        .is_some_and(|named| *named != known["checksum"])
    {
        return Err(format!(
            "`{}` has other content than its checksum says: name it as it is there",
            object.key
        ));
    }
    for (name, field) in known {
        if name != "basename" || !fields.contains_key("basename") {
            fields.insert(name, field);
        }
    }
    Ok(())
}

/// A File or Directory as a list of one, where a `list` is wanted.
pub(crate) fn in_list(value: Value, list: bool) -> Value {
    let class = value.get("class").and_then(Value::as_str);
    match class {
        Some("File" | "Directory") if list => Value::Array(vec![value]),
        _ => value,
    }
}

/// The location of an object in values.
pub(crate) fn location(object: &ObjectRef) -> String {
    format!("oc:{}/{}/{}", object.owner, role(object.role), object.key)
}

/// An object as a delegation lets it be read.
pub(crate) fn delegated(file: &KnownFile) -> oc_trust::Input {
    let object = &file.object;
    oc_trust::Input {
        owner: object.owner,
        listing: file.listing.clone(),
        object: object.key.clone(),
        sha256: object.sha256,
    }
}

/// A role as messages write it.
pub(crate) const fn role(role: Role) -> &'static str {
    match role {
        Role::Data => "data",
        Role::Objects => "objects",
    }
}

/// The CWL value of an object.
pub(crate) fn file(object: &ObjectRef) -> Value {
    json!({
        "class": "File",
        "location": location(object),
        "basename": object.key.file_name(),
        "checksum": format!("sha256${}", object.sha256),
        "size": object.length,
    })
}

/// An object as a message names it, checked.
pub(crate) fn object(message: &types::ObjectRef) -> Result<ObjectRef, RunError> {
    let wrong = |reason: String| RunError::malformed("object", reason);
    Ok(ObjectRef {
        owner: message
            .owner
            .parse()
            .map_err(|error| wrong(format!("{error}")))?,
        role: match message.role.as_str() {
            "data" => Role::Data,
            "objects" => Role::Objects,
            other => return Err(wrong(format!("`{other}` is no role: data or objects"))),
        },
        key: message
            .key
            .parse()
            .map_err(|error| wrong(format!("{error}")))?,
        sha256: message
            .sha256
            .parse()
            .map_err(|error| wrong(format!("{error}")))?,
        length: message.length,
        media_type: message.media_type.clone(),
    })
}

/// An object as messages name it.
pub(crate) fn object_message(object: &ObjectRef) -> types::ObjectRef {
    types::ObjectRef {
        owner: object.owner.to_string(),
        role: role(object.role).to_owned(),
        key: object.key.to_string(),
        sha256: object.sha256.to_string(),
        length: object.length,
        media_type: object.media_type.clone(),
    }
}

/// A file that a fragment reads, with its name in the job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Staged {
    /// `in-1` and so on.
    pub(crate) name: String,
    /// The file name the tool sees.
    pub(crate) basename: String,
    /// The object.
    pub(crate) file: KnownFile,
}

/// Collects the files of a fragment's job and renames them.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    staged: Vec<Staged>,
    by_location: BTreeMap<String, usize>,
}

impl Staging {
    /// The value with each File's location replaced by `input:<name>`.
    ///
    /// # Errors
    /// When a File is named that nobody knows.
    pub(crate) fn rename(
        &mut self,
        value: &Value,
        known: &BTreeMap<String, KnownFile>,
    ) -> Result<Value, String> {
        match value {
            Value::Array(items) => items.iter().map(|item| self.rename(item, known)).collect(),
            Value::Object(fields) => self.rename_object(fields, known),
            scalar => Ok(scalar.clone()),
        }
    }

    fn rename_object(
        &mut self,
        fields: &Map<String, Value>,
        known: &BTreeMap<String, KnownFile>,
    ) -> Result<Value, String> {
        let class = fields.get("class").and_then(Value::as_str);
        let mut renamed = Map::new();
        for (name, field) in fields {
            renamed.insert(name.clone(), self.rename(field, known)?);
        }
        let location = fields.get("location").and_then(Value::as_str);
        match (class, location) {
            (Some("File"), Some(location)) => {
                let file = known
                    .get(location)
                    .ok_or_else(|| format!("nobody knows the file `{location}`"))?;
                let basename = fields.get("basename").and_then(Value::as_str);
                let basename = basename.unwrap_or(file.object.key.file_name());
                let name = self.stage(location, basename, file);
                renamed.insert("location".to_owned(), format!("input:{name}").into());
                renamed.remove("path");
            }
            (Some("Directory"), _) => {
                // A folder is its listing; where it lay says nothing at the next site.
                renamed.remove("location");
                renamed.remove("path");
            }
            _ => {}
        }
        Ok(Value::Object(renamed))
    }

    fn stage(&mut self, location: &str, basename: &str, file: &KnownFile) -> String {
        let next = self.staged.len();
        let at = *self.by_location.entry(location.to_owned()).or_insert(next);
        if at == next {
            self.staged.push(Staged {
                name: format!("in-{}", next + 1),
                basename: basename.to_owned(),
                file: file.clone(),
            });
        }
        self.staged[at].name.clone()
    }

    /// The files, in the order of their names.
    pub(crate) fn into_files(self) -> Vec<Staged> {
        self.staged
    }
}

/// Every File in a value, by its location.
pub(crate) fn locations(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().flat_map(locations).collect(),
        Value::Object(fields) => {
            let class = fields.get("class").and_then(Value::as_str);
            let own = fields.get("location").and_then(Value::as_str);
            let own = own.filter(|_| class == Some("File"));
            own.into_iter()
                .chain(fields.values().flat_map(locations))
                .collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use oc_kernel::Digest;

    use super::*;

    fn known(key: &str) -> KnownFile {
        KnownFile {
            object: ObjectRef {
                owner: OrgId::from_digest([2; 32]),
                role: Role::Data,
                key: key.parse().unwrap(),
                sha256: Digest::of(key.as_bytes()),
                length: 3,
                media_type: String::new(),
            },
            listing: None,
            reservation: Some("resv-1".into()),
        }
    }

    #[test]
    fn files_get_short_names_once_however_often_they_occur() {
        let (red, blue) = (known("a/red.tif"), known("b/red.tif"));
        let table = [&red, &blue].map(|file| (location(&file.object), file.clone()));
        let table = BTreeMap::from(table);
        let value =
            json!({"x": [file(&red.object), file(&blue.object)], "y": file(&red.object), "n": 1});
        let mut staging = Staging::default();
        let renamed = staging.rename(&value, &table).unwrap();
        assert_eq!(renamed["x"][0]["location"], "input:in-1");
        assert_eq!(renamed["x"][1]["location"], "input:in-2");
        assert_eq!(renamed["y"]["location"], "input:in-1");
        assert_eq!(renamed["n"], 1);
        let files = staging.into_files();
        assert_eq!(files.len(), 2);
        assert_eq!(
            (files[1].basename.as_str(), &files[1].file),
            ("red.tif", &blue)
        );
        assert_eq!(locations(&value).len(), 3);
    }

    #[test]
    fn a_file_that_nobody_knows_is_refused_and_a_literal_passes() {
        let mut staging = Staging::default();
        let stranger = json!({"class": "File", "location": "oc:org/objects/x"});
        assert!(staging.rename(&stranger, &BTreeMap::new()).is_err());
        let literal = json!({"class": "File", "basename": "a.txt", "contents": "hello"});
        assert_eq!(staging.rename(&literal, &BTreeMap::new()), Ok(literal));
    }

    #[test]
    fn a_file_in_storage_of_ours_is_filled_in_wherever_it_stands() {
        let object = known("a/red.tif").object;
        let at = "oc://storage.results/a/red.tif";
        let (listing, key) = stored(at).unwrap();
        assert_eq!((listing.as_str(), &key), ("storage.results", &object.key));
        for other in [
            "oc:dataset.x/a",
            "oc://storage.x",
            "oc://storage.x/../a",
            "file:///etc/passwd",
            "storage.x/a",
        ] {
            assert_eq!(stored(other), None, "{other}");
        }
        let found = BTreeMap::from([(at.to_owned(), object.clone())]);
        let file = json!({"class": "File", "location": at, "basename": "the red.tif"});
        let value = json!({"deep": [{"class": "File", "contents": "", "secondaryFiles": [file]}]});
        let settled = settle(&value, &found).unwrap();
        let inner = &settled["deep"][0]["secondaryFiles"][0];
        assert_eq!(inner["location"], location(&object));
        assert_eq!(inner["basename"], "the red.tif");
        assert_eq!(inner["size"], 3);
        let other = json!({"class": "File", "location": at, "checksum": "sha256$00"});
        assert!(
            settle(&other, &found)
                .unwrap_err()
                .contains("other content")
        );
    }

    #[test]
    fn a_file_that_is_not_there_yet_is_known_by_its_size_and_checksum() {
        let object = ObjectRef {
            role: Role::Objects,
            ..known("a/red.tif").object
        };
        let at = "oc://storage.results/a/red.tif";
        let said = json!({"class": "File", "location": at, "size": 3, "checksum": format!("sha256${}", object.sha256)});
        let value = json!([{"class": "File", "location": at}, {"deep": said}]);
        assert_eq!(promised(&value, at, object.owner), Some(object.clone()));
        for (name, wrong) in [
            ("size", json!("3")),
            ("checksum", json!("sha1$00")),
            ("location", json!("oc://storage.results/other")),
        ] {
            let mut said = said.clone();
            said[name] = wrong;
            assert_eq!(promised(&said, at, object.owner), None, "{name}");
        }
    }

    #[test]
    fn one_file_is_a_list_of_one_where_a_list_is_wanted() {
        let file = file(&known("a/b.tif").object);
        assert_eq!(in_list(file.clone(), true), json!([file]));
        assert_eq!(in_list(file.clone(), false), file);
        assert_eq!(in_list(json!({"a": 1}), true), json!({"a": 1}));
    }

    #[test]
    fn an_object_is_read_back_from_its_message() {
        let object = known("a/b.tif").object;
        assert_eq!(super::object(&object_message(&object)).unwrap(), object);
        let mut message = object_message(&object);
        message.key = "../etc/passwd".into();
        assert!(super::object(&message).is_err());
    }
}
