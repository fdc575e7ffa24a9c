//! `opencloud usage correct`: another record in place of a wrong one.

use clap::Args;
use oc_kernel::Money;
use oc_proto::accounting::v1::CorrectUsageRequest;

use super::output::safe;
use super::{Context, Outcome, ids, size};

#[derive(Debug, Args)]
pub(crate) struct Correction {
    /// Record, as `usage records` and the dispute name it, or the begin of its id
    record: String,
    #[command(flatten)]
    figures: Figures,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Figures {
    /// Wall time in milliseconds
    #[arg(long, value_name = "MS")]
    wall_ms: Option<u64>,
    /// Processor time in milliseconds
    #[arg(long, value_name = "MS")]
    cpu_ms: Option<u64>,
    /// Highest memory in bytes
    #[arg(long, value_name = "BYTES")]
    memory: Option<u64>,
    /// Bytes in
    #[arg(long, value_name = "BYTES")]
    bytes_in: Option<u64>,
    /// Bytes out
    #[arg(long, value_name = "BYTES")]
    bytes_out: Option<u64>,
    /// Bytes stored times seconds
    #[arg(long, value_name = "BYTE-SECONDS")]
    stored: Option<u64>,
    /// How the attempt ended; one that was lost is charged nothing
    #[arg(long, value_parser = ["succeeded", "failed", "cancelled", "lost"])]
    outcome: Option<String>,
}

impl Figures {
    fn changes(&self) -> String {
        let named = [
            ("wall time", self.wall_ms.map(|it| format!("{it} ms"))),
            ("processor time", self.cpu_ms.map(|it| format!("{it} ms"))),
            ("memory", self.memory.map(size::show)),
            ("in", self.bytes_in.map(size::show)),
            ("out", self.bytes_out.map(size::show)),
            ("stored", self.stored.map(|it| format!("{it} byte-seconds"))),
            ("outcome", self.outcome.clone()),
        ];
        let named = named
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name} {}", value?)));
        named.collect::<Vec<_>>().join(", ")
    }
}

/// Puts it there after a yes.
pub(crate) async fn run(context: &Context, correction: &Correction) -> Outcome {
    let record = ids::record(context, &correction.record).await?;
    let figures = &correction.figures;
    context.confirm(&format!(
        "Put another record in place of {record}, with {}? The old one stays in the books.",
        figures.changes()
    ))?;
    let request = CorrectUsageRequest {
        record_id: record,
        wall_ms: figures.wall_ms,
        cpu_ms: figures.cpu_ms,
        peak_memory_bytes: figures.memory,
        bytes_in: figures.bytes_in,
        bytes_out: figures.bytes_out,
        storage_byte_seconds: figures.stored,
        outcome: figures.outcome.clone(),
    };
    let answer = context.client.accounting().correct(&request).await?;
    context.output.show(&answer, |answer| {
        let record = answer.record.clone().unwrap_or_default();
        anstream::println!(
            "{} stands in place of {}: {} {}. The consumer countersigns it when it settles next.",
            safe(&record.record_id),
            safe(&record.corrects),
            Money(record.charge_micros),
            safe(&record.currency)
        );
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::usage::UsageCommand;
    use super::super::{Arguments, Command};

    #[test]
    fn a_correction_names_at_least_one_figure() {
        let line = ["opencloud", "usage", "correct", "att-1"];
        assert!(Arguments::try_parse_from(line).is_err());
        let named = line
            .into_iter()
            .chain(["--wall-ms", "900", "--bytes-out", "7"]);
        let parsed = Arguments::try_parse_from(named).unwrap();
        let Command::Usage(UsageCommand::Correct(correction)) = parsed.command else {
            panic!("another command");
        };
        assert_eq!(correction.figures.changes(), "wall time 900 ms, out 7 B");
        let lost = line.into_iter().chain(["--outcome", "lost"]);
        assert!(Arguments::try_parse_from(lost).is_ok());
        let eaten = line.into_iter().chain(["--outcome", "eaten"]);
        assert!(Arguments::try_parse_from(eaten).is_err());
    }
}
