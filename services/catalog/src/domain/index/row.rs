//! What a walk over all listings looks at, and the conditions it checks.

use std::ops::Range;
use std::sync::Arc;

use oc_trust::{Interval, ListingKind};

use crate::domain::{Area, Entry, Life, Query};

/// The part of a listing that decides whether it matches, kept small and in one piece.
pub(super) struct Row {
    kind: u8,
    owner: u32,
    facets: Range<u32>,
    life: Arc<Life>,
    ttl_ms: u64,
    /// Both ends included.
    time: Option<(u64, u64)>,
    area: Option<Area>,
}

impl Row {
    /// The row of an entry, whose facets lie at `facets`.
    pub(super) fn new(entry: &Entry, owner: u32, facets: Range<usize>) -> Self {
        let small = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            kind: bit(entry.offer.kind),
            owner,
            facets: small(facets.start)..small(facets.end),
            life: Arc::clone(&entry.life),
            ttl_ms: entry.ttl_ms(),
            time: entry.offer.interval.as_ref().map(closed),
            area: entry.area(),
        }
    }

    pub(super) fn facets(&self) -> Range<usize> {
        self.facets.start as usize..self.facets.end as usize
    }
}

fn bit(kind: ListingKind) -> u8 {
    1 << kind as u8
}

/// An interval with its open ends closed as far out as there are.
fn closed(interval: &Interval) -> (u64, u64) {
    (
        interval.start.unwrap_or(0),
        interval.end.unwrap_or(u64::MAX),
    )
}

/// The conditions of a query, apart from words and facets.
pub(super) struct Filter {
    kinds: u8,
    owners: Option<Vec<u32>>,
    time: Option<(u64, u64)>,
    area: Option<Area>,
    fresh_only: bool,
    now_ms: u64,
}

impl Filter {
    /// The conditions of `query`; `owners` are the numbers of those that will do.
    pub(super) fn new(query: &Query, owners: Option<Vec<u32>>, now_ms: u64) -> Self {
        let kinds = query.kinds.iter().fold(0, |kinds, kind| kinds | bit(*kind));
        Self {
            kinds: if kinds == 0 { u8::MAX } else { kinds },
            owners,
            time: query.time.as_ref().map(closed),
            area: query.area,
            fresh_only: query.fresh_only,
            now_ms,
        }
    }

    /// True when the row meets them. A listing that does not say when or where its data were taken does
    /// not match a search by time or area.
    pub(super) fn admits(&self, row: &Row) -> bool {
        row.kind & self.kinds != 0
            && self
                .owners
                .as_ref()
                .is_none_or(|owners| owners.contains(&row.owner))
            && self
                .time
                .is_none_or(|time| row.time.is_some_and(|own| overlap(time, own)))
            && self
                .area
                .is_none_or(|area| row.area.is_some_and(|own| own.touches(&area)))
            && !row.life.is_gone(row.ttl_ms, self.now_ms)
            && !(self.fresh_only && row.life.is_stale(row.ttl_ms, self.now_ms))
    }
}

fn overlap(one: (u64, u64), other: (u64, u64)) -> bool {
    one.0 <= other.1 && other.0 <= one.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_ends_overlap_everything_on_their_side() {
        let span = |start, end| closed(&Interval { start, end });
        let offered = span(Some(10), Some(20));
        for (wanted, expected) in [
            (span(None, None), true),
            (span(Some(20), None), true),
            (span(Some(21), None), false),
            (span(None, Some(10)), true),
            (span(None, Some(9)), false),
            (span(Some(12), Some(13)), true),
        ] {
            assert_eq!(overlap(wanted, offered), expected, "{wanted:?}");
        }
        assert!(overlap(span(Some(5), Some(6)), span(None, None)));
    }
}
