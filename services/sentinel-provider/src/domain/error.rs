//! Why something about datasets is refused.

use jiff::Timestamp;
use oc_auth::MacaroonError;
use oc_door::DoorError;
use oc_kernel::{Classify, Code, Kind, NameError};
use oc_objects::ObjectError;
use oc_service::CallError;
use oc_store::StoreError;
use oc_trust::ChainError;

/// An error of this service.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is no such dataset.
    #[error("there is no dataset `{0}`")]
    NoDataset(String),
    /// There is no such image.
    #[error("there is no image `{image}` in dataset `{dataset}`")]
    NoImage {
        /// The dataset.
        dataset: String,
        /// The image.
        image: String,
    },
    /// An image has no such file.
    #[error("image `{image}` has no asset `{asset}`")]
    NoAsset {
        /// The image.
        image: String,
        /// The asset.
        asset: String,
    },
    /// There is no such reservation, or it is somebody else's.
    #[error("there is no reservation `{0}`")]
    NoReservation(String),
    /// The dataset's name is taken.
    #[error("dataset `{0}` exists already")]
    Exists(String),
    /// The dataset is on its way out.
    #[error("dataset `{0}` is being removed: wait until it is gone")]
    Leaving(String),
    /// A name or key that may not be one.
    #[error("`{text}` cannot be used as {what}: {reason}")]
    Name {
        /// What it names.
        what: &'static str,
        /// The text.
        text: String,
        /// Why not.
        reason: NameError,
    },
    /// The bytes are no JSON.
    #[error("the {what} is no JSON: {reason}")]
    Json {
        /// What was given.
        what: &'static str,
        /// Where it goes wrong.
        reason: serde_json::Error,
    },
    /// A STAC document that breaks a rule.
    #[error("{pointer}: {reason}")]
    Stac {
        /// Where, as a JSON pointer (RFC 6901).
        pointer: String,
        /// What is wrong there.
        reason: String,
    },
    /// A price or an organisation's id that cannot be read.
    #[error("the {what} cannot be read: {reason}")]
    Field {
        /// Which field.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A question that cannot be read.
    #[error("{0}")]
    Question(String),
    /// Nothing is reserved where nothing is found.
    #[error("no image of dataset `{dataset}` matches{}", nearest.as_deref().unwrap_or_default())]
    NothingFound {
        /// The dataset.
        dataset: String,
        /// The nearest image, as part of the sentence.
        nearest: Option<String>,
    },
    /// More images than one reservation holds.
    #[error(
        "{found} images match and one reservation holds {limit}: narrow the area, the time or the limit"
    )]
    TooMany {
        /// How many match.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The same operation came with another body.
    #[error("operation `{0}` was used before with another request")]
    OtherRequest(String),
    /// The reservation is over.
    #[error("reservation `{id}` ended at {at}: reserve again")]
    Lapsed {
        /// The reservation.
        id: String,
        /// When.
        at: Timestamp,
    },
    /// A key outside of the reservation or the chain.
    #[error("`{key}` is not in {place}")]
    Outside {
        /// The key.
        key: String,
        /// What does not hold it.
        place: &'static str,
    },
    /// A partner without a grant.
    #[error("a partner needs a grant for `{0}`: ask its owner for one")]
    GrantNeeded(String),
    /// The grant was changed after the chain was made.
    #[error(
        "the grant has generation {current}, the chain was made for {shown}: it was changed or revoked"
    )]
    Generation {
        /// The grant's.
        current: u64,
        /// The chain's.
        shown: u64,
    },
    /// The grant names the tools that may read the data, and only the owner can see which tool does.
    #[error(
        "the grant lets only {tools} read `{listing}`, and only at its owner's machines: what runs elsewhere cannot \
         be checked"
    )]
    OnlyHere {
        /// The dataset's listing.
        listing: String,
        /// The tools, in words.
        tools: String,
    },
    /// The delegation behind a token has reached its end.
    #[error("the delegation behind this token has ended")]
    DelegationEnded,
    /// The chain is for another run, attempt or holder than the reservation.
    #[error("the chain is for another {0} than the reservation")]
    Mismatch(&'static str),
    /// The chain does not hold.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The token does not open this.
    #[error(transparent)]
    Token(#[from] MacaroonError),
    /// The compute-provider refuses the grant, or the catalogue the listing.
    #[error(transparent)]
    Call(#[from] CallError),
    /// discovery gives no answer.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object store.
    #[error(transparent)]
    Objects(#[from] ObjectError),
}

impl DataError {
    pub(crate) fn stac(pointer: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Stac {
            pointer: pointer.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn name(what: &'static str, text: &str, reason: NameError) -> Self {
        Self::Name {
            what,
            text: text.chars().take(80).collect(),
            reason,
        }
    }
}

impl Classify for DataError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoDataset(_)
            | Self::NoImage { .. }
            | Self::NoAsset { .. }
            | Self::NoReservation(_) => Kind::NotFound,
            Self::Exists(_) => Kind::AlreadyExists,
            Self::Leaving(_) | Self::OtherRequest(_) => Kind::Conflict,
            Self::Json { .. } | Self::Question(_) => Kind::Malformed,
            Self::Name { .. } | Self::Stac { .. } | Self::Field { .. } => Kind::Invalid,
            Self::NothingFound { .. } | Self::Lapsed { .. } => Kind::Precondition,
            Self::TooMany { .. } => Kind::Exhausted,
            Self::Outside { .. }
            | Self::GrantNeeded(_)
            | Self::Generation { .. }
            | Self::OnlyHere { .. }
            | Self::DelegationEnded
            | Self::Mismatch(_) => Kind::Forbidden,
            Self::Chain(error) => error.kind(),
            Self::Token(error) => error.kind(),
            Self::Call(error) => error.kind(),
            Self::Door(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Objects(error) => error.kind(),
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            Self::NothingFound { .. } => Some(Code::NoImage),
            Self::GrantNeeded(_) => Some(Code::GrantMissing),
            Self::Generation { .. } => Some(Code::GrantChanged),
            Self::DelegationEnded => Some(Code::NoLongerValid),
            Self::Chain(error) => error.code(),
            Self::Call(error) => error.code(),
            Self::Door(error) => error.code(),
            _ => None,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Call(error) => error.advice(),
            Self::Door(error) => error.advice(),
            Self::NothingFound { .. } => {
                Some("widen the dates or the area, or take the nearest image".to_owned())
            }
            Self::Objects(ObjectError::AlreadyExists(_)) => Some(
                "a file is written once: give the image another id, or remove the dataset and import it anew"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
