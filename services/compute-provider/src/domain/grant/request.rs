//! What a consumer asks for.

use jiff::Timestamp;
use oc_kernel::{Classify, Kind, Name};
use oc_trust::{GrantedListing, Limits, ListingKind, OverLimit, Price};
use serde::{Deserialize, Serialize};

use super::ms;
use crate::domain::ledger::Ledger;
use crate::domain::offer::Offer;
use crate::domain::resources::Amount;

/// A listing that is asked for, with its kind as the provider's catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The listing's id.
    pub id: Name,
    /// Its kind.
    pub kind: ListingKind,
}

impl Asked {
    /// As it stands in a signed grant.
    pub fn granted(&self) -> GrantedListing {
        GrantedListing {
            id: self.id.clone(),
            kind: self.kind,
            limits: None,
        }
    }
}

/// What a consumer asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRequest {
    /// The consumer's key of the operation.
    pub operation: Name,
    /// The listings.
    pub listings: Vec<Asked>,
    /// The limits.
    pub limits: Limits,
    /// Begin in ms since the epoch.
    pub not_before_ms: u64,
    /// End in ms since the epoch.
    pub not_after_ms: u64,
    /// For the provider's administrator.
    pub message: String,
}

/// What the provider has under a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// The listing and its kind.
    pub listing: Asked,
    /// What there is; none where the kind has no capacity.
    pub capacity: Option<Limits>,
    /// What it costs.
    pub price: Price,
}

/// Why a request is refused at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nothing is asked for.
    #[error("name at least one listing")]
    Empty,
    /// Too much at once.
    #[error("a request may name {most} listings, this one names {found}")]
    TooMany {
        /// Most listings.
        most: usize,
        /// How many came.
        found: usize,
    },
    /// The same one twice.
    #[error("listing `{0}` is named twice")]
    Twice(Name),
    /// Two sets of machines: their use could not be bounded together.
    #[error("a grant covers one compute offer: ask for another grant for `{0}`")]
    TwoMachines(Name),
    /// It does not exist, or not for this consumer.
    #[error("no listing `{0}` here")]
    NoListing(Name),
    /// A time that is none.
    #[error("{0}")]
    Time(&'static str),
    /// More than anybody can mean.
    #[error("no grant is over that much, whatever is offered: {0}")]
    Absurd(OverLimit),
    /// Machines without which nothing runs.
    #[error("a grant for `{listing}` needs at least one of {what}: nothing runs without")]
    Nothing {
        /// The compute listing.
        listing: Name,
        /// What is missing.
        what: Amount,
    },
    /// More than is offered.
    #[error("listing `{listing}` has less than that: {over}")]
    OverOffer {
        /// The listing.
        listing: Name,
        /// Which number, and both of them.
        over: OverLimit,
    },
    /// Prices that cannot stand in one grant.
    #[error("the listings are priced in {0} and {1}: ask for a grant for each")]
    Currencies(oc_trust::Currency, oc_trust::Currency),
    /// A text that is too long.
    #[error("a message may have {0} bytes")]
    Message(usize),
    /// Too many wait already.
    #[error(
        "{0} requests of yours wait for an answer here already: end one of them, or wait for an answer"
    )]
    Waiting(usize),
    /// The same operation with another body.
    #[error("operation `{0}` asked for something else before: use a new one")]
    OtherBody(Name),
}

impl Classify for RequestError {
    fn kind(&self) -> Kind {
        match self {
            RequestError::NoListing(_) => Kind::NotFound,
            RequestError::OtherBody(_) => Kind::Conflict,
            RequestError::Waiting(_) => Kind::Exhausted,
            _ => Kind::Invalid,
        }
    }
}

impl GrantRequest {
    /// Most listings in one grant.
    pub const MOST_LISTINGS: usize = 64;
    /// Most requests of one consumer that are not in force yet, and not over.
    pub const MOST_WAITING: usize = 16;
    /// The most that a grant may be over, where what is offered sets no smaller bound. An offer names no total of
    /// core-seconds or of bytes out, and a dataset names no number at all: without this bound a slip of the
    /// keyboard, or a partner who tries, would get everything for good.
    pub const CEILING: Limits = Limits {
        cores: Offer::MOST_CORES,
        memory_bytes: Offer::MOST_MEMORY,
        fragments: Ledger::MOST_FRAGMENTS,
        // A thousand cores for eleven days.
        core_seconds: 1_000_000_000,
        // A petabyte.
        egress_bytes: 1_000_000_000_000_000,
        storage_bytes: 1_000_000_000_000_000,
        run_wall_seconds: Offer::LONGEST_WALL,
    };
    /// Longest message, in bytes.
    pub const LONGEST_MESSAGE: usize = 4096;
    /// Longest life of a grant, in ms: five years.
    pub const LONGEST_MS: u64 = 5 * 366 * 24 * 3_600_000;

