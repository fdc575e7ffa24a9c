//! `opencloud storage`: what lies in storage of ours, and taking it away.

use std::cell::Cell;
use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use futures::{TryStreamExt as _, stream};
use oc_proto::compute::v1::{ObjectNote, OfferKind};
use oc_proto::types::v1::ObjectRef;
use serde::Serialize;

use super::output::{counted, hint};
use super::{CommandError, Context, Outcome, find, size, when};

/// Objects that are removed at a time.
const AT_ONCE: usize = 8;

#[derive(Debug, Subcommand)]
pub(crate) enum StorageCommand {
    /// What lies in our storage: your own, for operators everybody's
    List {
        /// Name of the storage [default: each of ours]
        storage: Option<String>,
        /// Only keys that begin so
        #[arg(long, default_value = "", hide_default_value = true)]
        prefix: String,
    },
    /// Remove objects for good
    Remove(RemoveArguments),
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArguments {
    /// Name of the storage
    storage: String,
    /// Keys, as `storage list` shows them
    #[arg(required_unless_present_any = ["prefix", "all"], conflicts_with_all = ["prefix", "all"])]
    keys: Vec<String>,
    /// All whose keys begin so
    #[arg(long, conflicts_with = "all")]
    prefix: Option<String>,
    /// All
    #[arg(long)]
    all: bool,
}

/// An object, as programs read it.
#[derive(Debug, Serialize)]
struct Stored {
    storage: String,
    key: String,
    bytes: u64,
    sha256: String,
    user_id: String,
    grant_id: String,
    attempt_id: String,
    stored_at_ms: u64,
}

impl Stored {
    fn new(storage: &str, object: ObjectRef, note: ObjectNote) -> Self {
        Self {
            storage: storage.to_owned(),
            key: object.key,
            bytes: object.length,
            sha256: object.sha256,
            user_id: note.user_id,
            grant_id: note.grant_id,
            attempt_id: note.attempt_id,
            stored_at_ms: note.stored_at_ms,
        }
    }

