//! What a search finds, counts and pages through; a plain walk over all listings is the measure.

use oc_kernel::{OrgId, PageRequest, PageToken};
use oc_trust::{Interval, ListingKind, Version};
use proptest::prelude::*;

use super::super::offer::tests::dataset;
use super::super::{Area, Life};
use super::*;

fn org(n: u8) -> OrgId {
    OrgId::from_digest([n; 32])
}

fn entry(owner: u8, name: &str) -> Entry {
    let offer = dataset(name);
    Entry {
        key: Key {
            owner: org(owner),
            id: offer.id.clone(),
        },
        owner_name: format!("Org {owner}").into(),
        own: owner == 0,
        offer,
        version: Version::default(),
        life: Life::new(0, true),
    }
}

fn index(entries: impl IntoIterator<Item = Entry>) -> Index {
    let index = Index::new().unwrap();
    let changes = entries
        .into_iter()
        .map(|entry| Change::Put(Arc::new(entry)));
    index.apply_now(changes.collect()).unwrap();
    index
}

fn names(found: &Found) -> Vec<&str> {
    found
        .entries
        .iter()
        .map(|entry| entry.offer.name.as_str())
        .collect()
}

fn with_text(text: &str) -> Query {
    Query {
        text: text.to_owned(),
        ..Query::default()
    }
}

#[test]
fn every_word_must_occur_and_the_last_letters_may_be_missing() {
    let mut alps = entry(1, "alps");
    alps.offer.title = "Neige des Alpes françaises".to_owned();
    let index = index([alps, entry(1, "brittany")]);
    let found = |text: &str| {
        let found = index.search(&with_text(text), 0).unwrap();
        names(&found).join(" ")
    };
    assert_eq!(found("neige"), "alps");
    assert_eq!(found("nei francaises"), "alps");
    assert_eq!(found("neige brittany"), "");
    assert_eq!(found("SENTINEL coast"), "alps brittany");
    assert_eq!(found("org brit"), "brittany");
    assert_eq!(found("!?"), "alps brittany", "no word is no restriction");
}

#[test]
fn a_word_in_the_title_counts_more_than_one_in_the_summary() {
    let mut other = entry(1, "aaa");
    other.offer.summary = "like brittany".to_owned();
    let index = index([other, entry(1, "brittany")]);
    let found = index.search(&with_text("brittany"), 0).unwrap();
    assert_eq!(names(&found), ["brittany", "aaa"]);
}

#[test]
fn a_change_replaces_and_a_removal_forgets() {
    let index = index([entry(1, "a"), entry(1, "b")]);
    let mut changed = entry(1, "a");
    changed.offer.title = "Volcanoes".to_owned();
    let key = entry(1, "b").key;
    index
        .apply_now(vec![
            Change::Put(Arc::new(changed)),
            Change::Remove(key.clone()),
        ])
        .unwrap();
    assert_eq!(
        names(&index.search(&with_text("volcanoes"), 0).unwrap()),
        ["a"]
    );
    assert_eq!(index.search(&with_text("images"), 0).unwrap().total, 0);
    assert_eq!(index.len(), 1);
    assert!(index.get(&key, 0).is_none());
}

