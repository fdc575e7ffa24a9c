//! The bytes of one storage offer as one document: who has how many stored, which uploads are announced, and
//! which objects are being removed. Announcements and removals are written down before anything happens
//! to the bytes, so that whatever a crash leaves behind can be finished.
//!
//! It knows no bytes: only lengths, digests and keys.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use oc_kernel::{
    AttemptId, Classify, Code, Digest, GrantId, Id, IdKind, Kind, Name, ObjectKey, OrgId,
};
use serde::{Deserialize, Serialize};

#[doc(hidden)]
pub enum UploadKind {}
impl IdKind for UploadKind {
    const PREFIX: &'static str = "upload";
}
/// A file that was announced.
pub type UploadId = Id<UploadKind>;

/// Who has objects in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// Ourselves.
    Own,
    /// The consumer of a grant.
    Grant(GrantId),
}

impl Holder {
    /// The grant, where there is one.
    pub fn grant(&self) -> Option<GrantId> {
        match self {
            Holder::Own => None,
            Holder::Grant(grant) => Some(*grant),
        }
    }
}

/// A file that is announced and not stored yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// Whose.
    pub holder: Holder,
    /// The attempt that writes it; none for people.
    pub attempt: Option<AttemptId>,
    /// The partner that announced it; none for ourselves.
    pub announcer: Option<OrgId>,
    /// The user of ours whom it will belong to.
    #[serde(default)]
    pub user: Option<String>,
    /// Its length in bytes.
    pub length: u64,
    /// Its digest.
    pub sha256: Digest,
    /// Its media type, empty where unknown.
    pub media_type: String,
    /// When it is given up.
    pub expires_at: Timestamp,
}

/// An object that is being removed; its bytes count no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Whose it was.
    pub holder: Holder,
}

/// The bytes of one storage offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// The offer.
    pub offer: Name,
    /// What there is, in bytes.
    pub capacity: u64,
    /// True when nothing more is taken in.
    pub closed: bool,
    #[serde(with = "super::ledger::pairs")]
    stored: BTreeMap<Holder, u64>,
    #[serde(with = "super::ledger::pairs")]
    uploads: BTreeMap<ObjectKey, Upload>,
    #[serde(with = "super::ledger::pairs")]
    removals: BTreeMap<ObjectKey, Removal>,
}

/// Why a room refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// No room left for anybody.
    #[error(
        "storage.{offer} has {} bytes free of {limit}, and {asked} more were to be stored: offer more, delete some, \
         or use another storage",
        limit.saturating_sub(*used)
    )]
    Full {
        /// The offer.
        offer: Name,
        /// What was asked, in bytes.
        asked: u64,
        /// What is taken, in bytes.
        used: u64,
        /// What there is, in bytes.
        limit: u64,
    },
    /// No room left for this grant.
    #[error(
        "grant {grant} allows {limit} bytes in store: {used} are stored or announced, {asked} more were to be: delete \
         some, ask for a larger grant, or use another storage"
    )]
    OverQuota {
        /// The grant.
        grant: GrantId,
        /// What was asked, in bytes.
        asked: u64,
        /// What is taken, in bytes.
        used: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Too many at a time.
    #[error("{limit} uploads are open already: finish some first")]
    TooManyOpen {
        /// Most open uploads.
        limit: usize,
    },
    /// The key was announced with other content.
    #[error("`{key}` was announced before with other content: objects are written once")]
    OtherContent {
        /// The key.
        key: ObjectKey,
    },
    /// The key belongs to another attempt, user or organisation.
    #[error("`{key}` belongs to somebody else: objects are written once, choose another key")]
    OtherWriter {
        /// The key.
        key: ObjectKey,
    },
    /// The object of that key is being removed.
    #[error("`{key}` is being removed")]
    BeingRemoved {
        /// The key.
        key: ObjectKey,
    },
    /// The offer is withdrawn.
    #[error("storage offer `{offer}` is withdrawn")]
    Withdrawn {
        /// The offer.
        offer: Name,
    },
    /// More is stored than the new capacity has.
    #[error("{used} bytes are stored or announced: the offer cannot shrink to {limit}")]
    InUse {
        /// What is taken, in bytes.
        used: u64,
        /// What there would be, in bytes.
        limit: u64,
    },
}

impl Classify for RoomError {
    fn kind(&self) -> Kind {
        match self {
            RoomError::Full { .. }
            | RoomError::OverQuota { .. }
            | RoomError::TooManyOpen { .. } => Kind::Exhausted,
            RoomError::OtherContent { .. } | RoomError::OtherWriter { .. } => Kind::Conflict,
            RoomError::BeingRemoved { .. }
            | RoomError::Withdrawn { .. }
            | RoomError::InUse { .. } => Kind::Precondition,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            RoomError::Withdrawn { .. } => Some(Code::OfferWithdrawn),
            RoomError::Full { .. } => Some(Code::StorageFull),
            RoomError::OverQuota { .. } => Some(Code::OverLimit),
            _ => None,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            RoomError::Full { offer, .. } => Some(format!(
                "`opencloud storage list {offer}` shows what lies there, `opencloud storage remove {offer}` makes room"
            )),
            _ => None,
        }
    }
}

