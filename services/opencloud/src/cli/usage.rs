//! `opencloud usage`.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use oc_client::Export;
use oc_kernel::Money;

use super::output::fields;
use super::{Context, Outcome, find, size, when};

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum By {
    /// The other organisation
    Organisation,
    /// Month of the end
    Month,
    /// The person, by the pseudonym of the grant
    Pseudonym,
    /// The workflow
    Workflow,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ExportForm {
    /// The records as both organisations hold them
    Json,
    /// RFC 4180, with a header line
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsageCommand {
    /// Sums of what was used and what it costs
    Sum {
        /// Only this month, such as 2026-11
        #[arg(long, default_value = "")]
        month: String,
        /// Only with this organisation
        #[arg(long)]
        with: Option<String>,
        /// Kept apart by this; may be repeated
        #[arg(long, value_enum, default_values_t = [By::Organisation, By::Month])]
        by: Vec<By>,
    },
    /// Records, one for each attempt
    Records {
        /// Only of this grant
        #[arg(long, default_value = "")]
        grant: String,
        /// Only of this month, such as 2026-11
        #[arg(long, default_value = "")]
        month: String,
    },
    /// Write the records of a grant, or of all, to a file or to standard output
    Export {
        /// Only of this grant
        #[arg(long, default_value = "")]
        grant: String,
        /// Only of this month, such as 2026-11
        #[arg(long, default_value = "")]
        month: String,
        /// Form
        #[arg(long, value_enum, default_value = "json")]
        format: ExportForm,
        /// File [default: standard output]
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Where the books of a grant stand: size, root, signatures, disputes
    Books {
        /// Grant
        grant: String,
    },
    /// Fetch the provider's records of a grant, check them and countersign, now
    Settle {
        /// Grant
        grant: String,
    },
}

pub(crate) async fn run(context: &Context, command: UsageCommand) -> Outcome {
    let accounting = context.client.accounting();
    match command {
        UsageCommand::Sum { month, with, by } => {
            let org = match with {
                Some(name) => find::organisation(context, &name).await?,
                None => String::new(),
            };
            let by: Vec<_> = by.iter().filter_map(By::to_possible_value).collect();
            let by: Vec<_> = by
                .iter()
                .map(clap::builder::PossibleValue::get_name)
                .collect();
            let sums = accounting.sums(&month, &org, &by).await?;
            context.output.list(
                &sums,
                "nothing was used",
                [
                    "DIRECTION",
                    "WITH",
                    "MONTH",
                    "WHO",
                    "WORKFLOW",
                    "RECORDS",
                    "CORE TIME",
                    "IN",
                    "OUT",
                    "COST",
                ],
                |sum| {
                    [
                        sum.direction.clone(),
                        find::short(&sum.org_id),
                        sum.month.clone(),
                        sum.pseudonym.clone(),
                        sum.workflow.clone(),
                        sum.records.to_string(),
                        when::show_span(sum.core_ms),
                        size::show(sum.bytes_in),
                        size::show(sum.bytes_out),
                        format!("{} {}", Money(sum.charge_micros), sum.currency),
                    ]
                },
            )
        }
        UsageCommand::Records { grant, month } => {
            let records = accounting.records(&grant, &month).await?;
            context.output.list(
                &records,
                "no records",
                [
                    "ENDED", "GRANT", "WORKFLOW", "OUTCOME", "WALL", "CPU", "MEMORY", "IN", "OUT",
                    "COST",
                ],
                |record| {
                    [
                        when::show(record.ended_ms),
                        record.grant_id.clone(),
                        record.workflow.clone(),
                        record.outcome.clone(),
                        when::show_span(record.wall_ms),
                        when::show_span(record.cpu_ms),
                        size::show(record.peak_memory_bytes),
                        size::show(record.bytes_in),
                        size::show(record.bytes_out),
                        format!("{} {}", Money(record.charge_micros), record.currency),
                    ]
                },
            )
        }
        UsageCommand::Export {
            grant,
            month,
            format,
            file,
        } => {
            let format = match format {
                ExportForm::Json => Export::Json,
                ExportForm::Csv => Export::Csv,
            };
            let content = accounting.export(&grant, &month, format).await?;
            match file {
                Some(file) => std::fs::write(&file, &content).map_err(anyhow::Error::from)?,
                None => std::io::stdout()
                    .write_all(&content)
                    .map_err(anyhow::Error::from)?,
            }
            Ok(())
        }
        UsageCommand::Books { grant } => {
            let books = accounting.books(&grant).await?;
            context.output.show(&books, |books| {
                let disputes: Vec<_> = books.disputes.iter().map(|d| d.text.clone()).collect();
                fields(&[
                    ("grant", books.grant_id.clone()),
                    ("records", books.size.to_string()),
                    ("root", books.root.clone()),
                    (
                        "countersigned",
                        if books.countersigned {
                            "yes"
                        } else {
                            "not yet"
                        }
                        .to_owned(),
                    ),
                    ("disputes", disputes.join("\n")),
                ]);
            })
        }
        UsageCommand::Settle { grant } => {
            let answer = accounting.settle(&grant).await?;
            context.output.show(&answer, |answer| {
                if answer.countersigned {
                    anstream::println!("{} records, signed by both", answer.size);
                }
                for dispute in &answer.disputes {
                    anstream::println!("disputed: {}", dispute.text);
                }
            })
        }
    }
}
