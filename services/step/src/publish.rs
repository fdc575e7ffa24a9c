//! After the tools: storing the output files and naming them in the output object.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{TryStreamExt as _, stream};
use oc_kernel::ObjectKey;
use oc_sandbox::Folder;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::error::StepError;
use crate::folders::Folders;
use crate::node::{Announcement, Node, UploadState};
use crate::report::Reporter;
use crate::stage::Progress;

/// Most output files of an attempt: its result names each with where it lies, and is one message.
const MOST_FILES: usize = 5_000;

/// Files stored side by side: the node flushes what comes together to its disk together.
const AT_ONCE: usize = 8;

/// How often the log says how many files are stored.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// The output files of a fragment, each under the name it is stored by.
#[derive(Debug)]
pub struct Outputs {
    folder: Folder,
    /// Path below the attempt's folder, and name.
    files: BTreeMap<PathBuf, ObjectKey>,
    taken: BTreeSet<ObjectKey>,
    /// The number to try next for a name that was taken.
    next: BTreeMap<String, u64>,
    /// Names that no object may have, and what stands for each.
    renamed: BTreeMap<String, String>,
}

impl Outputs {
    /// Names every file of an output object, and replaces its location by `output:<name>`.
    ///
    /// # Errors
    /// When a file lies outside the attempt's folder, or there are too many.
    pub fn name(outputs: &mut Map<String, Value>, folders: &Folders) -> Result<Self, StepError> {
        let mut named = Self {
            folder: Folder::open(&folders.root)?,
            files: BTreeMap::new(),
            taken: BTreeSet::new(),
            next: BTreeMap::new(),
            renamed: BTreeMap::new(),
        };
        for (id, value) in outputs {
            let below = named.segment(id);
            named.walk(value, &below)?;
        }
        if named.files.len() > MOST_FILES {
            return Err(StepError::OverLimit(format!(
                "the outputs are {} files and {MOST_FILES} may be stored: pack them into fewer, for example with `tar`",
                named.files.len()
            )));
        }
        Ok(named)
    }

