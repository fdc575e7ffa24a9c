//! Images that are held for a run: the same operation holds them once, and they lapse unless renewed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oc_kernel::{Digest, Name, ObjectKey, OrgId, ReservationId};
use oc_store::{Collection as Documents, Index};
use serde::{Deserialize, Serialize};

use super::{AssetFile, DataError};

/// The documents of reservations, by [`operation_key`].
pub(crate) static RESERVATIONS: Documents = Documents::new(
    "reservations",
    &[
        Index::pointer("id", "/id"),
        Index::pointer("dataset", "/dataset"),
        Index::pointer("grant", "/grant_id"),
        Index::pointer("ends", "/ends_ms"),
    ],
);

/// An image in a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// STAC item id.
    pub(crate) item: Name,
    /// When it was taken, in ms since the epoch.
    pub(crate) taken_ms: i64,
    /// The wanted files, by the name of the asset.
    pub(crate) files: BTreeMap<Name, AssetFile>,
}

/// A reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reservation {
    /// Its id.
    pub(crate) id: ReservationId,
    /// The dataset.
    pub(crate) dataset: Name,
    /// Who holds it.
    pub(crate) holder: OrgId,
    /// The grant that it was made under; empty for ourselves.
    pub(crate) grant_id: String,
    /// The run it is for.
    pub(crate) run_id: String,
    /// The holder's key of the operation that made it.
    pub(crate) operation_id: String,
    /// The digest of the request that made it.
    pub(crate) request: Digest,
    /// The images, newest first.
    pub(crate) images: Vec<Held>,
    /// When it lapses or was released, in ms since the epoch.
    pub(crate) ends_ms: u64,
    /// True once it was released or taken back: it cannot be renewed.
    pub(crate) closed: bool,
}

/// The key of the document that an operation makes; whoever comes second finds the first one's. Another
/// holder's operation of the same name is another one.
pub(crate) fn operation_key(holder: &OrgId, run_id: &str, operation_id: &str) -> String {
    let text = serde_json::json!([holder, run_id, operation_id]).to_string();
    Digest::of(&text).to_string()
}

impl Reservation {
    /// Succeeds while it holds.
    ///
    /// # Errors
    /// [`DataError::Lapsed`].
    pub(crate) fn check(&self, now_ms: u64) -> Result<(), DataError> {
        if !self.closed && now_ms < self.ends_ms {
            return Ok(());
        }
        let ended = i64::try_from(self.ends_ms).unwrap_or(i64::MAX);
        Err(DataError::Lapsed {
            id: self.id.to_string(),
            at: Timestamp::from_millisecond(ended).unwrap_or(Timestamp::MAX),
        })
    }

    /// Lets it live until `ends_ms`, never shorter than it would anyway.
    ///
    /// # Errors
    /// [`DataError::Lapsed`].
    pub(crate) fn renew(&mut self, now_ms: u64, ends_ms: u64) -> Result<(), DataError> {
        self.check(now_ms)?;
        self.ends_ms = self.ends_ms.max(ends_ms);
        Ok(())
    }

    /// Ends it; ending it again changes nothing.
    pub(crate) fn close(&mut self, now_ms: u64) {
        if !self.closed {
            self.closed = true;
            self.ends_ms = self.ends_ms.min(now_ms);
        }
    }

    /// Its files, each once.
    pub(crate) fn files(&self) -> impl Iterator<Item = &AssetFile> {
        self.images.iter().flat_map(|held| held.files.values())
    }

    /// The files of these keys, or all.
    ///
    /// # Errors
    /// [`DataError::Outside`] for a key that it does not hold.
    pub(crate) fn select(&self, keys: &[ObjectKey]) -> Result<Vec<&AssetFile>, DataError> {
        if keys.is_empty() {
            return Ok(self.files().collect());
        }
        let file = |key: &ObjectKey| {
            let found = self.files().find(|file| file.key == *key);
            found.ok_or_else(|| DataError::Outside {
                key: key.to_string(),
                place: "the reservation",
            })
        };
        keys.iter().map(file).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reservation() -> Reservation {
        let file = |name: &str| AssetFile {
            key: format!("demo/{name}").parse().unwrap(),
            sha256: Digest::of(name),
            length: 1,
            media_type: String::new(),
        };
        Reservation {
            id: ReservationId::new(),
            dataset: "demo".parse().unwrap(),
            holder: OrgId::from_digest([1; 32]),
            grant_id: String::new(),
            run_id: "run".to_owned(),
            operation_id: "op".to_owned(),
            request: Digest::of(""),
            images: vec![Held {
                item: "a".parse().unwrap(),
                taken_ms: 0,
                files: BTreeMap::from([
                    ("B04".parse().unwrap(), file("B04")),
                    ("B08".parse().unwrap(), file("B08")),
                ]),
            }],
            ends_ms: 1000,
            closed: false,
        }
    }

    #[test]
    fn it_holds_until_its_end_and_renewing_never_shortens_it() {
        let mut held = reservation();
        assert!(held.check(999).is_ok());
        assert!(matches!(held.check(1000), Err(DataError::Lapsed { .. })));
        held.renew(500, 2000).unwrap();
        held.renew(600, 1500).unwrap();
        assert!(held.check(1999).is_ok());
        assert!(held.renew(2000, 9000).is_err());
    }

    #[test]
    fn once_closed_it_stays_closed() {
        let mut held = reservation();
        held.close(400);
        assert_eq!(held.ends_ms, 400);
        assert!(held.check(100).is_err());
        assert!(held.renew(100, 9000).is_err());
        held.close(300);
        assert_eq!(held.ends_ms, 400);
    }

    #[test]
    fn only_its_own_files_are_selected() {
        let held = reservation();
        let key = |text: &str| text.parse::<ObjectKey>().unwrap();
        assert_eq!(held.select(&[]).unwrap().len(), 2);
        assert_eq!(held.select(&[key("demo/B08")]).unwrap().len(), 1);
        let error = held
            .select(&[key("demo/B04"), key("demo/B02")])
            .unwrap_err();
        assert!(matches!(error, DataError::Outside { .. }));
    }

    #[test]
    fn operations_of_two_holders_or_runs_never_meet() {
        let (a, b) = (OrgId::from_digest([1; 32]), OrgId::from_digest([2; 32]));
        let key = operation_key(&a, "run", "op");
        assert_eq!(key, operation_key(&a, "run", "op"));
        assert_ne!(key, operation_key(&b, "run", "op"));
        assert_ne!(key, operation_key(&a, "run-op", ""));
        assert_ne!(key, operation_key(&a, "ru", "nop"));
    }
}
