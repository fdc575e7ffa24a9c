//! `opencloud grant rule`.

use clap::Subcommand;
use oc_proto::compute::v1::Rule;

use super::limits::{LimitArguments, modest};
use super::names::Names;
use super::tool::{ToolArguments, named};
use super::{Context, Outcome, offer, when};

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

pub(crate) async fn run(context: &Context, command: RuleCommand) -> Outcome {
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
            let tools = tools.found(context).await?;
            let rule = Rule {
                name,
                consumers: offer::organisations(context, &consumers).await?,
                listing_ids: listings,
                limits: Some(limits.or_modest()),
                max_life_seconds: life,
                tools: tools.references(),
            };
            let rule = compute.put_rule(&rule).await?;
            tools.warn(context).await;
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
                ["NAME", "CONSUMERS", "LISTINGS", "TOOLS", "UP TO", "LIFE"],
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
                        or(&named(&names, &rule.tools), "any"),
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
