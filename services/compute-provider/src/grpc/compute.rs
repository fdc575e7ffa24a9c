//! The compute role of the federation: grants, capacity, and running fragments.

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use oc_kernel::GrantId;
use oc_proto::federation::v1 as fed;
use oc_proto::federation::v1::compute_service_server::ComputeService;
use oc_service::{OrStatus as _, status};
use tonic::{Request, Response, Status};

use super::Answer;
use super::convert::{
    attempt_key, calling, digest_of, event_message, new_attempt, optional, standing_message,
};
use crate::attempts::NewHold;
use crate::convert::{cause_message, grant_state, limits, limits_message, parse, parse_all};
use crate::domain::attempt::OperationKey;
use crate::domain::grant::{Grant, ms};
use crate::domain::lease::Challenge;
use crate::domain::ledger::Demand;
use crate::domain::resources::Resources;
use crate::error::Error;
use crate::grants::NewRequest;
use crate::provider::Provider;

#[tonic::async_trait]
impl ComputeService for Provider {
    async fn request_grant(
        &self,
        request: Request<fed::RequestGrantRequest>,
    ) -> Answer<fed::RequestGrantResponse> {
        let caller = calling(self, &request).await?;
        let Some(network) = caller.network else {
            let text = "our own services need no grant of ours";
            return Err(Status::failed_precondition(text));
        };
        let it = request.into_inner();
        let answer = async {
            let named = optional("network_id", &it.network_id)?.unwrap_or_else(|| network.clone());
            if named != network {
                let text = format!("the request came over network {network}, not {named}");
                return Err(Error::Forbidden(text));
            }
            let new = NewRequest {
                consumer: caller.consumer.org,
                network,
                operation: parse("operation_id", &it.operation_id)?,
                listings: parse_all("listing_ids", &it.listing_ids)?,
                limits: limits(it.limits.as_ref()),
                not_before_ms: it.not_before_ms,
                not_after_ms: it.not_after_ms,
                message: it.message,
            };
            self.take_request(new).await
        };
        let grant = answer.await.or_status()?;
        Ok(Response::new(fed::RequestGrantResponse {
            grant_id: grant.id.to_string(),
            state: grant_state(grant.state).into(),
            cause: Some(cause_message(&grant.cause)),
            grant: envelope(&grant),
        }))
    }

    async fn get_grant(
        &self,
        request: Request<fed::GetGrantRequest>,
    ) -> Answer<fed::GetGrantResponse> {
        let caller = calling(self, &request).await?;
        let answer = async {
            let id: GrantId = parse("grant_id", &request.get_ref().grant_id)?;
            let document = self.grant_for(&id, &caller.consumer.org).await?.value;
            let used = self.used_of(&document).await?;
            Ok::<_, Error>((document.grant, used))
        };
        let (grant, used) = answer.await.or_status()?;
        Ok(Response::new(fed::GetGrantResponse {
            state: grant_state(grant.state).into(),
            generation: grant.generation,
            cause: Some(cause_message(&grant.cause)),
            used: Some(limits_message(&used)),
            grant: envelope(&grant),
        }))
    }

    async fn accept_grant(
        &self,
        request: Request<fed::AcceptGrantRequest>,
    ) -> Answer<fed::AcceptGrantResponse> {
        let caller = calling(self, &request).await?;
        let it = request.into_inner();
        let answer = async {
            let id = parse("grant_id", &it.grant_id)?;
            self.accept_grant(&id, &caller.consumer.org, &it.grant)
                .await
        };
        let grant = answer.await.or_status()?;
        let state = grant_state(grant.state).into();
        Ok(Response::new(fed::AcceptGrantResponse { state }))
    }

    async fn end_grant(
        &self,
        request: Request<fed::EndGrantRequest>,
    ) -> Answer<fed::EndGrantResponse> {
        let caller = calling(self, &request).await?;
        let it = request.into_inner();
        let answer = async {
            let id = parse("grant_id", &it.grant_id)?;
            self.consumer_ends_grant(&id, &caller.consumer.org, &it.reason)
                .await
        };
        let grant = answer.await.or_status()?;
        let state = grant_state(grant.state).into();
        Ok(Response::new(fed::EndGrantResponse { state }))
    }

    async fn note_grant(
        &self,
        request: Request<fed::NoteGrantRequest>,
    ) -> Answer<fed::NoteGrantResponse> {
        let caller = calling(self, &request).await?;
        let answer = async {
            let id = parse("grant_id", &request.get_ref().grant_id)?;
            self.hear_of(&id, &caller.consumer.org).await
        };
        answer.await.or_status()?;
        Ok(Response::new(fed::NoteGrantResponse {}))
    }

