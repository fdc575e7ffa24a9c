//! Usage records into the books, and sums over a million of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_trait::async_trait;
use oc_accounting::SqliteLedger;
use oc_accounting::domain::{Accounting, Cause, Ledger, Month, Reach, SumBy};
use oc_accounting::ports::{OfferedHead, Organisation, PortError, ProviderBooks};
use oc_kernel::{
    AttemptId, Clock as _, FragmentId, GrantId, Kind, Money, OrgId, RunId, SystemClock,
};
use oc_store::SqliteStore;
use oc_trust::event::{GrantEvent, UsageEvent};
use oc_trust::{
    BooksKey, Currency, Envelope, Grant, GrantedListing, KeyHistory, Limits, ListingKind,
    LocalSigner, OrgKeys, Outcome, Price, Pseudonyms, SignError, Signer, UsageRecord, countersign,
    record_id, seal,
};

use crate::figures::{Bar, Row, timed_async};

const LONG: Duration = Duration::from_secs(5);
const MILLION: u64 = 1_000_000;
const BATCH: usize = 1_000;

pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("usage.db");
    let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::open(&file).await?);
    let south = Arc::new(Org::found()?);
    let accounting = Accounting::new(
        Arc::new(SqliteStore::temporary().await?),
        Arc::clone(&ledger),
        Arc::<Org>::clone(&south),
        Arc::<Org>::clone(&south),
        Arc::new(SystemClock),
        Currency::EUR,
    );
    let north = Org::found()?;
    let mut grants = Vec::new();
    for _ in 0..4 {
        grants.push(south.grant(&north, &accounting).await?);
    }

    let mut rows = Vec::new();
    for (callers, bar) in [(1, 3_000.0), (8, 12_000.0)] {
        let rate = one_by_one(&accounting, grants[0].id, callers).await?;
        rows.push(
            Row::new(
                format!("usage records one by one, {callers} at a time"),
                rate,
                "/s",
                "each durable (SQLite, synchronous=FULL) and in the Merkle log before its answer; in the process",
            )
            .bar(Bar::AtLeast(bar)),
        );
    }
    for (callers, bar) in [(1, 80_000.0), (4, 120_000.0)] {
        let all = if callers == 1 { 200_000 } else { 800_000 };
        let rate = in_batches(&accounting, &ledger, &grants[..callers], all).await?;
        rows.push(
            Row::new(
                format!("usage records {BATCH} at a time, {callers} callers"),
                rate,
                "/s",
                "durable, and a head signed over each batch",
            )
            .bar(Bar::AtLeast(bar)),
        );
    }
    let stored: u64 = ledger.books().await?.iter().map(|(_, size)| size).sum();
    let bytes = std::fs::metadata(&file)?.len() as f64;
    rows.push(
        Row::new(
            "disk for a million records",
            bytes / stored as f64,
            "MB",
            format!("the ledger's file over {stored} records"),
        )
        .bar(Bar::AtMost(250.0)),
    );

    let start = Instant::now();
    let mut read = 0;
    for (books, size) in ledger.books().await? {
        let mut at = 0;
        while at < size {
            let records = ledger.read(books, at, BATCH).await?;
            at += records.len() as u64;
        }
        read += at;
    }
    let streamed = start.elapsed().as_secs_f64() * MILLION as f64 / read as f64;
    rows.push(
        Row::new(
            "a million records streamed",
            streamed,
            "s",
            format!("of {read}, {BATCH} at a time"),
        )
        .bar(Bar::AtMost(2.5)),
    );

    let month = Some(Month::of_ms(SystemClock.now_ms()));
    let other = Some(grants[0].consumer);
    let by = [SumBy::Organisation];
    let found = accounting.sum(month, other, &by, &Reach::All).await?;
    let summed: u64 = found.iter().map(|sum| sum.totals.records).sum();
    anyhow::ensure!(summed == stored, "{summed} of {stored} records in the sum");
    let sums = timed_async(50, async || {
        let _ = accounting.sum(month, other, &by, &Reach::All).await;
    })
    .await;
    rows.push(
        Row::new(
            "a month's sum for one organisation at a million records",
            sums.median_ms(),
            "ms",
            "median of 50; counters in memory, which a start makes anew from the ledger",
        )
        .bar(Bar::AtMost(5.0)),
    );
    Ok(rows)
}

