//! Why the bus refused or failed.

use oc_kernel::{Classify, Kind};

use crate::{EventError, PatternError};

/// An error of the bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Not a CloudEvent.
    #[error("the event cannot be published")]
    Event(#[from] EventError),
    /// Not a pattern of event types.
    #[error("the subscription cannot be made")]
    Pattern(#[from] PatternError),
    /// A durable subscription did not take events for too long.
    #[error("subscription `{subscription}` has {length} events waiting and takes no more")]
    Full {
        /// The subscription's name.
        subscription: String,
        /// Events waiting.
        length: usize,
    },
    /// The name is in use with other types or limits.
    #[error("subscription `{0}` exists with other types or limits")]
    Differs(String),
    /// The bus or its connection is gone.
    #[error("the bus is not available: {0}")]
    Unavailable(String),
}

impl BusError {
    /// True where the same call may succeed later without any change.
    pub fn retryable(&self) -> bool {
        self.kind().retryable()
    }
}

impl Classify for BusError {
    fn kind(&self) -> Kind {
        match self {
            Self::Event(_) | Self::Pattern(_) => Kind::Invalid,
            Self::Full { .. } => Kind::Exhausted,
            Self::Differs(_) => Kind::Conflict,
            Self::Unavailable(_) => Kind::Unavailable,
        }
    }
}

/// An outbox that cannot be read or acknowledged.
#[derive(Debug, thiserror::Error)]
#[error("the outbox failed")]
pub struct SourceError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl SourceError {
    /// Wraps the store's error.
    pub fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}
