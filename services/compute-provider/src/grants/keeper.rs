//! The worker that moves grants on when nobody asks: missing signatures, answers of partners, ends that come
//! with time, what a grant that is over leaves behind, and leaving a network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use oc_bus::{Answer, Bus, CloudEvent, Consumer, Subscription, follow};
use oc_kernel::{Classify, GrantId, Kind, OrgId};
use oc_store::{Expect, Query, Versioned};
use oc_trust::event::{Event as _, UserEvent};
use tokio_util::sync::CancellationToken;

use super::{awaits_news, event};
use crate::documents::GrantDocument;
use crate::domain::grant::{Cause, Grant, GrantState};
use crate::error::Error;
use crate::provider::Provider;

/// The type of the event that a record of the books is objected to.
const DISPUTED: &str = "oc.accounting.disputed.v1";
/// How often the keeper looks without being woken.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a provider is asked about a grant, where it does not say that there is news.
const FOLLOW_WAITING: Duration = Duration::from_secs(3);
/// The same for a grant in force.
const FOLLOW_ACTIVE: Duration = Duration::from_secs(10);
/// A provider that says again and again that there is news is asked so often at most.
const FOLLOW_NEWS: Duration = Duration::from_millis(100);
/// How long what a grant left stays after its end, so that its consumer can still read why.
const GRACE: Duration = Duration::from_secs(3);