    /// Whose it is; empty where nobody knows.
    fn owner(&self, names: &BTreeMap<String, String>) -> String {
        match (self.user_id.as_str(), self.grant_id.as_str()) {
            ("", "") => String::new(),
            ("", grant) => grant.to_owned(),
            (user, _) => names.get(user).map_or(user, String::as_str).to_owned(),
        }
    }
}

pub(crate) async fn run(context: &Context, command: StorageCommand) -> Outcome {
    match command {
        StorageCommand::List { storage, prefix } => list(context, storage, &prefix).await,
        StorageCommand::Remove(arguments) => remove(context, arguments).await,
    }
}

async fn list(context: &Context, storage: Option<String>, prefix: &str) -> Outcome {
    let offers = match storage {
        Some(storage) => vec![find::storage_name(&storage).to_owned()],
        None => {
            let offers = context.client.compute().offers().await?;
            let storage = |kind: i32| kind == i32::from(OfferKind::Storage);
            let storage = offers.into_iter().filter(|offer| storage(offer.kind));
            storage.map(|offer| offer.name).collect()
        }
    };
    let mut all = Vec::new();
    for offer in &offers {
        all.extend(stored(context, offer, prefix).await?);
    }
    let names = user_names(context).await;
    let several = offers.len() > 1;
    context.output.list(
        &all,
        "nothing lies there",
        ["STORAGE", "KEY", "SIZE", "OWNER", "SINCE"],
        |object| {
            [
                if several {
                    object.storage.clone()
                } else {
                    String::new()
                },
                object.key.clone(),
                size::show(object.bytes),
                object.owner(&names),
                when::show(object.stored_at_ms),
            ]
        },
    )
}

async fn stored(context: &Context, offer: &str, prefix: &str) -> Result<Vec<Stored>, CommandError> {
    let found = context.client.compute().stored(offer, prefix).await?;
    let found = found.into_iter();
    Ok(found
        .map(|(object, note)| Stored::new(offer, object, note))
        .collect())
}

/// Names of users by id, as far as the caller may know them.
async fn user_names(context: &Context) -> BTreeMap<String, String> {
    let backend = context.client.backend();
    let mut users = backend.users().await.unwrap_or_default();
    users.extend(backend.me().await);
    let named = users.into_iter().map(|user| (user.user_id, user.name));
    named.collect()
}

async fn remove(context: &Context, arguments: RemoveArguments) -> Outcome {
    let offer = find::storage_name(&arguments.storage);
    let doomed = match &arguments.prefix {
        None if arguments.all => stored(context, offer, "").await?,
        Some(prefix) => stored(context, offer, prefix).await?,
        None => named(context, offer, &arguments.keys).await?,
    };
    if doomed.is_empty() {
        return Err(CommandError::Missing(format!(
            "nothing of that lies in storage.{offer}: see `opencloud storage list {offer}`"
        )));
    }
    let bytes: u64 = doomed.iter().map(|object| object.bytes).sum();
    let what = format!(
        "{} of {}",
        counted(doomed.len(), "object"),
        size::show(bytes)
    );
    context.confirm(&format!(
        "Remove {what} from storage.{offer}? Nobody can bring them back, and runs and results that name them lose them."
    ))?;
    let (compute, removed) = (context.client.compute(), &Cell::new(0));
    let done = stream::iter(doomed.iter().map(Ok::<_, CommandError>))
        .try_for_each_concurrent(AT_ONCE, |object| async move {
            compute.delete_object(offer, &object.key).await?;
            removed.set(removed.get() + 1);
            Ok(())
        })
        .await;
    if done.is_err() {
        hint(&partly(removed.get(), doomed.len()));
    }
    done?;
    context.output.show(&doomed, |_| {
        anstream::println!("removed {what}");
    })?;
    if !context.output.is_json() && emptied(context, offer).await {
        hint(&format!(
            "storage.{offer} was withdrawn and is empty: it goes now, and can be offered anew"
        ));
    }
    Ok(())
}

/// What is told where only a part could be removed.
fn partly(removed: usize, of: usize) -> String {
    format!(
        "{removed} of {} were removed, {} are left",
        counted(of, "object"),
        of - removed
    )
}

/// The objects of these keys, which must all be there.
async fn named(
    context: &Context,
    offer: &str,
    keys: &[String],
) -> Result<Vec<Stored>, CommandError> {
    let mut found = Vec::new();
    for key in keys {
        let there = stored(context, offer, key).await?;
        let object = there.into_iter().find(|object| object.key == *key);
        found.push(object.ok_or_else(|| {
            CommandError::Missing(format!(
                "no `{key}` in storage.{offer}: see `opencloud storage list {offer}`"
            ))
        })?);
    }
    Ok(found)
}

/// Whether a withdrawn storage has nothing left, or is gone already.
async fn emptied(context: &Context, offer: &str) -> bool {
    let offers = context.client.compute().offers().await;
    offers.is_ok_and(|offers| {
        let there = offers.iter().find(|it| it.name == offer);
        there.is_none_or(|it| it.withdrawn && it.objects_left == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_that_ends_early_says_how_many_went() {
        assert_eq!(
            partly(21, 400),
            "21 of 400 objects were removed, 379 are left"
        );
    }

    #[test]
    fn the_owner_of_an_object_is_its_user_by_name_or_a_partners_grant() {
        let names = BTreeMap::from([("user-1".to_owned(), "alice".to_owned())]);
        let of = |user: &str, grant: &str| {
            let note = ObjectNote {
                user_id: user.to_owned(),
                grant_id: grant.to_owned(),
                ..ObjectNote::default()
            };
            Stored::new("results", ObjectRef::default(), note).owner(&names)
        };
        assert_eq!(of("user-1", ""), "alice");
        assert_eq!(of("user-2", ""), "user-2");
        assert_eq!(of("", "grant-3"), "grant-3");
        assert_eq!(of("", ""), "");
    }
}
