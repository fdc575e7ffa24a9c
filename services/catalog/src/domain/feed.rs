//! Our listings as partners read them: signed, in the order of their changes, each to those who may see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oc_kernel::{Name, OrgId};
use oc_trust::Visibility;
use serde::{Deserialize, Serialize};

/// Listings in one answer, at most.
const PAGE: usize = 500;
/// Bytes of listings in one answer, unless the first alone has more; below gRPC's limit of 4 MiB.
const PAGE_BYTES: usize = 1024 * 1024;

/// Ends the cursor of a reader that began from nothing and is not through yet.
const WALK: &str = ":walk";

/// Everyone who saw some version of a listing, so that they are told when they may see it no more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Audience {
    /// All members of the network.
    pub(crate) members: bool,
    /// Chosen partners.
    pub(crate) orgs: BTreeSet<OrgId>,
}

impl Audience {
    /// Adds those who may see it now.
    pub(crate) fn add(&mut self, visibility: &Visibility) {
        match visibility {
            Visibility::Members => self.members = true,
            Visibility::Orgs(orgs) => self.orgs.extend(orgs),
        }
    }

    fn includes(&self, org: &OrgId) -> bool {
        self.members || self.orgs.contains(org)
    }
}

/// One listing in the feed of a network.
#[derive(Debug, Clone)]
pub(crate) struct Delta {
    /// Its place in the order of changes.
    pub(crate) seq: u64,
    /// The listing.
    pub(crate) id: Name,
    /// Who may see it.
    pub(crate) visibility: Visibility,
    /// Who saw earlier versions.
    pub(crate) former: Audience,
    /// It is taken back.
    pub(crate) withdrawn: bool,
    /// The signed statement.
    pub(crate) envelope: Arc<[u8]>,
}

/// Our listings, network by network, in the order of changes.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    pub(crate) epoch: u64,
    /// The last number given out.
    pub(crate) last: u64,
    /// Withdrawals up to this number are forgotten: an older cursor begins anew.
    pub(crate) horizon: u64,
    pub(crate) networks: BTreeMap<Name, Vec<Delta>>,
}

/// One answer to a partner.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Deltas {
    /// Signed listings.
    pub(crate) listings: Vec<Arc<[u8]>>,
    /// Ids that the reader may see no more.
    pub(crate) gone: Vec<Name>,
    /// Where to go on.
    pub(crate) cursor: String,
    /// There is more.
    pub(crate) more: bool,
    /// The answer begins from nothing.
    pub(crate) restart: bool,
}

impl Feed {
    /// What changed on `network` after `cursor`, as far as `reader` may see it; none where the network is not shown.
    pub(crate) fn after(
        &self,
        reader: &OrgId,
        network: &Name,
        cursor: &str,
        size: usize,
    ) -> Option<Deltas> {
        let items = self.networks.get(network)?;
        let known = self.parse(network, cursor);
        let start = known.unwrap_or(0);
        let size = if size == 0 { PAGE } else { size.min(PAGE) };
        let mut answer = Deltas {
            restart: known.is_none(),
            ..Deltas::default()
        };
        let (mut at, mut bytes) = (start, 0);
        let from = items.partition_point(|item| item.seq <= start);
        for item in &items[from..] {
            let full = answer.listings.len() + answer.gone.len() >= size || bytes >= PAGE_BYTES;
            if full {
                answer.more = true;
                break;
            }
            at = item.seq;
            let sees = !item.withdrawn && item.visibility.includes(reader);
            let saw = item.former.includes(reader);
            if sees || (item.withdrawn && saw) {
                // Who begins anew has nothing that could be withdrawn.
                if !(answer.restart && item.withdrawn) {
                    bytes += item.envelope.len();
                    answer.listings.push(Arc::clone(&item.envelope));
                }
            } else if saw && !answer.restart {
                answer.gone.push(item.id.clone());
            }
        }
        answer.cursor = if answer.more {
            // On its way from nothing a reader may stand below the horizon.
            let walk = if answer.restart || cursor.ends_with(WALK) {
                WALK
            } else {
                ""
            };
            format!("{network}:{}:{at}{walk}", self.epoch)
        } else {
            format!("{network}:{}:{}", self.epoch, at.max(self.horizon))
        };
        Some(answer)
    }