#[test]
fn filters_narrow_and_counts_follow() {
    let mut machine = entry(2, "machine");
    machine.offer.kind = ListingKind::Compute;
    machine.offer.bbox = None;
    machine.offer.interval = None;
    machine.offer.facets.clear();
    let index = index([entry(1, "a"), entry(2, "b"), machine]);
    let found = |query: Query| names(&index.search(&query, 0).unwrap()).join(" ");
    let query = Query::default;
    assert_eq!(
        found(Query {
            kinds: vec![ListingKind::Compute],
            ..query()
        }),
        "machine"
    );
    assert_eq!(
        found(Query {
            owner: Some("org 1".to_owned()),
            ..query()
        }),
        "a"
    );
    assert_eq!(
        found(Query {
            owner: Some(org(2).to_string()),
            ..query()
        }),
        "b machine"
    );
    let facet = |value: &str| vec![("platform".to_owned(), value.to_owned())];
    assert_eq!(
        found(Query {
            facets: facet("sentinel-2a"),
            ..query()
        }),
        "a b"
    );
    assert_eq!(
        found(Query {
            facets: facet("sentinel-2b"),
            ..query()
        }),
        ""
    );
    let area = |bounds| Some(Area::new(bounds).unwrap());
    assert_eq!(
        found(Query {
            area: area([-3.0, 48.0, 0.0, 50.0]),
            ..query()
        }),
        "a b"
    );
    assert_eq!(
        found(Query {
            area: area([3.0, 48.0, 4.0, 50.0]),
            ..query()
        }),
        ""
    );
    let time = |start| {
        Some(Interval {
            start: Some(start),
            end: None,
        })
    };
    assert_eq!(
        found(Query {
            time: time(2_000),
            ..query()
        }),
        "a b"
    );
    assert_eq!(
        found(Query {
            time: time(2_001),
            ..query()
        }),
        ""
    );

    let all = index.search(&query(), 0).unwrap();
    assert_eq!(all.counts["kind=dataset"], 2);
    assert_eq!(all.counts["kind=compute"], 1);
    assert_eq!(all.counts["platform=sentinel-2a"], 2);
    assert_eq!(all.counts[&format!("owner={}", org(2))], 2);
}

#[test]
fn an_owner_cannot_pass_for_another_by_a_facet() {
    let mut posing = entry(1, "posing");
    let facets = [("owner".to_owned(), vec![org(2).to_string()])];
    posing.offer.facets.extend(facets);
    let index = index([posing, entry(2, "real")]);
    let query = Query {
        owner: Some(org(2).to_string()),
        ..Query::default()
    };
    let found = index.search(&query, 0).unwrap();
    assert_eq!(names(&found), ["real"]);
    assert_eq!(found.counts[&format!("owner={}", org(2))], 1);
}

#[test]
fn stale_ones_are_found_unless_only_fresh_are_wanted_and_gone_ones_never() {
    let index = index([entry(1, "a")]);
    let total = |now_ms, fresh_only| {
        let query = Query {
            fresh_only,
            ..Query::default()
        };
        index.search(&query, now_ms).unwrap().total
    };
    assert_eq!((total(60_000, false), total(60_000, true)), (1, 1));
    assert_eq!((total(60_001, false), total(60_001, true)), (1, 0));
    assert_eq!(total(180_001, false), 0);
}

#[test]
fn a_page_goes_on_behind_the_last_one_whatever_happens_meanwhile() {
    let index = index(["a", "b", "d", "e"].map(|name| entry(1, name)));
    let page = |token| PageRequest { size: 2, token };
    let first = index
        .search(
            &Query {
                page: page(None),
                ..Query::default()
            },
            0,
        )
        .unwrap();
    assert_eq!(names(&first), ["a", "b"]);
    let removed = Change::Remove(entry(1, "b").key);
    index
        .apply_now(vec![removed, Change::Put(Arc::new(entry(1, "c")))])
        .unwrap();
    let second = index
        .search(
            &Query {
                page: page(first.next),
                ..Query::default()
            },
            0,
        )
        .unwrap();
    assert_eq!(names(&second), ["c", "d"]);
    let third = index
        .search(
            &Query {
                page: page(second.next),
                ..Query::default()
            },
            0,
        )
        .unwrap();
    assert_eq!(names(&third), ["e"]);
    assert_eq!(third.next, None);
    assert_eq!(third.total, 4);
}

#[test]
fn a_token_that_is_none_of_ours_is_refused() {
    let index = index([entry(1, "a")]);
    for key in ["", "xyz", "zzzzzzzzname"] {
        let page = PageRequest {
            size: 2,
            token: Some(PageToken::after(key)),
        };
        let error = index
            .search(
                &Query {
                    page,
                    ..Query::default()
                },
                0,
            )
            .unwrap_err();
        assert!(matches!(error, CatalogError::Page(_)), "{key}");
    }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let words = prop::sample::select(vec!["red", "green", "blue", "reddish"]);
    let words = prop::collection::vec(words, 0..3);
    let kind = prop::sample::select(ListingKind::ALL.to_vec());
    (
        0..3_u8,
        0..12_u8,
        words,
        kind,
        -170..170_i32,
        0..100_u64,
        0..120_u32,
    )
        .prop_map(|(owner, name, words, kind, west, start, age)| {
            let mut entry = entry(owner, &format!("n{name:02}"));
            entry.offer.kind = kind;
            entry.offer.title = words.join(" ");
            entry.offer.bbox = Some([f64::from(west), 0.0, f64::from(west) + 5.0, 5.0]);
            entry.offer.interval = Some(Interval {
                start: Some(start),
                end: Some(start + 10),
            });
            entry.offer.facets = BTreeMap::from([("f".to_owned(), vec![format!("{}", start % 4)])]);
            entry.life = Life::new(u64::from(120 - age) * 1000, true);
            entry
        })
}

