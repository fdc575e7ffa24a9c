//! What planning knows of the world: who we are, our grants, and which of them are of no use now.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use oc_door::Identity;
use oc_kernel::GrantId;
use oc_proto::compute::v1::Grant;
use oc_proto::federation::v1::GrantState;
use oc_workflow::data::ListingRef;
use oc_workflow::plan::Access;

use crate::ports::Books;

/// Books that are asked for at the same time.
const BOOKS_AT_ONCE: usize = 16;

/// What planning knows of the world.
pub(super) struct World {
    pub(super) me: Identity,
    pub(super) grants: Vec<Grant>,
    /// By grant what its books are disputed for: its provider starts nothing under it meanwhile.
    pub(super) disputes: BTreeMap<String, String>,
    /// By grant that lists tools why this run may not be under it.
    pub(super) unfit: BTreeMap<String, String>,
    /// Grants that list tools and by which data of this run are read. Their owner looks at what reads them, so the
    /// machines there are used under the same grant.
    pub(super) looked_at: BTreeSet<String>,
    /// What this run reads and where it writes: all of one owner is best used under one grant.
    pub(super) used: Vec<ListingRef>,
    /// Where it writes. A site writes to its own storage under the grant on its machines.
    pub(super) output: Option<ListingRef>,
}

impl World {
    /// How we may use a listing of somebody.
    pub(super) fn access(&self, of: &ListingRef, now: Timestamp) -> Access {
        self.access_among(of, now, |_| true)
    }

    fn access_among(
        &self,
        of: &ListingRef,
        now: Timestamp,
        may: impl Fn(&Grant) -> bool,
    ) -> Access {
        if of.owner == self.me.org {
            return Access::Own;
        }
        let covering = self.grants.iter().filter(|grant| covers(grant, of));
        let covering: Vec<&Grant> = covering.filter(|grant| may(grant)).collect();
        let active = covering.iter().filter(|g| g.state() == GrantState::Active);
        let best = active.max_by_key(|grant| {
            let undisputed = !self.disputes.contains_key(&grant.grant_id);
            let fits = !self.unfit.contains_key(&grant.grant_id);
            let open = grant.tools.is_empty();
            let used = self.used.iter().filter(|it| covers(grant, it)).count();
            // One that lists tools lets others do nothing.
            (fits, undisputed, open, used, grant.not_after_ms)
        });
        // What stands in the way is what happened last, and before that what is still to be decided.
        let last = covering.iter().max_by_key(|grant| {
            let waits = matches!(grant.state(), GrantState::Pending | GrantState::Offered);
            let denied = grant.state() == GrantState::Denied;
            let at_ms = grant.cause.as_ref().map(|cause| cause.at_ms);
            (waits, !denied, at_ms)
        });
        match best.or(last) {
            Some(grant) => access_of(grant, now),
            None => Access::Missing,
        }
    }

    /// The grants in force that cover a listing of somebody.
    pub(super) fn covering(&self, of: &ListingRef) -> BTreeSet<GrantId> {
        let covering = self.grants.iter().filter(|grant| covers(grant, of));
        let active = covering.filter(|grant| grant.state() == GrantState::Active);
        active.filter_map(|it| it.grant_id.parse().ok()).collect()
    }

    /// The grant by which we use a listing of somebody.
    pub(super) fn grant(&self, of: &ListingRef, now: Timestamp) -> Option<&Grant> {
        let id = self.access(of, now).grant()?.to_string();
        self.grants.iter().find(|grant| grant.grant_id == id)
    }

    /// The only tools that may read a dataset of somebody, in words; none where any may.
    pub(super) fn tools(&self, of: &ListingRef, now: Timestamp) -> Option<Vec<String>> {
        let grant = self.grant(of, now)?;
        let name = |tool: &String| match tool.split_once('/') {
            Some((_, listing)) => format!("`{listing}`"),
            None => format!("the tool {tool}"),
        };
        (!grant.tools.is_empty()).then(|| grant.tools.iter().map(name).collect())
    }