async fn one_by_one(
    accounting: &Accounting,
    grant: GrantId,
    callers: usize,
) -> anyhow::Result<f64> {
    let start = Instant::now();
    let callers = (0..callers).map(|_| {
        let accounting = accounting.clone();
        tokio::spawn(async move {
            let mut records = 0_u32;
            while start.elapsed() < LONG {
                accounting.record(&usage(grant)).await?;
                records += 1;
            }
            anyhow::Ok(records)
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut all = 0.0;
    for caller in callers {
        all += f64::from(caller.await??);
    }
    Ok(all / start.elapsed().as_secs_f64())
}

/// A log for each caller, a head for each batch.
async fn in_batches(
    accounting: &Accounting,
    ledger: &Arc<dyn Ledger>,
    grants: &[Grant],
    all: usize,
) -> anyhow::Result<f64> {
    let each = all / grants.len() / BATCH;
    let start = Instant::now();
    let callers = grants.iter().map(|grant| {
        let (accounting, ledger, grant) = (accounting.clone(), Arc::clone(ledger), grant.clone());
        tokio::spawn(async move {
            let books = BooksKey::Grant(grant.id);
            for _ in 0..each {
                let records: Result<Vec<_>, _> = (0..BATCH).map(|_| record(&grant)).collect();
                let stored = ledger.append(books, records?).await?;
                let known = stored.first().map_or(0, |record| record.seq);
                accounting.head(grant.id, grant.consumer, known).await?;
            }
            anyhow::Ok(())
        })
    });
    let callers: Vec<_> = callers.collect();
    for caller in callers {
        caller.await??;
    }
    Ok((each * BATCH * grants.len()) as f64 / start.elapsed().as_secs_f64())
}

fn usage(grant: GrantId) -> UsageEvent {
    let now = SystemClock.now_ms();
    UsageEvent {
        grant_id: BooksKey::Grant(grant),
        run_id: RunId::new(),
        fragment_id: FragmentId::new(),
        attempt_id: AttemptId::new(),
        pseudonym: "p-4711"
            .parse()
            .unwrap_or_else(|error| unreachable!("{error}")),
        workflow: "ndvi".to_owned(),
        started_ms: now - 4_000,
        ended_ms: now,
        wall_ms: 4_000,
        cpu_ms: 3_000,
        peak_memory_bytes: 1 << 20,
        bytes_in: 2_000,
        bytes_out: 1_000,
        storage_byte_seconds: 0,
        cores: 2,
        outcome: Outcome::Succeeded,
    }
}

fn record(grant: &Grant) -> anyhow::Result<UsageRecord> {
    let usage = usage(grant.id);
    let mut record = UsageRecord {
        version: UsageRecord::VERSION,
        id: record_id(&usage.attempt_id, 0).context("no record id")?,
        seq: 0,
        grant: Some(grant.id),
        provider: grant.provider,
        consumer: grant.consumer,
        run: usage.run_id,
        fragment: usage.fragment_id,
        attempt: usage.attempt_id,
        pseudonym: usage.pseudonym,
        workflow: usage.workflow,
        started_ms: usage.started_ms,
        ended_ms: usage.ended_ms,
        wall_ms: usage.wall_ms,
        cpu_ms: usage.cpu_ms,
        peak_memory_bytes: usage.peak_memory_bytes,
        bytes_in: usage.bytes_in,
        bytes_out: usage.bytes_out,
        storage_byte_seconds: usage.storage_byte_seconds,
        cores: usage.cores,
        outcome: usage.outcome,
        charge: Money::ZERO,
        corrects: None,
    };
    record.charge = record.charge_at(&grant.price);
    Ok(record)
}

/// An organisation with real keys. Nobody asks it for the books of a partner.
struct Org {
    id: OrgId,
    keys: Arc<KeyHistory>,
    signer: LocalSigner,
}

impl Org {
    fn found() -> anyhow::Result<Self> {
        let keys = OrgKeys::generate();
        let history = KeyHistory::start(keys.found()?)?;
        Ok(Self {
            id: history.org(),
            keys: Arc::new(history),
            signer: keys.node.signer(),
        })
    }

    /// A grant to a consumer, signed by both, in the books.
    async fn grant(&self, north: &Self, accounting: &Accounting) -> anyhow::Result<Grant> {
        let now = SystemClock.now_ms();
        let grant = Grant {
            id: GrantId::new(),
            network: "0123456789abcdef0123456789abcdef".parse()?,
            provider: self.id,
            consumer: north.id,
            listings: vec![GrantedListing {
                id: "compute.default".parse()?,
                kind: ListingKind::Compute,
                limits: None,
            }],
            limits: Limits::default(),
            price: Price {
                currency: Currency::EUR,
                core_hour: Money(250_000),
                egress_gib: Money(10_000),
                storage_gib_month: Money::ZERO,
            },
            not_before: now - 3_600_000,
            not_after: now + 3_600_000,
            generation: 1,
            tools: None,
            pseudonyms: Pseudonyms::PerGrant,
        };
        let half = seal(&self.signer, grant.clone()).await?;
        let sealed = countersign(&north.signer, half).await?;
        let event = GrantEvent {
            grant_id: grant.id,
            state: "active".to_owned(),
            generation: 1,
            envelope: base64(sealed.bytes()),
            provider: grant.provider,
            consumer: grant.consumer,
            network_id: grant.network.clone(),
            swept: false,
        };
        accounting.note_grant(&event).await?;
        Ok(grant)
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[async_trait]
impl Signer for Org {
    async fn sign(&self, payload_type: &str, payload: &[u8]) -> Result<Envelope, SignError> {
        self.signer.sign(payload_type, payload).await
    }
}

#[async_trait]
impl Organisation for Org {
    async fn me(&self) -> Result<OrgId, PortError> {
        Ok(self.id)
    }

    async fn keys(&self, _org: OrgId) -> Result<Arc<KeyHistory>, PortError> {
        Ok(Arc::clone(&self.keys))
    }
}

fn no_partner() -> PortError {
    PortError {
        kind: Kind::Unavailable,
        code: None,
        message: "no partner here".to_owned(),
        advice: None,
    }
}

#[async_trait]
impl ProviderBooks for Org {
    async fn head(&self, _: OrgId, _: GrantId, _: u64) -> Result<OfferedHead, PortError> {
        Err(no_partner())
    }

    async fn records(
        &self,
        _: OrgId,
        _: GrantId,
        _: u64,
        _: u32,
    ) -> Result<Vec<Vec<u8>>, PortError> {
        Err(no_partner())
    }

    async fn countersign(&self, _: OrgId, _: GrantId, _: Vec<u8>) -> Result<(), PortError> {
        Err(no_partner())
    }

    async fn dispute(&self, _: OrgId, _: GrantId, _: u64, _: &Cause) -> Result<(), PortError> {
        Err(no_partner())
    }
}