impl Provider {
    /// Moves grants on until it is stopped.
    pub(crate) async fn keep_grants(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut asked: BTreeMap<GrantId, Instant> = BTreeMap::new();
        loop {
            match self.shelf.grants.all(&Query::all()).await {
                Ok(all) => {
                    let known: BTreeSet<_> = all.iter().map(|seen| seen.value.grant.id).collect();
                    asked.retain(|id, _| known.contains(id));
                    self.keep_news(&known);
                    for seen in all {
                        let id = seen.value.grant.id;
                        if let Err(error) = self.move_on(seen, &mut asked).await {
                            tracing::debug!(grant = %id, %error, "the grant stays as it is for now");
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "grants cannot be read"),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = self.wake_keeper.notified() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn move_on(
        &self,
        seen: Versioned<GrantDocument>,
        asked: &mut BTreeMap<GrantId, Instant>,
    ) -> Result<(), Error> {
        let given = seen.value.grant.provider == self.me().await?;
        let seen = self.expire_if_due(seen, given).await?;
        let grant = &seen.value.grant;
        match (given, grant.state) {
            _ if seen.value.purge && grant.swept => {
                self.shelf
                    .grants
                    .delete(&seen.key, Expect::Any, Vec::new())
                    .await?;
            }
            (true, GrantState::Pending) if grant.agreed.is_some() => {
                self.sign_offer(&seen.key).await?;
            }
            (true, state) if state.over() && !grant.swept => {
                let since = self.clock.now().duration_since(grant.cause.at);
                // Who has left can read nothing here any more.
                if seen.value.purge || since >= GRACE.try_into().unwrap_or_default() {
                    self.sweep_grant(&seen.key).await?;
                }
            }
            (false, state) if state.over() && !grant.swept => self.tell_end(&seen.key).await?,
            (false, state) if awaits_news(state) => {
                let pause = match state {
                    _ if self.has_news(&grant.id) => FOLLOW_NEWS,
                    GrantState::Active => FOLLOW_ACTIVE,
                    _ => FOLLOW_WAITING,
                };
                let last = asked.get(&grant.id);
                if last.is_none_or(|last| last.elapsed() >= pause) {
                    self.forget_news(&grant.id);
                    asked.insert(grant.id, Instant::now());
                    self.follow_or_lose(seen).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn expire_if_due(
        &self,
        seen: Versioned<GrantDocument>,
        given: bool,
    ) -> Result<Versioned<GrantDocument>, Error> {
        let now = self.clock.now();
        let patience = Duration::from_secs(u64::from(self.settings.request_days) * 24 * 3600);
        // Only the provider lets a request lapse: its consumer learns of it by asking.
        let over = |grant: &mut Grant| grant.expire(now) || given && grant.lapse(now, patience);
        if !over(&mut seen.value.grant.clone()) {
            return Ok(seen);
        }
        let expired = self
            .shelf
            .grants
            .update(&seen.key, |document| -> Result<_, Error> {
                let news = over(&mut document.grant);
                Ok(if news {
                    vec![event(&document.grant)]
                } else {
                    Vec::new()
                })
            });
        let seen = expired.await?;
        if given {
            self.cut_off(&seen.value.grant).await?;
        }
        Ok(seen)
    }

    /// A provider that knows a grant no more has taken it back.
    async fn follow_or_lose(&self, seen: Versioned<GrantDocument>) -> Result<(), Error> {
        let key = seen.key.clone();
        let provider = seen.value.grant.provider;
        match self.follow(seen).await {
            Err(error) if error.kind() == Kind::NotFound => {
                let text = "its provider does not know it any more";
                let cause = Cause::new("unknown-at-provider", text, provider, self.clock.now());
                let lost = self
                    .shelf
                    .grants
                    .update(&key, |document| -> Result<_, Error> {
                        document.grant.revoke(cause.clone())?;
                        document.grant.swept = true;
                        Ok(vec![event(&document.grant)])
                    });
                lost.await.map(|_| ())
            }
            done => done.map(|_| ()),
        }
    }

    /// Subscribes to what makes grants end: networks that we leave, partners that leave or are blocked. And to users
    /// of ours who are removed.
    pub(crate) async fn departures(
        bus: &Arc<dyn Bus>,
    ) -> Result<Box<dyn Consumer>, oc_bus::BusError> {
        let kinds = [
            "oc.discovery.network.v1",
            "oc.discovery.peer.v1",
            DISPUTED,
            UserEvent::TYPE,
        ];
        let subscription = Subscription::durable("compute-provider-departures", &kinds)?;
        bus.subscribe(subscription).await
    }

    /// Acts on departures until it is stopped.
    pub(crate) async fn follow_departures(
        self,
        departures: Box<dyn Consumer>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let handle = |event| {
            let provider = self.clone();
            async move {
                match provider.on_departure(&event).await {
                    Ok(()) => Answer::Done,
                    Err(error) => {
                        tracing::warn!(%error, "a departure is followed later");
                        Answer::Later(PAUSE)
                    }
                }
            }
        };
        Ok(follow(departures, stop, handle).await?)
    }

    async fn on_departure(&self, event: &CloudEvent) -> Result<(), Error> {
        let data = event.data.as_ref();
        let text = |field: &str| data.and_then(|d| d.get(field)).and_then(|v| v.as_str());
        let state = text("state").unwrap_or_default();
        match (event.kind.as_str(), state) {
            ("oc.discovery.network.v1", "left") => {
                let network = text("network_id").unwrap_or_default();
                self.end_where("network-left", "the network was left", true, |document| {
                    document.grant.network.as_str() == network
                })
                .await
            }
            ("oc.discovery.peer.v1", "blocked" | "left") => {
                let org: Option<OrgId> = text("org_id").and_then(|id| id.parse().ok());
                let Some(org) = org else { return Ok(()) };
                let left = state == "left";
                let (code, why) = if left {
                    ("partner-left", "the partner left the network")
                } else {
                    ("partner-blocked", "the partner was blocked")
                };
                self.end_where(code, why, left, |document| {
                    document.grant.consumer == org || document.grant.provider == org
                })
                .await
            }
            (UserEvent::TYPE, "removed") => {
                self.forget_user(text("user").unwrap_or_default()).await
            }
            (DISPUTED, _) => match text("grant_id").and_then(|id| id.parse().ok()) {
                Some(grant) => self.note_dispute(&grant).await,
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn note_dispute(&self, id: &GrantId) -> Result<(), Error> {
        let seen = match self.grant(id).await {
            Ok(seen) => seen,
            // Books outlive their grants here.
            Err(error) if error.kind() == Kind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let noted = self
            .shelf
            .grants
            .update(&seen.key, |document| -> Result<_, Error> {
                document.disputed = true;
                Ok(Vec::new())
            });
        noted.await.map(|_| ())
    }

    /// Ends the grants that `which` picks, on either side; with `purge` nothing of them stays here.
    async fn end_where(
        &self,
        code: &str,
        why: &str,
        purge: bool,
        which: impl Fn(&GrantDocument) -> bool,
    ) -> Result<(), Error> {
        let me = self.me().await?;
        for seen in self.shelf.grants.all(&Query::all()).await? {
            if !which(&seen.value) {
                continue;
            }
            let given = seen.value.grant.provider == me;
            let cause = Cause::new(code, why, me, self.clock.now());
            let ended = self
                .shelf
                .grants
                .update(&seen.key, |document| -> Result<_, Error> {
                    document.purge |= purge;
                    // There is nobody to tell any more.
                    document.grant.swept |= purge && !given;
                    if document.grant.state.over() {
                        return Ok(Vec::new());
                    }
                    if given {
                        document.grant.revoke(cause.clone())?;
                    } else {
                        document.grant.end(cause.clone());
                    }
                    Ok(vec![event(&document.grant)])
                });
            let grant = ended.await?.value.grant;
            if given && !grant.swept {
                self.cut_off(&grant).await?;
            }
        }
        self.wake_keeper.notify_one();
        Ok(())
    }
}
