//! `opencloud favorite`.

use clap::Subcommand;
use oc_proto::backend::v1::AddFavoriteRequest;

use super::{Context, Outcome, find, when};

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
            let favorites = backend.favorites().await?;
            context.output.list(
                &favorites,
                "no favourites: mark one with `opencloud favorite add`",
                ["OWNER", "LISTING", "NOTE", "SINCE"],
                |favorite| {
                    [
                        find::short(&favorite.owner),
                        favorite.listing_id.clone(),
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
