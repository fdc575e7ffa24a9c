//! `opencloud dataset`.

use std::path::PathBuf;

use clap::Subcommand;
use oc_proto::data::v1::{CountItemsRequest, CreateDatasetRequest};

use super::dataset_import::import;
use super::ids::ShortIds;
use super::names::Names;
use super::query::QueryArguments;
use super::{Context, Outcome, file, offer, size, when};

const IMPORT: &str = "\
Examples:
  opencloud dataset import sentinel-2-demo testdata/sentinel/*/*.json
  opencloud dataset import sentinel-2-demo scene/item.json";

#[derive(Debug, Subcommand)]
pub(crate) enum DatasetCommand {
    /// Make a dataset from a STAC collection and list it
    Create {
        /// File with the STAC collection
        collection: PathBuf,
        /// Terms of use for people
        #[arg(long, default_value = "", hide_default_value = true)]
        terms: String,
        /// Only this organisation may see it; may be repeated [default: every member of our networks]
        #[arg(long = "for", value_name = "ORGANISATION")]
        visible_to: Vec<String>,
    },
    /// Add STAC items with the files that their assets name; said again, it goes on where it broke off
    #[command(after_help = IMPORT)]
    Import {
        /// Dataset
        dataset: String,
        /// STAC items; the hrefs of their assets name files beside or below them
        #[arg(required = true)]
        items: Vec<PathBuf>,
    },
    /// Our datasets
    List,
    /// How many images match, and the nearest one when none does
    Count {
        /// Dataset
        dataset: String,
        #[command(flatten)]
        query: QueryArguments,
    },
    /// Images that runs hold now
    Reservations,
    /// Take a dataset back and delete its images
    Remove {
        /// Dataset
        dataset: String,
    },
}

pub(crate) async fn run(context: &Context, command: DatasetCommand) -> Outcome {
    let data = context.client.data();
    match command {
        DatasetCommand::Create {
            collection,
            terms,
            visible_to,
        } => {
            let request = CreateDatasetRequest {
                collection_json: file::text(&collection)?,
                price: None,
                terms,
                visible_to: offer::organisations(context, &visible_to).await?,
            };
            let dataset = data.create_dataset(&request).await?;
            context.output.show(&dataset, |dataset| {
                anstream::println!("made {} as {}", dataset.name, dataset.listing_id);
            })
        }
        DatasetCommand::Import { dataset, items } => {
            let mut imported = Vec::new();
            for item in &items {
                let done = import(&context.client, &dataset, item).await?;
                let there = match done.kept {
                    0 => String::new(),
                    kept => format!(", {kept} of its files were there already"),
                };
                if !context.output.is_json() {
                    context.output.say(&format!("imported {}{there}", done.id));
                }
                imported.push(done);
            }
            // People have read it line by line.
            context.output.show(&imported, |_| ())
        }
        DatasetCommand::List => {
            let datasets = data.datasets().await?;
            context.output.list(
                &datasets,
                "no datasets: make one with `opencloud dataset create`",
                ["NAME", "TITLE", "IMAGES", "SIZE", "LISTING", "LISTED"],
                |dataset| {
                    [
                        dataset.name.clone(),
                        dataset.title.clone(),
                        dataset.items.to_string(),
                        size::show(dataset.bytes),
                        dataset.listing_id.clone(),
                        if dataset.listed { "yes" } else { "not yet" }.to_owned(),
                    ]
                },
            )
        }
        DatasetCommand::Count { dataset, query } => {
            let request = CountItemsRequest {
                dataset,
                query: Some(query.message()?),
            };
            let answer = data.count(&request).await?;
            context.output.show(&answer, |answer| {
                anstream::println!("{} images, {}", answer.count, size::show(answer.bytes));
                if answer.count == 0 && !answer.nearest_item_id.is_empty() {
                    let at = u64::try_from(answer.nearest_ms)
                        .map(when::show)
                        .unwrap_or_default();
                    anstream::println!("the nearest is {} of {at}", answer.nearest_item_id);
                }
            })
        }
        DatasetCommand::Reservations => {
            let reservations = data.reservations().await?;
            let names = Names::of(context).await;
            let short = ShortIds::of(reservations.iter().map(|held| held.run_id.as_str()));
            context.output.list(
                &reservations,
                "nothing is reserved",
                ["RESERVATION", "DATASET", "HOLDER", "RUN", "IMAGES", "UNTIL"],
                |held| {
                    [
                        held.reservation_id.clone(),
                        held.dataset.clone(),
                        names.show(&held.holder),
                        short.show(&held.run_id),
                        held.items.to_string(),
                        when::show(held.expires_at_ms),
                    ]
                },
            )
        }
        DatasetCommand::Remove { dataset } => {
            context.confirm(&format!("Remove {dataset} and delete its images?"))?;
            data.delete_dataset(&dataset).await?;
            context.output.say(&format!("removed {dataset}"));
            Ok(())
        }
    }
}
