//! Whether a machine has what is offered of it.

use super::{Offer, OfferError, OfferKind};
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
            Some((amount, found, has)) => Err(OfferError::Beyond {
                kind: self.kind,
                amount,
                has,
                found,
            }),
        }
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
            "this machine has 8 cores for an offer of compute, not 1000"
        );
        offer.capacity.cores = 8;
        offer.capacity.memory_bytes = 4 << 40;
        let text = offer.check_fits(&MACHINE, None).unwrap_err().to_string();
        assert!(
            text.starts_with("this machine has 8589934592 bytes of memory"),
            "{text}"
        );
    }

    #[test]
    fn no_more_room_is_offered_than_is_free() {
        let mut offer = machines();
        offer.kind = OfferKind::Storage;
        offer.capacity.storage_bytes = 100 << 40;
        let text = offer.check_fits(&MACHINE, Some(5)).unwrap_err().to_string();
        assert!(text.starts_with("this machine has 5 bytes"), "{text}");
        offer.check_fits(&MACHINE, Some(100 << 40)).unwrap();
        offer.check_fits(&MACHINE, None).unwrap();
    }
}