    /// Bytes that may still leave under the grant by which we use a listing, as far as we know.
    pub(super) fn egress_left(&self, of: &ListingRef, now: Timestamp) -> Option<u64> {
        let grant = self.grant(of, now)?;
        let used = grant.used.unwrap_or_default().egress_bytes;
        Some(grant.limits?.egress_bytes.saturating_sub(used))
    }

    /// How we may use machines of somebody: data can be read under a grant whose books are disputed, but nothing
    /// begins under it.
    pub(super) fn access_to_machines(&self, of: &ListingRef, now: Timestamp) -> Access {
        let owner = of.owner.to_string();
        let looked_at = |grant: &Grant| self.looked_at.contains(&grant.grant_id);
        let bound = self
            .grants
            .iter()
            .any(|grant| grant.provider == owner && looked_at(grant));
        let mut access = self.access_among(of, now, |grant| !bound || looked_at(grant));
        let output = self.output.as_ref().filter(|it| it.owner == of.owner);
        if let Some(output) = output
            && access.grant().is_some()
        {
            let writes = |grant: &Grant| (!bound || looked_at(grant)) && covers(grant, output);
            access = match self.access_among(of, now, writes) {
                both @ Access::Granted { .. } => both,
                _ => Access::Uncovered {
                    listing: output.listing.clone(),
                },
            };
        }
        let Some(grant) = access.grant().map(|grant| grant.to_string()) else {
            return access;
        };
        if let Some(reason) = self.unfit.get(&grant) {
            return Access::Unfit {
                reason: reason.clone(),
            };
        }
        match self.disputes.get(&grant) {
            Some(reason) => Access::Disputed {
                reason: reason.clone(),
            },
            None => access,
        }
    }
}

/// What the books of the grants are disputed for under which we could use machines.
pub(super) async fn disputes(books: &dyn Books, grants: &[Grant]) -> BTreeMap<String, String> {
    let machines = |grant: &&Grant| {
        let mut listings = grant.listing_ids.iter();
        !grant.given
            && grant.state() == GrantState::Active
            && listings.any(|id| id.starts_with("compute."))
    };
    let ids: Vec<String> = grants
        .iter()
        .filter(machines)
        .map(|grant| grant.grant_id.clone())
        .collect();
    let asked = stream::iter(ids).map(|id| async move {
        match books.dispute(&id).await {
            Ok(dispute) => dispute.map(|text| (id, text)),
            // The provider knows too, and refuses.
            Err(error) => {
                tracing::warn!(grant = id, %error, "the books of a grant cannot be looked at");
                None
            }
        }
    });
    let asked: Vec<Option<(String, String)>> =
        asked.buffer_unordered(BOOKS_AT_ONCE).collect().await;
    asked.into_iter().flatten().collect()
}

/// True for a grant that we hold on a listing.
fn covers(grant: &Grant, of: &ListingRef) -> bool {
    let mut listings = grant.listing_ids.iter();
    !grant.given
        && grant.provider == of.owner.to_string()
        && listings.any(|id| id == of.listing.as_str())
}

