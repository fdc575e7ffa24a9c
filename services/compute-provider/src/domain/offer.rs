//! What this organisation offers to partners: machines, or room for objects.

mod fits;

use oc_kernel::{Classify, Kind, Money, Name, NameError, OrgId};
use oc_trust::{Limits, Price, Visibility};
use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use super::resources::{Amount, Capacity, Resources};

/// What an offer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OfferKind {
    /// Machines.
    Compute,
    /// Room for objects.
    Storage,
}

impl OfferKind {
    /// The word in front of the dot of a listing's id.
    pub const fn as_str(self) -> &'static str {
        match self {
            OfferKind::Compute => "compute",
            OfferKind::Storage => "storage",
        }
    }
}

/// Whether an offer still stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OfferState {
    /// It may be used.
    Active,
    /// It is being taken back: nothing new begins, what runs is stopped.
    Withdrawn,
}

/// An offer. Its capacity uses only the numbers of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Unique here.
    pub name: Name,
    /// What it is about.
    pub kind: OfferKind,
    /// One line for people.
    pub title: String,
    /// Terms of use for people.
    pub terms: String,
    /// What there is.
    pub capacity: Limits,
    /// What it costs.
    pub price: Price,
    /// Who may see and ask for it.
    pub visibility: Visibility,
    /// Whether it still stands.
    pub state: OfferState,
    /// True once the catalogue has it as it is now.
    pub listed: bool,
}

/// Why an offer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// The name is none, or too long to be listed.
    #[error("an offer's name is refused: {0}")]
    Name(#[from] NameError),
    /// The name stands for something else here.
    #[error("`{0}` cannot be the name of an offer: it is used by the service itself")]
    Reserved(Name),
    /// A number that must not be so small or so large.
    #[error("an offer of {} needs {least} to {most} {amount}, not {found}", kind.as_str())]
    Number {
        /// What is offered.
        kind: OfferKind,
        /// Which number.
        amount: Amount,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
        /// What was given.
        found: u64,
    },
    /// More than there is.
    #[error("{}", fits::beyond(*amount, *has, *found))]
    Beyond {
        /// Which number.
        amount: Amount,
        /// What there is for it.
        has: u64,
        /// What was given.
        found: u64,
    },
    /// A number that has no meaning for the kind.
    #[error("an offer of {} has no {amount}: leave them out", kind.as_str())]
    Meaningless {
        /// What is offered.
        kind: OfferKind,
        /// Which number.
        amount: Amount,
    },
    /// A text that is too long.
    #[error("the {field} of an offer may have {limit} bytes")]
    TooLong {
        /// Which text.
        field: &'static str,
        /// Most bytes.
        limit: usize,
    },
    /// A negative amount.
    #[error("a price must not be negative")]
    Price,
    /// A price that no record would ever charge.
    #[error("an offer of {} cannot ask a price per {per}: {why}", kind.as_str())]
    Unbilled {
        /// What is offered.
        kind: OfferKind,
        /// What the price is for.
        per: &'static str,
        /// Why it would not be charged, and what to do.
        why: &'static str,
    },
    /// A fragment that the offer could never run.
    #[error("offer `{offer}` has {limit} {amount} for one fragment, {asked} were asked")]
    AboveOffer {
        /// The offer.
        offer: Name,
        /// Which number.
        amount: Amount,
        /// What was asked.
        asked: u64,
        /// What there is.
        limit: u64,
    },
}

impl Classify for OfferError {
    fn kind(&self) -> Kind {
        match self {
            OfferError::Name(_) => Kind::Malformed,
            _ => Kind::Invalid,
        }
    }
}

/// The name under which objects that belong to no offer are kept: what a run left here for its later
/// fragments.
pub const WORKSPACE: &str = "work";

impl Offer {
    /// Longest life of one fragment, in seconds: a week.
    pub const LONGEST_WALL: u64 = 7 * 24 * 3600;
    /// Most cores of one offer.
    pub const MOST_CORES: u32 = 65_536;
    /// Most memory of one offer, in bytes: a pebibyte.
    pub const MOST_MEMORY: u64 = 1 << 50;

