//! Importing STAC items: sends the files that their assets name, then the items. An item that the node would refuse
//! is refused before any of its files is sent, so that nothing of it stays there.
//!
//! An item may come from anybody. Only files in its own folder are sent, or a partner's item could name a key of
//! ours and have it offered with the images.

use std::io;
use std::path::{Path, PathBuf};

use oc_client::{Client, ClientError};
use oc_kernel::{Classify as _, Kind, Name, ObjectKey};
use oc_proto::data::v1::ImportItemRequest;
use serde_json::Value;

use super::file::{digest, unreadable};
use super::{CommandError, file};

/// An item that was added.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Imported {
    pub(crate) id: String,
    /// How many of its files were stored before, with the same bytes.
    pub(crate) kept: usize,
}

/// Sends the files that an item's assets name, except those that are there, then adds the item.
pub(crate) async fn import(
    client: &Client,
    dataset: &str,
    path: &Path,
) -> Result<Imported, CommandError> {
    let text = file::text(path)?;
    let wrong = |what: String| CommandError::input(format!("{} {what}", path.display()));
    let mut item: Value =
        serde_json::from_str(&text).map_err(|error| wrong(format!("is no STAC item: {error}")))?;
    let id = item["id"]
        .as_str()
        .ok_or_else(|| wrong("has no id".to_owned()))?;
    let id: Name = id
        .parse()
        .map_err(|error| wrong(format!("has an id that cannot be used: {error}")))?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let assets = item["assets"]
        .as_object_mut()
        .ok_or_else(|| wrong("has no assets".to_owned()))?;
    let mut kept = 0;
    let mut missing = Vec::new();
    for (name, asset) in assets {
        let href = asset["href"]
            .as_str()
            .ok_or_else(|| wrong(format!("has an asset `{name}` without href")))?;
        let source = beside(folder, href).map_err(|why| wrong(format!("names {why}")))?;
        let key = key_of(&id, &source).map_err(wrong)?;
        asset["href"] = Value::String(key.to_string());
        let sha256 = digest(&source).await;
        let (sha256, _) = sha256.map_err(|error| unreadable(&source, &error))?;
        let sha256 = sha256.to_string();
        if is_there(client, dataset, &key, &source, &sha256).await? {
            kept += 1;
        } else {
            missing.push((key, source, sha256));
        }
    }
    let request = ImportItemRequest {
        dataset: dataset.to_owned(),
        item_json: item.to_string(),
    };
    if !missing.is_empty() {
        match client.data().import_item(&request).await {
            Err(error) if lacks_a_file(&error) => {}
            Err(error) => return Err(error.into()),
            // Somebody else sent the files meanwhile.
            Ok(id) => return Ok(Imported { id, kept }),
        }
    }
    for (key, source, sha256) in missing {
        let file = tokio::fs::File::open(&source).await;
        let file = file.map_err(|error| unreadable(&source, &error))?;
        let data = client.data();
        data.upload(dataset, key.as_str(), &sha256, file).await?;
    }
    let id = client.data().import_item(&request).await?;
    Ok(Imported { id, kept })
}

/// True where the node refuses an item only because a file of it was not sent yet.
fn lacks_a_file(error: &ClientError) -> bool {
    let detail = error.problem().map_or("", |problem| &problem.detail);
    let pointer = detail.split(": ").next().unwrap_or_default();
    pointer.starts_with("/assets/") && pointer.ends_with("/href")
}

/// The file that an `href` names in the item's folder or below it.
fn beside(folder: &Path, href: &str) -> Result<PathBuf, String> {
    let advice = "put the file into the item's folder and name it there";
    let scheme = href.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    if scheme || href.starts_with("//") {
        return Err(format!(
            "`{href}`, which is an address and no file: {advice}"
        ));
    }
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let named = folder.join(href);
    let unreadable = |error: io::Error| format!("`{href}`, which cannot be read: {error}");
    let folder = folder.canonicalize().map_err(unreadable)?;
    let file = named.canonicalize().map_err(unreadable)?;
    if !file.starts_with(&folder) {
        return Err(format!("`{href}`, which lies outside its folder: {advice}"));
    }
    if !file.is_file() {
        return Err(format!("`{href}`, which is no file: {advice}"));
    }
    Ok(file)
}

fn key_of(id: &Name, source: &Path) -> Result<ObjectKey, String> {
    let name = source.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| format!("names {}, which is no text", source.display()))?;
    format!("{id}/{name}")
        .parse()
        .map_err(|error| format!("names the file `{name}`, which cannot be stored so: {error}"))
}

/// Whether a file is stored with these bytes; an error where it is with others.
async fn is_there(
    client: &Client,
    dataset: &str,
    key: &ObjectKey,
    source: &Path,
    sha256: &str,
) -> Result<bool, CommandError> {
    match client.data().file(dataset, key.as_str()).await {
        Ok(stored) if stored.sha256 == sha256 => Ok(true),
        Ok(_) => Err(CommandError::input(format!(
            "{} has other bytes than what `{dataset}` holds as `{key}`, and a file is written once: give the item \
             another id, or take the dataset back and import it anew",
            source.display()
        ))),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_missing(error: &ClientError) -> bool {
    error.kind() == Kind::NotFound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_in_the_folder_of_an_item_are_sent() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("item");
        std::fs::create_dir_all(folder.join("bands")).unwrap();
        std::fs::write(base.path().join("node.json"), "a key").unwrap();
        std::fs::write(folder.join("bands/B04.tif"), "red").unwrap();
        std::os::unix::fs::symlink("../node.json", folder.join("B08.tif")).unwrap();
        for href in ["bands/B04.tif", "./bands/B04.tif", "bands/../bands/B04.tif"] {
            let found = beside(&folder, href).unwrap();
            assert!(found.ends_with("item/bands/B04.tif"), "{href}");
        }
        let absolute = base.path().join("node.json").display().to_string();
        for href in ["../node.json", "B08.tif", "/etc/passwd", &absolute] {
            let refused = beside(&folder, href).unwrap_err();
            assert!(refused.contains("outside its folder"), "{refused}");
        }
        for href in [
            "file:///etc/passwd",
            "file:/etc/passwd",
            "http://127.0.0.1:8701/metrics",
            "http://169.254.169.254/latest/meta-data",
            "//169.254.169.254/latest",
            "s3://bucket/B04.tif",
        ] {
            let refused = beside(&folder, href).unwrap_err();
            assert!(refused.contains("an address"), "{refused}");
        }
        for href in ["", "bands", "missing.tif"] {
            assert!(beside(&folder, href).is_err(), "{href}");
        }
    }
}