    /// Checks a request against what the provider offers under its listings; the price of the grant.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub fn check(&self, offered: &[Offered], now: Timestamp) -> Result<Price, RequestError> {
        if self.listings.len() > Self::MOST_LISTINGS {
            let found = self.listings.len();
            return Err(RequestError::TooMany {
                most: Self::MOST_LISTINGS,
                found,
            });
        }
        for (at, listing) in self.listings.iter().enumerate() {
            if self.listings[..at].contains(listing) {
                return Err(RequestError::Twice(listing.id.clone()));
            }
        }
        let mut machines = self
            .listings
            .iter()
            .filter(|l| l.kind == ListingKind::Compute);
        let (first_machines, second) = (machines.next(), machines.next());
        if let Some(second) = second {
            return Err(RequestError::TwoMachines(second.id.clone()));
        }
        if let Some(listing) = first_machines {
            self.check_runs(&listing.id)?;
        }
        self.limits
            .within(&Self::CEILING)
            .map_err(RequestError::Absurd)?;
        if self.message.len() > Self::LONGEST_MESSAGE {
            return Err(RequestError::Message(Self::LONGEST_MESSAGE));
        }
        if self.not_after_ms <= ms(now) {
            return Err(RequestError::Time("the end of a grant must lie ahead"));
        }
        if self.not_after_ms <= self.not_before_ms {
            return Err(RequestError::Time("a grant must begin before it ends"));
        }
        if self.not_after_ms - self.not_before_ms.max(ms(now)) > Self::LONGEST_MS {
            return Err(RequestError::Time("a grant lasts five years at most"));
        }
        for offer in offered {
            let Some(capacity) = &offer.capacity else {
                continue;
            };
            used_by(offer.listing.kind, &self.limits)
                .within(&unbounded_total(capacity))
                .map_err(|over| RequestError::OverOffer {
                    listing: offer.listing.id.clone(),
                    over,
                })?;
        }
        price_of(offered.iter().map(|offer| offer.price))?.ok_or(RequestError::Empty)
    }
}

impl GrantRequest {
    fn check_runs(&self, listing: &Name) -> Result<(), RequestError> {
        let what = match self.limits {
            Limits { cores: 0, .. } => Amount::Cores,
            Limits {
                memory_bytes: 0, ..
            } => Amount::MemoryBytes,
            _ => return Ok(()),
        };
        let listing = listing.clone();
        Err(RequestError::Nothing { listing, what })
    }
}

/// The numbers of `limits` that a listing of this kind can use up.
fn used_by(kind: ListingKind, limits: &Limits) -> Limits {
    match kind {
        ListingKind::Compute => Limits {
            cores: limits.cores,
            memory_bytes: limits.memory_bytes,
            fragments: limits.fragments,
            run_wall_seconds: limits.run_wall_seconds,
            ..Limits::default()
        },
        ListingKind::Storage => Limits {
            storage_bytes: limits.storage_bytes,
            ..Limits::default()
        },
        _ => Limits::default(),
    }
}

/// An offer bounds what happens at a time, not what happens over the life of a grant.
fn unbounded_total(capacity: &Limits) -> Limits {
    Limits {
        core_seconds: u64::MAX,
        egress_bytes: u64::MAX,
        ..*capacity
    }
}

/// The price of a grant over things with these prices; none where there is none.
///
/// # Errors
/// When they are in several currencies.
pub fn price_of(prices: impl IntoIterator<Item = Price>) -> Result<Option<Price>, RequestError> {
    let mut prices = prices.into_iter();
    let Some(first) = prices.next() else {
        return Ok(None);
    };
    let all = prices.try_fold(first, |sum, next| join(&sum, &next))?;
    Ok(Some(all))
}

/// One price for several listings: the dearer of each amount, so that nothing is given away by asking for
/// two things at once.
fn join(a: &Price, b: &Price) -> Result<Price, RequestError> {
    if is_free(b) {
        return Ok(*a);
    }
    if is_free(a) {
        return Ok(*b);
    }
    if a.currency != b.currency {
        return Err(RequestError::Currencies(a.currency, b.currency));
    }
    Ok(Price {
        currency: a.currency,
        core_hour: a.core_hour.max(b.core_hour),
        egress_gib: a.egress_gib.max(b.egress_gib),
        storage_gib_month: a.storage_gib_month.max(b.storage_gib_month),
    })
}

fn is_free(price: &Price) -> bool {
    *price == Price::free(price.currency)
}
