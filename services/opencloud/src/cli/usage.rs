//! `opencloud usage`.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use oc_client::Export;
use oc_kernel::Money;
use oc_proto::accounting::v1::{GetBooksResponse, SettleBooksResponse};
use oc_proto::types::v1::Cause;

use super::ids::ShortIds;
use super::names::Names;
use super::output::{Field, fields, safe};
use super::{
    CommandError, Context, Outcome, find, ids, size, usage_correct, usage_disputed, usage_verify,
    when,
};

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

const EXPORT: &str = "\
Examples:
  opencloud usage export --month 2026-11 --format csv --file november.csv
  opencloud usage export --grant 01a1fe83 | sha256sum";

#[derive(Debug, Subcommand)]
pub(crate) enum UsageCommand {
    /// Sums of what was used and what it costs
    Sum {
        /// Only this month, such as 2026-11
        #[arg(long, default_value = "", hide_default_value = true)]
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
        /// Only of this grant: its id, or the begin of it
        #[arg(long, default_value = "", hide_default_value = true)]
        grant: String,
        /// Only of this month, such as 2026-11
        #[arg(long, default_value = "", hide_default_value = true)]
        month: String,
    },
    /// Write the records of a grant, or of all, to a file or to standard output
    #[command(after_help = EXPORT)]
    Export {
        /// Only of this grant: its id, or the begin of it
        #[arg(long, default_value = "", hide_default_value = true)]
        grant: String,
        /// Only of this month, such as 2026-11
        #[arg(long, default_value = "", hide_default_value = true)]
        month: String,
        /// Form
        #[arg(long, value_enum, default_value = "json")]
        format: ExportForm,
        /// File [default: standard output]
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Check an export in JSON, from whomever it is: signatures, records, sums; needs no node. The currency is what the
    /// file says, since the signed records name none
    Verify {
        /// The file; `-` for standard input
        file: PathBuf,
    },
    /// Where the books of a grant stand: size, root, signatures, disputes
    Books {
        /// Id of the grant, or the begin of it
        grant: String,
    },
    /// Fetch the provider's records of a grant, check them and countersign, now
    Settle {
        /// Id of the grant, or the begin of it
        grant: String,
    },
    /// As the provider: put another record in place of a wrong one; what is not named stays
    Correct(usage_correct::Correction),
}

/// An objection and what to do about it, on one line.
fn disputed(dispute: &Cause) -> String {
    let text = safe(&dispute.text);
    match dispute.advice.as_str() {
        "" => text,
        advice => format!("{text} ({})", safe(advice)),
    }
}

/// Where books stand, in a word and as many records as it is about.
fn standing(books: &GetBooksResponse) -> String {
    let (signed, size) = (books.agreed_size, books.size);
    match (books.disputes.len(), books.countersigned) {
        (0, true) => "agreed, signed by both".to_owned(),
        (0, false) => {
            format!("waiting for signature, {signed} of {size} records are signed by both")
        }
        _ => format!("disputed, {signed} records are signed by both"),
    }
}

/// A settlement that leaves something open has failed: a script must see that.
fn settled(answer: &SettleBooksResponse) -> Outcome {
    match (answer.countersigned, answer.disputes.len()) {
        (true, _) => Ok(()),
        (false, 0) => Err(CommandError::Failed(
            "not all records are signed by both yet: the consumer settles them; ask again in a moment".to_owned(),
        )),
        (false, 1) => Err(CommandError::Failed("the books are disputed".to_owned())),
        (false, many) => Err(CommandError::Failed(format!(
            "the books are disputed, for {many} causes"
        ))),
    }
}

/// Who used what whose, as people say it.
fn direction(word: &str) -> &str {
    match word {
        "given" => "they used",
        "received" => "we used",
        "own" => "at home",
        other => other,
    }
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
            let names = Names::of(context).await;
            context.output.list(
                &sums,
                "nothing was used",
                [
                    "WHAT",
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
                        direction(&sum.direction).to_owned(),
                        names.show(&sum.org_id),
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
            )?;
            if !context.output.is_json() {
                usage_disputed::tell(context, &names).await;
            }
            Ok(())
        }
        UsageCommand::Records { grant, month } => {
            let grant = ids::books_or_all(context, &grant).await?;
            let records = accounting.records(&grant, &month).await?;
            let names = Names::of(context).await;
            let own = context.client.discovery().identity().await?.org_id;
            let every = accounting.records("", "").await?;
            // Grants are for operators; a user has those of their own records.
            let grants = context.client.compute().grants(false).await;
            let grants = grants.unwrap_or_default();
            let record_ids = ShortIds::of(every.iter().map(|it| it.record_id.as_str()));
            let own_grants = every.iter().map(|it| it.grant_id.as_str());
            let grant_ids = grants.iter().map(|grant| grant.grant_id.as_str());
            let grant_ids = ShortIds::of(grant_ids.chain(own_grants));
            context.output.list(
                &records,
                "no records",
                [
                    "ENDED", "RECORD", "GRANT", "WITH", "WORKFLOW", "OUTCOME", "WALL", "CPU",
                    "MEMORY", "IN", "OUT", "COST",
                ],
                |record| {
                    let partner = if record.provider == own {
                        &record.consumer
                    } else {
                        &record.provider
                    };
                    [
                        when::show(record.ended_ms),
                        record_ids.show(&record.record_id),
                        grant_ids.show(&record.grant_id),
                        names.show(partner),
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
            let grant = ids::books_or_all(context, &grant).await?;
            let content = accounting.export(&grant, &month, format).await?;
            match file {
                Some(file) => std::fs::write(&file, &content).map_err(anyhow::Error::from)?,
                None => std::io::stdout()
                    .write_all(&content)
                    .map_err(anyhow::Error::from)?,
            }
            Ok(())
        }
        UsageCommand::Verify { file } => {
            usage_verify::run(Some(context), &file, context.output).await
        }
        UsageCommand::Books { grant } => {
            let grant = ids::books(context, &grant).await?;
            let books = accounting.books(&grant).await?;
            context.output.show(&books, |books| {
                let disputes: Vec<_> = books.disputes.iter().map(disputed).collect();
                fields(&[
                    ("grant", Field::from(books.grant_id.clone())),
                    ("records", books.size.to_string().into()),
                    ("root", books.root.clone().into()),
                    ("state", standing(books).into()),
                    ("disputes", disputes.into()),
                ]);
            })
        }
        UsageCommand::Settle { grant } => {
            let grant = ids::books(context, &grant).await?;
            let answer = accounting.settle(&grant).await?;
            context.output.show(&answer, |answer| {
                if answer.countersigned {
                    anstream::println!("{} records, signed by both", answer.size);
                }
                for dispute in &answer.disputes {
                    anstream::println!("disputed: {}", disputed(dispute));
                }
            })?;
            settled(&answer)
        }
        UsageCommand::Correct(correction) => usage_correct::run(context, &correction).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settlement_that_leaves_a_dispute_has_failed() {
        let agreed = SettleBooksResponse {
            countersigned: true,
            ..SettleBooksResponse::default()
        };
        assert!(settled(&agreed).is_ok());
        let dispute = Cause {
            text: "record 0: too long".to_owned(),
            advice: "ask".to_owned(),
            ..Cause::default()
        };
        assert_eq!(disputed(&dispute), "record 0: too long (ask)");
        let disputed = SettleBooksResponse {
            disputes: vec![dispute],
            ..SettleBooksResponse::default()
        };
        assert!(settled(&disputed).is_err());
    }

    #[test]
    fn books_stand_in_one_way_at_a_time() {
        let books = |countersigned, disputes| {
            standing(&GetBooksResponse {
                size: 3,
                agreed_size: 2,
                countersigned,
                disputes,
                ..GetBooksResponse::default()
            })
        };
        assert_eq!(books(true, vec![]), "agreed, signed by both");
        assert!(books(false, vec![]).starts_with("waiting for signature, 2 of 3"));
        for countersigned in [true, false] {
            let disputed = books(countersigned, vec![Cause::default()]);
            assert_eq!(disputed, "disputed, 2 records are signed by both");
        }
    }
}
