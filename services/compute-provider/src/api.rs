//! The use cases as their messages: what REST and gRPC both call, so that they cannot drift apart.

use oc_kernel::{GrantId, Name, ObjectKey, PageRequest, PageToken};
use oc_proto::compute::v1 as pb;
use oc_service::access::Principal;
use oc_trust::Limits;

use crate::convert::{
    self, grant_message, limits, note_message, object_message, offer_message, parse, parse_all,
    rule_message,
};
use crate::domain::grant::{Cause, Grant};
use crate::error::Error;
use crate::grants::Wanted;
use crate::provider::Provider;
use crate::storage::Reach;

/// Who did something, for a cause that people read.
pub(crate) fn name_of(caller: &Principal) -> String {
    match caller {
        Principal::User(user) => user.name.clone(),
        Principal::Service(name) => (*name).to_string(),
        Principal::Partner(partner) => partner.org.to_string(),
        Principal::Anonymous => "nobody".to_owned(),
    }
}

impl Provider {
    pub(crate) async fn api_create_offer(
        &self,
        request: pb::CreateOfferRequest,
    ) -> Result<pb::CreateOfferResponse, Error> {
        let offer = self.create_offer(convert::offer(request.offer)?).await?;
        let inside = self.inside(&offer).await?;
        Ok(pb::CreateOfferResponse {
            offer: Some(offer_message(&offer, inside)),
        })
    }

    pub(crate) async fn api_list_offers(&self) -> Result<pb::ListOffersResponse, Error> {
        let offers = self.list_offers().await?;
        let offers = offers
            .into_iter()
            .map(|(offer, inside)| offer_message(&offer, inside));
        Ok(pb::ListOffersResponse {
            offers: offers.collect(),
        })
    }

    pub(crate) async fn api_withdraw_offer(
        &self,
        request: pb::WithdrawOfferRequest,
    ) -> Result<pb::WithdrawOfferResponse, Error> {
        let done = self.withdraw_offer(&parse("name", &request.name)?).await?;
        Ok(pb::WithdrawOfferResponse {
            grants_revoked: done.grants_revoked,
            attempts_stopped: done.attempts_stopped,
        })
    }

    pub(crate) async fn api_request_grant(
        &self,
        request: pb::RequestGrantRequest,
    ) -> Result<pb::RequestGrantResponse, Error> {
        let operation = match request.operation_id.as_str() {
            "" => format!("request-{}", uuid::Uuid::now_v7().simple()).parse()?,
            id => parse::<Name>("operation_id", id)?,
        };
        let wanted = Wanted {
            provider: parse("provider", &request.provider)?,
            operation,
            listings: parse_all("listing_ids", &request.listing_ids)?,
            limits: limits(request.limits.as_ref()),
            not_after_ms: request.not_after_ms,
            message: request.message,
        };
        let grant = self.request_grant(wanted).await?;
        Ok(pb::RequestGrantResponse {
            grant: Some(self.message_of(&grant).await?),
        })
    }

    async fn message_of(&self, grant: &Grant) -> Result<pb::Grant, Error> {
        let document = self.grant(&grant.id).await?.value;
        let used = self.used_of(&document).await?;
        let given = document.grant.provider == self.me().await?;
        Ok(grant_message(&document, given, &used))
    }

    pub(crate) async fn api_list_grants(
        &self,
        request: pb::ListGrantsRequest,
    ) -> Result<pb::ListGrantsResponse, Error> {
        let me = self.me().await?;
        let mut grants = Vec::new();
        for document in self.list_grants(request.active_only).await? {
            let used = self.used_of(&document).await?;
            grants.push(grant_message(
                &document,
                document.grant.provider == me,
                &used,
            ));
        }
        Ok(pb::ListGrantsResponse { grants })
    }

    pub(crate) async fn api_get_grant(
        &self,
        request: pb::GetGrantRequest,
    ) -> Result<pb::GetGrantResponse, Error> {
        let grant = self
            .grant(&parse("grant_id", &request.grant_id)?)
            .await?
            .value
            .grant;
        Ok(pb::GetGrantResponse {
            grant: Some(self.message_of(&grant).await?),
        })
    }

    pub(crate) async fn api_approve_grant(
        &self,
        request: pb::ApproveGrantRequest,
        caller: &Principal,
    ) -> Result<pb::ApproveGrantResponse, Error> {
        let id: GrantId = parse("grant_id", &request.grant_id)?;
        let smaller: Option<Limits> = request.limits.as_ref().map(|it| limits(Some(it)));
        let tools = convert::tools(&request.tools)?;
        let grant = self
            .approve_grant(&id, smaller, tools, &name_of(caller))
            .await?;
        Ok(pb::ApproveGrantResponse {
            grant: Some(self.message_of(&grant).await?),
        })
    }

    pub(crate) async fn api_deny_grant(
        &self,
        request: pb::DenyGrantRequest,
    ) -> Result<pb::DenyGrantResponse, Error> {
        let id = parse("grant_id", &request.grant_id)?;
        let grant = self.deny_grant(&id, &request.reason).await?;
        Ok(pb::DenyGrantResponse {
            grant: Some(self.message_of(&grant).await?),
        })
    }

    pub(crate) async fn api_revoke_grant(
        &self,
        request: pb::RevokeGrantRequest,
    ) -> Result<pb::RevokeGrantResponse, Error> {
        let id = parse("grant_id", &request.grant_id)?;
        let text = match request.reason.trim() {
            "" => "revoked by its provider",
            reason => reason,
        };
        let cause = Cause::new("revoked", text, self.me().await?, self.clock.now());
        let grant = self.revoke_grant(&id, cause).await?;
        Ok(pb::RevokeGrantResponse {
            grant: Some(self.message_of(&grant).await?),
        })
    }

