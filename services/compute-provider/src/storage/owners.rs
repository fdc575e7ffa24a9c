//! Whose an object is: it belongs to the user who uploaded it, or who started the run that wrote it. Of runs only
//! the orchestrator knows the user; it says so here before it hands out work, and partners never learn.
//!
//! What belongs to nobody known (a partner's, or from before owners were kept) is for operators.

use std::ops::Bound;
use std::time::Duration;

use oc_kernel::{ObjectKey, RunId};
use oc_service::access::{Principal, Role};
use oc_store::{Expect, IndexValue, Query, StoreError};

use crate::documents::{RunUser, StoredObject, folder_of};
use crate::domain::offer::WORKSPACE;
use crate::domain::room::Room;
use crate::error::Error;
use crate::provider::Provider;

/// How long it is kept who started a run, after the orchestrator last said so.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longest id of a user, in bytes.
const LONGEST_USER: usize = 200;
/// The first name of keys below which runs leave what they make, unless they are told another.
const RUNS: &str = "runs";
/// The begin of the first name of keys below which a user has the inputs of their runs.
const INPUTS: &str = "inputs-";

/// Which objects a caller has to do with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Everybody's.
    All,
    /// Those of one user.
    Of(String),
}

impl Reach {
    /// An operator and our own services reach everything, everybody else what is theirs.
    pub(crate) fn of(caller: &Principal) -> Self {
        if Role::Operator.admits(caller) || Role::Service.admits(caller) {
            return Reach::All;
        }
        // No object belongs to a user without an id.
        Reach::Of(
            caller
                .user()
                .map(|user| user.id.clone())
                .unwrap_or_default(),
        )
    }

    /// The same for one user's objects only; an empty id narrows nothing.
    pub(crate) fn narrowed(self, user: &str) -> Result<Self, Error> {
        match self {
            reach if user.is_empty() => Ok(reach),
            Reach::All => Ok(Reach::Of(user.to_owned())),
            Reach::Of(own) if own == user => Ok(Reach::Of(own)),
            Reach::Of(_) => Err(Error::Forbidden(
                "a user lists their own objects: leave `user_id` out".to_owned(),
            )),
        }
    }

    /// True for an object within reach.
    pub(crate) fn includes(&self, object: &StoredObject) -> bool {
        match self {
            Reach::All => true,
            Reach::Of(user) => object.user.as_ref() == Some(user),
        }
    }
}

impl Provider {
    /// A user writes where nobody else has anything: the first name of a key is a folder of one user. Some names are
    /// given away before anybody is there: `runs` to runs, `inputs-NAME` to the user of that name or id. Runs need no
    /// such rule: each writes below its own id.
    pub(super) async fn may_write(
        &self,
        caller: &Principal,
        room: &Room,
        key: &ObjectKey,
    ) -> Result<(), Error> {
        if room.offer.as_str() == WORKSPACE {
            let text = "`work` is where runs leave files for their later steps: write into a storage that is offered";
            return Err(Error::Forbidden(text.to_owned()));
        }
        let folder = folder_of(key.as_str());
        if folder == RUNS {
            let text = "`runs` holds what runs make: write below another first name";
            return Err(Error::Forbidden(text.to_owned()));
        }
        let reach = Reach::of(caller);
        let Reach::Of(user) = &reach else {
            return Ok(());
        };
        if let Some(owner) = folder.strip_prefix(INPUTS) {
            let name = caller.user().map(|user| as_segment(&user.name));
            if owner == user || name.as_deref() == Some(owner) {
                return Ok(());
            }
            return Err(Error::Forbidden(format!(
                "`{folder}` is for the inputs of the user `{owner}` alone: write below `{INPUTS}{}`",
                name.unwrap_or_default()
            )));
        }
        let others_come = room.uploads().any(|(other, upload)| {
            folder_of(other.as_str()) == folder && upload.user.as_ref() != Some(user)
        });
        if others_come || self.others_have(room, folder, user).await? {
            return Err(Error::Forbidden(format!(
                "`{folder}` in `{}` has objects of somebody else: write below another first name",
                room.offer
            )));
        }
        Ok(())
    }

