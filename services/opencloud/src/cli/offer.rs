//! `opencloud offer`.

use clap::{Args, Subcommand};
use oc_kernel::Money;
use oc_proto::compute::v1::{Offer, OfferKind};
use oc_proto::json::Word as _;
use oc_proto::types::v1::{Limits, Price};

use super::output::counted;
use super::{CommandError, Context, Outcome, catalog, find, size, when};

#[derive(Debug, Subcommand)]
pub(crate) enum OfferCommand {
    /// Offer this node's machines for partners' steps
    Compute {
        /// Name, unique here
        name: String,
        /// Cores in all
        #[arg(long)]
        cores: u32,
        /// Memory in all, such as 8GiB
        #[arg(long, value_parser = size::parse, allow_hyphen_values = true)]
        memory: u64,
        /// Fragments at the same time [default: as many as cores]
        #[arg(long)]
        fragments: Option<u32>,
        /// Longest wall time of one fragment, such as 2h
        #[arg(long, value_parser = when::parse_span, default_value = "1h")]
        wall: u64,
        #[command(flatten)]
        price: PriceArguments,
        #[command(flatten)]
        terms: Terms,
    },
    /// Offer room for objects; said again with another size, it gets that size
    Storage {
        /// Name, unique here
        name: String,
        /// Room in all, such as 100GiB
        #[arg(long, value_parser = size::parse, allow_hyphen_values = true)]
        size: u64,
        #[command(flatten)]
        terms: Terms,
    },
    /// What we offer, and how much of it is in use
    List,
    /// Take an offer back: its grants are revoked, its work is stopped
    Withdraw {
        /// Name
        name: String,
    },
}

/// What every offer has.
#[derive(Debug, Args)]
pub(crate) struct Terms {
    /// One line for people
    #[arg(long, default_value = "", hide_default_value = true)]
    title: String,
    /// Terms of use for people
    #[arg(long, default_value = "", hide_default_value = true)]
    terms: String,
    /// Only this organisation may see it; may be repeated [default: every member of our networks]
    #[arg(long = "for", value_name = "ORGANISATION")]
    visible_to: Vec<String>,
}

/// What machines cost. Nothing else is charged: storage and datasets are held to limits.
#[derive(Debug, Args)]
pub(crate) struct PriceArguments {
    /// ISO 4217 code of the prices
    #[arg(long, default_value = "EUR")]
    currency: String,
    /// For one core for one hour, such as 0.04
    #[arg(long, default_value = "0")]
    per_core_hour: Money,
    /// For one GiB of outputs that leaves us; logs are bounded and free
    #[arg(long, default_value = "0")]
    per_gib_out: Money,
}

impl PriceArguments {
    fn message(&self) -> Price {
        Price {
            currency: self.currency.clone(),
            core_hour_micros: self.per_core_hour.micros(),
            egress_gib_micros: self.per_gib_out.micros(),
            ..Price::default()
        }
    }
}

pub(crate) async fn run(context: &Context, command: OfferCommand) -> Outcome {
    match command {
        OfferCommand::Compute {
            name,
            cores,
            memory,
            fragments,
            wall,
            price,
            terms,
        } => {
            let capacity = Limits {
                cores,
                memory_bytes: memory,
                concurrent_fragments: fragments.unwrap_or(cores),
                wall_seconds: wall,
                ..Limits::default()
            };
            let price = Some(price.message());
            create(context, name, OfferKind::Compute, capacity, price, terms).await
        }
        OfferCommand::Storage { name, size, terms } => {
            let capacity = Limits {
                storage_bytes: size,
                ..Limits::default()
            };
            create(context, name, OfferKind::Storage, capacity, None, terms).await
        }
        OfferCommand::List => {
            let offers = context.client.compute().offers().await?;
            context.output.list(
                &offers,
                "nothing is offered: see `opencloud offer compute --help`",
                ["NAME", "KIND", "CAPACITY", "IN USE", "PRICE", "LISTED"],
                |offer| {
                    let limits =
                        |limits: &Option<Limits>| limits.as_ref().map(amounts).unwrap_or_default();
                    [
                        offer.name.clone(),
                        OfferKind::try_from(offer.kind).unwrap_or_default().word(),
                        limits(&offer.capacity),
                        or_nothing(limits(&offer.used)),
                        offer
                            .price
                            .as_ref()
                            .map_or_else(|| "free".to_owned(), catalog::price),
                        standing(offer),
                    ]
                },
            )
        }
        OfferCommand::Withdraw { name } => {
            let inside = inside(context, &name).await?;
            context.confirm(&format!(
                "Withdraw {name}? Its grants are revoked, its work is stopped.{inside}"
            ))?;
            let answer = context.client.compute().withdraw_offer(&name).await?;
            context.output.show(&answer, |answer| {
                let grants = counted(answer.grants_revoked as usize, "grant");
                let attempts = counted(answer.attempts_stopped as usize, "attempt");
                anstream::println!("withdrew {name}: {grants} revoked, {attempts} stopped");
            })
        }
    }
}

