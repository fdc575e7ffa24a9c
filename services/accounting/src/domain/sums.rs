//! Sums of usage, kept as counters while records arrive, so that a month's bill costs no walk over its records.

use std::collections::BTreeMap;

use oc_kernel::{Money, Name, OrgId};
use oc_trust::{BooksKey, Currency, UsageRecord};

use super::month::Month;
use super::reach::Reach;

/// Who used whose machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Others used ours.
    Given,
    /// We used others'.
    Received,
    /// We used ours.
    Own,
}

impl Direction {
    /// The name for people and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Given => "given",
            Direction::Received => "received",
            Direction::Own => "own",
        }
    }
}

/// By what sums are kept apart, besides direction and currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SumBy {
    /// The other organisation.
    Organisation,
    /// The month.
    Month,
    /// The pseudonym.
    Pseudonym,
    /// The workflow.
    Workflow,
}

/// Added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// How many records.
    pub records: u64,
    /// Wall time in ms.
    pub wall_ms: u64,
    /// Processor time in ms.
    pub cpu_ms: u64,
    /// Cores times wall time, in ms.
    pub core_ms: u64,
    /// Bytes in.
    pub bytes_in: u64,
    /// Bytes out.
    pub bytes_out: u64,
    /// The charge.
    pub charge: Money,
}

impl Totals {
    fn of(record: &UsageRecord) -> Self {
        Self {
            records: 1,
            wall_ms: record.wall_ms,
            cpu_ms: record.cpu_ms,
            core_ms: record.wall_ms.saturating_mul(u64::from(record.cores)),
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            charge: record.charge,
        }
    }

    fn add(&mut self, other: &Totals) {
        self.each(other, u64::saturating_add);
        self.charge = self.charge.saturating_add(other.charge);
    }

    fn subtract(&mut self, other: &Totals) {
        self.each(other, u64::saturating_sub);
        self.charge = Money(self.charge.micros().saturating_sub(other.charge.micros()));
    }

    fn each(&mut self, other: &Totals, f: fn(u64, u64) -> u64) {
        self.records = f(self.records, other.records);
        self.wall_ms = f(self.wall_ms, other.wall_ms);
        self.cpu_ms = f(self.cpu_ms, other.cpu_ms);
        self.core_ms = f(self.core_ms, other.core_ms);
        self.bytes_in = f(self.bytes_in, other.bytes_in);
        self.bytes_out = f(self.bytes_out, other.bytes_out);
    }
}

/// What counters are kept for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    month: Month,
    books: BooksKey,
    pseudonym: Name,
    workflow: String,
}

impl Key {
    fn of(record: &UsageRecord) -> Self {
        Self {
            month: Month::of_ms(record.ended_ms),
            books: BooksKey::of(record.grant),
            pseudonym: record.pseudonym.clone(),
            workflow: record.workflow.clone(),
        }
    }
}

/// What stands behind books: whose they are, and in what money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) direction: Direction,
    pub(crate) other: OrgId,
    pub(crate) currency: Currency,
}

/// One sum. What it was not kept apart by is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// The month.
    pub month: Option<Month>,
    /// The other organisation; ourselves for our own work.
    pub org: Option<OrgId>,
    /// The pseudonym.
    pub pseudonym: Option<Name>,
    /// The workflow.
    pub workflow: Option<String>,
    /// Who used whose machines.
    pub direction: Direction,
    /// The currency of the charge.
    pub currency: Currency,
    /// The sums.
    pub totals: Totals,
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Sums(BTreeMap<Key, Totals>);

impl Sums {
    /// Counts a record; `corrected` is the one it stands in place of.
    pub(crate) fn count(&mut self, record: &UsageRecord, corrected: Option<&UsageRecord>) {
        if let Some(old) = corrected
            && let Some(totals) = self.0.get_mut(&Key::of(old))
        {
            totals.subtract(&Totals::of(old));
        }
        let totals = self.0.entry(Key::of(record)).or_default();
        totals.add(&Totals::of(record));
    }

    /// The sums of a month and of one other organisation, or of all, kept apart as asked, in that order.
    pub(crate) fn by(
        &self,
        month: Option<Month>,
        org: Option<OrgId>,
        by: &[SumBy],
        reach: &Reach,
        account: impl Fn(BooksKey) -> Option<Account>,
    ) -> Vec<Sum> {
        let mut sums = BTreeMap::new();
        for (key, totals) in &self.0 {
            let Some(account) = account(key.books) else {
                continue;
            };
            let wanted = month.is_none_or(|month| month == key.month)
                && org.is_none_or(|org| org == account.other)
                && reach.has(key.books, &key.pseudonym)
                && totals.records > 0;
            if !wanted {
                continue;
            }
            let asked = |what| by.contains(&what);
            let group = (
                asked(SumBy::Month).then_some(key.month),
                asked(SumBy::Organisation).then_some(account.other),
                asked(SumBy::Pseudonym).then_some(&key.pseudonym),
                asked(SumBy::Workflow).then_some(key.workflow.as_str()),
                account.direction,
                account.currency,
            );
            sums.entry(group)
                .or_insert_with(Totals::default)
                .add(totals);
        }
        sums.into_iter()
            .map(|(group, totals)| {
                let (month, org, pseudonym, workflow, direction, currency) = group;
                Sum {
                    month,
                    org,
                    pseudonym: pseudonym.cloned(),
                    workflow: workflow.map(str::to_owned),
                    direction,
                    currency,
                    totals,
                }
            })
            .collect()
    }
}
