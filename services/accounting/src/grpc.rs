//! The gRPC face: parse, call, convert.

mod books;
mod usage;

use oc_kernel::{GrantId, Money, OrgId};
use oc_proto::accounting::v1 as pb;
use oc_proto::types::v1 as types;
use oc_trust::{BooksKey, UsageRecord};

use crate::domain::{BooksState, Cause, Listed, Month, Settled, Sum, SumBy};

pub(crate) use books::BooksFace;
pub(crate) use usage::UsageFace;

/// A request that names something in a way that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(String);

impl oc_kernel::Classify for Unreadable {
    fn kind(&self) -> oc_kernel::Kind {
        oc_kernel::Kind::Malformed
    }
}

fn unreadable(error: impl std::fmt::Display) -> Unreadable {
    Unreadable(error.to_string())
}

/// A text that may be empty.
fn optional<T>(text: &str) -> Result<Option<T>, Unreadable>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(unreadable),
    }
}

pub(crate) fn books_in(text: &str) -> Result<Option<BooksKey>, Unreadable> {
    optional(text)
}

pub(crate) fn month_in(text: &str) -> Result<Option<Month>, Unreadable> {
    optional(text)
}

pub(crate) fn org_in(text: &str) -> Result<Option<OrgId>, Unreadable> {
    optional(text)
}

pub(crate) fn grant_in(text: &str) -> Result<GrantId, Unreadable> {
    text.parse().map_err(unreadable)
}

pub(crate) fn sum_by_in(by: &[i32]) -> Result<Vec<SumBy>, Unreadable> {
    let one = |number: &i32| match pb::SumBy::try_from(*number) {
        Ok(pb::SumBy::Organisation) => Ok(Some(SumBy::Organisation)),
        Ok(pb::SumBy::Month) => Ok(Some(SumBy::Month)),
        Ok(pb::SumBy::Pseudonym) => Ok(Some(SumBy::Pseudonym)),
        Ok(pb::SumBy::Workflow) => Ok(Some(SumBy::Workflow)),
        Ok(pb::SumBy::Unspecified) => Ok(None),
        Err(_) => Err(Unreadable(format!("{number} is nothing to sum by"))),
    };
    by.iter()
        .filter_map(|number| one(number).transpose())
        .collect()
}

pub(crate) fn record_out(record: UsageRecord, currency: String) -> pb::UsageRecord {
    let Money(charge_micros) = record.charge;
    pb::UsageRecord {
        record_id: record.id.to_string(),
        position: record.seq,
        grant_id: BooksKey::of(record.grant).to_string(),
        run_id: record.run.to_string(),
        fragment_id: record.fragment.to_string(),
        attempt_id: record.attempt.to_string(),
        pseudonym: record.pseudonym.to_string(),
        workflow: record.workflow,
        provider: record.provider.to_string(),
        consumer: record.consumer.to_string(),
        started_ms: record.started_ms,
        ended_ms: record.ended_ms,
        wall_ms: record.wall_ms,
        cpu_ms: record.cpu_ms,
        peak_memory_bytes: record.peak_memory_bytes,
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        cores: record.cores,
        outcome: record.outcome.as_str().to_owned(),
        charge_micros,
        currency,
        corrects: record
            .corrects
            .map_or_else(String::new, |id| id.to_string()),
        storage_byte_seconds: record.storage_byte_seconds,
    }
}

pub(crate) fn listed_out(listed: Listed) -> pb::UsageRecord {
    record_out(listed.record, listed.currency.to_string())
}

pub(crate) fn sum_out(sum: Sum) -> pb::UsageSum {
    fn text(part: Option<impl ToString>) -> String {
        part.map_or_else(String::new, |part| part.to_string())
    }
    let Money(charge_micros) = sum.totals.charge;
    pb::UsageSum {
        month: text(sum.month),
        org_id: text(sum.org),
        pseudonym: text(sum.pseudonym),
        workflow: text(sum.workflow),
        direction: sum.direction.as_str().to_owned(),
        records: sum.totals.records,
        wall_ms: sum.totals.wall_ms,
        cpu_ms: sum.totals.cpu_ms,
        core_ms: sum.totals.core_ms,
        bytes_in: sum.totals.bytes_in,
        bytes_out: sum.totals.bytes_out,
        charge_micros,
        currency: sum.currency.to_string(),
    }
}

pub(crate) fn cause_out(cause: Cause) -> types::Cause {
    types::Cause {
        code: cause.code,
        text: cause.text,
        org_id: cause.org.to_string(),
        at_ms: cause.at_ms,
        advice: cause.advice,
    }
}

pub(crate) fn state_out(grant_id: String, state: BooksState) -> pb::GetBooksResponse {
    pb::GetBooksResponse {
        grant_id,
        size: state.size,
        root: state.root.to_string(),
        head: state.head.map_or_else(Vec::new, String::into_bytes),
        countersigned: state.countersigned,
        disputes: state.disputes.into_iter().map(cause_out).collect(),
        agreed_size: state.agreed_size,
    }
}

pub(crate) fn settled_out(settled: Settled) -> pb::SettleBooksResponse {
    pb::SettleBooksResponse {
        size: settled.size,
        countersigned: settled.countersigned,
        disputes: settled.causes.into_iter().map(cause_out).collect(),
        charge_micros: None,
        currency: String::new(),
    }
}