/// Whether partners see an offer; of one that was taken back, what keeps it from going.
fn standing(offer: &Offer) -> String {
    match (offer.withdrawn, offer.objects_left) {
        (true, 0) => "withdrawn".to_owned(),
        (true, left) => {
            let files = counted(usize::try_from(left).unwrap_or(usize::MAX), "file");
            format!("withdrawn, {files} left")
        }
        (false, _) if offer.listed => "yes".to_owned(),
        (false, _) => "not yet".to_owned(),
    }
}

/// What becomes of the files in storage that is withdrawn; empty where there are none.
async fn inside(context: &Context, name: &str) -> Result<String, CommandError> {
    let compute = context.client.compute();
    let offers = compute.offers().await?;
    let storage = |it: &Offer| it.name == name && it.kind == i32::from(OfferKind::Storage);
    if !offers.iter().any(storage) {
        return Ok(String::new());
    }
    let objects = compute.objects(name, "").await?;
    if objects.is_empty() {
        return Ok(String::new());
    }
    let bytes = size::show(objects.iter().map(|object| object.length).sum());
    let files = counted(objects.len(), "file");
    Ok(format!(
        " {files} of {bytes} lie in it: partners' are removed, ours stay and can be read, and the offer goes once they \
         are removed with `opencloud storage remove {name} --all`."
    ))
}

async fn create(
    context: &Context,
    name: String,
    kind: OfferKind,
    capacity: Limits,
    price: Option<Price>,
    terms: Terms,
) -> Outcome {
    let offer = Offer {
        name,
        kind: kind.into(),
        title: terms.title,
        terms: terms.terms,
        capacity: Some(capacity),
        price,
        visible_to: organisations(context, &terms.visible_to).await?,
        ..Offer::default()
    };
    let offer = context.client.compute().create_offer(&offer).await?;
    context.output.show(&offer, |offer| {
        anstream::println!("offered {} as {}", offer.name, offer.listing_id);
    })
}

/// OrgIds of the organisations that people named.
pub(crate) async fn organisations(
    context: &Context,
    names: &[String],
) -> Result<Vec<String>, CommandError> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(find::organisation(context, name).await?);
    }
    Ok(ids)
}

fn or_nothing(text: String) -> String {
    match text.as_str() {
        "" => "nothing".to_owned(),
        _ => text,
    }
}

/// Limits in words; zero parts are left out.
pub(crate) fn amounts(limits: &Limits) -> String {
    let mut parts = Vec::new();
    if limits.cores > 0 {
        let unit = if limits.cores == 1 { "core" } else { "cores" };
        parts.push(format!("{} {unit}", limits.cores));
    }
    if limits.memory_bytes > 0 {
        parts.push(size::show(limits.memory_bytes));
    }
    if limits.concurrent_fragments > 0 {
        parts.push(format!("{} at once", limits.concurrent_fragments));
    }
    if limits.wall_seconds > 0 {
        parts.push(format!(
            "{} each",
            when::show_span(limits.wall_seconds.saturating_mul(1000))
        ));
    }
    if limits.core_seconds > 0 {
        parts.push(core_time(limits.core_seconds));
    }
    if limits.egress_bytes > 0 {
        parts.push(format!("{} out", size::show(limits.egress_bytes)));
    }
    if limits.storage_bytes > 0 {
        parts.push(format!("{} stored", size::show(limits.storage_bytes)));
    }
    parts.join(", ")
}

/// Core-seconds in the unit in which they are asked for, where they are whole ones.
fn core_time(core_seconds: u64) -> String {
    match core_seconds % 3600 {
        0 => format!("{} core-hours", core_seconds / 3600),
        _ => format!("{core_seconds} core-seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withdrawn_storage_says_how_many_files_keep_it() {
        let offer = |withdrawn, objects_left, listed| Offer {
            withdrawn,
            objects_left,
            listed,
            ..Offer::default()
        };
        assert_eq!(
            standing(&offer(true, 1438, false)),
            "withdrawn, 1438 files left"
        );
        assert_eq!(standing(&offer(true, 0, false)), "withdrawn");
        assert_eq!(standing(&offer(false, 0, false)), "not yet");
        assert_eq!(standing(&offer(false, 0, true)), "yes");
    }

    #[test]
    fn limits_are_told_in_the_units_in_which_they_are_typed() {
        let limits = Limits {
            wall_seconds: 1800,
            core_seconds: 36_000,
            egress_bytes: 10 << 30,
            ..Limits::default()
        };
        assert_eq!(amounts(&limits), "30 min each, 10 core-hours, 10 GiB out");
        assert_eq!(core_time(90), "90 core-seconds");
    }
}
