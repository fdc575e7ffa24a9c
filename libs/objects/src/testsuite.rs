//! The contract every driver keeps. `oc_objects::testsuite!(fixture)` expands one test for each case;
//! `fixture` is an expression that makes a fresh [`Fixture`].

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use oc_kernel::ObjectKey;

use crate::{Expected, Objects, body};

mod reading;
mod writing;

pub use reading::*;
pub use writing::*;

/// A place where objects live.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens it; after an earlier one was dropped, with all it held.
    async fn open(&self) -> Arc<dyn Objects>;

    /// Counts whatever lies in it, finished or not, apart from what the driver keeps about objects.
    async fn leftovers(&self) -> usize;
}

pub(crate) fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

pub(crate) async fn put(objects: &dyn Objects, at: &str, bytes: impl Into<Bytes>) {
    objects
        .put(&key(at), body(bytes), Expected::default())
        .await
        .unwrap();
}

/// Expands the suite.
#[macro_export]
macro_rules! testsuite {
    ($fixture:expr) => {
        $crate::testsuite_cases! { $fixture;
            what_is_put_is_got_with_its_digest,
            a_large_object_comes_in_many_pieces,
            an_empty_object_is_an_object,
            a_wrong_digest_leaves_nothing,
            a_wrong_length_leaves_nothing,
            a_body_that_breaks_off_leaves_nothing,
            a_put_that_is_dropped_leaves_nothing,
            a_key_is_written_once,
            one_of_eight_writers_wins,
            objects_come_and_go_beside_each_other,
            a_deleted_key_may_be_written_again,
            objects_survive_reopening,
            an_absent_object_is_not_found,
            ranges_are_cut_out_exactly,
            a_range_beyond_the_end_is_refused,
            a_reader_may_limit_what_it_takes,
            a_list_has_pages_in_key_order,
            a_prefix_ends_at_a_segment,
            deleting_a_prefix_leaves_its_neighbours,
            free_space_is_told_and_held,
        }
    };
}

/// Expands the named cases.
#[doc(hidden)]
#[macro_export]
macro_rules! testsuite_cases {
    ($fixture:expr; $($case:ident,)*) => {$(
        #[tokio::test]
        async fn $case() {
            let fixture = $fixture;
            $crate::testsuite::$case(&fixture).await;
        }
    )*};
}
