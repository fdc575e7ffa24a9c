//! Ids as people type and read them: the begin of one is enough where it is the only one.

use super::{CommandError, Context};

/// Fewer digits than this name nothing: a slip of the finger must not choose.
const FEWEST: usize = 4;
/// Digits that lists show at least.
const SHOWN: usize = 8;

/// A kind of thing with ids.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// What it is called.
    name: &'static str,
    /// The begin of its ids.
    prefix: &'static str,
    /// The command that lists them.
    list: &'static str,
}

const GRANT: Kind = Kind {
    name: "grant",
    prefix: "grant",
    list: "grant list --all",
};
/// A grant by its books, which outlive it.
const BOOKS: Kind = Kind {
    list: "usage records",
    ..GRANT
};
const RUN: Kind = Kind {
    name: "run",
    prefix: "run",
    list: "runs",
};
const RECORD: Kind = Kind {
    name: "record",
    // A record has the id of its attempt.
    prefix: "att",
    list: "usage records",
};

/// Most runs that are looked through for the begin of an id.
pub(super) const RUNS: u32 = 1000;

/// The grant whose id, or the begin of it, was typed.
pub(crate) async fn grant(context: &Context, text: &str) -> Result<String, CommandError> {
    if text.parse::<oc_kernel::GrantId>().is_ok() {
        return Ok(text.to_owned());
    }
    let grants = context.client.compute().grants(false).await?;
    let ids: Vec<_> = grants.into_iter().map(|grant| grant.grant_id).collect();
    one_of(GRANT, &ids, text)
}

/// The grant whose books are asked for: one that there is, or one of which only the books are left.
pub(crate) async fn books(context: &Context, text: &str) -> Result<String, CommandError> {
    if text.parse::<oc_kernel::GrantId>().is_ok() {
        return Ok(text.to_owned());
    }
    // Grants are for operators; a user has those of their own records.
    let grants = context.client.compute().grants(false).await;
    let mut ids: Vec<_> = grants
        .unwrap_or_default()
        .into_iter()
        .map(|grant| grant.grant_id)
        .collect();
    let records = context.client.accounting().records("", "").await?;
    ids.extend(records.into_iter().map(|record| record.grant_id));
    ids.sort();
    ids.dedup();
    one_of(BOOKS, &ids, text)
}

/// The books that were typed; without them, all, which is what an empty id stands for.
pub(crate) async fn books_or_all(context: &Context, text: &str) -> Result<String, CommandError> {
    match text {
        "" => Ok(String::new()),
        text => books(context, text).await,
    }
}

/// The usage record whose id, or the begin of it, was typed.
pub(crate) async fn record(context: &Context, text: &str) -> Result<String, CommandError> {
    let records = context.client.accounting().records("", "").await?;
    let ids: Vec<_> = records.into_iter().map(|record| record.record_id).collect();
    one_of(RECORD, &ids, text)
}

/// The run whose id, or the begin of it, was typed.
pub(crate) async fn run(context: &Context, text: &str) -> Result<String, CommandError> {
    if text.parse::<oc_kernel::RunId>().is_ok() {
        return Ok(text.to_owned());
    }
    let runs = context.client.pipeline().runs(RUNS).await?;
    let ids: Vec<_> = runs.into_iter().map(|run| run.run_id).collect();
    one_of(RUN, &ids, text)
}

fn one_of(kind: Kind, ids: &[String], text: &str) -> Result<String, CommandError> {
    if ids.iter().any(|id| id == text) {
        return Ok(text.to_owned());
    }
    let Kind { name, prefix, list } = kind;
    let digits = |id: &str| {
        let digits = id.strip_prefix(prefix).and_then(|id| id.strip_prefix('-'));
        digits.unwrap_or(id).to_owned()
    };
    let typed = digits(text);
    let found: Vec<_> = ids
        .iter()
        .filter(|id| digits(id).starts_with(&typed))
        .collect();
    match found.as_slice() {
        [id] if typed.len() >= FEWEST => Ok((*id).clone()),
        [] => Err(CommandError::Missing(format!(
            "there is no {name} `{text}`: `opencloud {list}` shows those there are"
        ))),
        _ if typed.len() < FEWEST => Err(CommandError::input(format!(
            "`{text}` is too short for an id of a {name}: type {FEWEST} digits at least, as `opencloud {list}` shows \
             them"
        ))),
        several => {
            let ids: Vec<_> = several.iter().take(5).map(|id| id.as_str()).collect();
            let more = if several.len() > 5 { ", ..." } else { "" };
            Err(CommandError::input(format!(
                "`{text}` is the begin of several: {}{more}",
                ids.join(", ")
            )))
        }
    }
}

/// Ids, each cut to what tells it from the others. They are those that may be typed, also where a list shows only
/// some of them.
#[derive(Debug)]
pub(crate) struct ShortIds<'a>(Vec<&'a str>);

impl<'a> ShortIds<'a> {
    pub(crate) fn of(ids: impl Iterator<Item = &'a str>) -> Self {
        Self(ids.collect())
    }

    /// An id of the list, cut.
    pub(crate) fn show(&self, id: &str) -> String {
        let shared = |other: &str| {
            let same = id.bytes().zip(other.bytes()).take_while(|(a, b)| a == b);
            same.count()
        };
        let others = self.0.iter().filter(|other| **other != id);
        let told_apart = others.map(|other| shared(other) + 1).max().unwrap_or(0);
        let digits_at = id.find('-').map_or(0, |dash| dash + 1);
        let length = told_apart.max(digits_at + SHOWN);
        id.get(..length).unwrap_or(id).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 3] = [
        "grant-01a1fe83aaaa7000800000000000000a",
        "grant-01a1fe83aaab7000800000000000000b",
        "grant-02a1fe83aaab7000800000000000000b",
    ];

    fn found(text: &str) -> Result<String, String> {
        let ids = IDS.map(str::to_owned);
        one_of(GRANT, &ids, text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_begin_of_an_id_is_enough_where_it_is_the_only_one() {
        for text in ["grant-02a1", "02a1fe83", IDS[2]] {
            assert_eq!(found(text).unwrap(), IDS[2], "{text}");
        }
        let several = found("grant-01a1fe83").unwrap_err();
        assert!(
            several.contains(IDS[0]) && several.contains(IDS[1]),
            "{several}"
        );
        for text in ["", "02", "grant-02", "x", "grant-ffff"] {
            assert!(found(text).unwrap_err().contains("grant list"), "{text}");
        }
    }

    #[test]
    fn a_list_shows_what_tells_ids_apart_and_that_is_taken_again() {
        let list = ShortIds::of(IDS.into_iter());
        let short = IDS.map(|id| list.show(id));
        assert_eq!(
            short,
            ["grant-01a1fe83aaaa", "grant-01a1fe83aaab", "grant-02a1fe83"]
        );
        for (short, whole) in short.iter().zip(IDS) {
            assert_eq!(found(short).unwrap(), whole);
        }
        assert_eq!(ShortIds::of(std::iter::empty()).show("run-01"), "run-01");
    }

    #[test]
    fn a_record_is_told_from_the_one_that_corrects_it() {
        let ids = ["att-01a1fe83aaaa", "att-01a1fe83aaaa.1", "att-02a1"].map(str::to_owned);
        for (typed, whole) in [
            (&*ids[0], &*ids[0]),
            (&*ids[1], &*ids[1]),
            ("att-02a1", "att-02a1"),
            ("02a1", "att-02a1"),
        ] {
            assert_eq!(one_of(RECORD, &ids, typed).unwrap(), whole);
        }
        assert!(one_of(RECORD, &ids, "att-01a1").is_err());
    }
}
