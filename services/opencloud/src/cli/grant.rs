//! `opencloud grant`.

use std::collections::BTreeMap;

use clap::Subcommand;
use oc_kernel::{Clock as _, SystemClock};
use oc_proto::accounting::v1::UsageRecord;
use oc_proto::compute::v1::{
    ApproveGrantRequest, DenyGrantRequest, EndGrantRequest, Grant, RequestGrantRequest,
    RevokeGrantRequest,
};
use oc_proto::federation::v1::GrantState;
use oc_proto::json::Word as _;
use oc_proto::types::v1::Limits;
use serde_json::Value;

use super::ids::ShortIds;
use super::limits::LimitArguments;
use super::names::Names;
use super::output::{Field, fields, hint};
use super::tool::ToolArguments;
use super::{
    CommandError, Context, Outcome, catalog, find, grant_rule, ids, offer, size, tool, when,
};

const REQUEST: &str = concat!(
    "Limits that are not given: 1 core, 1GiB of memory, 1 fragment of up to 30m or what the offer allows, 10 core-hours, \
     10GiB out, 10GiB stored. A rule of the partner's approves at once what is within its limits; with more, or without \
     a rule, the request waits for its administrator.",
    "\n
Examples:
  opencloud grant request South --listing dataset.sentinel-2-demo --listing compute.machines --cores 2 --memory 4GiB
  opencloud grant request South --listing storage.archive --storage 50GiB --for 90d"
);