    /// The place a cursor of ours names; none where the reader must begin anew.
    fn parse(&self, network: &Name, cursor: &str) -> Option<u64> {
        let (cursor, walking) = match cursor.strip_suffix(WALK) {
            Some(rest) => (rest, true),
            None => (cursor, false),
        };
        let mut parts = cursor.rsplitn(3, ':');
        let (seq, epoch, of) = (parts.next()?, parts.next()?, parts.next()?);
        let seq: u64 = seq.parse().ok()?;
        let epoch: u64 = epoch.parse().ok()?;
        let valid = of == network.as_str()
            && epoch == self.epoch
            && (walking || seq >= self.horizon)
            && seq <= self.last;
        valid.then_some(seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn org(n: u8) -> OrgId {
        OrgId::from_digest([n; 32])
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn delta(seq: u64, visibility: Visibility) -> Delta {
        Delta {
            seq,
            id: name(&format!("l{seq}")),
            visibility,
            former: Audience::default(),
            withdrawn: false,
            envelope: format!("signed {seq}").into_bytes().into(),
        }
    }

    fn feed(items: Vec<Delta>) -> Feed {
        Feed {
            epoch: 1,
            last: items.last().map_or(0, |item| item.seq),
            horizon: 0,
            networks: BTreeMap::from([(name("net"), items)]),
        }
    }

    fn read(feed: &Feed, reader: u8, cursor: &str, size: usize) -> Deltas {
        feed.after(&org(reader), &name("net"), cursor, size)
            .unwrap()
    }

    fn seqs(deltas: &Deltas) -> Vec<u64> {
        let texts = deltas
            .listings
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        texts
            .map(|text| text.rsplit(' ').next().unwrap().parse().unwrap())
            .collect()
    }

    #[test]
    fn each_reader_gets_what_it_may_see_and_everyone_gets_on() {
        let chosen = Visibility::Orgs(vec![org(2)]);
        let feed = feed(vec![
            delta(1, Visibility::Members),
            delta(2, chosen),
            delta(4, Visibility::Members),
        ]);
        let (first, second) = (read(&feed, 1, "", 0), read(&feed, 2, "", 0));
        assert_eq!(seqs(&first), [1, 4]);
        assert_eq!(seqs(&second), [1, 2, 4]);
        assert!(first.restart && first.gone.is_empty() && !first.more);
        let again = read(&feed, 1, &first.cursor, 0);
        assert_eq!(
            again,
            Deltas {
                cursor: first.cursor,
                ..Deltas::default()
            }
        );
    }

    #[test]
    fn pages_join_without_gap_or_repetition() {
        let feed = feed((1..=7).map(|seq| delta(seq, Visibility::Members)).collect());
        let (mut cursor, mut all) = (String::new(), Vec::new());
        loop {
            let page = read(&feed, 1, &cursor, 3);
            all.extend(seqs(&page));
            cursor = page.cursor;
            if !page.more {
                break;
            }
        }
        assert_eq!(all, [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn who_saw_a_listing_hears_that_it_is_gone_and_nobody_else() {
        let mut narrowed = delta(2, Visibility::Orgs(vec![org(2)]));
        narrowed.former.members = true;
        let mut withdrawn = delta(3, Visibility::Orgs(vec![org(2)]));
        withdrawn.withdrawn = true;
        withdrawn.former.add(&Visibility::Orgs(vec![org(2)]));
        let feed = feed(vec![delta(1, Visibility::Members), narrowed, withdrawn]);
        let since = "net:1:1";
        let (first, second) = (read(&feed, 1, since, 0), read(&feed, 2, since, 0));
        assert_eq!((seqs(&first), &first.gone), (vec![], &vec![name("l2")]));
        assert_eq!((seqs(&second), &second.gone), (vec![2, 3], &vec![]));
        let anew = read(&feed, 2, "", 0);
        assert_eq!(seqs(&anew), [1, 2], "who begins anew needs no withdrawals");
    }

    #[test]
    fn a_cursor_that_is_not_understood_begins_anew() {
        let mut feed = feed((1..=5).map(|seq| delta(seq, Visibility::Members)).collect());
        feed.horizon = 2;
        for (cursor, restart) in [
            ("net:1:2", false),
            ("net:1:5", false),
            ("net:1:1", true),
            ("net:1:6", true),
            ("net:2:3", true),
            ("other:1:3", true),
            ("net:1:x", true),
            ("", true),
        ] {
            assert_eq!(read(&feed, 1, cursor, 0).restart, restart, "{cursor}");
        }
    }

    #[test]
    fn a_reader_that_begins_anew_gets_through_below_the_horizon() {
        let mut feed = feed((1..=5).map(|seq| delta(seq, Visibility::Members)).collect());
        (feed.horizon, feed.last) = (9, 9);
        let first = read(&feed, 1, "", 3);
        assert!(first.restart && first.more);
        let second = read(&feed, 1, &first.cursor, 3);
        assert!(!second.restart && !second.more);
        assert_eq!((seqs(&first), seqs(&second)), (vec![1, 2, 3], vec![4, 5]));
        assert!(!read(&feed, 1, &second.cursor, 3).restart);
    }

    #[test]
    fn an_answer_stays_below_what_a_call_may_carry() {
        let big = |seq| Delta {
            envelope: vec![0; 700_000].into(),
            ..delta(seq, Visibility::Members)
        };
        let feed = feed((1..=4).map(big).collect());
        let page = read(&feed, 1, "", 0);
        assert_eq!((page.listings.len(), page.more), (2, true));
    }

    #[test]
    fn a_network_that_is_not_shown_is_not_taken_for_an_empty_one() {
        let feed = feed(vec![delta(1, Visibility::Members)]);
        assert_eq!(feed.after(&org(1), &name("other"), "", 0), None);
    }
}
