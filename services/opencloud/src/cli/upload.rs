//! Files of this machine that a run reads: each is put into a storage offer of ours, and named as it lies there.
//!
//! The key holds the digest of the content, so the same file is sent once, and the user's name, since the first part
//! of a key is a folder of one user.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use oc_client::ListingFilter;
use serde_json::{Map, Value, json};
use tokio_util::io::InspectReader;

use super::file::{digest, unreadable};
use super::output::safe;
use super::{CommandError, Context, find, progress};

/// Digits of the digest in a key.
const DIGITS: usize = 16;
/// Most files of one folder.
const MOST: usize = 1000;

/// Where uploads go.
struct Place {
    offer: String,
    user: String,
}

/// What was uploaded for one command.
pub(crate) struct Uploads<'a> {
    context: &'a Context,
    /// Where the results go, as it was typed.
    storage: Option<&'a str>,
    place: Option<Place>,
    /// The CWL value of each file.
    sent: BTreeMap<PathBuf, Value>,
}

impl<'a> Uploads<'a> {
    pub(crate) fn new(context: &'a Context, storage: Option<&'a str>) -> Self {
        Self {
            context,
            storage,
            place: None,
            sent: BTreeMap::new(),
        }
    }

    /// The CWL value of a file or folder of this machine, which is uploaded.
    pub(crate) async fn path(&mut self, path: &Path) -> Result<Value, CommandError> {
        let value = local(path)?;
        self.value(&value).await
    }

    /// A CWL value whose Files and Directories may lie on this machine, by `file:` locations: they are uploaded,
    /// and named as they lie in storage.
    pub(crate) async fn value(&mut self, value: &Value) -> Result<Value, CommandError> {
        let value = listed(value)?;
        let mut paths = BTreeSet::new();
        collect(&value, &mut paths);
        for path in paths {
            if !self.sent.contains_key(&path) {
                let file = self.send(&path).await?;
                self.sent.insert(path, file);
            }
        }
        Ok(replaced(&value, &self.sent))
    }

    /// Sends a file unless it is there.
    async fn send(&mut self, path: &Path) -> Result<Value, CommandError> {
        let unreadable = |error: std::io::Error| unreadable(path, &error);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (sha256, length) = digest(path).await.map_err(unreadable)?;
        let sha256 = sha256.to_string();
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let compute = self.context.client.compute();
        let Place { offer, user } = match self.place.take() {
            Some(place) => self.place.insert(place),
            None => {
                let place = place(self.context, self.storage).await?;
                self.place.insert(place)
            }
        };
        let key = format!("inputs-{user}/{}/{}", &sha256[..DIGITS], key_segment(&name));
        let there = compute.objects(offer, &key).await?;
        let there = there
            .iter()
            .any(|object| object.key == key && object.sha256 == sha256);
        if !there {
            let bar = progress::bytes(length, &path.display().to_string());
            let moved = bar.clone();
            let bytes = InspectReader::new(file, move |part: &[u8]| moved.inc(part.len() as u64));
            compute
                .put_object(offer, &key, Some(&sha256), bytes)
                .await?;
            bar.finish_and_clear();
        }
        if !self.context.output.is_json() {
            let what = if there {
                "lies already as"
            } else {
                "uploaded as"
            };
            // As it was typed, where it was typed from here.
            let here = std::env::current_dir().ok();
            let typed = here
                .and_then(|here| path.strip_prefix(here).ok())
                .unwrap_or(path);
            let line = format!("{} {what} storage.{offer}/{key}", typed.display());
            anstream::eprintln!("{}", safe(&line));
        }
        Ok(json!({
            "class": "File",
            "location": format!("oc://storage.{offer}/{key}"),
            "basename": name,
            "checksum": format!("sha256${sha256}"),
            "size": length,
        }))
    }
}

/// The storage that was named where it is ours, else our first one, as the results go.
async fn place(context: &Context, named: Option<&str>) -> Result<Place, CommandError> {
    let own = context.client.discovery().identity().await?.org_id;
    let user = context.client.backend().me().await?.name;
    let named = match named {
        Some(text) => Some(find::listing_ref(context, text).await?),
        None => None,
    };
    let named = named.filter(|(owner, _)| *owner == own);
    let listing = match named {
        Some((_, listing)) => Some(listing),
        None => {
            let filter = ListingFilter {
                kinds: vec!["storage".to_owned()],
                owner: Some(own),
                ..ListingFilter::default()
            };
            let found = context.client.catalog().search(&filter).await?.listings;
            found.into_iter().map(|listing| listing.listing_id).min()
        }
    };
    let offer = listing
        .as_deref()
        .and_then(|it| it.strip_prefix("storage."));
    let offer = offer.ok_or_else(|| {
        CommandError::input(
            "there is no storage of ours to upload to: make one with `opencloud offer storage inputs --size 10GiB`",
        )
    })?;
    Ok(Place {
        offer: offer.to_owned(),
        user: key_segment(&user),
    })
}

/// A file or folder as a job order names it.
fn local(path: &Path) -> Result<Value, CommandError> {
    let metadata = path.metadata().map_err(|error| unreadable(path, &error))?;
    let class = if metadata.is_dir() {
        "Directory"
    } else {
        "File"
    };
    let whole = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
    Ok(json!({"class": class, "location": oc_cwl::uri_of_path(&whole)}))
}

