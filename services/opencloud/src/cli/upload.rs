//! Files of this machine that a run reads: each is put into a storage offer of ours, and named as it lies there.
//!
//! The key holds the digest of the content, so the same file is sent once, and the user's name, since the first part
//! of a key is a folder of one user. What a file will be called is known before it is sent, so that a plan sends none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use oc_client::ListingFilter;
use oc_proto::compute::v1::Offer;
use oc_proto::types::v1::ObjectRef;
use serde_json::{Value, json};
use tokio_util::io::InspectReader;

use super::file::{self, digest, unreadable};
use super::local_files::{collect, listed, local, outside, replaced};
use super::output::safe;
use super::{CommandError, Context, Outcome, find, progress, size};

/// Digits of the digest in a key.
const DIGITS: usize = 16;

/// Where uploads go.
struct Place {
    offer: String,
    user: String,
}

/// A file that is to be uploaded.
struct Measured {
    key: String,
    sha256: String,
    length: u64,
    /// Its CWL value as it will lie in storage.
    value: Value,
}

/// Some of the files of a command, with their paths.
type Files<'a> = Vec<(&'a Path, &'a Measured)>;

/// The files of this machine that one command names.
pub(crate) struct Uploads<'a> {
    context: &'a Context,
    /// Where the results go, as it was typed.
    storage: Option<&'a str>,
    place: Option<Place>,
    files: BTreeMap<PathBuf, Measured>,
}

impl<'a> Uploads<'a> {
    pub(crate) fn new(context: &'a Context, storage: Option<&'a str>) -> Self {
        Self {
            context,
            storage,
            place: None,
            files: BTreeMap::new(),
        }
    }

    /// The CWL value of a file or folder of this machine, as it will lie in storage.
    pub(crate) async fn path(&mut self, path: &Path) -> Result<Value, CommandError> {
        let value = local(path)?;
        self.value(&value).await
    }

    /// As [`Uploads::value`] for a value that came with a file in `folder`: it may name what lies there or below.
    pub(crate) async fn value_below(
        &mut self,
        value: &Value,
        folder: &Path,
    ) -> Result<Value, CommandError> {
        match outside(value, folder) {
            None => self.value(value).await,
            Some(path) => Err(CommandError::input(format!(
                "{} lies outside {}: name it yourself, NAME=@{0} behind --input, or say --allow-outside if all \
                 that the file names may be read and sent",
                path.display(),
                folder.display()
            ))),
        }
    }

    /// A CWL value whose Files and Directories may lie on this machine, by `file:` locations: they are named as
    /// they will lie in storage.
    pub(crate) async fn value(&mut self, value: &Value) -> Result<Value, CommandError> {
        let value = listed(value)?;
        let mut paths = BTreeSet::new();
        collect(&value, &mut paths);
        for path in paths {
            if !self.files.contains_key(&path) {
                let measured = self.measure(&path).await?;
                self.files.insert(path, measured);
            }
        }
        let values = self.files.iter();
        let values = values.map(|(path, file)| (path.clone(), file.value.clone()));
        Ok(replaced(&value, &values.collect()))
    }

