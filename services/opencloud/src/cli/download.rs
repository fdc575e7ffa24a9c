//! `opencloud results --download`: what a run made, as files of this machine.
//!
//! A file lies at `<output>/<name>`, folders of an output below it. Names come from tools, perhaps a partner's: each
//! is one plain segment of a path, no two files get the same one, and no link that lies in the folder is followed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use futures::{Stream, StreamExt as _};
use oc_client::ClientError;
use oc_kernel::Digest;
use oc_proto::pipeline::v1::{GetResultsResponse, ResultFile};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::file::digest;
use super::{CommandError, Context, Outcome, progress};

/// Fetches all files of a run into a folder.
pub(crate) async fn download(
    context: &Context,
    results: &GetResultsResponse,
    folder: &Path,
) -> Outcome {
    tokio::select! {
        biased;
        Ok(()) = tokio::signal::ctrl_c() => Err(CommandError::Left(
            "stopped: the files that are named above are whole; the same command goes on".to_owned(),
        )),
        done = fetch_all(context, results, folder) => done,
    }
}

async fn fetch_all(context: &Context, results: &GetResultsResponse, folder: &Path) -> Outcome {
    let tree = Tree::of(results)?;
    if let Some(file) = tree.files.values().find(|file| file.path.is_empty()) {
        return Err(CommandError::input(format!(
            "{} lies in a partner's storage",
            file.name
        )));
    }
    std::fs::create_dir_all(folder).map_err(|error| cannot("make", folder, &error))?;
    let target = Target {
        shown: folder,
        real: folder
            .canonicalize()
            .map_err(|error| cannot("open", folder, &error))?,
    };
    let mut there = BTreeSet::new();
    let mut replaced = Vec::new();
    for (path, file) in &tree.files {
        let expected = sha256_of(file);
        match target.look(path, expected).await? {
            Found::Nothing => {}
            Found::Same => _ = there.insert(path.as_path()),
            Found::Other => replaced.push(target.show(path)),
        }
    }
    if !replaced.is_empty() {
        let names = replaced.join(", ");
        context.confirm(&format!("Replace {names}, with other content?"))?;
    }
    for path in &tree.folders {
        target.make_folder(path)?;
    }
    for (path, file) in &tree.files {
        let shown = target.show(path);
        if there.contains(path.as_path()) {
            anstream::eprintln!("{shown}, which was there already");
            continue;
        }
        let bytes = context.client.download_stream(&file.path).await?;
        target.write(path, file, bytes).await?;
        anstream::eprintln!("{shown}");
    }
    Ok(())
}

fn sha256_of(file: &ResultFile) -> &str {
    file.object.as_ref().map_or("", |object| &object.sha256)
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::input(format!("cannot {what} {}: {error}", path.display()))
}

/// Where each file of an output object lies, relative to the folder.
#[derive(Debug, Default)]
struct Tree<'a> {
    files: BTreeMap<PathBuf, &'a ResultFile>,
    folders: BTreeSet<PathBuf>,
}

impl<'a> Tree<'a> {
    fn of(results: &'a GetResultsResponse) -> Result<Self, CommandError> {
        let outputs: Map<String, Value> = serde_json::from_str(&results.outputs_json)
            .map_err(|error| CommandError::input(format!("the outputs cannot be read: {error}")))?;
        let known = results.files.iter().filter_map(|file| {
            let object = file.object.as_ref()?;
            let location = format!("oc:{}/{}/{}", object.owner, object.role, object.key);
            Some((location, file))
        });
        let known: BTreeMap<_, _> = known.collect();
        let mut tree = Self::default();
        for (output, value) in &outputs {
            tree.walk(value, Path::new(segment(output)?), &known)?;
        }
        Ok(tree)
    }