    pub(crate) async fn api_end_grant(
        &self,
        request: pb::EndGrantRequest,
    ) -> Result<pb::EndGrantResponse, Error> {
        let id = parse("grant_id", &request.grant_id)?;
        let grant = self.end_grant(&id, &request.reason).await?;
        Ok(pb::EndGrantResponse {
            grant: Some(self.message_of(&grant).await?),
        })
    }

    pub(crate) async fn api_check_grant(
        &self,
        request: pb::CheckGrantRequest,
    ) -> Result<pb::CheckGrantResponse, Error> {
        let id = parse("grant_id", &request.grant_id)?;
        let listing = parse("listing_id", &request.listing_id)?;
        let consumer = parse("consumer", &request.consumer)?;
        let grant = self.check_grant(&id, &listing, &consumer).await?;
        Ok(pb::CheckGrantResponse {
            generation: grant.generation,
            not_after_ms: grant.request.not_after_ms,
            envelope: grant.envelope.unwrap_or_default().into_bytes(),
        })
    }

    pub(crate) async fn api_count_egress(
        &self,
        request: pb::CountEgressRequest,
    ) -> Result<pb::CountEgressResponse, Error> {
        let id = parse("grant_id", &request.grant_id)?;
        let listing = parse("listing_id", &request.listing_id)?;
        let consumer = parse("consumer", &request.consumer)?;
        self.check_grant(&id, &listing, &consumer).await?;
        self.take_reading_egress(id, request.bytes).await?;
        Ok(pb::CountEgressResponse {})
    }

    pub(crate) async fn api_list_rules(&self) -> Result<pb::ListRulesResponse, Error> {
        let rules = self.rules().await?;
        Ok(pb::ListRulesResponse {
            rules: rules.iter().map(rule_message).collect(),
        })
    }

    pub(crate) async fn api_put_rule(
        &self,
        request: pb::PutRuleRequest,
    ) -> Result<pb::PutRuleResponse, Error> {
        let rule = self.put_rule(convert::rule(request.rule)?).await?;
        Ok(pb::PutRuleResponse {
            rule: Some(rule_message(&rule)),
        })
    }

    pub(crate) async fn api_delete_rule(
        &self,
        request: pb::DeleteRuleRequest,
    ) -> Result<pb::DeleteRuleResponse, Error> {
        self.delete_rule(&parse("name", &request.name)?).await?;
        Ok(pb::DeleteRuleResponse {})
    }

    pub(crate) async fn api_list_objects(
        &self,
        request: pb::ListObjectsRequest,
        caller: &Principal,
    ) -> Result<pb::ListObjectsResponse, Error> {
        let page = PageRequest {
            size: request.page_size,
            token: PageToken::parse(&request.page_token)?,
        };
        let offer = parse("offer", &request.offer)?;
        check_prefix(&request.prefix)?;
        let reach = Reach::of(caller).narrowed(&request.user_id)?;
        let listed = self
            .list_objects(&reach, &offer, &request.prefix, &page)
            .await?;
        let me = self.me().await?;
        let notes = listed.objects.iter().map(note_message);
        let notes = notes.collect();
        let objects = listed
            .objects
            .iter()
            .map(|it| object_message(&me, &it.key, &it.sha256, it.length, &it.media_type));
        Ok(pb::ListObjectsResponse {
            objects: objects.collect(),
            notes,
            next_page_token: listed
                .next
                .map(|t| t.as_str().to_owned())
                .unwrap_or_default(),
        })
    }

    pub(crate) async fn api_delete_object(
        &self,
        request: pb::DeleteObjectRequest,
        caller: &Principal,
    ) -> Result<pb::DeleteObjectResponse, Error> {
        let offer: Name = parse("offer", &request.offer)?;
        let key: ObjectKey = parse("key", &request.key)?;
        self.delete_object(&Reach::of(caller), &offer, &key).await?;
        Ok(pb::DeleteObjectResponse {})
    }

    pub(crate) async fn api_set_run_user(
        &self,
        request: pb::SetRunUserRequest,
    ) -> Result<pb::SetRunUserResponse, Error> {
        let run = parse("run_id", &request.run_id)?;
        self.set_run_user(&run, &request.user_id).await?;
        Ok(pb::SetRunUserResponse {})
    }

    pub(crate) async fn api_mint_macaroon(
        &self,
        request: pb::MintMacaroonRequest,
    ) -> Result<pb::MintMacaroonResponse, Error> {
        let attempt = parse("attempt_id", &request.attempt_id)?;
        let macaroon = self.mint_macaroon(&attempt, &request.caveats).await?;
        Ok(pb::MintMacaroonResponse { macaroon })
    }

    pub(crate) async fn api_validate_macaroon(
        &self,
        request: pb::ValidateMacaroonRequest,
    ) -> Result<pb::ValidateMacaroonResponse, Error> {
        let attempt = parse("attempt_id", &request.attempt_id)?;
        let checked = self
            .validate_macaroon(
                &request.macaroon,
                &attempt,
                &request.operation,
                &request.name,
            )
            .await?;
        Ok(match checked {
            Ok(()) => pb::ValidateMacaroonResponse {
                valid: true,
                reason: String::new(),
            },
            Err(reason) => pb::ValidateMacaroonResponse {
                valid: false,
                reason,
            },
        })
    }
}

/// A prefix is the begin of a key: nothing that climbs or hides.
fn check_prefix(prefix: &str) -> Result<(), Error> {
    let whole = prefix.trim_end_matches('/');
    if whole.is_empty() && prefix.len() <= 1 {
        return Ok(());
    }
    parse::<ObjectKey>("prefix", whole).map(|_| ())
}
