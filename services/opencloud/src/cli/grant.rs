//! `opencloud grant`.

use clap::Subcommand;
use oc_kernel::{Clock as _, SystemClock};
use oc_proto::compute::v1::{
    ApproveGrantRequest, DenyGrantRequest, EndGrantRequest, Grant, RequestGrantRequest,
    RevokeGrantRequest, Rule,
};
use oc_proto::federation::v1::GrantState;
use oc_proto::json::Word as _;
use oc_proto::types::v1::Limits;

use super::ids::ShortIds;
use super::limits::{LimitArguments, ToolArguments, modest};
use super::names::Names;
use super::output::{Field, fields};
use super::{CommandError, Context, Outcome, catalog, find, ids, offer, when};

const REQUEST: &str = concat!(
    modest!(),
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
        /// Those that are over, too
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
    Rule(RuleCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RuleCommand {
    /// Write a rule; rules are tried in the order of their names
    #[command(after_help = modest!())]
    Set {
        /// Name
        name: String,
        /// Only for this organisation; may be repeated [default: every member of our networks]
        #[arg(long = "consumer", value_name = "ORGANISATION")]
        consumers: Vec<String>,
        /// Only for this listing of ours; may be repeated [default: all]
        #[arg(long = "listing")]
        listings: Vec<String>,
        #[command(flatten)]
        limits: LimitArguments,
        #[command(flatten)]
        tools: ToolArguments,
        /// Longest life of a grant
        #[arg(long, value_parser = when::parse_span, default_value = "30d", value_name = "SPAN")]
        life: u64,
    },
    /// Our rules
    List,
    /// Delete a rule
    Remove {
        /// Name
        name: String,
    },
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
            let provider = find::organisation(context, &provider).await?;
            let request = RequestGrantRequest {
                provider,
                listing_ids: listings,
                limits: Some(limits.or_modest()),
                not_after_ms: SystemClock
                    .now_ms()
                    .saturating_add(life.saturating_mul(1000)),
                message,
                operation_id: String::new(),
            };
            let grant = compute.request_grant(&request).await?;
            shown(context, &grant).await
        }
        GrantCommand::List { all } => {
            let grants = compute.grants(!all).await?;
            let every = compute.grants(false).await?;
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
            let request = ApproveGrantRequest {
                grant_id: asked.grant_id,
                limits: limits.instead_of(asked.limits.unwrap_or_default()),
                tools: tools.references(context).await?,
            };
            shown(context, &compute.approve_grant(&request).await?).await
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
            let grant_id = ours_to(context, &grant, "end", false).await?.grant_id;
            context.confirm(&format!("End {grant_id}? Work under it is stopped."))?;
            let request = EndGrantRequest { grant_id, reason };
            shown(context, &compute.end_grant(&request).await?).await
        }
        GrantCommand::Rule(command) => rule(context, command).await,
    }
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

async fn rule(context: &Context, command: RuleCommand) -> Outcome {
    let compute = context.client.compute();
    match command {
        RuleCommand::Set {
            name,
            consumers,
            listings,
            limits,
            tools,
            life,
        } => {
            let rule = Rule {
                name,
                consumers: offer::organisations(context, &consumers).await?,
                listing_ids: listings,
                limits: Some(limits.or_modest()),
                max_life_seconds: life,
                tools: tools.references(context).await?,
            };
            let rule = compute.put_rule(&rule).await?;
            context
                .output
                .show(&rule, |rule| anstream::println!("wrote rule {}", rule.name))
        }
        RuleCommand::List => {
            let rules = compute.rules().await?;
            let names = Names::of(context).await;
            context.output.list(
                &rules,
                "no rules: every request waits for `opencloud grant approve`",
                ["NAME", "CONSUMERS", "LISTINGS", "UP TO", "LIFE"],
                |rule| {
                    let or = |list: &[String], none: &str| {
                        if list.is_empty() {
                            none.to_owned()
                        } else {
                            list.join(", ")
                        }
                    };
                    let consumers: Vec<_> =
                        rule.consumers.iter().map(|org| names.show(org)).collect();
                    [
                        rule.name.clone(),
                        or(&consumers, "every member"),
                        or(&rule.listing_ids, "all"),
                        rule.limits.as_ref().map(offer::amounts).unwrap_or_default(),
                        when::show_span(rule.max_life_seconds.saturating_mul(1000)),
                    ]
                },
            )
        }
        RuleCommand::Remove { name } => {
            context.confirm(&format!(
                "Delete rule {name}? Grants that it approved stay."
            ))?;
            compute.delete_rule(&name).await?;
            context.output.say(&format!("deleted rule {name}"));
            Ok(())
        }
    }
}

fn sides(grant: &Grant) -> (&'static str, &str) {
    if grant.given {
        ("provider", &grant.consumer)
    } else {
        ("consumer", &grant.provider)
    }
}

fn state(grant: &Grant) -> String {
    GrantState::try_from(grant.state).unwrap_or_default().word()
}

async fn shown(context: &Context, grant: &Grant) -> Outcome {
    let (_, partner) = sides(grant);
    let partner = format!("{} ({partner})", Names::of(context).await.show(partner));
    context.output.show(grant, |grant| show(grant, &partner))
}

fn show(grant: &Grant, partner: &str) {
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
        ("tools", grant.tools.clone().into()),
        ("limits", limits(&grant.limits).into()),
        ("used", limits(&grant.used).into()),
        ("price", price.into()),
        ("from", when::show(grant.not_before_ms).into()),
        ("until", when::show(grant.not_after_ms).into()),
        ("message", grant.message.clone().into()),
    ]);
}