    fn walk(
        &mut self,
        value: &Value,
        below: &Path,
        known: &BTreeMap<String, &'a ResultFile>,
    ) -> Outcome {
        match value {
            Value::Array(items) => items
                .iter()
                .try_for_each(|item| self.walk(item, below, known)),
            Value::Object(fields) => match fields.get("class").and_then(Value::as_str) {
                Some("File") => self.file(fields, below, known),
                Some("Directory") => {
                    let name = fields.get("basename").and_then(Value::as_str);
                    let folder = self.free(below, segment(name.unwrap_or("folder"))?, None);
                    self.folders.insert(folder.clone());
                    let listing = fields.get("listing").unwrap_or(&Value::Null);
                    self.walk(listing, &folder, known)
                }
                _ => fields
                    .values()
                    .try_for_each(|field| self.walk(field, below, known)),
            },
            _ => Ok(()),
        }
    }

    fn file(
        &mut self,
        fields: &Map<String, Value>,
        below: &Path,
        known: &BTreeMap<String, &'a ResultFile>,
    ) -> Outcome {
        let location = fields.get("location").and_then(Value::as_str);
        if let Some(file) = location.and_then(|location| known.get(location)) {
            let name = fields.get("basename").and_then(Value::as_str);
            let path = self.free(below, segment(name.unwrap_or(&file.name))?, Some(file));
            self.files.insert(path, file);
        }
        let secondary = fields.get("secondaryFiles").unwrap_or(&Value::Null);
        self.walk(secondary, below, known)
    }

    /// The name, with a number where something else has it, as CWL runners number what they bring together.
    fn free(&self, below: &Path, name: &str, file: Option<&ResultFile>) -> PathBuf {
        let plain = Path::new(name);
        let stem = plain.file_stem().unwrap_or_default().to_string_lossy();
        let extension = plain.extension().map(|it| it.to_string_lossy());
        let numbered = (2..).map(|number: u64| match &extension {
            Some(extension) => format!("{stem}_{number}.{extension}"),
            None => format!("{stem}_{number}"),
        });
        let names = std::iter::once(name.to_owned()).chain(numbered);
        let mut paths = names.map(|name| below.join(name));
        let free = paths.find(|path| match self.files.get(path) {
            Some(used) => file.is_some_and(|file| file.object == used.object),
            None => !self.folders.contains(path),
        });
        free.unwrap_or_default()
    }
}

/// A name from elsewhere, if it is one plain segment of a path.
fn segment(name: &str) -> Result<&str, CommandError> {
    let mut parts = Path::new(name).components();
    let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(only)), None) if only == name);
    if plain && name.len() <= 255 && oc_kernel::visible(name) == name {
        return Ok(name);
    }
    Err(CommandError::input(format!(
        "the run has an output `{name}`, and no file is given such a name; fetch it by its key, which \
         `opencloud results` shows, from the storage"
    )))
}

/// What lies where a file is to be written.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Same,
    Other,
}

/// The folder that files are written to.
struct Target<'a> {
    shown: &'a Path,
    real: PathBuf,
}