fn access_of(grant: &Grant, now: Timestamp) -> Access {
    let moment = |ms: u64| {
        let ms = i64::try_from(ms).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
    };
    let cause = grant.cause.clone().unwrap_or_default();
    let at = moment(cause.at_ms);
    match (grant.state(), grant.grant_id.parse()) {
        (GrantState::Active, Ok(grant_id)) => Access::Granted {
            grant: grant_id,
            ends: moment(grant.not_after_ms),
        },
        (GrantState::Pending | GrantState::Offered, _) => Access::Requested {
            since: if cause.at_ms == 0 { now } else { at },
        },
        (GrantState::Denied, _) => Access::Denied { reason: cause.text },
        (GrantState::Revoked, _) => Access::Revoked { at },
        (GrantState::Ended | GrantState::Expired, _) => Access::Expired {
            ended: moment(grant.not_after_ms).min(now),
        },
        _ => Access::Missing,
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use oc_kernel::{GrantId, Kind, OrgId};
    use oc_proto::accounting::v1::SettleBooksResponse;
    use oc_service::CallError;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    /// A grant of organisation 2 on its machines and images, in force for so many hours more.
    fn granted(hours: u64) -> Grant {
        let hour = 3_600_000;
        let now_ms = u64::try_from(now().as_millisecond()).unwrap();
        Grant {
            grant_id: GrantId::new().to_string(),
            provider: OrgId::from_digest([2; 32]).to_string(),
            listing_ids: ["compute.machines", "dataset.images"]
                .map(str::to_owned)
                .into(),
            state: GrantState::Active.into(),
            not_after_ms: now_ms + hours * hour,
            ..Grant::default()
        }
    }

    fn of(listing: &str) -> ListingRef {
        ListingRef {
            owner: OrgId::from_digest([2; 32]),
            listing: listing.parse().unwrap(),
        }
    }

    async fn world(grants: &[&Grant], disputed: &[&Grant]) -> World {
        let grants: Vec<Grant> = grants.iter().map(|grant| (*grant).clone()).collect();
        let disputed = disputed.iter().map(|grant| grant.grant_id.clone());
        let books = Disputed(disputed.collect());
        World {
            me: Identity {
                org: OrgId::from_digest([1; 32]),
                name: "North".to_owned(),
            },
            disputes: disputes(&books, &grants).await,
            grants,
            unfit: BTreeMap::new(),
            looked_at: BTreeSet::new(),
            used: Vec::new(),
            output: None,
        }
    }

    /// Books of which these are disputed.
    struct Disputed(Vec<String>);

    #[async_trait]
    impl Books for Disputed {
        async fn settle(&self, _: &str, _: &str) -> Result<SettleBooksResponse, CallError> {
            Ok(SettleBooksResponse::default())
        }

        async fn dispute(&self, grant_id: &str) -> Result<Option<String>, CallError> {
            match grant_id {
                "grant-away" => Err(CallError::new(Kind::Unavailable, "away")),
                _ => {
                    let disputed = self.0.iter().any(|id| id == grant_id);
                    Ok(disputed.then(|| "record 0: 9 s are recorded, 1 s was seen".to_owned()))
                }
            }
        }
    }

    #[tokio::test]
    async fn a_grant_whose_books_are_disputed_is_passed_over_for_another_one() {
        let (long, short) = (granted(9), granted(1));
        let world = world(&[&long, &short], &[&long]).await;
        let access = world.access_to_machines(&of("compute.machines"), now());
        let grant = access.grant().map(|grant| grant.to_string());
        assert_eq!(grant, Some(short.grant_id));
    }

    #[tokio::test]
    async fn the_tools_of_the_grant_that_is_used_are_named() {
        let mut listed = granted(2);
        let owner = &listed.provider;
        listed.tools = vec![format!("{owner}/processing.pictures.1.0")];
        let any = granted(1);
        let tools = |world: &World| world.tools(&of("dataset.images"), now());
        let named = Some(vec!["`processing.pictures.1.0`".to_owned()]);
        assert_eq!(tools(&world(&[&listed], &[]).await), named);
        assert_eq!(tools(&world(&[&any], &[]).await), None);
    }

    #[tokio::test]
    async fn a_grant_that_lists_tools_is_used_for_its_own_data_and_for_nothing_else() {
        let (mut listed, any) = (granted(9), granted(1));
        listed.tools = vec![format!("{}/processing.pictures.1.0", listed.provider)];
        let mut world = world(&[&listed, &any], &[]).await;
        let machines = |world: &World| {
            let access = world.access_to_machines(&of("compute.machines"), now());
            access.grant().map(|grant| grant.to_string())
        };
        assert_eq!(machines(&world), Some(any.grant_id.clone()));
        world.looked_at.insert(listed.grant_id.clone());
        assert_eq!(machines(&world), Some(listed.grant_id));
    }

    #[tokio::test]
    async fn machines_are_used_under_the_grant_that_covers_the_storage_of_the_results() {
        let (mut both, machines) = (granted(1), granted(9));
        both.listing_ids.push("storage.depot".to_owned());
        let storage = Grant {
            listing_ids: vec!["storage.depot".to_owned()],
            ..granted(99)
        };
        let used = |world: &World| world.access_to_machines(&of("compute.machines"), now());
        let mut world = world(&[&both, &machines, &storage], &[]).await;
        let granted = |access: Access| access.grant().map(|grant| grant.to_string());
        assert_eq!(granted(used(&world)).as_ref(), Some(&machines.grant_id));
        world.output = Some(of("storage.depot"));
        world.used = vec![of("storage.depot"), of("dataset.images")];
        assert_eq!(granted(used(&world)).as_ref(), Some(&both.grant_id));
        for what in &world.used {
            let access = world.access(what, now());
            assert_eq!(granted(access).as_ref(), Some(&both.grant_id), "{what:?}");
        }
        let covering = |listing: &str| world.covering(&of(listing)).len();
        assert_eq!(
            (covering("dataset.images"), covering("storage.depot")),
            (2, 2)
        );
        world.grants.remove(0);
        let said = used(&world).refusal("offer `compute.machines`", "South", now());
        let said = said.unwrap();
        assert!(said.contains("does not cover `storage.depot`"), "{said}");
        assert!(said.contains("ask South for one grant on both"), "{said}");
    }

    #[tokio::test]
    async fn machines_under_a_grant_that_would_refuse_the_run_are_refused_with_its_reason() {
        let (mut listed, mut other) = (granted(9), granted(1));
        for grant in [&mut listed, &mut other] {
            grant.tools = vec![format!("{}/processing.pictures.1.0", grant.provider)];
        }
        let mut world = world(&[&listed, &other], &[]).await;
        let reason = "this workflow is none of them, whole and unchanged".to_owned();
        world.unfit.insert(listed.grant_id, reason.clone());
        let machines = |world: &World| world.access_to_machines(&of("compute.machines"), now());
        let granted = machines(&world).grant().map(|grant| grant.to_string());
        assert_eq!(
            granted.as_ref(),
            Some(&other.grant_id),
            "the one that fits is used"
        );
        world.unfit.insert(other.grant_id, reason);
        let said = machines(&world).refusal("offer `compute.machines`", "South", now());
        let said = said.unwrap();
        assert!(said.contains("whole and unchanged"), "{said}");
        assert!(
            said.contains("ask South for a grant without tools"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn a_grant_that_was_revoked_is_named_before_a_request_that_was_denied() {
        let mut revoked = granted(9);
        revoked.state = GrantState::Revoked.into();
        let mut denied = granted(9);
        denied.state = GrantState::Denied.into();
        let said = async |grants: &[&Grant]| {
            let access = world(grants, &[])
                .await
                .access(&of("compute.machines"), now());
            access
                .refusal("offer `compute.machines`", "South", now())
                .unwrap()
        };
        let both = said(&[&denied, &revoked]).await;
        assert!(both.contains("South revoked the grant"), "{both}");
        let one = said(&[&denied]).await;
        assert!(
            one.contains("denied") && one.contains("ask South for another"),
            "{one}"
        );
    }

    #[tokio::test]
    async fn what_may_leave_is_the_grants_limit_without_what_has_left() {
        let mut bounded = granted(1);
        let bytes = |egress_bytes| {
            Some(oc_proto::types::v1::Limits {
                egress_bytes,
                ..Default::default()
            })
        };
        (bounded.limits, bounded.used) = (bytes(100), bytes(30));
        let world = world(&[&bounded], &[]).await;
        assert_eq!(world.egress_left(&of("dataset.images"), now()), Some(70));
        assert_eq!(world.egress_left(&of("dataset.others"), now()), None);
    }

    #[tokio::test]
    async fn where_all_books_are_disputed_the_reason_says_so() {
        let only = granted(9);
        let world = world(&[&only], &[&only]).await;
        let access = world.access_to_machines(&of("compute.machines"), now());
        let refusal = access.refusal("offer `compute.machines`", "South", now());
        let refusal = refusal.unwrap();
        assert!(refusal.contains("disputed"), "{refusal}");
        assert!(refusal.contains("9 s are recorded"), "{refusal}");
        // What lies there can still be read.
        let images = world.access(&of("dataset.images"), now());
        assert_eq!(images.refusal("dataset `images`", "South", now()), None);
    }

    #[tokio::test]
    async fn books_that_cannot_be_looked_at_keep_no_plan_from_being_made() {
        let mut grant = granted(1);
        grant.grant_id = "grant-away".to_owned();
        let world = world(&[&grant], &[]).await;
        assert!(world.disputes.is_empty());
    }
}
