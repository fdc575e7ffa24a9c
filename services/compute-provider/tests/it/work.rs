//! A consumer's run: what an orchestrator does with a site.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::Request;
use futures::StreamExt as _;
use http::StatusCode;
use oc_kernel::{AttemptId, Digest, FragmentId, Name, ObjectKey, OrgId, RunId};
use oc_proto::federation::v1 as fed;
use oc_proto::federation::v1::compute_service_client::ComputeServiceClient;
use oc_proto::federation::v1::objects_service_client::ObjectsServiceClient;
use oc_proto::types::v1 as types;
use oc_trust::dsse::Envelope;
use oc_trust::{Delegation, Input, Limits, Output, seal};
use serde_json::{Value, json};
use tonic::Status;
use tower::ServiceExt as _;

use crate::node::Org;
use crate::world::{LIMIT, NETWORK};

/// A partner's or our own way to a site, as an orchestrator sees it.
#[derive(Clone)]
pub(crate) struct Way {
    world: crate::world::World,
    from: OrgId,
    to: OrgId,
    own: Option<oc_service::Channel>,
}

impl tower::Service<http::Request<tonic::body::Body>> for Way {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = futures::future::BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Status>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let way = self.clone();
        Box::pin(async move {
            if let Some(channel) = way.own {
                return Ok(channel.oneshot(request).await?.map(Body::new));
            }
            let path = request.uri().path().to_owned();
            let request: Request = request.map(Body::new);
            Ok(way.world.carry(way.from, way.to, &path, request).await)
        })
    }
}

impl Org {
    /// The way of our orchestrator to a site, a partner or ourselves.
    pub(crate) fn way_to(&self, site: &Org) -> Way {
        let own = (self.id == site.id).then(|| {
            self.switchboard
                .channel("pipeline-orchestrator", "compute-provider")
        });
        Way {
            world: self.world.clone(),
            from: self.id,
            to: site.id,
            own,
        }
    }

    pub(crate) fn compute_at(&self, site: &Org) -> ComputeServiceClient<Way> {
        ComputeServiceClient::new(self.way_to(site))
    }

    pub(crate) fn objects_at(&self, site: &Org) -> ObjectsServiceClient<Way> {
        ObjectsServiceClient::new(self.way_to(site))
    }
}

/// One attempt that a consumer prepares.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) run: RunId,
    pub(crate) fragment: FragmentId,
    pub(crate) attempt: AttemptId,
    pub(crate) grant: String,
    pub(crate) cores: u32,
    pub(crate) listing: String,
    pub(crate) inputs: Vec<fed::StagedInput>,
    pub(crate) document: String,
}

impl Attempt {
    /// An attempt of the tool that says something, on one core of `compute.default`.
    pub(crate) fn new(grant: &Value) -> Self {
        Self {
            run: RunId::new(),
            fragment: FragmentId::new(),
            attempt: AttemptId::new(),
            grant: grant["grant_id"].as_str().unwrap_or_default().to_owned(),
            cores: 1,
            listing: "compute.default".into(),
            inputs: Vec::new(),
            document: document(),
        }
    }

    pub(crate) fn wish(&self) -> fed::ReserveCapacityRequest {
        fed::ReserveCapacityRequest {
            listing_id: self.listing.clone(),
            grant_id: self.grant.clone(),
            run_id: self.run.to_string(),
            fragment_id: self.fragment.to_string(),
            attempt_id: self.attempt.to_string(),
            operation_id: "reserve".into(),
            cores: self.cores,
            memory_bytes: 1 << 20,
            wall_seconds: 60,
        }
    }

    pub(crate) async fn reserve(
        &self,
        consumer: &Org,
        site: &Org,
    ) -> Result<fed::ReserveCapacityResponse, Status> {
        Ok(consumer
            .compute_at(site)
            .reserve_capacity(self.wish())
            .await?
            .into_inner())
    }

    /// Where its outputs go in the consumer's own storage.
    pub(crate) fn prefix(&self) -> ObjectKey {
        format!("demo/{}/{}/{}", self.run, self.fragment, self.attempt)
            .parse()
            .unwrap()
    }

    /// The digest of its work.
    pub(crate) fn digest(&self) -> Digest {
        let inputs: BTreeMap<String, Digest> = self
            .inputs
            .iter()
            .map(|input| {
                let object = input.object.as_ref().unwrap();
                (input.name.clone(), object.sha256.parse().unwrap())
            })
            .collect();
        let document: Value = serde_json::from_str(&self.document).unwrap_or_default();
        oc_workflow::work_digest(&document, &inputs)
    }