    /// Checks a new offer.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check(&self) -> Result<(), OfferError> {
        // The listing's id must be a name as well.
        self.listing_id()?;
        if self.name.as_str() == WORKSPACE {
            return Err(OfferError::Reserved(self.name.clone()));
        }
        for (field, text, limit) in [("title", &self.title, 256), ("terms", &self.terms, 65_536)] {
            if text.len() > limit {
                return Err(OfferError::TooLong { field, limit });
            }
        }
        if !self.price.is_valid() {
            return Err(OfferError::Price);
        }
        self.check_billed()?;
        let has = &self.capacity;
        let machines = [
            (
                Amount::Cores,
                1,
                u64::from(Self::MOST_CORES),
                u64::from(has.cores),
            ),
            (
                Amount::MemoryBytes,
                1 << 20,
                Self::MOST_MEMORY,
                has.memory_bytes,
            ),
            (
                Amount::Fragments,
                1,
                u64::from(Ledger::MOST_FRAGMENTS),
                u64::from(has.fragments),
            ),
            (
                Amount::WallSeconds,
                1,
                Self::LONGEST_WALL,
                has.run_wall_seconds,
            ),
        ];
        let room = [(Amount::StoredBytes, 1, 1 << 60, has.storage_bytes)];
        match self.kind {
            OfferKind::Compute => self.numbers(&machines, &room),
            OfferKind::Storage => self.numbers(&room, &machines),
        }
    }

    /// The books hold attempts, and what those wrote elsewhere: a listed price that nobody is charged would mislead.
    fn check_billed(&self) -> Result<(), OfferError> {
        let kind = self.kind;
        let unbilled = |per, why| Err(OfferError::Unbilled { kind, per, why });
        if self.price.storage_gib_month > Money::ZERO {
            return unbilled(
                "GiB and month",
                "what is stored is held to limits and not charged for its time: leave it out",
            );
        }
        if kind == OfferKind::Storage && self.price.core_hour > Money::ZERO {
            return unbilled(
                "core-hour",
                "no step runs in storage, and the machines of the same grant would grow dearer: ask it of a compute offer",
            );
        }
        if kind == OfferKind::Storage && self.price.egress_gib > Money::ZERO {
            return unbilled(
                "GiB out",
                "what is read from storage is held to limits and not charged: ask it of a compute offer",
            );
        }
        Ok(())
    }

    fn numbers(
        &self,
        needed: &[(Amount, u64, u64, u64)],
        meaningless: &[(Amount, u64, u64, u64)],
    ) -> Result<(), OfferError> {
        let kind = self.kind;
        for &(amount, least, most, found) in needed {
            if !(least..=most).contains(&found) {
                return Err(OfferError::Number {
                    kind,
                    amount,
                    least,
                    most,
                    found,
                });
            }
        }
        match meaningless.iter().find(|(.., found)| *found > 0) {
            Some(&(amount, ..)) => Err(OfferError::Meaningless { kind, amount }),
            None => Ok(()),
        }
    }

    /// The id of its listing.
    ///
    /// # Errors
    /// When the name is too long for one.
    pub fn listing_id(&self) -> Result<Name, NameError> {
        listing_id(self.kind, &self.name)
    }

    /// What the ledger shares out.
    pub fn ledger_capacity(&self) -> Capacity {
        Capacity {
            cores: self.capacity.cores,
            memory_bytes: self.capacity.memory_bytes,
            fragments: self.capacity.fragments,
        }
    }

    /// True when `org` may see and ask for it.
    pub fn visible_to(&self, org: &OrgId) -> bool {
        self.visibility.includes(org)
    }

    /// Checks that one fragment could ever run here.
    ///
    /// # Errors
    /// The number that is too large, with what there is.
    pub fn could_run(&self, wants: &Resources, wall_seconds: u64) -> Result<(), OfferError> {
        let has = &self.capacity;
        let numbers = [
            (Amount::Cores, u64::from(wants.cores), u64::from(has.cores)),
            (Amount::MemoryBytes, wants.memory_bytes, has.memory_bytes),
            (Amount::WallSeconds, wall_seconds, has.run_wall_seconds),
        ];
        for (amount, asked, limit) in numbers {
            if asked > limit {
                let offer = self.name.clone();
                return Err(OfferError::AboveOffer {
                    offer,
                    amount,
                    asked,
                    limit,
                });
            }
        }
        Ok(())
    }
}

