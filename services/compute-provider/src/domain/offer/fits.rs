//! Whether a machine has what is offered of it.

use oc_workflow::words;

use super::{Offer, OfferError, OfferKind, OfferState};
use crate::domain::resources::{Amount, Resources};

/// How many times the cores of a machine may be offered: jobs share their time and become slower. Memory and room cannot
/// be shared, and are there once.
const SHARED_CORES: u32 = 4;

impl Offer {
    /// Checks a new offer against what there is: the machine, and the bytes that are free for objects where that is
    /// known.
    ///
    /// # Errors
    /// The first number that is above what there is.
    pub fn check_fits(&self, machine: &Resources, free: Option<u64>) -> Result<(), OfferError> {
        let wants = &self.capacity;
        let cores = u64::from(machine.cores.saturating_mul(SHARED_CORES));
        let numbers = match self.kind {
            OfferKind::Compute => [
                (Amount::Cores, u64::from(wants.cores), cores),
                (
                    Amount::MemoryBytes,
                    wants.memory_bytes,
                    machine.memory_bytes,
                ),
            ]
            .to_vec(),
            OfferKind::Storage => free
                .map(|free| (Amount::StoredBytes, wants.storage_bytes, free))
                .into_iter()
                .collect(),
        };
        match numbers.into_iter().find(|(_, found, has)| found > has) {
            None => Ok(()),
            Some((amount, found, has)) => Err(OfferError::Beyond { amount, has, found }),
        }
    }

    /// This offer of storage with the size that is asked for, where it stands and nothing else is asked of it: what is
    /// not said stays.
    pub fn resized(&self, asked: &Self) -> Option<Self> {
        let resized = Self {
            capacity: asked.capacity,
            ..self.clone()
        };
        let other = Self {
            title: self.title.clone(),
            terms: self.terms.clone(),
            listed: self.listed,
            ..asked.clone()
        };
        let kept = |said: &str, has: &str| said.is_empty() || said == has;
        let kept = kept(&asked.title, &self.title) && kept(&asked.terms, &self.terms);
        let stands = self.kind == OfferKind::Storage && self.state == OfferState::Active;
        (stands && kept && other == resized).then_some(resized)
    }
}

/// What there is, why it is that much, and what was asked for.
pub(super) fn beyond(amount: Amount, has: u64, found: u64) -> String {
    match amount {
        Amount::Cores => format!(
            "this machine can offer {has} cores, {SHARED_CORES} times its {}, not {found}: --cores {has} or less",
            has / u64::from(SHARED_CORES)
        ),
        Amount::MemoryBytes => format!(
            "this machine has {} of memory, not {}",
            words::bytes(has),
            words::bytes(found)
        ),
        _ => format!(
            "{} are free on this machine's disk, not {}",
            words::bytes(has),
            words::bytes(found)
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::offer::tests::machines;

    use super::*;

    const MACHINE: Resources = Resources {
        cores: 2,
        memory_bytes: 8 << 30,
    };

    #[test]
    fn cores_may_be_offered_four_times_and_memory_once() {
        let mut offer = machines();
        offer.capacity.cores = 8;
        offer.capacity.memory_bytes = 8 << 30;
        offer.check_fits(&MACHINE, None).unwrap();
        offer.capacity.cores = 1000;
        let text = offer.check_fits(&MACHINE, None).unwrap_err().to_string();
        assert_eq!(
            text,
            "this machine can offer 8 cores, 4 times its 2, not 1000: --cores 8 or less"
        );
        offer.capacity.cores = 8;
        offer.capacity.memory_bytes = 4 << 40;
        let text = offer.check_fits(&MACHINE, None).unwrap_err().to_string();
        assert_eq!(text, "this machine has 8 GiB of memory, not 4 TiB");
    }

    #[test]
    fn no_more_room_is_offered_than_is_free() {
        let mut offer = machines();
        offer.kind = OfferKind::Storage;
        offer.capacity.storage_bytes = 100 << 40;
        let text = offer.check_fits(&MACHINE, Some(5)).unwrap_err().to_string();
        assert_eq!(text, "5 bytes are free on this machine's disk, not 100 TiB");
        offer.check_fits(&MACHINE, Some(100 << 40)).unwrap();
        offer.check_fits(&MACHINE, None).unwrap();
    }
}