    /// What the consumer delegates to a site, below its grant or, without one, from what it owns itself.
    pub(crate) fn delegation(
        &self,
        consumer: &Org,
        site: &Org,
        parent: Option<Digest>,
    ) -> Delegation {
        let now = consumer.world.now_ms();
        let inputs = self.inputs.iter().map(|input| {
            let object = input.object.as_ref().unwrap();
            Input {
                owner: object.owner.parse().unwrap(),
                listing: Some("storage.results".parse().unwrap()),
                object: object.key.parse().unwrap(),
                sha256: object.sha256.parse().unwrap(),
            }
        });
        let output = Output {
            owner: consumer.id,
            listing: Some("storage.results".parse().unwrap()),
            prefix: self.prefix(),
        };
        Delegation {
            network: NETWORK.parse().unwrap(),
            parent,
            issuer: consumer.id,
            audience: site.id,
            run: self.run,
            fragment: self.fragment,
            attempt: self.attempt,
            request: self.digest(),
            offer: Some(self.listing.parse().unwrap()),
            inputs: inputs.collect(),
            output: Some(output),
            limits: Limits {
                cores: self.cores,
                memory_bytes: 1 << 20,
                fragments: 1,
                core_seconds: 600,
                egress_bytes: 10_000,
                storage_bytes: 10_000,
                run_wall_seconds: 60,
            },
            not_before: now,
            not_after: now + 600_000,
        }
    }

    /// A submission with the chains that an orchestrator makes.
    pub(crate) async fn submission(
        &self,
        consumer: &Org,
        site: &Org,
        reservation: &fed::ReserveCapacityResponse,
    ) -> fed::SubmitRequest {
        let (mut delegation, mut output_delegation) = (Vec::new(), Vec::new());
        if consumer.id != site.id {
            let envelope = grant_envelope(consumer, &self.grant).await;
            let grant = Envelope::from_json(&envelope).unwrap().digest();
            let signer = consumer.world.signer(&consumer.id);
            let signed = self.delegation(consumer, site, Some(grant));
            let signed = seal(&signer, signed).await.unwrap();
            delegation = vec![envelope, signed.bytes().to_vec()];
            let own = Delegation {
                offer: None,
                ..self.delegation(consumer, site, None)
            };
            let own = seal(&signer, own).await.unwrap();
            output_delegation = vec![own.bytes().to_vec()];
        }
        fed::SubmitRequest {
            reservation_id: reservation.reservation_id.clone(),
            operation_id: "submit".into(),
            delegation,
            fragment: Some(fed::FragmentSpec {
                run_id: self.run.to_string(),
                fragment_id: self.fragment.to_string(),
                attempt_id: self.attempt.to_string(),
                cwl_json: self.document.clone(),
                job_json: json!({"text": "hello"}).to_string(),
                inputs: self.inputs.clone(),
                output: Some(fed::OutputTarget {
                    owner: consumer.id.to_string(),
                    listing_id: "storage.results".into(),
                    prefix: self.prefix().to_string(),
                    delegation: output_delegation,
                }),
                pseudonym: "user-7".into(),
                workflow: "greeting".into(),
                digest: self.digest().to_string(),
            }),
        }
    }

    /// Reserves and submits.
    pub(crate) async fn start(&self, consumer: &Org, site: &Org) -> fed::SubmitResponse {
        let reservation = self.reserve(consumer, site).await.unwrap();
        let submission = self.submission(consumer, site, &reservation).await;
        consumer
            .compute_at(site)
            .submit(submission)
            .await
            .unwrap()
            .into_inner()
    }

    /// Submits; what is said when that is refused.
    pub(crate) async fn refused(
        &self,
        consumer: &Org,
        site: &Org,
        submission: fed::SubmitRequest,
    ) -> Status {
        consumer
            .compute_at(site)
            .submit(submission)
            .await
            .unwrap_err()
    }

    /// The events from a number on, to the last one.
    pub(crate) async fn watch(
        &self,
        consumer: &Org,
        site: &Org,
        after: u64,
    ) -> Vec<fed::WatchResponse> {
        let request = fed::WatchRequest {
            attempt_id: self.attempt.to_string(),
            after,
        };
        let stream = consumer
            .compute_at(site)
            .watch(request)
            .await
            .unwrap()
            .into_inner();
        let events = stream.map(Result::unwrap).collect();
        tokio::time::timeout(LIMIT, events).await.unwrap()
    }

    /// The state and the cause with which it ended.
    pub(crate) async fn end(&self, consumer: &Org, site: &Org) -> (fed::AttemptState, String) {
        match self
            .watch(consumer, site, 0)
            .await
            .pop()
            .unwrap()
            .event
            .unwrap()
        {
            fed::watch_response::Event::State(changed) => {
                (changed.state(), changed.cause.unwrap().code)
            }
            other => panic!("{other:?} is no end"),
        }
    }

