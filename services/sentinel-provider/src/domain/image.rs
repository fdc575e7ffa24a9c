//! An image: a STAC item with its files.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oc_kernel::{Digest, Name, ObjectKey};
use oc_objects::ObjectInfo;
use oc_store::{Collection as Documents, Index};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::dataset::require;
use super::{DataError, Geometry};

/// The documents of images, by `<dataset>/<id>`.
pub(crate) static IMAGES: Documents =
    Documents::new("images", &[Index::pointer("dataset", "/dataset")]);

/// Largest item document, in bytes.
const LARGEST: usize = 1 << 20;
/// Files of one image.
const MOST_ASSETS: usize = 200;

/// A file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AssetFile {
    /// Where it lies in the object store: `<dataset>/<file>`.
    pub(crate) key: ObjectKey,
    /// Its digest.
    pub sha256: Digest,
    /// Its length in bytes.
    pub(crate) length: u64,
    /// Its media type; empty where the item does not say.
    pub(crate) media_type: String,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Image {
    /// Its dataset.
    pub(crate) dataset: Name,
    /// STAC item id.
    pub(crate) id: Name,
    /// When it was taken, or when the taking began, in ms since the epoch.
    pub(crate) taken_ms: i64,
    /// When the taking ended, in ms since the epoch.
    pub(crate) ended_ms: i64,
    /// The STAC item as it was given, without its links.
    pub(crate) item: Map<String, Value>,
    /// Its files, by the name of the asset.
    pub(crate) files: BTreeMap<Name, AssetFile>,
}

impl Image {
    /// The key of its document.
    pub(crate) fn document_key(&self) -> String {
        format!("{}/{}", self.dataset, self.id)
    }

    /// Bytes of its files of these names, or of all; none when it lacks one of them.
    pub(crate) fn bytes_of(&self, assets: &[Name]) -> Option<u64> {
        if assets.is_empty() {
            return Some(self.files.values().map(|file| file.length).sum());
        }
        let lengths = assets.iter().map(|name| Some(self.files.get(name)?.length));
        lengths.sum()
    }

    /// A property of the item; `id` and `collection` count as such.
    pub(crate) fn property(&self, name: &str) -> Option<&Value> {
        match name {
            "id" | "collection" => self.item.get(name),
            _ => self.item.get("properties")?.get(name),
        }
    }
}

/// A STAC item that was read and whose files are not known yet.
#[derive(Debug)]
pub(crate) struct Draft {
    image: Image,
    hrefs: Vec<(Name, String)>,
}

/// Reads a STAC item (STAC 1.0.0, "Item Specification").
///
/// # Errors
/// The rule that is broken, with its place.
pub(crate) fn parse(dataset: &Name, text: &str) -> Result<Draft, DataError> {
    if text.len() > LARGEST {
        let reason = format!(
            "an item may have {LARGEST} bytes, this one has {}",
            text.len()
        );
        return Err(DataError::stac("", reason));
    }
    let mut item: Map<String, Value> =
        serde_json::from_str(text).map_err(|reason| DataError::Json {
            what: "item",
            reason,
        })?;
    require(&item, "type", |kind| kind == "Feature", "must be `Feature`")?;
    require(
        &item,
        "stac_version",
        |v| v.starts_with("1."),
        "must be 1.0.0 or a later 1.x",
    )?;
    let id = require(&item, "id", |_| true, "")?;
    let id: Name = id
        .parse()
        .map_err(|reason| DataError::name("an item's id", id, reason))?;
    if let Some(collection) = item.get("collection")
        && collection.as_str() != Some(dataset.as_str())
    {
        let reason = format!("must be `{dataset}`, the dataset it is added to");
        return Err(DataError::stac("/collection", reason));
    }
    let geometry = Geometry::parse(item.get("geometry").unwrap_or(&Value::Null))
        .map_err(|reason| DataError::stac("/geometry", reason))?;
    let (taken_ms, ended_ms) = times(&item)?;
    let hrefs = hrefs(&item)?;

    item.remove("links");
    item.insert("collection".to_owned(), dataset.as_str().into());
    if !item.contains_key("bbox") {
        item.insert("bbox".to_owned(), serde_json::json!(geometry.bounds()));
    }
    let image = Image {
        dataset: dataset.clone(),
        id,
        taken_ms,
        ended_ms,
        item,
        files: BTreeMap::new(),
    };
    Ok(Draft { image, hrefs })
}