fn any_query() -> impl Strategy<Value = Query> {
    let text = prop::sample::select(vec!["", "red", "re", "red blue", "yellow"]);
    let kinds = prop::collection::vec(prop::sample::select(ListingKind::ALL.to_vec()), 0..3);
    let facet = prop::option::of(0..5_u8);
    let area = prop::option::of(-170..170_i32);
    let time = prop::option::of(0..100_u64);
    (
        text,
        kinds,
        prop::option::of(0..4_u8),
        facet,
        area,
        time,
        any::<bool>(),
        1..5_u32,
    )
        .prop_map(
            |(text, kinds, owner, facet, west, start, fresh_only, size)| Query {
                text: text.to_owned(),
                kinds,
                owner: owner.map(|n| org(n).to_string()),
                facets: facet
                    .into_iter()
                    .map(|f| ("f".to_owned(), f.to_string()))
                    .collect(),
                area: west
                    .map(|w| Area::new([f64::from(w), 1.0, f64::from(w) + 9.0, 2.0]).unwrap()),
                time: start.map(|start| Interval {
                    start: Some(start),
                    end: Some(start + 5),
                }),
                fresh_only,
                page: PageRequest { size, token: None },
            },
        )
}

/// The same said once more, without an index.
fn expected(entries: &BTreeMap<Key, Arc<Entry>>, query: &Query, now_ms: u64) -> Vec<Key> {
    let matching = entries.values().filter(|entry| {
        let offer = &entry.offer;
        let title: Vec<&str> = offer.title.split(' ').collect();
        let mut words = query.text.split_whitespace();
        words.all(|word| title.iter().any(|have| have.starts_with(word)))
            && (query.kinds.is_empty() || query.kinds.contains(&offer.kind))
            && query
                .owner
                .as_ref()
                .is_none_or(|owner| *owner == entry.key.owner.to_string())
            && query
                .facets
                .iter()
                .all(|(key, value)| offer.facets[key].contains(value))
            && query
                .area
                .is_none_or(|area| area.touches(&entry.area().unwrap()))
            && query.time.is_none_or(|time| {
                let own = offer.interval.unwrap();
                time.start <= own.end && own.start <= time.end
            })
            && (!query.fresh_only || !entry.is_stale(now_ms))
            && !entry.is_gone(now_ms)
    });
    let mut keys: Vec<Key> = matching.map(|entry| entry.key.clone()).collect();
    keys.sort();
    keys
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_index_finds_what_a_plain_walk_finds(
        batches in prop::collection::vec(prop::collection::vec((any_entry(), any::<bool>()), 1..12), 1..4),
        queries in prop::collection::vec(any_query(), 1..6),
    ) {
        const NOW_MS: u64 = 121_000;
        let index = Index::new().unwrap();
        let mut model = BTreeMap::new();
        for batch in batches {
            let changes = batch.into_iter().map(|(entry, put)| {
                let entry = Arc::new(entry);
                if put {
                    model.insert(entry.key.clone(), Arc::clone(&entry));
                    Change::Put(entry)
                } else {
                    model.remove(&entry.key);
                    Change::Remove(entry.key.clone())
                }
            });
            index.apply_now(changes.collect()).unwrap();
        }
        for mut query in queries {
            let wanted = expected(&model, &query, NOW_MS);
            let mut seen = Vec::new();
            loop {
                let found = index.search(&query, NOW_MS).unwrap();
                prop_assert_eq!(found.total, wanted.len() as u64);
                seen.extend(found.entries.iter().map(|entry| entry.key.clone()));
                match found.next {
                    Some(next) => query.page.token = Some(next),
                    None => break,
                }
            }
            seen.sort();
            prop_assert_eq!(&seen, &wanted);
        }
    }
}
