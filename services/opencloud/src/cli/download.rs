//! `opencloud results --download`: what a run made, as files of this machine.
//!
//! Where each file lies says the tree of the results; no link that lies in the folder is followed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use futures::{Stream, StreamExt as _, stream};
use oc_client::ClientError;
use oc_kernel::Digest;
use oc_proto::pipeline::v1::ResultFile;
use oc_proto::types::v1::ObjectRef;
use sha2::{Digest as _, Sha256};

use super::file::digest;
use super::output::{counted, safe};
use super::result_tree::Tree;
use super::{CommandError, Context, Outcome, progress};

/// The file with the output object, where no output is called so.
const OUTPUTS: &str = "outputs.json";
/// Most files that are named one by one.
pub(crate) const NAMED: usize = 20;

/// Fetches all files of a run into a folder.
pub(crate) async fn download(context: &Context, tree: &Tree<'_>, folder: &Path) -> Outcome {
    tokio::select! {
        biased;
        Ok(()) = tokio::signal::ctrl_c() => Err(CommandError::Left(
            "stopped: the files that are there are whole; the same command goes on".to_owned(),
        )),
        done = fetch_all(context, tree, folder) => done,
    }
}

async fn fetch_all(context: &Context, tree: &Tree<'_>, folder: &Path) -> Outcome {
    std::fs::create_dir_all(folder).map_err(|error| cannot("make", folder, &error))?;
    let target = Target {
        shown: folder,
        real: folder
            .canonicalize()
            .map_err(|error| cannot("open", folder, &error))?,
    };
    let object = serde_json::to_string_pretty(&tree.outputs).map_err(anyhow::Error::from)? + "\n";
    let (outputs, whole) = (tree.beside(OUTPUTS), made_of(&object));
    let mut there = BTreeSet::new();
    let mut replaced = Vec::new();
    let files = tree.files.iter().map(|(path, file)| (path, *file));
    for (path, file) in files.chain([(&outputs, &whole)]) {
        let expected = sha256_of(file);
        match target.look(path, expected).await? {
            Found::Nothing => {}
            Found::Same => _ = there.insert(path.as_path()),
            Found::Other => replaced.push(target.show(path)),
        }
    }
    if !replaced.is_empty() {
        let names = named(&replaced);
        context.confirm(&format!("Replace {names}, with other content?"))?;
    }
    for path in &tree.folders {
        target.make_folder(path)?;
    }
    let many = tree.files.len() > NAMED;
    for (path, file) in &tree.files {
        let shown = safe(&target.show(path));
        let is_there = there.contains(path.as_path());
        if !is_there {
            let bytes = context.client.download_stream(&file.path).await?;
            target.write(path, file, bytes).await?;
        }
        match is_there {
            _ if many => {}
            true => anstream::eprintln!("{shown}, which was there already"),
            false => anstream::eprintln!("{shown}"),
        }
    }
    if many {
        let kept = tree
            .files
            .keys()
            .filter(|path| there.contains(path.as_path()));
        let (all, kept) = (counted(tree.files.len(), "file"), kept.count());
        let text = format!(
            "{all} in {}, {kept} of them were there already",
            folder.display()
        );
        anstream::eprintln!("{}", safe(&text));
    }
    if !there.contains(outputs.as_path()) {
        let bytes = stream::iter([Ok(bytes::Bytes::from(object))]);
        target.write(&outputs, &whole, bytes).await?;
        anstream::eprintln!("{}", safe(&target.show(&outputs)));
    }
    let refused: Vec<_> = tree.refused.iter().cloned().collect();
    match refused.is_empty() {
        true => Ok(()),
        false => Err(CommandError::Failed(format!(
            "all other files are there, but no file is given the name {}: fetch it by its key, which `opencloud \
             results RUN --output json` tells, from the storage",
            named(&refused)
        ))),
    }
}

/// Names of files, the first of them where they are many.
fn named(names: &[String]) -> String {
    let first = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {} more", counted(more, "file")),
    }
}

/// A file of this text as a result.
fn made_of(text: &str) -> ResultFile {
    let object = ObjectRef {
        sha256: Digest::of(text).to_string(),
        length: text.len() as u64,
        ..ObjectRef::default()
    };
    ResultFile {
        object: Some(object),
        ..ResultFile::default()
    }
}

fn sha256_of(file: &ResultFile) -> &str {
    file.object.as_ref().map_or("", |object| &object.sha256)
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::input(format!("cannot {what} {}: {error}", path.display()))
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
            return Err(CommandError::Failed(format!(
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
    use super::*;

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
        let (file, path) = (made_of("right"), Path::new("o/x/a"));
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