/// The instant or the span of a taking (STAC 1.0.0, "Common Metadata", "Date and Time").
fn times(item: &Map<String, Value>) -> Result<(i64, i64), DataError> {
    let time = |field: &str| -> Result<Option<i64>, DataError> {
        let pointer = format!("/properties/{field}");
        match item.get("properties").and_then(|p| p.get(field)) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let text = value.as_str().unwrap_or_default();
                let time: Result<Timestamp, _> = text.parse();
                let time =
                    time.map_err(|_| DataError::stac(pointer, "must be a time (RFC 3339)"))?;
                Ok(Some(time.as_millisecond()))
            }
        }
    };
    let span = (time("start_datetime")?, time("end_datetime")?);
    match (time("datetime")?, span) {
        (_, (Some(start), Some(end))) if start > end => Err(DataError::stac(
            "/properties/end_datetime",
            "lies before the start",
        )),
        (_, (Some(start), Some(end))) => Ok((start, end)),
        (Some(at), _) => Ok((at, at)),
        (None, _) => Err(DataError::stac(
            "/properties/datetime",
            "must be there, or `start_datetime` and `end_datetime`",
        )),
    }
}

fn hrefs(item: &Map<String, Value>) -> Result<Vec<(Name, String)>, DataError> {
    let assets = item.get("assets").and_then(Value::as_object);
    let assets = assets.filter(|assets| !assets.is_empty() && assets.len() <= MOST_ASSETS);
    let assets = assets.ok_or_else(|| {
        DataError::stac(
            "/assets",
            format!("must be an object of 1 to {MOST_ASSETS} assets"),
        )
    })?;
    let hrefs = assets.iter().map(|(name, asset)| {
        let name: Name = name
            .parse()
            .map_err(|reason| DataError::name("an asset's name", name, reason))?;
        let href = asset.get("href").and_then(Value::as_str);
        let href = href.ok_or_else(|| {
            DataError::stac(
                format!("/assets/{name}/href"),
                "must be the name of an uploaded file",
            )
        })?;
        Ok((name, href.to_owned()))
    });
    hrefs.collect()
}

impl Draft {
    /// For each asset the places where its file may lie: as the item names it, or in a folder of the
    /// item's id.
    ///
    /// # Errors
    /// When an `href` is no name of a file.
    pub(crate) fn places(&self) -> Result<Vec<(Name, [ObjectKey; 2])>, DataError> {
        let places = self.hrefs.iter().map(|(asset, href)| {
            let file = href.strip_prefix("./").unwrap_or(href);
            let key = |text: String| -> Result<ObjectKey, DataError> {
                text.parse()
                    .map_err(|reason| DataError::name("the name of a file", href, reason))
            };
            let (dataset, id) = (&self.image.dataset, &self.image.id);
            let places = [
                key(format!("{dataset}/{file}"))?,
                key(format!("{dataset}/{id}/{file}"))?,
            ];
            Ok((asset.clone(), places))
        });
        places.collect()
    }

    /// Adds the file of an asset, which must be the one that the item describes (STAC file extension,
    /// `file:size` and `file:checksum`).
    ///
    /// # Errors
    /// When it is another one.
    pub(crate) fn add_file(&mut self, asset: &Name, file: &ObjectInfo) -> Result<(), DataError> {
        let described = self.image.item["assets"].get(asset.as_str());
        let field = |name: &str| described.and_then(|asset| asset.get(name));
        let wrong = |field: &str, reason: String| {
            Err(DataError::stac(format!("/assets/{asset}/{field}"), reason))
        };
        if let Some(size) = field("file:size")
            && size.as_u64() != Some(file.length)
        {
            return wrong(
                "file:size",
                format!("is {size}, the file has {} bytes", file.length),
            );
        }
        if let Some(checksum) = field("file:checksum").and_then(Value::as_str) {
            let announced = Digest::from_multihash(checksum);
            match announced {
                None => {
                    return wrong(
                        "file:checksum",
                        "must be a SHA-256 multihash in hex".to_owned(),
                    );
                }
                Some(announced) if announced != file.sha256 => {
                    let reason = format!("is {announced}, the file has {}", file.sha256);
                    return wrong("file:checksum", reason);
                }
                Some(_) => {}
            }
        }
        let media_type = field("type").and_then(Value::as_str).unwrap_or_default();
        let file = AssetFile {
            key: file.key.clone(),
            sha256: file.sha256,
            length: file.length,
            media_type: media_type.to_owned(),
        };
        self.image.files.insert(asset.clone(), file);
        Ok(())
    }