    async fn measure(&mut self, path: &Path) -> Result<Measured, CommandError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let measured = digest(path).await;
        let (sha256, length) = measured.map_err(|error| unreadable(path, &error))?;
        let Place { offer, user } = match self.place.take() {
            Some(place) => self.place.insert(place),
            None => {
                let place = place(self.context, self.storage).await?;
                self.place.insert(place)
            }
        };
        let sha256 = sha256.to_string();
        let key = format!("inputs-{user}/{}/{}", &sha256[..DIGITS], key_segment(&name));
        let value = json!({
            "class": "File",
            "location": format!("oc://storage.{offer}/{key}"),
            "basename": name,
            "checksum": format!("sha256${sha256}"),
            "size": length,
        });
        Ok(Measured {
            key,
            sha256,
            length,
            value,
        })
    }

    /// True where there is nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// An error where the files that are not there yet find no room.
    pub(crate) async fn fit(&self) -> Outcome {
        let Some(Place { offer, .. }) = &self.place else {
            return Ok(());
        };
        let (_, missing) = self.by_presence(offer).await?;
        self.has_room(offer, &missing).await
    }

    /// Sends the files that are not there yet, if all of them find room.
    pub(crate) async fn send(&self) -> Outcome {
        let Some(Place { offer, .. }) = &self.place else {
            return Ok(());
        };
        let (there, missing) = self.by_presence(offer).await?;
        for (path, file) in there {
            self.tell(path, "lies already as", offer, file);
        }
        self.has_room(offer, &missing).await?;
        for (path, file) in missing {
            self.send_one(offer, path, file).await?;
            self.tell(path, "uploaded as", offer, file);
        }
        Ok(())
    }

    /// The files that lie in storage already, and those that do not.
    async fn by_presence(&self, offer: &str) -> Result<(Files<'_>, Files<'_>), CommandError> {
        let compute = self.context.client.compute();
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for (path, file) in &self.files {
            let stored = compute.objects(offer, &file.key).await?;
            let is_same =
                |object: &ObjectRef| object.key == file.key && object.sha256 == file.sha256;
            match stored.iter().any(is_same) {
                true => there.push((path.as_path(), file)),
                false => missing.push((path.as_path(), file)),
            }
        }
        Ok((there, missing))
    }

    /// An error that names the storage and the largest file where they do not fit into what is free now.
    async fn has_room(&self, offer: &str, missing: &Files<'_>) -> Outcome {
        let Some((largest, _)) = missing.iter().max_by_key(|(_, file)| file.length) else {
            return Ok(());
        };
        // Not everybody may see offers; the storage itself judges in any case.
        let offers = self.context.client.compute().offers().await;
        let offers = offers.unwrap_or_default();
        let Some(free) = free(&offers, offer) else {
            return Ok(());
        };
        let wanted = missing.iter().map(|(_, file)| file.length).sum();
        match wanted <= free {
            true => Ok(()),
            false => Err(CommandError::Unavailable(too_large(
                offer, largest, wanted, free,
            ))),
        }
    }

    async fn send_one(&self, offer: &str, path: &Path, file: &Measured) -> Outcome {
        let (opened, _) = file::open(path).map_err(|error| unreadable(path, &error))?;
        let bar = progress::bytes(file.length, &path.display().to_string());
        let moved = bar.clone();
        let bytes = InspectReader::new(tokio::fs::File::from_std(opened), move |part: &[u8]| {
            moved.inc(part.len() as u64);
        });
        // One byte more tells a file that grew from one that did not.
        let bytes = tokio::io::AsyncReadExt::take(bytes, file.length.saturating_add(1));
        let compute = self.context.client.compute();
        let sent = compute
            .put_object(offer, &file.key, Some(&file.sha256), bytes)
            .await;
        bar.finish_and_clear();
        match sent {
            Ok(_) => Ok(()),
            Err(error) => Err(CommandError::Upload {
                error,
                file: path.display().to_string(),
                storage: format!("storage.{offer}"),
            }),
        }
    }

    fn tell(&self, path: &Path, what: &str, offer: &str, file: &Measured) {
        if self.context.output.is_json() {
            return;
        }
        // As it was typed, where it was typed from here.
        let here = std::env::current_dir().ok();
        let typed = here
            .and_then(|here| path.strip_prefix(here).ok())
            .unwrap_or(path);
        let line = format!("{} {what} storage.{offer}/{}", typed.display(), file.key);
        anstream::eprintln!("{}", safe(&line));
    }
}

/// What is said where files do not fit.
fn too_large(offer: &str, largest: &Path, wanted: u64, free: u64) -> String {
    format!(
        "storage.{offer} has {} left, and {} are to be uploaded, the largest file is {}: make room there, or name a \
         storage with more by --storage",
        size::show(free),
        size::show(wanted),
        largest.display()
    )
}

/// The storage that was named where it is ours, else that of ours with the most room, as the results go.
async fn place(context: &Context, named: Option<&str>) -> Result<Place, CommandError> {
    let own = context.client.discovery().identity().await?.org_id;
    let user = context.client.backend().me().await?.name;
    let named = match named {
        Some(text) => Some(find::storage_ref(context, text).await?),
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
            let listings = found.into_iter().map(|listing| listing.listing_id);
            // Not everybody may see offers.
            let offers = context.client.compute().offers().await;
            roomiest(listings.collect(), &offers.unwrap_or_default())
        }
    };
    let offer = listing.as_deref().map(find::storage_name);
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

/// The bytes that are free in an offer, as far as it is known.
fn free(offers: &[Offer], name: &str) -> Option<u64> {
    let offer = offers.iter().find(|it| it.name == name)?;
    let used = offer.used.as_ref().map_or(0, |used| used.storage_bytes);
    let has = offer.capacity.as_ref()?.storage_bytes;
    Some(has.saturating_sub(used))
}

/// The listing with the most room, the first by name of several.
fn roomiest(mut listings: Vec<String>, offers: &[Offer]) -> Option<String> {
    listings.sort_unstable();
    let free = |listing: &String| free(offers, find::storage_name(listing));
    listings.into_iter().rev().max_by_key(free)
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
    use oc_proto::types::v1::Limits;

    use super::*;

    #[test]
    fn files_go_where_most_room_is_and_not_to_the_first_name() {
        let offer = |name: &str, has, used| {
            let bytes = |storage_bytes| {
                Some(Limits {
                    storage_bytes,
                    ..Limits::default()
                })
            };
            Offer {
                name: name.to_owned(),
                capacity: bytes(has),
                used: bytes(used),
                ..Offer::default()
            }
        };
        let listings = || ["storage.results", "storage.aaa"].map(str::to_owned).into();
        let offers = [offer("aaa", 64, 0), offer("results", 1 << 30, 100)];
        let chosen = roomiest(listings(), &offers);
        assert_eq!(chosen.as_deref(), Some("storage.results"));
        let unseen = roomiest(listings(), &[]);
        assert_eq!(unseen.as_deref(), Some("storage.aaa"));
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

    #[test]
    fn files_without_room_are_named_with_the_storage_and_a_cure() {
        let said = too_large("results", Path::new("big.bin"), 3 << 30, 1 << 20);
        for part in ["storage.results has 1 MiB", "3 GiB", "big.bin", "--storage"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
