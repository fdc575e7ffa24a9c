//! What a run made, as files of a folder: where each of them lies, and what the output object says with those names.
//!
//! A file lies at `<output>/<name>`, folders of an output below it. Names come from tools, perhaps a partner's: each
//! is one plain segment of a path, and no two files get the same one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use oc_proto::pipeline::v1::{GetResultsResponse, ResultFile};
use serde_json::{Map, Value};

use super::CommandError;

/// Where each file of an output object lies, relative to the folder.
#[derive(Debug, Default)]
pub(crate) struct Tree<'a> {
    pub(crate) files: BTreeMap<PathBuf, &'a ResultFile>,
    pub(crate) folders: BTreeSet<PathBuf>,
    /// The output object, in which each File and Directory has its path.
    pub(crate) outputs: Map<String, Value>,
    /// Names that no file is given.
    pub(crate) refused: BTreeSet<String>,
}

/// The files of a run by their locations in its output object.
type Known<'a> = BTreeMap<String, &'a ResultFile>;

impl<'a> Tree<'a> {
    pub(crate) fn of(results: &'a GetResultsResponse) -> Result<Self, CommandError> {
        let outputs = outputs(results)?;
        let known = results.files.iter().filter_map(|file| {
            let object = file.object.as_ref()?;
            let location = format!("oc:{}/{}/{}", object.owner, object.role, object.key);
            Some((location, file))
        });
        let known: Known<'_> = known.collect();
        let mut tree = Self::default();
        for (output, value) in &outputs {
            // An output that is a value makes no file.
            if holds_files(value) && !tree.is_plain(output) {
                continue;
            }
            let value = tree.walk(value, Path::new(output), &known);
            tree.outputs.insert(output.clone(), value);
        }
        Ok(tree)
    }

    fn walk(&mut self, value: &Value, below: &Path, known: &Known<'a>) -> Value {
        match value {
            Value::Array(items) => items
                .iter()
                .map(|item| self.walk(item, below, known))
                .collect(),
            Value::Object(fields) => match fields.get("class").and_then(Value::as_str) {
                Some("File") => self.file(fields, below, known),
                Some("Directory") => self.folder(fields, below, known),
                _ => {
                    let walked = fields.iter();
                    let walked =
                        walked.map(|(name, field)| (name.clone(), self.walk(field, below, known)));
                    Value::Object(walked.collect())
                }
            },
            scalar => scalar.clone(),
        }
    }

    fn folder(&mut self, fields: &Map<String, Value>, below: &Path, known: &Known<'a>) -> Value {
        let name = fields.get("basename").and_then(Value::as_str);
        let name = name.unwrap_or("folder");
        if !self.is_plain(name) {
            return Value::Null;
        }
        let folder = self.free(below, name, None);
        self.folders.insert(folder.clone());
        let mut placed = placed(fields, &folder);
        if let Some(listing) = fields.get("listing") {
            placed.insert("listing".to_owned(), self.walk(listing, &folder, known));
        }
        Value::Object(placed)
    }

    fn file(&mut self, fields: &Map<String, Value>, below: &Path, known: &Known<'a>) -> Value {
        let location = fields.get("location").and_then(Value::as_str);
        let mut placed = match location.and_then(|location| known.get(location)) {
            Some(file) => {
                let name = fields.get("basename").and_then(Value::as_str);
                let name = name.unwrap_or(&file.name);
                if !self.is_plain(name) {
                    return Value::Null;
                }
                let path = self.free(below, name, Some(file));
                let placed = placed(fields, &path);
                self.files.insert(path, file);
                placed
            }
            None => fields.clone(),
        };
        if let Some(secondary) = fields.get("secondaryFiles") {
            let secondary = self.walk(secondary, below, known);
            placed.insert("secondaryFiles".to_owned(), secondary);
        }
        Value::Object(placed)
    }

    /// True for one plain segment of a path; another name is kept as refused.
    fn is_plain(&mut self, name: &str) -> bool {
        let plain = is_segment(name);
        if !plain {
            self.refused.insert(name.to_owned());
        }
        plain
    }

    /// A name for a file beside the folders of the outputs, where no output lies.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        let places = self.files.keys().chain(&self.folders);
        let outputs: BTreeSet<_> = places.filter_map(|path| path.iter().next()).collect();
        let mut names = numbered(name);
        let free = names.find(|name| !outputs.contains(name.as_ref() as &std::ffi::OsStr));
        free.unwrap_or_default().into()
    }

    /// The name, with a number where something else has it, as CWL runners number what they bring together.
    fn free(&self, below: &Path, name: &str, file: Option<&ResultFile>) -> PathBuf {
        let mut paths = numbered(name).map(|name| below.join(name));
        let free = paths.find(|path| match self.files.get(path) {
            Some(used) => file.is_some_and(|file| file.object == used.object),
            None => !self.folders.contains(path),
        });
        free.unwrap_or_default()
    }
}

/// The name, then the same with numbers before its extension.
fn numbered(name: &str) -> impl Iterator<Item = String> {
    let plain = Path::new(name);
    let stem = plain.file_stem().unwrap_or_default().to_string_lossy();
    let extension = plain.extension().map(|it| it.to_string_lossy());
    let numbered = (2..).map(move |number: u64| match &extension {
        Some(extension) => format!("{stem}_{number}.{extension}"),
        None => format!("{stem}_{number}"),
    });
    std::iter::once(name.to_owned()).chain(numbered)
}