/// The listing's id of an offer.
///
/// # Errors
/// When the name is too long for one.
pub fn listing_id(kind: OfferKind, name: &Name) -> Result<Name, NameError> {
    format!("{}.{name}", kind.as_str()).parse()
}

/// The kind and name of the offer a listing's id stands for; none for listings of other services.
pub fn offer_of(listing: &Name) -> Option<(OfferKind, Name)> {
    let (kind, name) = listing.as_str().split_once('.')?;
    let kind = [OfferKind::Compute, OfferKind::Storage]
        .into_iter()
        .find(|k| k.as_str() == kind)?;
    Some((kind, name.parse().ok()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use oc_trust::Currency;

    use super::*;

    /// An offer of two cores for tests.
    pub(crate) fn machines() -> Offer {
        Offer {
            name: "default".parse().unwrap(),
            kind: OfferKind::Compute,
            title: "Two cores".into(),
            terms: String::new(),
            capacity: Limits {
                cores: 2,
                memory_bytes: 1 << 30,
                fragments: 2,
                run_wall_seconds: 600,
                ..Limits::default()
            },
            price: Price::free(Currency::EUR),
            visibility: Visibility::Members,
            state: OfferState::Active,
            listed: false,
        }
    }

    #[test]
    fn an_offer_without_cores_says_how_many_it_needs() {
        let mut offer = machines();
        assert_eq!(offer.check(), Ok(()));
        offer.capacity.cores = 0;
        let error = offer.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "an offer of compute needs 1 to 65536 cores, not 0"
        );
    }

    #[test]
    fn a_number_of_the_other_kind_is_refused_instead_of_ignored() {
        let mut offer = machines();
        offer.capacity.storage_bytes = 5;
        let error = offer.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "an offer of compute has no bytes stored: leave them out"
        );
    }

    #[test]
    fn a_price_that_the_books_would_never_charge_is_refused() {
        let mut offer = machines();
        offer.price.egress_gib = Money(50_000);
        assert_eq!(offer.check(), Ok(()), "outputs of attempts are charged");
        let with_egress = offer.price;
        offer.price.storage_gib_month = Money(1);
        let error = offer.check().unwrap_err().to_string();
        assert!(error.contains("price per GiB and month"), "{error}");

        let mut shelf = machines();
        shelf.kind = OfferKind::Storage;
        shelf.capacity = Limits {
            storage_bytes: 1 << 30,
            ..Limits::default()
        };
        assert_eq!(shelf.check(), Ok(()));
        let mut with_cores = Price::free(Currency::EUR);
        with_cores.core_hour = Money(40_000);
        for (price, per) in [(with_egress, "per GiB out"), (with_cores, "per core-hour")] {
            shelf.price = price;
            let error = shelf.check().unwrap_err().to_string();
            assert!(error.contains(per), "{error}");
            assert!(error.contains("ask it of a compute offer"), "{error}");
        }
    }

    #[test]
    fn a_name_too_long_for_a_listing_or_taken_by_the_workspace_is_refused() {
        let mut offer = machines();
        offer.name = "n".repeat(Name::LIMIT).parse().unwrap();
        assert!(matches!(
            offer.check(),
            Err(OfferError::Name(NameError::TooLong { .. }))
        ));
        offer.name = WORKSPACE.parse().unwrap();
        assert!(matches!(offer.check(), Err(OfferError::Reserved(_))));
    }

    #[test]
    fn a_fragment_larger_than_the_offer_is_refused_with_the_number() {
        let wants = Resources {
            cores: 3,
            memory_bytes: 1,
        };
        let error = machines().could_run(&wants, 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "offer `default` has 2 cores for one fragment, 3 were asked"
        );
        let wants = Resources {
            cores: 2,
            memory_bytes: 1,
        };
        let error = machines().could_run(&wants, 601).unwrap_err();
        assert!(error.to_string().contains("600 seconds"), "{error}");
    }

    #[test]
    fn a_listing_gives_its_offer_back() {
        let offer = machines();
        let listing = offer.listing_id().unwrap();
        assert_eq!(offer_of(&listing), Some((OfferKind::Compute, offer.name)));
        assert_eq!(offer_of(&"dataset.s2".parse().unwrap()), None);
    }
}
