//! `opencloud favorite`.

use clap::Subcommand;
use oc_kernel::{Classify as _, Kind};
use oc_proto::backend::v1::{AddFavoriteRequest, Favorite};
use serde::Serialize;

use super::{CommandError, Context, Outcome, find, when};

#[derive(Debug, Subcommand)]
pub(crate) enum FavoriteCommand {
    /// Mark a listing
    Add {
        /// OWNER/LISTING; without an owner, one of ours
        listing: String,
        /// A note of your own
        #[arg(long, default_value = "")]
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
            let mut marked = Vec::new();
            for favorite in backend.favorites().await? {
                let offered = is_offered(context, &favorite).await?;
                marked.push(Marked { favorite, offered });
            }
            context.output.list(
                &marked,
                "no favourites: mark one with `opencloud favorite add`",
                ["OWNER", "LISTING", "STATE", "NOTE", "SINCE"],
                |Marked { favorite, offered }| {
                    let state = if *offered { "offered" } else { "gone" };
                    [
                        find::short(&favorite.owner),
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

async fn is_offered(context: &Context, favorite: &Favorite) -> Result<bool, CommandError> {
    let catalog = context.client.catalog();
    match catalog.listing(&favorite.owner, &favorite.listing_id).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == Kind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}
