//! `opencloud catalog`.

use clap::{Args, Subcommand};
use oc_client::ListingFilter;
use oc_kernel::Money;
use oc_proto::catalog::v1::{Listing, ListingKind};
use oc_proto::json::Word as _;
use oc_proto::types::v1::Price;

use super::names::Names;
use super::output::{Field, fields, safe_lines};
use super::workflow::{self, Outline};
use super::{CommandError, Context, Outcome, find, when};

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Find what we and our partners offer
    Search(SearchArguments),
    /// Show one listing with its details
    Show {
        /// OWNER/LISTING; without an owner, one of ours
        listing: String,
        /// Print the CWL document of a service or workflow
        #[arg(long)]
        document: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SearchArguments {
    /// Words that must occur
    text: Vec<String>,
    /// dataset, compute, storage, processing or workflow; may be repeated
    #[arg(long = "kind")]
    kinds: Vec<String>,
    /// Name or OrgId of the owner
    #[arg(long)]
    owner: Option<String>,
    /// A facet that must match, KEY:VALUE; may be repeated
    #[arg(long = "facet", value_name = "KEY:VALUE")]
    facets: Vec<String>,
    /// Datasets that touch this box, WEST,SOUTH,EAST,NORTH in degrees
    #[arg(long, allow_hyphen_values = true, value_name = "W,S,E,N")]
    bbox: Option<String>,
    /// Datasets with images from this day on
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Datasets with images up to this day
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Leave out what its owner has not renewed in time
    #[arg(long)]
    fresh: bool,
    /// Most results
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

pub(crate) async fn run(context: &Context, command: CatalogCommand) -> Outcome {
    match command {
        CatalogCommand::Search(arguments) => search(context, arguments).await,
        CatalogCommand::Show { listing, document } => {
            let found = find::listing(context, &listing).await?;
            let cwl = workflow::document(&found.body_json);
            if document {
                let none = || CommandError::Missing(format!("`{listing}` has no CWL document"));
                anstream::println!("{}", safe_lines(&cwl.ok_or_else(none)?));
                return Ok(());
            }
            context.output.show(&found, show)?;
            match cwl.as_deref().and_then(Outline::of) {
                Some(outline) if !context.output.is_json() => outline.show(context.output),
                _ => Ok(()),
            }
        }
    }
}

async fn search(context: &Context, arguments: SearchArguments) -> Outcome {
    let time = |text: Option<String>, end| -> Result<Option<String>, CommandError> {
        let Some(text) = text else { return Ok(None) };
        let at = when::parse(&text, end).map_err(CommandError::Input)?;
        Ok(Some(at.to_string()))
    };
    let owner = match arguments.owner {
        Some(owner) => Some(find::organisation(context, &owner).await?),
        None => None,
    };
    let text = arguments.text.join(" ");
    let filter = ListingFilter {
        text: (!text.is_empty()).then_some(text),
        kinds: arguments.kinds,
        owner,
        facets: arguments.facets,
        bbox: arguments.bbox,
        from: time(arguments.from, false)?,
        to: time(arguments.to, true)?,
        fresh_only: arguments.fresh,
        limit: Some(arguments.limit),
        page_token: None,
    };
    let answer = context.client.catalog().search(&filter).await?;
    if context.output.is_json() {
        return context.output.show(&answer.listings, |_| ());
    }
    let names = Names::of(context).await.with_owners(&answer.listings);
    context.output.list(
        &answer.listings,
        "nothing found",
        ["OWNER", "LISTING", "KIND", "TITLE", "PRICE", "RENEWED"],
        |listing| {
            let stale = if listing.stale { " (stale)" } else { "" };
            [
                names.show(&listing.owner),
                listing.listing_id.clone(),
                kind(listing),
                listing.title.clone(),
                listing
                    .price
                    .as_ref()
                    .map_or_else(|| "free".to_owned(), price),
                format!("{}{stale}", when::show(listing.renewed_at_ms)),
            ]
        },
    )?;
    let shown = answer.listings.len() as u64;
    if answer.total > shown {
        anstream::eprintln!("{shown} of {}: see more with --limit", answer.total);
    }
    Ok(())
}

fn show(listing: &Listing) {
    let area = listing.area.as_ref();
    let area = area.map(|a| format!("{}, {} to {}, {}", a.west, a.south, a.east, a.north));
    let time = listing.time.as_ref().map(|time| {
        let at = |ms: i64| u64::try_from(ms).map(when::show).unwrap_or_default();
        format!("{} to {}", at(time.start_ms), at(time.end_ms))
    });
    let facets: Vec<_> = listing
        .facets
        .iter()
        .map(|(k, v)| format!("{k}: {v}"))
        .collect();
    let owner = format!("{} ({})", owner_name(listing), listing.owner);
    let price = listing
        .price
        .as_ref()
        .map_or_else(|| "free".to_owned(), price);
    fields(&[
        ("owner", Field::from(owner)),
        ("listing", listing.listing_id.clone().into()),
        ("kind", kind(listing).into()),
        ("title", listing.title.clone().into()),
        ("summary", listing.summary.clone().into()),
        ("terms", listing.terms.clone().into()),
        ("price", price.into()),
        ("area", area.unwrap_or_default().into()),
        ("time", time.unwrap_or_default().into()),
        ("facets", facets.into()),
        ("renewed", when::show(listing.renewed_at_ms).into()),
        ("stale", if listing.stale { "yes" } else { "" }.into()),
        ("details", details(&listing.body_json).into()),
    ]);
}

/// What a listing says beside the fields that all have. A document has tables of its own.
fn details(json: &str) -> Vec<String> {
    let mut value = serde_json::from_str::<serde_json::Value>(json);
    if let Ok(serde_json::Value::Object(body)) = &mut value
        && body.contains_key("cwl")
    {
        body.retain(|name, value| {
            let empty = value.as_array().is_some_and(Vec::is_empty);
            !empty && !["cwl", "inputs", "outputs", "name", "version"].contains(&name.as_str())
        });
        if body.is_empty() {
            return Vec::new();
        }
    }
    let pretty = value
        .ok()
        .and_then(|value| serde_json::to_string_pretty(&value).ok());
    match pretty {
        Some(pretty) => pretty.lines().map(str::to_owned).collect(),
        None => vec![json.to_owned()],
    }
}

fn kind(listing: &Listing) -> String {
    ListingKind::try_from(listing.kind)
        .unwrap_or_default()
        .word()
}

fn owner_name(listing: &Listing) -> String {
    if listing.owner_name.is_empty() {
        find::short(&listing.owner)
    } else {
        listing.owner_name.clone()
    }
}

/// A price in words; parts that cost nothing are left out.
pub(crate) fn price(price: &Price) -> String {
    let parts = [
        (price.core_hour_micros, "core hour"),
        (price.egress_gib_micros, "GiB out"),
        (price.storage_gib_month_micros, "GiB month"),
    ];
    let parts: Vec<_> = parts
        .iter()
        .filter(|(micros, _)| *micros != 0)
        .map(|(micros, unit)| format!("{} {}/{unit}", Money(*micros), price.currency))
        .collect();
    if parts.is_empty() {
        "free".to_owned()
    } else {
        parts.join(", ")
    }
}
