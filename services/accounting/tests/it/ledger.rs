//! The contract of a ledger.

use std::sync::Arc;

use oc_accounting::SqliteLedger;
use oc_accounting::domain::{Ledger, LedgerError};
use oc_kernel::{AttemptId, FragmentId, GrantId, Money, OrgId, RunId};
use oc_trust::BooksKey;
use oc_trust::{Outcome, UsageRecord, record_id};

fn record(books: BooksKey) -> UsageRecord {
    let attempt = AttemptId::new();
    UsageRecord {
        version: UsageRecord::VERSION,
        id: record_id(&attempt, 0).unwrap(),
        seq: 0,
        grant: books.grant(),
        provider: OrgId::from_digest([1; 32]),
        consumer: OrgId::from_digest([2; 32]),
        run: RunId::new(),
        fragment: FragmentId::new(),
        attempt,
        pseudonym: "p".parse().unwrap(),
        workflow: "line\nbreak".into(),
        started_ms: 1,
        ended_ms: 2,
        wall_ms: 1,
        cpu_ms: 1,
        peak_memory_bytes: 1,
        bytes_in: 0,
        bytes_out: 0,
        storage_byte_seconds: 0,
        cores: 1,
        outcome: Outcome::Succeeded,
        charge: Money(1),
        corrects: None,
    }
}

async fn open(folder: &tempfile::TempDir) -> SqliteLedger {
    SqliteLedger::open(folder.path().join("usage.db"))
        .await
        .unwrap()
}

#[tokio::test]
async fn records_are_numbered_in_their_own_log_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (own, grant) = (BooksKey::Own, BooksKey::Grant(GrantId::new()));
    let ledger = open(&folder).await;
    let mut written = Vec::new();
    for _ in 0..3 {
        written.extend(
            ledger
                .append(grant, vec![record(grant), record(grant)])
                .await
                .unwrap(),
        );
        ledger.append(own, vec![record(own)]).await.unwrap();
    }
    drop(ledger);
    let ledger = open(&folder).await;
    let read = ledger.read(grant, 0, 100).await.unwrap();
    assert_eq!(read, written);
    let numbers: Vec<u64> = read.iter().map(|record| record.seq).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    assert_eq!(ledger.read(grant, 3, 2).await.unwrap(), written[3..5]);
    assert_eq!(ledger.read(grant, 6, 2).await.unwrap(), []);
    assert_eq!(ledger.books().await.unwrap(), [(own, 3), (grant, 6)]);
    assert_eq!(
        ledger.find(&written[4].id).await.unwrap().as_ref(),
        Some(&written[4])
    );
    assert_eq!(ledger.find(&record(own).id).await.unwrap(), None);
}

#[tokio::test]
async fn the_same_record_again_is_answered_and_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&folder).await;
    let first = record(BooksKey::Own);
    let other = record(BooksKey::Own);
    let twice = vec![first.clone(), first.clone(), other];
    let stored = ledger.append(BooksKey::Own, twice).await.unwrap();
    assert_eq!(stored[0], stored[1]);
    assert_eq!(stored[2].seq, 1);
    let mut changed = first;
    changed.wall_ms = 99;
    let stored = ledger.append(BooksKey::Own, vec![changed]).await.unwrap();
    assert_eq!(stored[0].wall_ms, 1);
    assert_eq!(ledger.books().await.unwrap(), [(BooksKey::Own, 2)]);
}

#[tokio::test]
async fn a_copy_goes_exactly_where_it_belongs_or_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&folder).await;
    let books = BooksKey::Grant(GrantId::new());
    let mut records: Vec<UsageRecord> = (0..600).map(|_| record(books)).collect();
    for (seq, record) in (0..).zip(&mut records) {
        record.seq = seq;
    }
    ledger.copy(books, 0, records.clone()).await.unwrap();
    assert_eq!(ledger.read(books, 0, 1000).await.unwrap(), records);
    assert_eq!(ledger.read(books, 300, 1).await.unwrap(), records[300..301]);

    let mut next = record(books);
    next.seq = 600;
    let mut twice = records[5].clone();
    twice.seq = 600;
    for (first, record) in [
        (599, next.clone()),
        (601, next.clone()),
        (600, records[5].clone()),
        (600, twice),
    ] {
        let copied = ledger.copy(books, first, vec![record]).await;
        assert!(
            matches!(copied, Err(LedgerError::Moved { .. })),
            "{copied:?}"
        );
    }
    ledger.copy(books, 600, vec![next]).await.unwrap();
    assert_eq!(ledger.books().await.unwrap(), [(books, 601)]);
}

#[tokio::test]
async fn many_writers_leave_no_gap_and_no_double() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(open(&folder).await);
    let books = BooksKey::Grant(GrantId::new());
    let writers: Vec<_> = (0..16)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for _ in 0..8 {
                    ledger.append(books, vec![record(books)]).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let read = ledger.read(books, 0, 1000).await.unwrap();
    let numbers: Vec<u64> = read.iter().map(|record| record.seq).collect();
    assert_eq!(numbers, (0..128).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_damaged_ledger_is_to_be_restored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    std::fs::write(&path, "no ledger at all, ".repeat(512)).unwrap();
    let error = SqliteLedger::open(&path).await.unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("ledger.db is damaged"), "{text}");
    assert!(text.contains("from a backup"), "{text}");
}

#[tokio::test]
async fn reports_that_wait_together_are_committed_together() {
    const REPORTS: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(open(&folder).await);
    // While somebody else has the lock, all of them queue up.
    let file = rusqlite::Connection::open(folder.path().join("usage.db")).unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut reports = tokio::task::JoinSet::new();
    for _ in 0..REPORTS {
        let ledger = ledger.clone();
        let append = async move {
            ledger
                .append(BooksKey::Own, vec![record(BooksKey::Own)])
                .await
        };
        reports.spawn(append);
    }
    // The tasks of this runtime take turns: after one turn each has handed its report over.
    for _ in 0..REPORTS {
        tokio::task::yield_now().await;
    }
    file.execute_batch("COMMIT").unwrap();
    while let Some(written) = reports.join_next().await {
        written.unwrap().unwrap();
    }
    // A segment is what one commit added to one log.
    let count = "SELECT count(*) FROM segments";
    let commits: usize = file.query_row(count, [], |row| row.get(0)).unwrap();
    assert!((1..=2).contains(&commits), "{commits} commits");
    let read = ledger.read(BooksKey::Own, 0, 100).await.unwrap();
    assert_eq!(read.len(), REPORTS);
}