#[derive(Debug, Subcommand)]
pub(crate) enum GrantCommand {
    /// Ask a partner for a grant on its listings
    #[command(after_help = REQUEST)]
    Request {
        /// The partner
        provider: String,
        /// A listing of the partner; may be repeated
        #[arg(long = "listing", required = true)]
        listings: Vec<String>,
        #[command(flatten)]
        limits: LimitArguments,
        /// How long it shall live, such as 30d
        #[arg(long = "for", value_parser = when::parse_span, default_value = "30d", value_name = "SPAN")]
        life: u64,
        /// For the partner's administrator
        #[arg(long, default_value = "", hide_default_value = true)]
        message: String,
    },
    /// Grants given and received
    List {
        /// Those that are over, too; of networks that were left those of which there are books
        #[arg(long)]
        all: bool,
    },
    /// One grant
    Show {
        /// Id, or the begin of it
        grant: String,
    },
    /// Say yes to a request
    #[command(after_help = "Limits that are not given stay as they were asked for.")]
    Approve {
        /// Id, or the begin of it
        grant: String,
        #[command(flatten)]
        limits: LimitArguments,
        #[command(flatten)]
        tools: ToolArguments,
    },
    /// Say no to a request
    Deny {
        /// Id, or the begin of it
        grant: String,
        /// For the partner to read
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Take back a grant that we gave: work under it is stopped
    Revoke {
        /// Id, or the begin of it
        grant: String,
        /// For the partner to read
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// End a grant that we received
    End {
        /// Id, or the begin of it
        grant: String,
        /// For the partner to read
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Rules by which requests are approved without asking
    #[command(subcommand)]
    Rule(grant_rule::RuleCommand),
}

pub(crate) async fn run(context: &Context, command: GrantCommand) -> Outcome {
    let compute = context.client.compute();
    match command {
        GrantCommand::Request {
            provider,
            listings,
            limits,
            life,
            message,
        } => {
            let provider = find::usable(context, &provider).await?;
            let longest = longest(context, &provider, &listings).await;
            let request = RequestGrantRequest {
                provider,
                listing_ids: listings,
                limits: Some(limits.to_ask(longest)),
                not_after_ms: SystemClock
                    .now_ms()
                    .saturating_add(life.saturating_mul(1000)),
                message,
                operation_id: String::new(),
            };
            let grant = compute.request_grant(&request).await?;
            shown(context, &grant).await?;
            if grant.state() == GrantState::Pending && !context.output.is_json() {
                hint(&waits(&grant.grant_id));
            }
            Ok(())
        }
        GrantCommand::List { all } => {
            let mut grants = compute.grants(!all).await?;
            let mut every = compute.grants(false).await?;
            // Programs get grants as they are; of these only the books are left.
            if all && !context.output.is_json() {
                let own = context.client.discovery().identity().await?.org_id;
                let records = context.client.accounting().records("", "").await?;
                let left = left_in_books(&records, &every, &own);
                grants.extend(left.clone());
                every.extend(left);
            }
            let names = Names::of(context).await;
            let short = ShortIds::of(every.iter().map(|grant| grant.grant_id.as_str()));
            context.output.list(
                &grants,
                "no grants: ask a partner with `opencloud grant request`",
                ["GRANT", "WE ARE", "PARTNER", "STATE", "LISTINGS", "UNTIL"],
                |grant| {
                    let (side, partner) = sides(grant);
                    [
                        short.show(&grant.grant_id),
                        side.to_owned(),
                        names.show(partner),
                        state(grant),
                        grant.listing_ids.join(", "),
                        when::show(grant.not_after_ms),
                    ]
                },
            )
        }
        GrantCommand::Show { grant } => {
            let grant_id = ids::grant(context, &grant).await?;
            shown(context, &compute.grant(&grant_id).await?).await
        }
        GrantCommand::Approve {
            grant,
            limits,
            tools,
        } => {
            let asked = ours_to(context, &grant, "approve", true).await?;
            let tools = tools.found(context).await?;
            let request = ApproveGrantRequest {
                grant_id: asked.grant_id,
                limits: limits.instead_of(asked.limits.unwrap_or_default()),
                tools: tools.references(),
            };
            let grant = compute.approve_grant(&request).await?;
            tools.warn(context).await;
            shown(context, &grant).await
        }
        GrantCommand::Deny { grant, reason } => {
            let grant_id = ours_to(context, &grant, "deny", true).await?.grant_id;
            let request = DenyGrantRequest { grant_id, reason };
            shown(context, &compute.deny_grant(&request).await?).await
        }
        GrantCommand::Revoke { grant, reason } => {
            let grant_id = ours_to(context, &grant, "revoke", true).await?.grant_id;
            context.confirm(&format!("Revoke {grant_id}? Work under it is stopped."))?;
            let request = RevokeGrantRequest { grant_id, reason };
            shown(context, &compute.revoke_grant(&request).await?).await
        }
        GrantCommand::End { grant, reason } => {
            let grant = ours_to(context, &grant, "end", false).await?;
            let partner = Names::of(context).await.show(&grant.provider);
            let deleted = deleted(&grant, &partner);
            let grant_id = grant.grant_id;
            context.confirm(&format!(
                "End {grant_id}? Work under it is stopped.{deleted}"
            ))?;
            let request = EndGrantRequest { grant_id, reason };
            shown(context, &compute.end_grant(&request).await?).await
        }
        GrantCommand::Rule(command) => grant_rule::run(context, command).await,
    }
}

/// The wall time of one fragment that the machines among these listings allow, in seconds; none where no listing says.
async fn longest(context: &Context, provider: &str, listings: &[String]) -> Option<u64> {
    let mut longest = None;
    for id in listings.iter().filter(|id| id.starts_with("compute.")) {
        // What is wrong with a listing is told by the request itself.
        let Ok(found) = context.client.catalog().listing(provider, id).await else {
            continue;
        };
        let body = found.listing.unwrap_or_default().body_json;
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let wall = body.get("wall_seconds").and_then(Value::as_u64);
        let wall = wall.filter(|wall| *wall > 0);
        longest = [longest, wall].into_iter().flatten().min();
    }
    longest
}

/// What is said of a request that nobody has decided.
fn waits(grant_id: &str) -> String {
    format!(
        "it waits for the partner; a rule there approves at once what is within its limits, so one that asks for less \
         (--wall, --cores, --memory, --fragments, --for) may need no waiting; `opencloud grant show {grant_id}` shows what \
         became of it"
    )
}

/// The grant that was typed, if this side of it may do so: who gave it, or who received it.
async fn ours_to(
    context: &Context,
    text: &str,
    act: &str,
    given: bool,
) -> Result<Grant, CommandError> {
    let grant_id = ids::grant(context, text).await?;
    let grant = context.client.compute().grant(&grant_id).await?;
    if grant.given == given {
        return Ok(grant);
    }
    let (_, partner) = sides(&grant);
    let partner = Names::of(context).await.show(partner);
    Err(CommandError::input(if given {
        format!(
            "{partner} gave this grant, so only {partner} can {act} it; `opencloud grant end` gives it back"
        )
    } else {
        format!("we gave this grant to {partner}: take it back with `opencloud grant revoke`")
    }))
}

/// What becomes of what lies in a partner's storage under a grant that is ended; empty where it is on no storage.
fn deleted(grant: &Grant, partner: &str) -> String {
    let mut listings = grant.listing_ids.iter();
    if !listings.any(|listing| listing.starts_with("storage.")) {
        return String::new();
    }
    let used = grant.used.as_ref().map_or(0, |used| used.storage_bytes);
    let known = match used {
        0 => String::new(),
        bytes => format!(", {} as far as we know", size::show(bytes)),
    };
    format!(" What lies in storage of {partner} under it is deleted{known}, results of runs too.")
}

fn sides(grant: &Grant) -> (&'static str, &str) {
    if grant.given {
        ("provider", &grant.consumer)
    } else {
        ("consumer", &grant.provider)
    }
}

fn state(grant: &Grant) -> String {
    match GrantState::try_from(grant.state).unwrap_or_default() {
        GrantState::Unspecified => "books only".to_owned(),
        state => state.word(),
    }
}

/// Grants of networks that were left: they are gone, and their books stay.
fn left_in_books(records: &[UsageRecord], known: &[Grant], own: &str) -> Vec<Grant> {
    let mut left = BTreeMap::new();
    let of_grants = records
        .iter()
        .filter(|record| record.grant_id.starts_with("grant-"));
    for record in of_grants {
        if known.iter().all(|grant| grant.grant_id != record.grant_id) {
            left.entry(&record.grant_id).or_insert_with(|| Grant {
                grant_id: record.grant_id.clone(),
                given: record.provider == own,
                provider: record.provider.clone(),
                consumer: record.consumer.clone(),
                ..Grant::default()
            });
        }
    }
    left.into_values().collect()
}

async fn shown(context: &Context, grant: &Grant) -> Outcome {
    let (_, partner) = sides(grant);
    let names = Names::of(context).await;
    let partner = format!("{} ({partner})", names.show(partner));
    let tools = tool::named(&names, &grant.tools);
    context
        .output
        .show(grant, |grant| show(grant, &partner, tools))
}

fn show(grant: &Grant, partner: &str, tools: Vec<String>) {
    let (side, _) = sides(grant);
    let limits = |limits: &Option<Limits>| limits.as_ref().map(offer::amounts).unwrap_or_default();
    let cause = grant.cause.as_ref();
    let waits = grant.state == i32::from(GrantState::Pending);
    let price = match &grant.price {
        Some(price) => catalog::price(price),
        None if waits => "as listed when it is approved".to_owned(),
        None => "free".to_owned(),
    };
    fields(&[
        ("grant", Field::from(grant.grant_id.clone())),
        ("we are", side.into()),
        ("partner", partner.into()),
        ("state", state(grant).into()),
        (
            "because",
            cause.map_or("", |cause| cause.text.as_str()).into(),
        ),
        (
            "what to do",
            cause.map_or("", |cause| cause.advice.as_str()).into(),
        ),
        ("listings", grant.listing_ids.clone().into()),
        ("tools", tools.into()),
        ("limits", limits(&grant.limits).into()),
        ("used", limits(&grant.used).into()),
        ("price", price.into()),
        ("from", when::show(grant.not_before_ms).into()),
        ("until", when::show(grant.not_after_ms).into()),
        ("message", grant.message.clone().into()),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ending_a_grant_on_storage_says_that_what_lies_there_is_deleted() {
        let grant = |listing: &str, storage_bytes| Grant {
            listing_ids: vec!["compute.machines".to_owned(), listing.to_owned()],
            used: Some(Limits {
                storage_bytes,
                ..Limits::default()
            }),
            ..Grant::default()
        };
        assert_eq!(deleted(&grant("dataset.images", 0), "South"), "");
        let said = deleted(&grant("storage.depot", 2048), "South");
        assert!(
            said.contains("storage of South under it is deleted, 2 KiB"),
            "{said}"
        );
        let said = deleted(&grant("storage.depot", 0), "South");
        assert!(said.contains("is deleted, results of runs too"), "{said}");
    }

    #[test]
    fn a_grant_of_which_only_books_are_left_is_listed_once() {
        let record = |grant_id: &str| UsageRecord {
            grant_id: grant_id.to_owned(),
            provider: "org-1".to_owned(),
            consumer: "org-2".to_owned(),
            ..UsageRecord::default()
        };
        let records = ["grant-1", "grant-2", "grant-2", "own"].map(record);
        let known = [Grant {
            grant_id: "grant-1".to_owned(),
            ..Grant::default()
        }];
        let left = left_in_books(&records, &known, "org-2");
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].grant_id, "grant-2");
        assert_eq!(sides(&left[0]), ("consumer", "org-1"));
        assert_eq!(state(&left[0]), "books only");
    }
}
