//! The contract every driver keeps. `oc_store::testsuite!(fixture)` expands one test for each case;
//! `fixture` is an expression that makes a fresh [`Fixture`].

use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;

use crate::{Collection, Index, Store};

mod documents;
mod listing;
mod outbox;
mod revisions;

pub use documents::*;
pub use listing::*;
pub use outbox::*;
pub use revisions::*;

/// A place where a store lives.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens the store; after an earlier one was dropped, with all it held.
    async fn open(&self) -> Arc<dyn Store>;
}

pub(crate) static THINGS: Collection = Collection::new(
    "things",
    &[
        Index::pointer("tag", "/tags"),
        Index::pointer("size", "/size"),
    ],
);
pub(crate) static OTHERS: Collection = Collection::new("others", &[]);

/// Runs all of them side by side.
pub(crate) async fn at_once<F>(futures: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    futures.collect::<JoinSet<_>>().join_all().await
}

/// Expands the suite.
#[macro_export]
macro_rules! testsuite {
    ($fixture:expr) => {
        $crate::testsuite_cases! { $fixture;
            an_absent_document_reads_as_none,
            what_is_written_is_read_back_with_its_revision,
            every_write_raises_the_revision,
            stale_revision_is_refused,
            an_absent_document_has_no_revision_to_expect,
            one_of_sixteen_creators_wins,
            concurrent_counting_loses_nothing,
            deleting_nothing_says_so_and_sends_nothing,
            a_deleted_document_is_absent_and_its_revisions_go_on,
            revisions_go_on_where_the_tombstone_has_gone,
            collections_do_not_mix,
            a_bad_key_is_refused,
            what_is_not_json_is_refused,
            everything_survives_reopening,
            a_prefix_lists_its_keys_in_order,
            pages_leave_no_gap_while_others_write,
            an_index_lists_by_value_and_then_key,
            numbers_are_indexed_as_numbers,
            index_entries_follow_the_document,
            an_index_that_is_not_declared_is_refused,
            a_foreign_page_token_is_refused,
            an_index_declared_later_covers_older_documents,
            events_leave_in_order_and_once,
            a_refused_write_sends_nothing,
            unacknowledged_events_survive_reopening,
            the_signal_tells_of_new_events,
            unknown_fields_survive_an_update,
            a_newer_schema_is_refused,
            an_update_that_changes_nothing_writes_nothing,
            an_update_meets_a_missing_document,
            update_or_create_begins_once,
        }
    };
}

/// Expands the named cases.
#[doc(hidden)]
#[macro_export]
macro_rules! testsuite_cases {
    ($fixture:expr; $($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let fixture = $fixture;
            $crate::testsuite::$case(&fixture).await;
        }
    )*};
}
