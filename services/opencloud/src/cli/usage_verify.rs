//! `opencloud usage verify`: is a bill what both organisations signed? The file is enough; a node, where one runs,
//! says which of the organisations it knows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::Path;

use oc_kernel::OrgId;
use oc_trust::{Export, VerifiedBooks};
use serde::Serialize;

use super::names::Names;
use super::output::{Field, Output, fields};
use super::{CommandError, Context, Outcome, file, size, when};

/// Most bytes of an export: some 250,000 records.
const MOST: u64 = 256 << 20;

/// What was found, for programs.
#[derive(Debug, Serialize)]
struct Verified {
    verdict: Verdict,
    books: Vec<VerifiedBooks>,
    /// Organisations that the node knows, of those that signed; none without a node.
    known_to_node: Option<BTreeSet<OrgId>>,
}

pub(crate) async fn run(context: Option<&Context>, path: &Path, output: Output) -> Outcome {
    let bytes = read(path)
        .map_err(|error| CommandError::input(format!("cannot read {}: {error}", path.display())))?;
    let export = Export::read(&bytes)
        .map_err(|error| CommandError::input(format!("{}: {error}", path.display())))?;
    let books = export
        .verify(&BTreeMap::new())
        .map_err(|error| CommandError::Failed(format!("{}: {error}", path.display())))?;
    let (names, known) = match context {
        Some(context) => (Names::of(context).await, known(context).await),
        None => (Names::default(), None),
    };
    let heads = books.iter().filter_map(|books| books.head.as_ref());
    let signers: BTreeSet<_> = heads
        .flat_map(|head| [head.provider, head.consumer])
        .collect();
    let verified = Verified {
        verdict: Verdict::of(&books),
        books,
        known_to_node: known.map(|known| known.intersection(&signers).copied().collect()),
    };
    output.show(&verified, |verified| {
        for books in &verified.books {
            show(books, &names);
        }
        if verified.verdict == Verdict::Whole {
            anstream::println!("{}", verified.verdict.words());
        }
        if signers.is_empty() {
            return;
        }
        if verified
            .books
            .iter()
            .any(|it| it.head.is_none() && it.records > 0)
        {
            anstream::println!("own work beside them is signed by nobody");
        }
        anstream::println!(
            "not under the signatures: the currency, which the file names as the grant's price does"
        );
        let unknown = match &verified.known_to_node {
            Some(known) => signers.difference(known).map(ToString::to_string),
            None => {
                anstream::println!(
                    "no node was asked whether it knows them: their ids follow from their keys"
                );
                return;
            }
        };
        let unknown: Vec<_> = unknown.collect();
        match unknown.as_slice() {
            [] => anstream::println!("this node knows all of them"),
            unknown => anstream::println!("this node does not know {}", unknown.join(", ")),
        }
    })?;
    match verified.verdict {
        Verdict::Whole => Ok(()),
        verdict => Err(CommandError::Failed(format!(
            "{}: {}",
            path.display(),
            verdict.words()
        ))),
    }
}

/// What a file holds, or standard input, as far as an export may go.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        return bounded(io::stdin().lock(), MOST);
    }
    bounded(file::open(path)?.0, MOST)
}

fn bounded(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::other(format!(
            "an export may have {}: export the books of one grant, or of one month",
            size::show(most)
        ))),
        false => Ok(bytes),
    }
}

/// The organisations that the node meets or has books with, and itself; none where it does not say.
async fn known(context: &Context) -> Option<BTreeSet<OrgId>> {
    let own = context.client.discovery().identity().await.ok()?;
    let peers = context.client.discovery().peers().await.ok()?;
    let accounting = context.client.accounting();
    let sums = accounting.sums("", "", &["organisation"]).await.ok()?;
    let orgs = std::iter::once(own.org_id)
        .chain(peers.into_iter().map(|peer| peer.org_id))
        .chain(sums.into_iter().map(|sum| sum.org_id));
    Some(orgs.filter_map(|org| org.parse().ok()).collect())
}

fn show(books: &VerifiedBooks, names: &Names) {
    let mut rows = vec![("grant", Field::from(books.grant.to_string()))];
    if let Some(head) = &books.head {
        // Short ids can be made to look alike: whoever pays compares the whole.
        let name = |org: OrgId| format!("{} ({org})", names.show(&org.to_string()));
        rows.push((
            "signed by",
            vec![
                format!("{}, who provided", name(head.provider)),
                format!("{}, who used it", name(head.consumer)),
            ]
            .into(),
        ));
        rows.push(("as of", when::show(head.not_before).into()));
    }
    let records = match (&books.head, books.whole) {
        (Some(head), false) => format!(
            "{}, a part of the {} that were signed",
            books.records, head.size
        ),
        _ => books.records.to_string(),
    };
    rows.push(("records", records.into()));
    rows.push(("sum", format!("{} {}", books.charge, books.currency).into()));
    fields(&rows);
    anstream::println!();
}

/// What an export proves where nothing in it is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// Every record that both signed.
    Whole,
    /// Some of the records that both signed.
    Part,
    /// Nothing.
    Unsigned,
}

impl Verdict {
    fn of(books: &[VerifiedBooks]) -> Self {
        let mut signed = books.iter().filter(|books| books.head.is_some()).peekable();
        if signed.peek().is_none() {
            return Self::Unsigned;
        }
        match signed.all(|books| books.whole) {
            true => Self::Whole,
            false => Self::Part,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Whole => "valid: both organisations signed these records and no others",
            Self::Part => {
                "A PART ONLY: both organisations signed these records and more that are left out, so this is not the bill"
            }
            Self::Unsigned => {
                "nothing in it is signed: own work has no second side, or nothing was agreed yet"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use oc_kernel::{Digest, GrantId, Money};
    use oc_trust::{BooksKey, UsageHead};

    use super::*;

    fn books(signed: bool, whole: bool) -> VerifiedBooks {
        let grant = GrantId::new();
        let head = UsageHead {
            network: "net".parse().unwrap(),
            grant,
            provider: OrgId::from_digest([1; 32]),
            consumer: OrgId::from_digest([2; 32]),
            epoch: 1,
            size: 2,
            root: Digest::of(b"root"),
            not_before: 0,
            not_after: 1,
        };
        VerifiedBooks {
            grant: BooksKey::Grant(grant),
            head: signed.then_some(head),
            records: 1,
            whole,
            charge: Money(1),
            currency: "EUR".parse().unwrap(),
        }
    }

    #[test]
    fn a_part_and_what_nobody_signed_are_not_called_valid() {
        for (books, verdict) in [
            (vec![books(true, true), books(false, true)], Verdict::Whole),
            (vec![books(true, true), books(true, false)], Verdict::Part),
            (vec![books(false, true)], Verdict::Unsigned),
            (vec![], Verdict::Unsigned),
        ] {
            assert_eq!(Verdict::of(&books), verdict);
            let valid = verdict.words().starts_with("valid");
            assert_eq!(valid, verdict == Verdict::Whole);
        }
    }

    #[test]
    fn no_more_is_read_than_an_export_may_have() {
        assert_eq!(bounded(&b"12345"[..], 5).unwrap(), b"12345");
        let refused = bounded(io::repeat(0), 5).unwrap_err();
        assert!(refused.to_string().contains("may have 5 B"), "{refused}");
    }
}