    /// The image, with all of its files.
    pub(crate) fn into_image(self) -> Image {
        self.image
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item() -> Value {
        json!({
            "type": "Feature", "stac_version": "1.0.0", "id": "a", "collection": "demo",
            "geometry": {"type": "Point", "coordinates": [1, 2]},
            "properties": {"datetime": "2025-06-12T10:50:31.5Z"},
            "links": [{"rel": "self", "href": "x"}],
            "assets": {"B04": {"href": "./B04.tif", "type": "image/tiff"}},
        })
    }

    fn demo() -> Name {
        "demo".parse().unwrap()
    }

    fn parsed(item: &Value) -> Result<Draft, DataError> {
        parse(&demo(), &item.to_string())
    }

    fn file(length: u64) -> ObjectInfo {
        ObjectInfo {
            key: "demo/a/B04.tif".parse().unwrap(),
            length,
            sha256: Digest::of("x"),
            modified: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn an_item_becomes_an_image_with_its_files() {
        let mut draft = parsed(&item()).unwrap();
        let places = draft.places().unwrap();
        let (asset, [plain, nested]) = &places[0];
        assert_eq!(
            (plain.as_str(), nested.as_str()),
            ("demo/B04.tif", "demo/a/B04.tif")
        );
        draft.add_file(asset, &file(3)).unwrap();
        let image = draft.into_image();
        assert_eq!(image.document_key(), "demo/a");
        assert_eq!(image.taken_ms, 1_749_725_431_500);
        assert_eq!(image.taken_ms, image.ended_ms);
        assert_eq!(image.item["bbox"], json!([1.0, 2.0, 1.0, 2.0]));
        assert!(!image.item.contains_key("links"));
        assert_eq!(image.files[asset].media_type, "image/tiff");
        assert_eq!(image.bytes_of(&[]), Some(3));
        assert_eq!(image.bytes_of(&["B08".parse().unwrap()]), None);
    }

    #[test]
    fn a_faulty_item_is_refused_with_the_place() {
        for (pointer, value) in [
            ("/type", json!("Collection")),
            ("/stac_version", json!("0.9")),
            ("/id", json!(3)),
            ("/collection", json!("other")),
            ("/geometry", json!(null)),
            ("/properties/datetime", json!("yesterday")),
            ("/properties/datetime", json!(null)),
            ("/assets", json!({})),
            ("/assets/B04/href", json!(null)),
        ] {
            let mut faulty = item();
            *faulty.pointer_mut(pointer).unwrap() = value;
            match parsed(&faulty).unwrap_err() {
                DataError::Stac { pointer: found, .. } => assert_eq!(found, pointer),
                other => panic!("{pointer}: {other}"),
            }
        }
    }

    #[test]
    fn a_span_counts_where_there_is_one() {
        let mut spanned = item();
        spanned["properties"] = json!({
            "datetime": null,
            "start_datetime": "2025-01-01T00:00:00Z", "end_datetime": "2025-01-02T00:00:00Z",
        });
        let image = parsed(&spanned).unwrap().into_image();
        assert_eq!(image.ended_ms - image.taken_ms, 86_400_000);
        spanned["properties"]["end_datetime"] = json!("2024-01-01T00:00:00Z");
        assert!(parsed(&spanned).is_err());
    }

    #[test]
    fn a_file_that_climbs_or_lies_elsewhere_is_refused() {
        for href in [
            "../B04.tif",
            "/etc/passwd",
            "https://example.org/B04.tif",
            "",
        ] {
            let mut climbing = item();
            climbing["assets"]["B04"]["href"] = json!(href);
            let error = parsed(&climbing).unwrap().places().unwrap_err();
            assert!(matches!(error, DataError::Name { .. }), "{href}");
        }
    }

    #[test]
    fn a_file_of_another_size_or_digest_is_refused() {
        let b04 = "B04".parse().unwrap();
        let mut sized = item();
        sized["assets"]["B04"]["file:size"] = json!(4);
        assert!(parsed(&sized).unwrap().add_file(&b04, &file(3)).is_err());
        assert!(parsed(&sized).unwrap().add_file(&b04, &file(4)).is_ok());
        for (checksum, good) in [
            (Digest::of("x").to_multihash(), true),
            (Digest::of("y").to_multihash(), false),
            ("1114ab".to_owned(), false),
        ] {
            let mut summed = item();
            summed["assets"]["B04"]["file:checksum"] = json!(checksum);
            assert_eq!(
                parsed(&summed).unwrap().add_file(&b04, &file(3)).is_ok(),
                good
            );
        }
    }
}