    pub(crate) async fn release(&self, consumer: &Org, site: &Org) {
        let request = fed::ReleaseCapacityRequest {
            reservation_id: String::new(),
            attempt_id: self.attempt.to_string(),
        };
        consumer
            .compute_at(site)
            .release_capacity(request)
            .await
            .unwrap();
    }
}

/// The tool that says something, as a workflow of one step.
pub(crate) fn document() -> String {
    json!({
        "cwlVersion": "v1.2", "class": "Workflow", "id": "main",
        "inputs": [{"id": "text", "type": "string"}],
        "outputs": [{"id": "said", "type": "File", "outputSource": "say/said"}],
        "steps": [{
            "id": "say", "in": [{"id": "text", "source": "text"}], "out": ["said"],
            "run": {
                "class": "CommandLineTool", "baseCommand": ["echo"],
                "inputs": [{"id": "text", "type": "string", "inputBinding": {"position": 1}}],
                "outputs": [{"id": "said", "type": "stdout"}], "stdout": "said.txt"
            }
        }]
    })
    .to_string()
}

/// The grant with both signatures, as the consumer keeps it.
pub(crate) async fn grant_envelope(consumer: &Org, id: &str) -> Vec<u8> {
    use base64::Engine as _;
    let envelope = consumer.grant(id).await["envelope"]
        .as_str()
        .unwrap()
        .to_owned();
    base64::engine::general_purpose::STANDARD
        .decode(envelope)
        .unwrap()
}

/// Presents a macaroon at a route of an attempt.
pub(crate) struct Step<'a> {
    pub(crate) site: &'a Org,
    pub(crate) fragment: FragmentId,
    pub(crate) attempt: AttemptId,
    pub(crate) macaroon: String,
}

impl<'a> Step<'a> {
    /// The step of an attempt that `site` runs, with its own macaroon.
    pub(crate) async fn of(site: &'a Org, attempt: &Attempt) -> Self {
        Self {
            site,
            fragment: attempt.fragment,
            attempt: attempt.attempt,
            macaroon: site.stage.runs(attempt.attempt).await.macaroon,
        }
    }
}

impl Step<'_> {
    async fn send(&self, method: &str, path: &str, body: Body) -> (StatusCode, Vec<u8>) {
        let (fragment, attempt) = (self.fragment, self.attempt);
        let request = http::Request::builder()
            .method(method)
            .uri(format!(
                "/api/compute/v1/fragments/{fragment}/attempts/{attempt}/{path}"
            ))
            .header("authorization", format!("Macaroon {}", self.macaroon))
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        self.site.send(request).await
    }

    pub(crate) async fn read(&self, name: &str) -> (StatusCode, Vec<u8>) {
        self.send("GET", &format!("inputs/{name}"), Body::empty())
            .await
    }

    pub(crate) async fn announce(&self, name: &str, bytes: &[u8]) -> StatusCode {
        let sha256 = Digest::of(bytes).to_string();
        let body = json!({"name": name, "length": bytes.len(), "sha256": sha256});
        self.send("POST", "uploads", Body::from(body.to_string()))
            .await
            .0
    }

    pub(crate) async fn upload(&self, name: &str, bytes: &[u8]) -> StatusCode {
        self.sent(name, bytes).await.0
    }

    /// The same with what was answered.
    pub(crate) async fn sent(&self, name: &str, bytes: &[u8]) -> (StatusCode, Vec<u8>) {
        self.send(
            "PUT",
            &format!("uploads/{name}"),
            Body::from(bytes.to_vec()),
        )
        .await
    }

    /// Announces and sends an output.
    pub(crate) async fn store(&self, name: &str, bytes: &[u8]) {
        assert_eq!(self.announce(name, bytes).await, StatusCode::OK);
        assert_eq!(self.upload(name, bytes).await, StatusCode::OK);
    }
}

/// The name of an input and the object behind it.
pub(crate) fn staged(name: &str, owner: OrgId, key: &str, bytes: &[u8]) -> fed::StagedInput {
    fed::StagedInput {
        name: name.parse::<Name>().unwrap().to_string(),
        basename: format!("{name}.txt"),
        object: Some(types::ObjectRef {
            owner: owner.to_string(),
            role: "objects".into(),
            key: key.into(),
            sha256: Digest::of(bytes).to_string(),
            length: bytes.len() as u64,
            media_type: String::new(),
        }),
        ..Default::default()
    }
}