/// The value with each Directory of this machine as the list of what is in it.
fn listed(value: &Value) -> Result<Value, CommandError> {
    match value {
        Value::Array(items) => items.iter().map(listed).collect(),
        Value::Object(fields) => {
            let listed = fields
                .iter()
                .map(|(name, field)| Ok((name.clone(), listed(field)?)));
            let mut listed: Map<String, Value> = listed.collect::<Result<_, CommandError>>()?;
            if fields.get("class").and_then(Value::as_str) == Some("Directory")
                && let Some(folder) = path_of(fields)
            {
                let name = folder.file_name().unwrap_or_default().to_string_lossy();
                listed
                    .entry("basename")
                    .or_insert_with(|| name.as_ref().into());
                listed.remove("location");
                let mut left = MOST;
                listed.insert("listing".to_owned(), contents(&folder, &mut left)?);
            }
            Ok(Value::Object(listed))
        }
        scalar => Ok(scalar.clone()),
    }
}

/// What lies in a folder, by name; a link in it is not followed.
fn contents(folder: &Path, left: &mut usize) -> Result<Value, CommandError> {
    let failed = |error: std::io::Error| unreadable(folder, &error);
    let entries: Result<Vec<_>, _> = std::fs::read_dir(folder).map_err(failed)?.collect();
    let mut entries = entries.map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut items = Vec::new();
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        *left = left.checked_sub(1).ok_or_else(|| {
            let text = format!("{} holds more than {MOST} files", folder.display());
            CommandError::input(format!("{text}: pack them into an archive"))
        })?;
        if kind.is_dir() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let listing = contents(&path, left)?;
            items.push(json!({"class": "Directory", "basename": name, "listing": listing}));
        } else if kind.is_file() {
            items.push(local(&path)?);
        } else {
            let text = format!(
                "{} is a link or no file, and is not uploaded",
                path.display()
            );
            return Err(CommandError::input(format!(
                "{text}: take it out of the folder"
            )));
        }
    }
    Ok(Value::Array(items))
}

fn path_of(fields: &Map<String, Value>) -> Option<PathBuf> {
    oc_cwl::path_of_uri(fields.get("location")?.as_str()?)
}

/// The files of this machine that a value names.
fn collect(value: &Value, paths: &mut BTreeSet<PathBuf>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, paths)),
        Value::Object(fields) => {
            if fields.get("class").and_then(Value::as_str) == Some("File") {
                paths.extend(path_of(fields));
            }
            fields.values().for_each(|field| collect(field, paths));
        }
        _ => {}
    }
}

/// The value with files of this machine named as they were sent.
fn replaced(value: &Value, sent: &BTreeMap<PathBuf, Value>) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| replaced(item, sent)).collect(),
        Value::Object(fields) => {
            let fields_replaced = fields.iter();
            let mut replaced: Map<String, Value> = fields_replaced
                .map(|(name, field)| (name.clone(), replaced(field, sent)))
                .collect();
            if let Some(Value::Object(file)) = path_of(fields).and_then(|path| sent.get(&path)) {
                for (name, field) in file {
                    if name != "basename" || !replaced.contains_key("basename") {
                        replaced.insert(name.clone(), field.clone());
                    }
                }
            }
            Value::Object(replaced)
        }
        scalar => scalar.clone(),
    }
}

/// A file name as a segment of a key: what may not stand in one becomes `_`.
fn key_segment(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '_'
        }
    };
    let mut segment: String = name.chars().map(plain).collect();
    if !segment.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        segment.insert(0, '_');
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_they_were_sent_wherever_they_stand() {
        let base = tempfile::tempdir().unwrap();
        let (file, folder) = (base.path().join("a b.txt"), base.path().join("d"));
        std::fs::write(&file, "x").unwrap();
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        std::fs::write(folder.join("inner/c"), "y").unwrap();
        let value = json!({"one": [local(&file).unwrap()], "all": local(&folder).unwrap(), "n": 1});
        let value = listed(&value).unwrap();
        let mut paths = BTreeSet::new();
        collect(&value, &mut paths);
        assert_eq!(
            paths,
            BTreeSet::from([file.clone(), folder.join("inner/c")])
        );
        let sent = paths.into_iter().map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (
                path,
                json!({"class": "File", "location": format!("oc:{name}"), "basename": name}),
            )
        });
        let value = replaced(&value, &sent.collect());
        assert_eq!(value["one"][0]["location"], "oc:a b.txt");
        assert_eq!(value["all"]["basename"], "d");
        assert_eq!(value["all"]["listing"][0]["listing"][0]["location"], "oc:c");
        assert!(!value.to_string().contains("file:"), "{value}");
    }

    #[test]
    fn a_link_in_a_folder_is_not_followed() {
        let base = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", base.path().join("x")).unwrap();
        let refused = listed(&local(base.path()).unwrap()).unwrap_err();
        assert!(refused.to_string().contains("link"), "{refused}");
    }

    #[test]
    fn any_file_name_makes_a_key() {
        for (name, segment) in [
            ("a.txt", "a.txt"),
            ("a b/\u{e9}.txt", "a_b__.txt"),
            (".hidden", "_.hidden"),
            ("..", "_.."),
            ("", "_"),
        ] {
            assert_eq!(key_segment(name), segment);
            key_segment(name).parse::<oc_kernel::ObjectKey>().unwrap();
        }
    }
}
