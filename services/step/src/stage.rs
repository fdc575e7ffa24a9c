//! Before the tools: fetching the inputs and pointing the input object at them.

use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use futures::TryStreamExt;
use oc_runner::{Event, Input};
use serde_json::{Map, Value};

use crate::error::StepError;
use crate::folders::Folders;
use crate::node::Node;
use crate::report::Reporter;

/// Transfers side by side.
const SIDE_BY_SIDE: usize = 4;

/// Progress is told each time so many more bytes have come.
const PROGRESS_BYTES: u64 = 8 * 1024 * 1024;

/// Counts bytes and tells the node now and then.
#[derive(Debug)]
pub(crate) struct Progress {
    reporter: Reporter,
    bytes: AtomicU64,
    of: u64,
}

impl Progress {
    pub(crate) fn new(reporter: &Reporter, of: u64) -> Self {
        Self {
            reporter: reporter.clone(),
            bytes: AtomicU64::new(0),
            of,
        }
    }

    pub(crate) fn add(&self, bytes: u64) {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let now = before + bytes;
        if now / PROGRESS_BYTES > before / PROGRESS_BYTES || now == self.of {
            self.reporter.send(Event::Progress {
                bytes: now,
                of: self.of,
            });
        }
    }
}

/// Fetches every input; answers the bytes that came.
///
/// # Errors
/// With the first that fails.
pub async fn fetch_inputs(
    node: &Node,
    inputs: &[Input],
    folders: &Folders,
    reporter: &Reporter,
) -> Result<u64, StepError> {
    let total = inputs.iter().map(|input| input.length).sum();
    let progress = Progress::new(reporter, total);
    futures::stream::iter(inputs.iter().map(Ok::<_, StepError>))
        .try_for_each_concurrent(SIDE_BY_SIDE, |input| {
            let progress = &progress;
            async move {
                let target = place(folders, input)?;
                node.fetch(input, &target, |bytes| progress.add(bytes))
                    .await
            }
        })
        .await?;
    Ok(total)
}

/// Where an input lies: a folder for each, so that two of the same file name do not meet.
fn place(folders: &Folders, input: &Input) -> Result<PathBuf, StepError> {
    let mut parts = Path::new(&input.basename).components();
    let plain = matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(name)), None) if name == input.basename.as_str()
    );
    if !plain {
        return Err(StepError::Job(format!(
            "`{}` is not a file name",
            input.basename
        )));
    }
    let folder = folders.inputs.join(input.name.as_str());
    match std::fs::create_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(StepError::Job(
            format!("two inputs are named `{}`", input.name),
        )),
        made => made
            .map(|()| folder.join(&input.basename))
            .map_err(StepError::io("create a folder for an input")),
    }
}

/// The input object with every `input:<name>` replaced by the place of the fetched file.
///
/// # Errors
/// When a File names anything else: nothing but fetched inputs may be read.
pub fn locate_inputs(
    order: &Map<String, Value>,
    inputs: &[Input],
    folders: &Folders,
) -> Result<Map<String, Value>, StepError> {
    let mut located = order.clone();
    located
        .values_mut()
        .try_for_each(|value| locate(value, inputs, folders))?;
    Ok(located)
}

fn locate(value: &mut Value, inputs: &[Input], folders: &Folders) -> Result<(), StepError> {
    match value {
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| locate(item, inputs, folders)),
        Value::Object(fields) => {
            let class = fields.get("class").and_then(Value::as_str);
            if matches!(class, Some("File" | "Directory")) {
                locate_file(fields, inputs, folders)?;
            }
            fields
                .values_mut()
                .try_for_each(|field| locate(field, inputs, folders))
        }
        _ => Ok(()),
    }
}

fn locate_file(
    fields: &mut Map<String, Value>,
    inputs: &[Input],
    folders: &Folders,
) -> Result<(), StepError> {
    let stranger = |location: &Value| {
        StepError::Job(format!("a file at {location} is none of the job's inputs"))
    };
    if let Some(path) = fields.get("path") {
        return Err(stranger(path));
    }
    let Some(location) = fields.get("location") else {
        return Ok(()); // a literal
    };
    let name = location
        .as_str()
        .and_then(|text| text.strip_prefix("input:"));
    let input = inputs
        .iter()
        .find(|input| Some(input.name.as_str()) == name)
        .ok_or_else(|| stranger(location))?;
    let place = folders
        .inputs
        .join(input.name.as_str())
        .join(&input.basename);
    fields.insert("location".into(), oc_cwl::uri_of_path(&place).into());
    fields.insert("basename".into(), input.basename.clone().into());
    fields.insert("size".into(), input.length.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn folders() -> Folders {
        Folders {
            root: "/a".into(),
            inputs: "/a/inputs".into(),
            work: "/a/work".into(),
            outputs: "/a/outputs".into(),
        }
    }

    fn input(name: &str, basename: &str) -> Input {
        Input {
            name: name.parse().unwrap(),
            basename: basename.into(),
            sha256: String::new(),
            length: 3,
        }
    }

    fn located(order: Value) -> Result<Value, StepError> {
        let Value::Object(order) = order else {
            panic!("an input object is an object")
        };
        let inputs = [input("in-1", "a b.tif"), input("in-2", "a b.tif.aux")];
        locate_inputs(&order, &inputs, &folders()).map(Value::Object)
    }

    #[test]
    fn files_point_at_what_was_fetched_wherever_they_stand() {
        let order = json!({
            "n": 1,
            "images": [{"class": "File", "location": "input:in-1",
                        "secondaryFiles": [{"class": "File", "location": "input:in-2"}]}],
            "literal": {"class": "File", "basename": "x", "contents": "y"},
        });
        let expected = json!({
            "n": 1,
            "images": [{"class": "File", "location": "file:///a/inputs/in-1/a%20b.tif",
                        "basename": "a b.tif", "size": 3,
                        "secondaryFiles": [{"class": "File", "basename": "a b.tif.aux", "size": 3,
                                            "location": "file:///a/inputs/in-2/a%20b.tif.aux"}]}],
            "literal": {"class": "File", "basename": "x", "contents": "y"},
        });
        assert_eq!(located(order).unwrap(), expected);
    }

    #[test]
    fn a_file_that_is_no_input_is_refused() {
        for location in [
            "file:///etc/shadow",
            "http://169.254.169.254/latest",
            "http://127.0.0.1:1/",
            "/etc/shadow",
            "input:../../etc/shadow",
            "input:unknown",
        ] {
            let order = json!({"a": {"b": {"class": "File", "location": location}}});
            let error = located(order).unwrap_err().to_string();
            assert!(error.contains(location), "{error}");
        }
        assert!(located(json!({"a": {"class": "File", "path": "/etc/shadow"}})).is_err());
        assert!(located(json!({"a": {"class": "Directory", "location": "file:///"}})).is_err());
    }

    #[test]
    fn a_file_name_that_climbs_is_refused() {
        for basename in ["..", "../x", "a/b", "/etc/passwd", ".", "", "a/"] {
            assert!(
                place(&folders(), &input("n", basename)).is_err(),
                "{basename:?}"
            );
        }
    }
}