    fn walk(&mut self, value: &mut Value, below: &str) -> Result<(), StepError> {
        match value {
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.walk(item, below)),
            Value::Object(fields) => match fields.get("class").and_then(Value::as_str) {
                Some("File") => self.file(fields, below),
                Some("Directory") => self.directory(fields, below),
                _ => fields
                    .values_mut()
                    .try_for_each(|field| self.walk(field, below)),
            },
            _ => Ok(()),
        }
    }

    fn directory(&mut self, fields: &mut Map<String, Value>, below: &str) -> Result<(), StepError> {
        for field in ["location", "path"] {
            fields.remove(field);
        }
        let name = fields
            .get("basename")
            .and_then(Value::as_str)
            .unwrap_or("folder");
        let below = format!("{below}/{}", self.segment(name));
        fields
            .get_mut("listing")
            .map_or(Ok(()), |listing| self.walk(listing, &below))
    }

    fn file(&mut self, fields: &mut Map<String, Value>, below: &str) -> Result<(), StepError> {
        for field in ["path", "dirname"] {
            fields.remove(field);
        }
        let location = fields
            .get("location")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let path = oc_cwl::path_of_uri(location)
            .and_then(|path| Some(path.strip_prefix(self.folder.path()).ok()?.to_owned()))
            .ok_or_else(|| {
                StepError::Fragment(format!(
                    "output `{location}` lies outside the attempt's folder"
                ))
            })?;
        let basename = fields
            .get("basename")
            .and_then(Value::as_str)
            .unwrap_or("file");
        let name = match self.files.get(&path) {
            Some(name) => name.clone(),
            None => self.free_name(below, basename)?,
        };
        fields.insert("location".into(), format!("output:{name}").into());
        self.files.insert(path, name);
        fields
            .get_mut("secondaryFiles")
            .map_or(Ok(()), |secondary| self.walk(secondary, below))
    }

    /// `<output>/<file>`, or `<output>/<number>/<file>` where that is taken.
    fn free_name(&mut self, below: &str, basename: &str) -> Result<ObjectKey, StepError> {
        let last = self.segment(basename);
        let plain = format!("{below}/{last}");
        let mut number = self.next.get(&plain).copied().unwrap_or(1);
        loop {
            let name = match number {
                1 => plain.clone(),
                number => format!("{below}/{number}/{last}"),
            };
            let name: ObjectKey = name
                .parse()
                .map_err(|error| StepError::Fragment(format!("output `{basename}`: {error}")))?;
            number += 1;
            if self.taken.insert(name.clone()) {
                self.next.insert(plain, number);
                return Ok(name);
            }
        }
    }

    fn segment(&mut self, text: &str) -> String {
        let segment = segment(text);
        if segment != text {
            self.renamed.insert(text.to_owned(), segment.clone());
        }
        segment
    }

    /// Says which names were changed, and to what.
    pub fn tell_renamed(&self, reporter: &Reporter) {
        for (name, segment) in &self.renamed {
            let name = name.escape_debug();
            let text = format!(
                "output `{name}` is stored as `{segment}`: names of objects have letters, digits, `.`, `_` and `-`"
            );
            reporter.log("", true, text);
        }
    }

    /// Stores all files; answers the sum of their bytes.
    ///
    /// # Errors
    /// When they are larger than `limit` together, the node refuses one, or time runs out.
    pub async fn store(
        self,
        node: &Node,
        reporter: &Reporter,
        limit: u64,
    ) -> Result<u64, StepError> {
        let mut announced = Vec::new();
        let mut total = 0;
        for (path, name) in &self.files {
            let announcement = announcement(self.folder.open_file(path)?, name.clone())?;
            total += announcement.length;
            announced.push((path.as_path(), announcement));
        }
        if total > limit {
            return Err(StepError::OverLimit(format!(
                "the outputs have {total} bytes and {limit} may leave this node for the attempt (egress): ask for a larger \
                 grant, with at least {total}, or have the workflow make less"
            )));
        }
        let progress = Arc::new(Progress::new(reporter, total));
        let told = Told::new(reporter, announced.len());
        let (folder, told) = (&self.folder, &told);
        stream::iter(announced.into_iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |(path, announcement)| {
                let progress = Arc::clone(&progress);
                async move {
                    store_one(node, folder, path, &announcement, progress).await?;
                    told.one_more();
                    Ok(())
                }
            })
            .await
            .map_err(|error| of_all(error, total))?;
        Ok(total)
    }
}

async fn store_one(
    node: &Node,
    folder: &Folder,
    path: &Path,
    announcement: &Announcement,
    progress: Arc<Progress>,
) -> Result<(), StepError> {
    if node.announce(announcement).await? == UploadState::Stored {
        progress.add(announcement.length);
        return Ok(());
    }
    let open = || Ok(folder.open_file(path)?);
    node.upload(announcement, open, move |bytes| progress.add(bytes))
        .await
}

/// Says in the log from time to time how many files are stored.
struct Told<'a> {
    reporter: &'a Reporter,
    all: usize,
    stored: Cell<usize>,
    last: Cell<Instant>,
}

impl<'a> Told<'a> {
    fn new(reporter: &'a Reporter, all: usize) -> Self {
        Self {
            reporter,
            all,
            stored: Cell::new(0),
            last: Cell::new(Instant::now()),
        }
    }

    fn one_more(&self) {
        let stored = self.stored.get() + 1;
        self.stored.set(stored);
        if self.last.get().elapsed() >= TOLD_EVERY {
            self.last.set(Instant::now());
            let text = format!("stored {stored} of {} files", self.all);
            self.reporter.log("", false, text);
        }
    }
}

/// Says beside what befell one output how many bytes all have: so much room is needed.
fn of_all(error: StepError, total: u64) -> StepError {
    match error {
        StepError::Transfer { what, why, code } => StepError::Transfer {
            what: format!("{what}, of {total} bytes in all"),
            why,
            code,
        },
        other => other,
    }
}

