//! `opencloud favorite`.

use std::collections::BTreeSet;

use clap::Subcommand;
use oc_proto::backend::v1::{AddFavoriteRequest, Favorite};
use serde::Serialize;

use super::names::Names;
use super::{CommandError, Context, Outcome, find, when};

#[derive(Debug, Subcommand)]
pub(crate) enum FavoriteCommand {
    /// Mark a listing
    Add {
        /// OWNER/LISTING; without an owner, one of ours
        listing: String,
        /// A note of your own
        #[arg(long, default_value = "", hide_default_value = true)]
        note: String,
    },
    /// Listings that you marked
    List,
    /// Take a mark away
    Remove {
        /// OWNER/LISTING; without an owner, one of ours
        listing: String,
    },
}

pub(crate) async fn run(context: &Context, command: FavoriteCommand) -> Outcome {
    let backend = context.client.backend();
    match command {
        FavoriteCommand::Add { listing, note } => {
            let (owner, listing_id) = find::listing_ref(context, &listing).await?;
            let request = AddFavoriteRequest {
                owner,
                listing_id,
                note,
            };
            let favorite = backend.add_favorite(&request).await?;
            context
                .output
                .show(&favorite, |_| anstream::println!("marked {listing}"))
        }
        FavoriteCommand::List => {
            let favorites = backend.favorites().await?;
            let offered = match favorites.is_empty() {
                true => BTreeSet::new(),
                false => offered(context).await?,
            };
            let names = Names::of(context).await;
            let marked: Vec<_> = favorites
                .into_iter()
                .map(|favorite| Marked {
                    offered: offered
                        .contains(&(favorite.owner.clone(), favorite.listing_id.clone())),
                    favorite,
                })
                .collect();
            context.output.list(
                &marked,
                "no favourites: mark one with `opencloud favorite add`",
                ["OWNER", "LISTING", "STATE", "NOTE", "SINCE"],
                |Marked { favorite, offered }| {
                    let state = if *offered { "offered" } else { "gone" };
                    [
                        names.show(&favorite.owner),
                        favorite.listing_id.clone(),
                        state.to_owned(),
                        favorite.note.clone(),
                        when::show(favorite.added_at_ms),
                    ]
                },
            )
        }
        FavoriteCommand::Remove { listing } => {
            let (owner, listing_id) = find::listing_ref(context, &listing).await?;
            backend.delete_favorite(&owner, &listing_id).await?;
            context.output.say(&format!("took the mark from {listing}"));
            Ok(())
        }
    }
}

/// A mark outlives its listing.
#[derive(Serialize)]
struct Marked {
    #[serde(flatten)]
    favorite: Favorite,
    offered: bool,
}

/// Owner and id of every listing.
async fn offered(context: &Context) -> Result<BTreeSet<(String, String)>, CommandError> {
    let listings = context.client.catalog().all().await?;
    let keys = listings.into_iter();
    Ok(keys.map(|it| (it.owner, it.listing_id)).collect())
}