impl Room {
    /// Uploads open at a time, for one holder and so for the document.
    pub const MOST_OPEN: usize = 256;
    /// The least time by which an announcement that is repeated is kept longer.
    const RENEWED: SignedDuration = SignedDuration::from_secs(60);

    /// An empty room.
    pub fn new(offer: Name, capacity: u64) -> Self {
        Self {
            offer,
            capacity,
            closed: false,
            stored: BTreeMap::new(),
            uploads: BTreeMap::new(),
            removals: BTreeMap::new(),
        }
    }

    /// Bytes stored or announced, by one holder or by all.
    pub fn taken(&self, holder: Option<&Holder>) -> u64 {
        let mine = |other: &Holder| holder.is_none_or(|holder| holder == other);
        let stored = self
            .stored
            .iter()
            .filter(|(who, _)| mine(who))
            .map(|(_, bytes)| *bytes);
        let announced = self
            .uploads
            .values()
            .filter(|u| mine(&u.holder))
            .map(|u| u.length);
        stored.chain(announced).fold(0, u64::saturating_add)
    }

    /// The announced file of that key.
    pub fn upload(&self, key: &ObjectKey) -> Option<&Upload> {
        self.uploads.get(key)
    }

    /// All announced files.
    pub fn uploads(&self) -> impl Iterator<Item = (&ObjectKey, &Upload)> {
        self.uploads.iter()
    }

    /// All objects that are being removed.
    pub fn removals(&self) -> impl Iterator<Item = (&ObjectKey, &Removal)> {
        self.removals.iter()
    }

    /// Who has something here.
    pub fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.stored.keys()
    }

    /// Announces a file; `quota` bounds the holder. The same announcement again gets the same upload, with
    /// more time.
    ///
    /// # Errors
    /// When there is no room, or the key is announced for something else.
    pub fn announce(
        &mut self,
        key: ObjectKey,
        upload: Upload,
        quota: Option<u64>,
    ) -> Result<UploadId, RoomError> {
        if self.closed {
            return Err(RoomError::Withdrawn {
                offer: self.offer.clone(),
            });
        }
        if self.removals.contains_key(&key) {
            return Err(RoomError::BeingRemoved { key });
        }
        if let Some(open) = self.uploads.get_mut(&key) {
            let same_attempt = open.holder == upload.holder && open.attempt == upload.attempt;
            // Whose run an attempt is of may be said between two tries; a person is always the same.
            let same_user = open.user == upload.user || upload.attempt.is_some();
            if !same_attempt || !same_user {
                return Err(RoomError::OtherWriter { key });
            }
            if open.length != upload.length || open.sha256 != upload.sha256 {
                return Err(RoomError::OtherContent { key });
            }
            // Said again at once, as before the bytes come, it need not be written again.
            if upload.expires_at.duration_since(open.expires_at) >= Self::RENEWED {
                open.expires_at = upload.expires_at;
            }
            return Ok(open.id);
        }
        if self
            .uploads
            .values()
            .filter(|u| u.holder == upload.holder)
            .count()
            >= Self::MOST_OPEN
        {
            return Err(RoomError::TooManyOpen {
                limit: Self::MOST_OPEN,
            });
        }
        let (asked, used, limit) = (upload.length, self.taken(None), self.capacity);
        if used.saturating_add(asked) > limit {
            return Err(RoomError::Full {
                offer: self.offer.clone(),
                asked,
                used,
                limit,
            });
        }
        if let (Holder::Grant(grant), Some(limit)) = (upload.holder, quota) {
            let used = self.taken(Some(&upload.holder));
            if used.saturating_add(asked) > limit {
                return Err(RoomError::OverQuota {
                    grant,
                    asked,
                    used,
                    limit,
                });
            }
        }
        let id = upload.id;
        self.uploads.insert(key, upload);
        Ok(id)
    }

    /// The file is stored. Said again it changes nothing.
    pub fn store(&mut self, key: &ObjectKey) {
        if let Some(upload) = self.uploads.remove(key) {
            let bytes = self.stored.entry(upload.holder).or_default();
            *bytes = bytes.saturating_add(upload.length);
        }
    }

    /// The file is given up.
    pub fn give_up(&mut self, key: &ObjectKey) {
        self.uploads.remove(key);
    }

    /// A stored object is about to be removed. Said again it changes nothing.
    pub fn remove(&mut self, key: &ObjectKey, holder: Holder, length: u64) {
        if self.removals.contains_key(key) {
            return;
        }
        // After a crash it may still count as announced.
        self.store(key);
        self.removals.insert(key.clone(), Removal { holder });
        if let Some(bytes) = self.stored.get_mut(&holder) {
            *bytes = bytes.saturating_sub(length);
            if *bytes == 0 {
                self.stored.remove(&holder);
            }
        }
    }

    /// Nothing of the object is left.
    pub fn removed(&mut self, key: &ObjectKey) {
        self.removals.remove(key);
    }

    /// Changes what there is.
    ///
    /// # Errors
    /// When more is taken.
    pub fn resize(&mut self, capacity: u64) -> Result<(), RoomError> {
        let used = self.taken(None);
        if used > capacity {
            return Err(RoomError::InUse {
                used,
                limit: capacity,
            });
        }
        self.capacity = capacity;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
