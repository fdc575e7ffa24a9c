//! Offers, grants, rules and stored objects.

use oc_proto::compute::v1::*;
use oc_proto::types::v1::ObjectRef;
use reqwest::Method;
use tokio::io::AsyncRead;

use crate::error::ClientError;
use crate::request::{Client, segment, segments};

const PREFIX: &str = "/api/compute/v1";

/// Calls of compute-provider.
#[derive(Debug, Clone, Copy)]
pub struct Compute<'a>(&'a Client);

impl Client {
    /// Offers, grants, rules and stored objects.
    pub fn compute(&self) -> Compute<'_> {
        Compute(self)
    }
}

/// Every call fails as [`ClientError`] says.
#[expect(
    clippy::missing_errors_doc,
    reason = "the same for all, said once above"
)]
impl Compute<'_> {
    /// Our offers.
    pub async fn offers(&self) -> Result<Vec<Offer>, ClientError> {
        let answer: ListOffersResponse = self.0.get(&format!("{PREFIX}/offers"), &[]).await?;
        Ok(answer.offers)
    }

    /// Offers machines or storage.
    pub async fn create_offer(&self, offer: &Offer) -> Result<Offer, ClientError> {
        let request = CreateOfferRequest {
            offer: Some(offer.clone()),
        };
        let answer: CreateOfferResponse =
            self.0.post(&format!("{PREFIX}/offers"), &request).await?;
        Ok(answer.offer.unwrap_or_default())
    }

    /// Takes an offer back.
    pub async fn withdraw_offer(&self, name: &str) -> Result<WithdrawOfferResponse, ClientError> {
        self.0
            .delete(&format!("{PREFIX}/offers/{}", segment(name)))
            .await
    }

    /// Grants given and received.
    pub async fn grants(&self, active_only: bool) -> Result<Vec<Grant>, ClientError> {
        let query = [("active_only", active_only.to_string())];
        let answer: ListGrantsResponse = self.0.get(&format!("{PREFIX}/grants"), &query).await?;
        Ok(answer.grants)
    }

    /// One grant.
    pub async fn grant(&self, grant_id: &str) -> Result<Grant, ClientError> {
        let answer: GetGrantResponse = self.0.get(&grant_path(grant_id, ""), &[]).await?;
        Ok(answer.grant.unwrap_or_default())
    }

    /// Asks a partner for a grant.
    pub async fn request_grant(&self, request: &RequestGrantRequest) -> Result<Grant, ClientError> {
        let answer: RequestGrantResponse =
            self.0.post(&format!("{PREFIX}/grants"), request).await?;
        Ok(answer.grant.unwrap_or_default())
    }

    /// The provider says yes.
    pub async fn approve_grant(&self, request: &ApproveGrantRequest) -> Result<Grant, ClientError> {
        let path = grant_path(&request.grant_id, "/approve");
        let answer: ApproveGrantResponse = self.0.post(&path, request).await?;
        Ok(answer.grant.unwrap_or_default())
    }

    /// The provider says no.
    pub async fn deny_grant(&self, request: &DenyGrantRequest) -> Result<Grant, ClientError> {
        let path = grant_path(&request.grant_id, "/deny");
        let answer: DenyGrantResponse = self.0.post(&path, request).await?;
        Ok(answer.grant.unwrap_or_default())
    }

    /// The provider takes a grant back.
    pub async fn revoke_grant(&self, request: &RevokeGrantRequest) -> Result<Grant, ClientError> {
        let path = grant_path(&request.grant_id, "/revoke");
        let answer: RevokeGrantResponse = self.0.post(&path, request).await?;
        Ok(answer.grant.unwrap_or_default())
    }

    /// The consumer ends a grant.
    pub async fn end_grant(&self, request: &EndGrantRequest) -> Result<Grant, ClientError> {
        let path = grant_path(&request.grant_id, "/end");
        let answer: EndGrantResponse = self.0.post(&path, request).await?;
        Ok(answer.grant.unwrap_or_default())
    }

    /// Rules for automatic approval.
    pub async fn rules(&self) -> Result<Vec<Rule>, ClientError> {
        let answer: ListRulesResponse = self.0.get(&format!("{PREFIX}/rules"), &[]).await?;
        Ok(answer.rules)
    }

    /// Writes a rule.
    pub async fn put_rule(&self, rule: &Rule) -> Result<Rule, ClientError> {
        let path = format!("{PREFIX}/rules/{}", segment(&rule.name));
        let request = PutRuleRequest {
            rule: Some(rule.clone()),
        };
        let answer: PutRuleResponse = self.0.call(Method::PUT, &path, &request).await?;
        Ok(answer.rule.unwrap_or_default())
    }

    /// Deletes a rule.
    pub async fn delete_rule(&self, name: &str) -> Result<(), ClientError> {
        let _: DeleteRuleResponse = self
            .0
            .delete(&format!("{PREFIX}/rules/{}", segment(name)))
            .await?;
        Ok(())
    }

    /// Objects of a storage offer whose keys begin with `prefix`.
    pub async fn objects(&self, offer: &str, prefix: &str) -> Result<Vec<ObjectRef>, ClientError> {
        let stored = self.stored(offer, prefix).await?;
        Ok(stored.into_iter().map(|(object, _)| object).collect())
    }

    /// The same, each with who stored it and when.
    pub async fn stored(
        &self,
        offer: &str,
        prefix: &str,
    ) -> Result<Vec<(ObjectRef, ObjectNote)>, ClientError> {
        let path = format!("{PREFIX}/storage/{}/objects", segment(offer));
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let query = [("prefix", prefix.to_owned()), ("page_token", token)];
            let page: ListObjectsResponse = self.0.get(&path, &query).await?;
            // A node of an earlier version sends no notes.
            let notes = page
                .notes
                .into_iter()
                .chain(std::iter::repeat_with(ObjectNote::default));
            all.extend(page.objects.into_iter().zip(notes));
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            token = page.next_page_token;
        }
    }

    /// Uploads an object into a storage offer; bytes with another SHA-256 than `sha256` are refused.
    pub async fn put_object(
        &self,
        offer: &str,
        key: &str,
        sha256: Option<&str>,
        bytes: impl AsyncRead + Send + 'static,
    ) -> Result<ObjectRef, ClientError> {
        let body = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(bytes));
        self.0
            .put_bytes(&object_path(offer, key), sha256, body)
            .await
    }

    /// Fetches an object.
    pub async fn object(&self, offer: &str, key: &str) -> Result<bytes::Bytes, ClientError> {
        self.0.download(&object_path(offer, key)).await
    }

    /// Deletes an object.
    pub async fn delete_object(&self, offer: &str, key: &str) -> Result<(), ClientError> {
        let _: DeleteObjectResponse = self.0.delete(&object_path(offer, key)).await?;
        Ok(())
    }

    /// Mints a macaroon for an attempt that runs here.
    pub async fn mint_macaroon(
        &self,
        request: &MintMacaroonRequest,
    ) -> Result<String, ClientError> {
        let answer: MintMacaroonResponse =
            self.0.post(&format!("{PREFIX}/macaroons"), request).await?;
        Ok(answer.macaroon)
    }

    /// Says whether a macaroon is good for a use.
    pub async fn validate_macaroon(
        &self,
        request: &ValidateMacaroonRequest,
    ) -> Result<ValidateMacaroonResponse, ClientError> {
        self.0
            .post(&format!("{PREFIX}/macaroons/validate"), request)
            .await
    }
}

fn grant_path(grant_id: &str, action: &str) -> String {
    format!("{PREFIX}/grants/{}{action}", segment(grant_id))
}

fn object_path(offer: &str, key: &str) -> String {
    format!(
        "{PREFIX}/storage/{}/objects/{}",
        segment(offer),
        segments(key)
    )
}