/// The output object of a run.
pub(crate) fn outputs(results: &GetResultsResponse) -> Result<Map<String, Value>, CommandError> {
    serde_json::from_str(&results.outputs_json).map_err(|error| {
        CommandError::Other(anyhow::anyhow!("the outputs cannot be read: {error}"))
    })
}

/// True for a value with a File or Directory in it.
pub(crate) fn holds_files(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(holds_files),
        Value::Object(fields) => {
            let class = fields.get("class").and_then(Value::as_str);
            matches!(class, Some("File" | "Directory")) || fields.values().any(holds_files)
        }
        _ => false,
    }
}

/// A File or Directory that lies at a path.
fn placed(fields: &Map<String, Value>, path: &Path) -> Map<String, Value> {
    let mut placed = fields.clone();
    placed.remove("location");
    placed.insert("path".to_owned(), path.to_string_lossy().into());
    placed
}

/// True for a name that is one plain segment of a path.
fn is_segment(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(only)), None) if only == name);
    plain && name.len() <= 255 && oc_kernel::visible(name) == name
}

#[cfg(test)]
mod tests {
    use oc_kernel::Digest;
    use oc_proto::types::v1::ObjectRef;
    use serde_json::json;

    use super::*;

    fn made(key: &str, content: &str) -> ResultFile {
        let object = ObjectRef {
            owner: "org-1".to_owned(),
            role: "objects".to_owned(),
            key: key.to_owned(),
            sha256: Digest::of(content).to_string(),
            length: content.len() as u64,
            ..ObjectRef::default()
        };
        ResultFile {
            name: key.rsplit('/').next().unwrap().to_owned(),
            object: Some(object),
            path: format!("/{key}"),
            ..ResultFile::default()
        }
    }

    fn results(outputs: &Value, keys: &[&str]) -> GetResultsResponse {
        GetResultsResponse {
            outputs_json: outputs.to_string(),
            files: keys.iter().map(|key| made(key, key)).collect(),
            ..GetResultsResponse::default()
        }
    }

    fn file(key: &str, name: &str) -> Value {
        json!({"class": "File", "location": format!("oc:org-1/objects/{key}"), "basename": name})
    }

    fn folder(name: &str, listing: Value) -> Value {
        json!({"class": "Directory", "basename": name, "listing": listing})
    }

    #[test]
    fn folders_of_an_output_stay_and_no_two_files_share_a_name() {
        let outputs = json!({
            "all": [file("1", "a.txt"), file("2", "a.txt"), file("1", "a.txt"),
                    folder("d", json!([file("3", "a.txt"), folder("empty", json!([]))])),
                    folder("d", json!([file("4", "a.txt")])), file("5", "d")],
            "one": file("1", "a.txt"),
        });
        let results = results(&outputs, &["1", "2", "3", "4", "5"]);
        let tree = Tree::of(&results).unwrap();
        let places: Vec<_> = tree
            .files
            .iter()
            .map(|(path, file)| (path.to_str().unwrap(), file.name.as_str()))
            .collect();
        let expected = [
            ("all/a.txt", "1"),
            ("all/a_2.txt", "2"),
            ("all/d/a.txt", "3"),
            ("all/d_2/a.txt", "4"),
            ("all/d_3", "5"),
            ("one/a.txt", "1"),
        ];
        assert_eq!(places, expected);
        assert!(tree.folders.contains(Path::new("all/d/empty")));
    }

    #[test]
    fn the_file_of_the_outputs_takes_no_name_of_one() {
        let named = |output: &str| {
            let results = results(&json!({output: file("1", "a.txt")}), &["1"]);
            Tree::of(&results).unwrap().beside("outputs.json")
        };
        assert_eq!(named("all"), Path::new("outputs.json"));
        assert_eq!(named("outputs.json"), Path::new("outputs_2.json"));
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_given_to_no_file() {
        let long = "a".repeat(256);
        for name in [
            "..",
            ".",
            "",
            "/etc/x",
            "../x",
            "x/../y",
            "x/",
            "a\0b",
            "a\u{1b}[2J",
            &long,
        ] {
            for outputs in [
                json!({"o": file("1", name)}),
                json!({"o": folder(name, json!([file("1", "a")]))}),
                json!({name: file("1", "a")}),
                json!({"o": {"class": "File", "location": "oc:org-1/objects/1", "basename": "a",
                             "secondaryFiles": [file("1", name)]}}),
            ] {
                let results = results(&outputs, &["1"]);
                let tree = Tree::of(&results).unwrap();
                assert!(tree.refused.contains(name), "{name:?} in {outputs}");
                assert!(
                    tree.files.keys().all(|path| path.is_relative()),
                    "{outputs}"
                );
            }
        }
    }

    #[test]
    fn values_stay_in_the_output_object_and_files_are_named_by_their_paths() {
        let outputs = json!({"double": 42, "one": file("1", "a.txt"), "../x": 7,
                             "d": [folder("d", json!([file("2", "b")]))]});
        let results = results(&outputs, &["1", "2"]);
        let tree = Tree::of(&results).unwrap();
        let outputs = Value::Object(tree.outputs);
        assert_eq!(outputs["double"], 42);
        assert_eq!(outputs["../x"], 7);
        assert_eq!(outputs["one"]["path"], "one/a.txt");
        assert_eq!(outputs["d"][0]["listing"][0]["path"], "d/d/b");
        assert!(!outputs.to_string().contains("oc:"), "{outputs}");
    }
}
