//! The contract suite, and what only a folder can show.

use std::path::PathBuf;
use std::sync::Arc;

use super::{DIGESTS, FolderObjects, INCOMING};
use crate::testsuite::{Fixture, key, put};
use crate::{Expected, ObjectError, Objects, body};
use oc_kernel::Digest;

#[derive(Debug)]
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

/// The files below a folder, apart from the digests.
fn files(folder: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true if path.ends_with(DIGESTS) => {}
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found
}

#[async_trait::async_trait]
impl Fixture for Folder {
    async fn open(&self) -> Arc<dyn Objects> {
        Arc::new(FolderObjects::open(self.0.path()).await.unwrap())
    }

    async fn leftovers(&self) -> usize {
        files(self.0.path().to_owned()).len()
    }
}

crate::testsuite!(Folder::new());

#[tokio::test]
async fn an_object_is_a_file_a_person_can_look_at() {
    let folder = Folder::new();
    let objects = FolderObjects::open(folder.0.path()).await.unwrap();
    put(&objects, "runs/1/picture.png", "png").await;
    let file = objects.file_of(&key("runs/1/picture.png"));
    assert_eq!(file, folder.0.path().join("runs/1/picture.png"));
    assert_eq!(std::fs::read(file).unwrap(), b"png");
}

#[tokio::test]
async fn a_digest_that_a_crash_lost_is_found_again() {
    let folder = Folder::new();
    let objects = folder.open().await;
    put(&*objects, "a/b", "hello").await;
    let digest = folder.0.path().join(DIGESTS).join("a/b");
    for damage in ["", "not a digest"] {
        std::fs::write(&digest, damage).unwrap();
        let info = objects.stat(&key("a/b")).await.unwrap();
        assert_eq!(info.sha256, Digest::of("hello"));
        let noted = std::fs::read_to_string(&digest).unwrap();
        assert_eq!(noted, info.sha256.to_string());
    }
    std::fs::remove_file(&digest).unwrap();
    let info = objects.stat(&key("a/b")).await.unwrap();
    assert_eq!(info.sha256, Digest::of("hello"));
}

#[tokio::test]
async fn half_written_files_are_cleared_at_the_start() {
    let folder = Folder::new();
    drop(folder.open().await);
    let half = folder.0.path().join(INCOMING).join("half#1");
    std::fs::write(&half, "x").unwrap();
    let _objects = folder.open().await;
    assert_eq!(folder.leftovers().await, 0);
}

#[tokio::test]
async fn deleting_everything_leaves_no_empty_folders() {
    let folder = Folder::new();
    let objects = folder.open().await;
    put(&*objects, "runs/a/deep/x", "1").await;
    objects.delete_prefix(&key("runs")).await.unwrap();
    assert!(!folder.0.path().join("runs").exists());
    assert!(!folder.0.path().join(DIGESTS).join("runs").exists());
}

#[tokio::test]
async fn objects_one_below_the_other_are_refused() {
    let folder = Folder::new();
    let objects = folder.open().await;
    put(&*objects, "a", "1").await;
    let error = objects
        .put(&key("a/b"), body("2"), Expected::default())
        .await
        .unwrap_err();
    assert!(matches!(error, ObjectError::Nested(_)), "{error:?}");
    put(&*objects, "c/d", "1").await;
    let error = objects
        .put(&key("c"), body("2"), Expected::default())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ObjectError::Nested(_) | ObjectError::AlreadyExists(_)
        ),
        "{error:?}"
    );
    assert_eq!(folder.leftovers().await, 2);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = Folder::new();
    let file = folder.0.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = FolderObjects::open(file.join("below")).await.unwrap_err();
    assert!(error.to_string().contains("file/below"), "{error}");
}