impl Target<'_> {
    fn show(&self, path: &Path) -> String {
        self.shown.join(path).display().to_string()
    }

    /// What lies at `path`, with no link on the way there.
    async fn look(&self, path: &Path, sha256: &str) -> Result<Found, CommandError> {
        if !self.is_taken(path)? {
            return Ok(Found::Nothing);
        }
        let real = self.real.join(path);
        let metadata = real
            .symlink_metadata()
            .map_err(|error| cannot("read", &real, &error))?;
        if !metadata.is_file() {
            return Err(self.in_the_way(path));
        }
        let held = digest(&real).await;
        let (held, _) = held.map_err(|error| cannot("read", path, &error))?;
        Ok(if held.to_string() == sha256 {
            Found::Same
        } else {
            Found::Other
        })
    }

    /// True when something lies at `path`; an error when a part of the way is no folder.
    fn is_taken(&self, path: &Path) -> Result<bool, CommandError> {
        let above: Vec<_> = path.ancestors().skip(1).collect();
        for part in above.into_iter().rev() {
            let real = self.real.join(part);
            match real.symlink_metadata() {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => return Err(self.in_the_way(part)),
                Err(_) => return Ok(false),
            }
        }
        Ok(self.real.join(path).symlink_metadata().is_ok())
    }

    fn in_the_way(&self, path: &Path) -> CommandError {
        CommandError::input(format!(
            "{} is in the way, a link or something else that no result is written to: move it, or name another folder",
            self.show(path)
        ))
    }

    fn make_folder(&self, path: &Path) -> Outcome {
        let real = self.real.join(path);
        if self.is_taken(path)? && !real.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            return Err(self.in_the_way(path));
        }
        std::fs::create_dir_all(&real).map_err(|error| cannot("make", &real, &error))
    }

    /// Writes a file beside its place, and puts it there when its bytes are those that the manifest names.
    async fn write(
        &self,
        path: &Path,
        file: &ResultFile,
        bytes: impl Stream<Item = Result<bytes::Bytes, ClientError>>,
    ) -> Outcome {
        let above = path.parent().unwrap_or(Path::new(""));
        self.make_folder(above)?;
        let shown = self.shown.join(path);
        let failed = |error: std::io::Error| cannot("write", &shown, &error);
        let mut part = tempfile::Builder::new()
            .prefix(".opencloud-")
            .suffix(".part")
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(self.real.join(above))
            .map_err(failed)?;
        let length = file.object.as_ref().map_or(0, |object| object.length);
        let bar = progress::bytes(length, &shown.display().to_string());
        let mut hash = Sha256::new();
        let mut bytes = std::pin::pin!(bytes);
        while let Some(piece) = bytes.next().await {
            let piece = piece?;
            hash.update(&piece);
            part.write_all(&piece).map_err(failed)?;
            bar.inc(piece.len() as u64);
        }
        bar.finish_and_clear();
        let arrived = Digest::from_bytes(hash.finalize().into());
        if arrived.to_string() != sha256_of(file) {
            return Err(CommandError::input(format!(
                "what arrived for {} is not what the run made: its checksum is another; nothing was written there",
                shown.display()
            )));
        }
        let kept: File = part
            .persist(self.real.join(path))
            .map_err(|error| failed(error.error))?;
        kept.sync_all().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
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
    fn a_name_that_leads_elsewhere_is_refused() {
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
                assert!(Tree::of(&results).is_err(), "{name:?} in {outputs}");
            }
        }
    }

    fn target(folder: &Path) -> Target<'_> {
        Target {
            shown: folder,
            real: folder.canonicalize().unwrap(),
        }
    }

    #[tokio::test]
    async fn a_link_in_the_folder_is_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let (folder, outside) = (base.path().join("dl"), base.path().join("outside"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, folder.join("o")).unwrap();
        std::os::unix::fs::symlink(outside.join("b"), folder.join("b")).unwrap();
        let target = target(&folder);
        for path in ["o/a", "o", "b", "o/x/a"] {
            let refused = target.look(Path::new(path), "").await.unwrap_err();
            assert!(refused.to_string().contains("in the way"), "{refused}");
        }
        assert!(target.make_folder(Path::new("o/x")).is_err());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn only_whole_and_right_bytes_come_to_their_place() {
        let base = tempfile::tempdir().unwrap();
        let target = target(base.path());
        let (file, path) = (made("1", "right"), Path::new("o/x/a"));
        let piece = |text: &'static str| Ok(bytes::Bytes::from_static(text.as_bytes()));
        let wrong = target.write(path, &file, stream::iter([piece("wrong")]));
        assert!(wrong.await.unwrap_err().to_string().contains("checksum"));
        let folder = base.path().join("o/x");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        let right = target.write(path, &file, stream::iter([piece("ri"), piece("ght")]));
        right.await.unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        let look = async |content: &str| {
            let sha256 = Digest::of(content).to_string();
            target.look(path, &sha256).await.unwrap()
        };
        assert_eq!(look("right").await, Found::Same);
        assert_eq!(look("newer").await, Found::Other);
        let elsewhere = target.look(Path::new("o/y"), "").await.unwrap();
        assert_eq!(elsewhere, Found::Nothing);
    }
}
