//! What this service asks of others: the catalogue of its own organisation, partners' grants, and whoever
//! keeps the bytes an attempt reads or writes.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use oc_door::{BULK_TOKEN, BulkRole, Door, Purpose};
use oc_kernel::{AttemptId, GrantId, Kind, Name, OrgId, RunId};
use oc_proto::accounting::v1::GetBooksRequest;
use oc_proto::accounting::v1::usage_service_client::UsageServiceClient;
use oc_proto::catalog::v1::listing_service_client::ListingServiceClient;
use oc_proto::catalog::v1::search_service_client::SearchServiceClient;
use oc_proto::catalog::v1::{
    GetListingRequest, Listing, PublishListingRequest, WithdrawListingRequest,
};
use oc_proto::federation::v1::compute_service_client::ComputeServiceClient;
use oc_proto::federation::v1::data_service_client::DataServiceClient;
use oc_proto::federation::v1::objects_service_client::ObjectsServiceClient;
use oc_proto::federation::v1::{
    AcceptGrantRequest, AccessRequest, EndGrantRequest, GetGrantRequest, GetGrantResponse,
    NoteGrantRequest, OpenDownloadRequest, RequestGrantRequest, RequestGrantResponse,
    RequestUploadRequest, RequestUploadResponse,
};
use oc_service::{CallError, Channel, Switchboard};
use tonic::body::Body;
use tower::ServiceExt as _;

use crate::domain::runtime::{InputObject, Role};
use crate::error::Error;

/// The name of this service on the switchboard.
pub(crate) const ME: &str = "compute-provider";

/// The other services of our organisation, and partners behind the door.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) door: Door,
    catalog: Channel,
    data: Channel,
    accounting: Channel,
}

/// Bytes on their way.
pub(crate) type Stream = BoxStream<'static, std::io::Result<Bytes>>;

impl Ports {
    /// Through the switchboard and the door.
    pub(crate) fn new(switchboard: &Switchboard, door: Door) -> Self {
        Self {
            door,
            catalog: switchboard.channel(ME, "catalog"),
            data: switchboard.channel(ME, "sentinel-provider"),
            accounting: switchboard.channel(ME, "accounting"),
        }
    }

    /// Our organisation.
    pub(crate) async fn me(&self) -> Result<OrgId, Error> {
        Ok(self.door.identity().await?.org)
    }

    /// A listing of any owner; none where the catalogue has none.
    pub(crate) async fn listing(&self, owner: &OrgId, id: &Name) -> Result<Option<Listing>, Error> {
        let mut client = SearchServiceClient::new(self.catalog.clone());
        let request = GetListingRequest {
            owner: owner.to_string(),
            listing_id: id.to_string(),
        };
        match client.get_listing(request).await {
            Ok(answer) => Ok(answer.into_inner().listing),
            Err(status) => match CallError::from(status) {
                error if error.kind == Kind::NotFound => Ok(None),
                error => Err(error.into()),
            },
        }
    }

    /// The oldest objection to the books of a grant that is not settled.
    pub(crate) async fn objection(&self, grant: &GrantId) -> Result<Option<String>, Error> {
        let mut client = UsageServiceClient::new(self.accounting.clone());
        let request = GetBooksRequest {
            grant_id: grant.to_string(),
        };
        let books = client.get_books(request).await?.into_inner();
        Ok(books.disputes.into_iter().next().map(|cause| cause.text))
    }

    /// Lists an offer, or lists it anew.
    pub(crate) async fn publish(&self, listing: Listing) -> Result<(), Error> {
        let mut client = ListingServiceClient::new(self.catalog.clone());
        client
            .publish_listing(PublishListingRequest {
                listing: Some(listing),
            })
            .await?;
        Ok(())
    }

    /// Takes a listing back.
    pub(crate) async fn withdraw(&self, listing_id: &Name) -> Result<(), Error> {
        let mut client = ListingServiceClient::new(self.catalog.clone());
        let listing_id = listing_id.to_string();
        client
            .withdraw_listing(WithdrawListingRequest { listing_id })
            .await?;
        Ok(())
    }

    /// The network we share with another organisation.
    pub(crate) async fn network_of(&self, org: OrgId) -> Result<Name, Error> {
        let peer = self.door.peer(org).await?;
        peer.network_id.parse().map_err(|_| {
            Error::Unavailable(format!(
                "{org} is on no network of ours now: is it reachable?"
            ))
        })
    }

    /// Asks a provider for a grant.
    pub(crate) async fn request_grant(
        &self,
        provider: OrgId,
        request: RequestGrantRequest,
    ) -> Result<RequestGrantResponse, Error> {
        let mut client = self
            .compute(provider, Purpose::Grant(String::new()))
            .await?;
        Ok(client.request_grant(request).await?.into_inner())
    }

    /// Asks a provider where a grant stands.
    pub(crate) async fn get_grant(
        &self,
        provider: OrgId,
        grant_id: String,
    ) -> Result<GetGrantResponse, Error> {
        let mut client = self
            .compute(provider, Purpose::Grant(grant_id.clone()))
            .await?;
        Ok(client
            .get_grant(GetGrantRequest { grant_id })
            .await?
            .into_inner())
    }