    async fn get_capacity(
        &self,
        request: Request<fed::GetCapacityRequest>,
    ) -> Answer<fed::GetCapacityResponse> {
        let caller = calling(self, &request).await?;
        let it = request.into_inner();
        let answer = async {
            let listing = parse("listing_id", &it.listing_id)?;
            let grant = optional("grant_id", &it.grant_id)?;
            self.free_capacity(&caller.consumer, &listing, grant.as_ref())
                .await
        };
        let free = answer.await.or_status()?;
        Ok(Response::new(fed::GetCapacityResponse {
            free: Some(limits_message(&free)),
            sandbox: self.sandbox.isolated,
            limits_by: self.sandbox.limits_by.clone(),
        }))
    }

    async fn reserve_capacity(
        &self,
        request: Request<fed::ReserveCapacityRequest>,
    ) -> Answer<fed::ReserveCapacityResponse> {
        let caller = calling(self, &request).await?;
        let it = request.into_inner();
        let answer = async {
            let attempt = attempt_key(
                &caller.consumer,
                &it.run_id,
                &it.fragment_id,
                &it.attempt_id,
            )?;
            let new = NewHold {
                own: caller.consumer.own,
                key: OperationKey {
                    attempt,
                    operation: parse("operation_id", &it.operation_id)?,
                },
                body: digest_of(&it),
                listing: parse("listing_id", &it.listing_id)?,
                grant: optional("grant_id", &it.grant_id)?,
                demand: Demand {
                    resources: Resources {
                        cores: it.cores,
                        memory_bytes: it.memory_bytes,
                    },
                    wall_ms: it.wall_seconds.saturating_mul(1000),
                },
            };
            self.reserve(new).await
        };
        let (reservation, expires_at) = answer.await.or_status()?;
        Ok(Response::new(fed::ReserveCapacityResponse {
            reservation_id: reservation.to_string(),
            expires_at_ms: ms(expires_at),
        }))
    }

    async fn submit(&self, request: Request<fed::SubmitRequest>) -> Answer<fed::SubmitResponse> {
        let caller = calling(self, &request).await?;
        let it = request.into_inner();
        let answer = async { self.submit(new_attempt(caller, it)?).await };
        let submitted = answer.await.or_status()?;
        Ok(Response::new(fed::SubmitResponse {
            lease_id: submitted.lease.to_string(),
            lease_ms: self.lease_ms(),
            challenge: submitted.challenge.0,
        }))
    }

    async fn renew_lease(
        &self,
        request: Request<fed::RenewLeaseRequest>,
    ) -> Answer<fed::RenewLeaseResponse> {
        let caller = calling(self, &request).await?;
        let it = request.into_inner();
        let answer = async {
            let lease = parse("lease_id", &it.lease_id)?;
            self.renew_lease(&caller.consumer, lease, Challenge(it.challenge))
                .await
        };
        let (standing, next) = answer.await.or_status()?;
        Ok(Response::new(fed::RenewLeaseResponse {
            lease_ms: self.lease_ms(),
            state: standing_message(standing).into(),
            challenge: next.0,
        }))
    }

    type WatchStream = BoxStream<'static, Result<fed::WatchResponse, Status>>;

    async fn watch(&self, request: Request<fed::WatchRequest>) -> Answer<Self::WatchStream> {
        let caller = calling(self, &request).await?;
        let it = request.into_inner();
        let answer = async {
            let attempt = parse("attempt_id", &it.attempt_id)?;
            let events = self.watch(&caller.consumer.org, &attempt, it.after).await?;
            Ok::<_, Error>((events, self.me().await?.to_string()))
        };
        let (events, me) = answer.await.or_status()?;
        let messages = events.map_ok(move |(number, record)| event_message(&me, number, record));
        let messages = messages.map_err(|error: Error| status(&error)).boxed();
        Ok(Response::new(messages))
    }

    async fn cancel_attempt(
        &self,
        request: Request<fed::CancelAttemptRequest>,
    ) -> Answer<fed::CancelAttemptResponse> {
        let caller = calling(self, &request).await?;
        let it = request.into_inner();
        let answer = async {
            let attempt = parse("attempt_id", &it.attempt_id)?;
            self.cancel(&caller.consumer, &attempt, &it.reason).await
        };
        let state = standing_message(answer.await.or_status()?).into();
        Ok(Response::new(fed::CancelAttemptResponse { state }))
    }

    async fn release_capacity(
        &self,
        request: Request<fed::ReleaseCapacityRequest>,
    ) -> Answer<fed::ReleaseCapacityResponse> {
        let caller = calling(self, &request).await?;
        let it = request.into_inner();
        let answer = async {
            let reservation = optional("reservation_id", &it.reservation_id)?;
            let attempt = optional("attempt_id", &it.attempt_id)?;
            self.release(&caller.consumer, reservation, attempt).await
        };
        answer.await.or_status()?;
        Ok(Response::new(fed::ReleaseCapacityResponse {}))
    }
}

fn envelope(grant: &Grant) -> Vec<u8> {
    grant.envelope.clone().unwrap_or_default().into_bytes()
}

impl Provider {
    fn lease_ms(&self) -> u64 {
        u64::try_from(self.settings.lease().time_to_live.as_millis()).unwrap_or(u64::MAX)
    }
}