fn announcement(mut file: File, name: ObjectKey) -> Result<Announcement, StepError> {
    let failed = || StepError::io(format!("read output `{name}`"));
    let mut digest = Sha256::new();
    let mut length = 0;
    let mut piece = vec![0; 256 * 1024];
    loop {
        match file.read(&mut piece).map_err(failed())? {
            0 => break,
            read => {
                digest.update(&piece[..read]);
                length += read as u64;
            }
        }
    }
    Ok(Announcement {
        length,
        sha256: hex::encode(digest.finalize()),
        name,
    })
}

/// A text as one segment of an object's key: what may not stand there becomes `_`.
fn segment(text: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let plain: String = text
        .chars()
        .map(|c| if keep(c) { c } else { '_' })
        .take(200)
        .collect();
    match Path::new(&plain).file_name() {
        Some(_) if plain.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') => plain,
        _ => format!("_{plain}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(root: &Path, outputs: Value) -> Result<(Value, Outputs), StepError> {
        let folders = Folders {
            root: root.to_owned(),
            inputs: root.join("inputs"),
            work: root.join("work"),
            outputs: root.join("outputs"),
        };
        let Value::Object(mut outputs) = outputs else {
            panic!("an output object is an object")
        };
        let files = Outputs::name(&mut outputs, &folders)?;
        Ok((Value::Object(outputs), files))
    }

    #[test]
    fn every_file_gets_a_name_of_its_own_below_its_output() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let at = |name: &str| oc_cwl::uri_of_path(&root.join(name));
        let file = |name: &str, base: &str| json!({"class": "File", "location": at(name), "basename": base});
        let outputs = json!({
            "pictures": [file("1/a b.tif", "a b.tif"), file("2/a b.tif", "a b.tif")],
            "again": file("1/a b.tif", "a b.tif"),
            "folder": {"class": "Directory", "location": at("d"), "basename": "d",
                       "listing": [file("d/-x", "-x")]},
            "count": 3,
        });
        let (outputs, files) = named(&root, outputs).unwrap();
        assert_eq!(
            outputs["pictures"][0]["location"],
            "output:pictures/a_b.tif"
        );
        assert_eq!(
            outputs["pictures"][1]["location"],
            "output:pictures/2/a_b.tif"
        );
        assert_eq!(outputs["again"]["location"], "output:pictures/a_b.tif");
        assert_eq!(
            outputs["folder"]["listing"][0]["location"],
            "output:folder/d/_-x"
        );
        assert_eq!(outputs["folder"].get("location"), None);
        assert_eq!(outputs["count"], 3);
        assert_eq!(files.files.len(), 3);
    }

    #[test]
    fn too_many_files_are_refused_before_any_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let files = |count: usize| {
            let file = |number: usize| {
                let location = oc_cwl::uri_of_path(&root.join(number.to_string()));
                json!({"class": "File", "location": location, "basename": "same"})
            };
            json!({"files": (0..count).map(file).collect::<Vec<_>>()})
        };
        let (outputs, named_files) = named(&root, files(MOST_FILES)).unwrap();
        assert_eq!(named_files.files.len(), MOST_FILES);
        let last = &outputs["files"][MOST_FILES - 1]["location"];
        assert_eq!(last, &json!(format!("output:files/{MOST_FILES}/same")));
        let refused = named(&root, files(MOST_FILES + 1)).unwrap_err().to_string();
        assert!(
            refused.starts_with("the outputs are 5001 files and 5000 may"),
            "{refused}"
        );
    }

    #[test]
    fn a_file_outside_the_attempt_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for location in ["file:///etc/shadow", "http://a/b", ""] {
            let outputs = json!({"a": {"class": "File", "location": location, "basename": "a"}});
            assert!(named(&root, outputs).is_err(), "{location}");
        }
    }

    #[test]
    fn any_file_name_becomes_a_valid_segment() {
        for text in [
            "",
            ".",
            "..",
            "a/b",
            "é",
            "-rf",
            "a b",
            ".hidden",
            "A:Gln2Cys",
        ] {
            let key = segment(text).parse::<ObjectKey>();
            assert!(key.is_ok(), "{text:?} became {key:?}");
        }
    }
}