    /// Returns a grant with our signature.
    pub(crate) async fn accept_grant(
        &self,
        provider: OrgId,
        grant_id: String,
        grant: Vec<u8>,
    ) -> Result<(), Error> {
        let mut client = self
            .compute(provider, Purpose::Grant(grant_id.clone()))
            .await?;
        client
            .accept_grant(AcceptGrantRequest { grant_id, grant })
            .await?;
        Ok(())
    }

    /// Tells a provider that we end a grant.
    pub(crate) async fn end_grant(
        &self,
        provider: OrgId,
        grant_id: String,
        reason: String,
    ) -> Result<(), Error> {
        let mut client = self
            .compute(provider, Purpose::Grant(grant_id.clone()))
            .await?;
        client
            .end_grant(EndGrantRequest { grant_id, reason })
            .await?;
        Ok(())
    }

    /// Tells a consumer that a grant of ours has news.
    pub(crate) async fn note_grant(&self, consumer: OrgId, grant_id: String) -> Result<(), Error> {
        let mut client = self
            .compute(consumer, Purpose::Grant(grant_id.clone()))
            .await?;
        client.note_grant(NoteGrantRequest { grant_id }).await?;
        Ok(())
    }

    async fn compute(
        &self,
        org: OrgId,
        purpose: Purpose,
    ) -> Result<ComputeServiceClient<oc_door::PartnerChannel>, Error> {
        Ok(ComputeServiceClient::new(
            self.door.partner(org, purpose).await?,
        ))
    }

    /// Announces an output to the organisation that shall keep it.
    pub(crate) async fn request_upload(
        &self,
        owner: OrgId,
        run: RunId,
        request: RequestUploadRequest,
    ) -> Result<RequestUploadResponse, Error> {
        let channel = self
            .door
            .partner(owner, Purpose::Run(run.to_string()))
            .await?;
        Ok(ObjectsServiceClient::new(channel)
            .request_upload(request)
            .await?
            .into_inner())
    }

    /// Sends the bytes of an announced output; how many the owner has now.
    pub(crate) async fn send(
        &self,
        owner: OrgId,
        token: &str,
        offset: u64,
        bytes: Stream,
    ) -> Result<u64, Error> {
        Ok(self
            .door
            .bulk_put(owner, BulkRole::Objects, token, offset, bytes)
            .await?)
    }

    /// Opens an input that somebody else keeps, from `offset` on: a partner, or our own data provider.
    pub(crate) async fn open_input(
        &self,
        run: RunId,
        attempt: AttemptId,
        input: &InputObject,
        delegation: Vec<Vec<u8>>,
        offset: u64,
    ) -> Result<Stream, Error> {
        let purpose = Purpose::Run(run.to_string());
        let channel = self.door.partner(input.owner, purpose).await?;
        let key = input.object.to_string();
        let token = match input.role {
            Role::Data => {
                let request = AccessRequest {
                    reservation_id: input.reservation.clone().unwrap_or_default(),
                    delegation,
                    attempt_id: attempt.to_string(),
                    keys: vec![key.clone()],
                };
                let answer = DataServiceClient::new(channel)
                    .access(request)
                    .await?
                    .into_inner();
                let opened = answer
                    .objects
                    .into_iter()
                    .find(|opened| opened.object.as_ref().is_some_and(|o| o.key == key));
                opened.map(|opened| opened.token)
            }
            Role::Objects => {
                let request = OpenDownloadRequest {
                    delegation,
                    attempt_id: attempt.to_string(),
                    key,
                };
                let answer = ObjectsServiceClient::new(channel)
                    .open_download(request)
                    .await?;
                Some(answer.into_inner().token)
            }
        };
        let token = token.ok_or_else(|| Error::unknown("object", &input.object))?;
        if input.owner == self.me().await? {
            return self.own_data(&token, offset).await;
        }
        let role = match input.role {
            Role::Data => BulkRole::Data,
            Role::Objects => BulkRole::Objects,
        };
        let body = self
            .door
            .bulk_get(input.owner, role, &token, offset)
            .await?;
        if body.length != input.length || body.sha256 != input.sha256.to_string() {
            let text = format!("`{}` is not the object that was asked for", input.object);
            return Err(Error::Conflict(text));
        }
        Ok(body.bytes)
    }

    /// Bytes of our own data provider come without a door.
    async fn own_data(&self, token: &str, offset: u64) -> Result<Stream, Error> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("/api/data/internal/bulk?offset={offset}"))
            .header(BULK_TOKEN, token)
            .body(Body::empty())
            .map_err(|error| Error::Unavailable(format!("the token is not one: {error}")))?;
        let response = self.data.clone().oneshot(request).await?;
        if !response.status().is_success() {
            let text = format!("the data provider answers {}", response.status());
            return Err(Error::Unavailable(text));
        }
        let bytes = response
            .into_body()
            .into_data_stream()
            .map_err(std::io::Error::other);
        Ok(bytes.boxed())
    }
}