    async fn others_have(&self, room: &Room, folder: &str, user: &str) -> Result<bool, Error> {
        let value = |who: &str| IndexValue::from(format!("{}/{folder}/{who}", room.offer));
        let before = (Bound::Included(value("")), Bound::Excluded(value(user)));
        // No id has a character after the last one of ASCII.
        let after = (
            Bound::Excluded(value(user)),
            Bound::Excluded(value("\u{7f}")),
        );
        let one = oc_kernel::PageRequest {
            size: 1,
            ..Default::default()
        };
        for (from, to) in [before, after] {
            let query = Query::range("folder", from, to);
            if !self
                .shelf
                .objects
                .list(&query, &one)
                .await?
                .items
                .is_empty()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes down who started a run of ours.
    pub(crate) async fn set_run_user(&self, run: &RunId, user: &str) -> Result<(), Error> {
        let readable = |c: char| c.is_ascii_graphic() && c != '/';
        if user.is_empty() || user.len() > LONGEST_USER || !user.chars().all(readable) {
            return Err(Error::Malformed {
                field: "user_id",
                reason: "this is no id of a user".to_owned(),
            });
        }
        let said = RunUser {
            user: user.to_owned(),
            said_ms: self.clock.now().as_millisecond(),
        };
        let key = run.to_string();
        match self.shelf.run_users.create(&key, &said, Vec::new()).await {
            Ok(_) => return Ok(()),
            Err(StoreError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let again = self.shelf.run_users.update(&key, |known| {
            if known.user != said.user {
                let text = format!("{run} was started by another user");
                return Err(Error::Conflict(text));
            }
            known.said_ms = said.said_ms;
            Ok(Vec::new())
        });
        again.await.map(|_| ())
    }

    /// Who started a run of ours; none where nobody said.
    pub(super) async fn user_of_run(&self, run: &RunId) -> Result<Option<String>, Error> {
        let found = self.shelf.run_users.get(&run.to_string()).await?;
        Ok(found.map(|seen| seen.value.user))
    }

    /// Forgets whose objects and runs a removed user's were: from then on they are for operators.
    pub(crate) async fn forget_user(&self, user: &str) -> Result<(), Error> {
        // The character after the slash bounds what lies below the user.
        let below = |end: char| IndexValue::from(format!("{user}{end}"));
        let (from, to) = (Bound::Included(below('/')), Bound::Excluded(below('0')));
        let own = Query::range("mine", from, to);
        for seen in self.shelf.objects.all(&own).await? {
            let forgotten = self.shelf.objects.update(&seen.key, |object| {
                object.user = None;
                Ok::<_, StoreError>(Vec::new())
            });
            match forgotten.await {
                // Deleted in between.
                Ok(_) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for seen in self.shelf.run_users.all(&Query::all()).await? {
            if seen.value.user == user {
                self.shelf
                    .run_users
                    .delete(&seen.key, Expect::Any, Vec::new())
                    .await?;
            }
        }
        Ok(())
    }

    /// Forgets who started runs that were not heard of for long; their objects know it themselves.
    pub(super) async fn forget_run_users(&self) -> Result<(), Error> {
        let before = self.clock.now().checked_sub(KEPT);
        let before = before.unwrap_or(jiff::Timestamp::MIN).as_millisecond();
        let old = Query::range("said", Bound::Unbounded, Bound::Excluded(before.into()));
        for seen in self.shelf.run_users.all(&old).await? {
            let expect = Expect::Revision(seen.revision);
            match self
                .shelf
                .run_users
                .delete(&seen.key, expect, Vec::new())
                .await
            {
                // Said again in between.
                Ok(_) | Err(StoreError::Stale { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The name of a user as a part of a key: what may not stand there is `_`.
fn as_segment(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect()
}
