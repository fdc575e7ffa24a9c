//! Data of a run: reserved, renewed and given back at their holders.

use oc_proto::federation::v1 as fed;
use oc_workflow::data::{Input, ListingRef};
use oc_workflow::run::Event;

use super::failure::CallFailure;
use super::perform::{Task, Told, moment};
use crate::request::query_message;

impl Task {
    fn dataset(&self, input: &str) -> Result<(&ListingRef, fed::ReserveRequest), CallFailure> {
        let spec = self.document.spec.inputs.get(input).map(|one| &one.input);
        let Some(Input::Dataset { dataset, query }) = spec else {
            return Err(CallFailure::defect(format!(
                "input `{input}` is no dataset"
            )));
        };
        let grant = format!("{}/{}", dataset.owner, dataset.listing);
        let ttl = self.document.run.policy().data_hold.as_secs();
        let ask = fed::ReserveRequest {
            listing_id: dataset.listing.to_string(),
            query: Some(query_message(query)),
            grant_id: self
                .document
                .spec
                .grants
                .get(&grant)
                .cloned()
                .unwrap_or_default(),
            run_id: self.run().to_string(),
            operation_id: String::new(),
            ttl_seconds: u32::try_from(ttl).unwrap_or(u32::MAX),
        };
        Ok((dataset, ask))
    }

    async fn reserve(&self, input: &str, serial: u32) -> Result<fed::ReserveResponse, CallFailure> {
        let (dataset, ask) = self.dataset(input)?;
        let ask = fed::ReserveRequest {
            operation_id: format!("{input}-{serial}"),
            ..ask
        };
        let federation = &self.context.federation;
        let run = self.run().to_string();
        let held = federation.reserve(dataset.owner, &run, ask).await;
        held.map_err(CallFailure::of_data)
    }

    pub(super) async fn reserve_data(
        &self,
        input: &str,
        serial: u32,
    ) -> Result<Vec<Told>, CallFailure> {
        let held = self.reserve(input, serial).await?;
        let event = Event::DataReserved {
            input: input.to_owned(),
            serial,
            reservation: held.reservation_id,
            until: moment(held.expires_at_ms),
        };
        Ok(vec![Told::Reserved {
            input: input.to_owned(),
            items: held.items,
            event,
        }])
    }

    pub(super) async fn renew_data(
        &self,
        input: &str,
        serial: u32,
        reservation: &str,
    ) -> Result<Vec<Told>, CallFailure> {
        let (dataset, ask) = self.dataset(input)?;
        let renew = fed::RenewRequest {
            reservation_id: reservation.to_owned(),
            ttl_seconds: ask.ttl_seconds,
        };
        let federation = &self.context.federation;
        let held = federation.renew(dataset.owner, &ask.run_id, renew).await?;
        Ok(vec![Told::Event(Event::DataReserved {
            input: input.to_owned(),
            serial,
            reservation: reservation.to_owned(),
            until: moment(held.expires_at_ms),
        })])
    }

    pub(super) async fn release_data(
        &self,
        input: &str,
        serial: u32,
        reservation: Option<&str>,
    ) -> Result<Vec<Told>, CallFailure> {
        let (dataset, ask) = self.dataset(input)?;
        let released = vec![Told::Event(Event::DataReleased {
            input: input.to_owned(),
            serial,
        })];
        let reservation_id = match reservation {
            Some(id) => id.to_owned(),
            // Its answer was lost: the same operation gets the same answer again.
            None => match self.reserve(input, serial).await {
                Ok(held) => held.reservation_id,
                Err(failure) if failure.lasting => return Ok(released),
                Err(failure) => return Err(failure),
            },
        };
        let release = fed::ReleaseRequest { reservation_id };
        let asked = self
            .context
            .federation
            .release(dataset.owner, &ask.run_id, release)
            .await;
        match asked.map_err(CallFailure::from) {
            Err(failure) if !failure.lasting => Err(failure),
            // What the owner does not know is not held.
            Ok(()) | Err(_) => Ok(released),
        }
    }
}
