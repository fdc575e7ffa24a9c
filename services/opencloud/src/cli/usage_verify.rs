//! `opencloud usage verify`: is a bill what both organisations signed? The file is enough; a node, where one runs,
//! says which of the organisations it knows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use oc_kernel::OrgId;
use oc_trust::{BooksKey, Export, VerifiedBooks};
use serde::Serialize;

use super::names::Names;
use super::output::{Field, Output, fields};
use super::{CommandError, Context, Outcome, find, when};

/// What was found, for programs.
#[derive(Debug, Serialize)]
struct Verified {
    books: Vec<VerifiedBooks>,
    /// Organisations that the node knows, of those that signed; none without a node.
    known_to_node: Option<BTreeSet<OrgId>>,
}

pub(crate) async fn run(context: Option<&Context>, file: &Path, output: Output) -> Outcome {
    let bytes = read(file)
        .map_err(|error| CommandError::input(format!("cannot read {}: {error}", file.display())))?;
    let wrong = |error| CommandError::input(format!("{}: {error}", file.display()));
    let export = Export::read(&bytes).map_err(wrong)?;
    let books = export.verify(&BTreeMap::new()).map_err(wrong)?;
    let (names, known) = match context {
        Some(context) => (Names::of(context).await, known(context).await),
        None => (Names::default(), None),
    };
    let heads = books.iter().filter_map(|books| books.head.as_ref());
    let signers: BTreeSet<_> = heads
        .flat_map(|head| [head.provider, head.consumer])
        .collect();
    let verified = Verified {
        books,
        known_to_node: known.map(|known| known.intersection(&signers).copied().collect()),
    };
    output.show(&verified, |verified| {
        for books in &verified.books {
            show(books, &names);
        }
        anstream::println!("{}", verdict(&verified.books));
        let unknown = match &verified.known_to_node {
            Some(known) => signers
                .difference(known)
                .map(|org| find::short(&org.to_string())),
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
    })
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
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
        let name = |org: OrgId| {
            let (name, short) = (names.show(&org.to_string()), find::short(&org.to_string()));
            if name.contains(&short) {
                name
            } else {
                format!("{name} ({short})")
            }
        };
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

fn verdict(books: &[VerifiedBooks]) -> &'static str {
    let signed = books.iter().any(|books| books.head.is_some());
    let alone = books
        .iter()
        .any(|books| books.grant == BooksKey::Own && books.records > 0);
    match (signed, alone) {
        (true, false) => "valid: both organisations signed these records",
        (true, true) => "valid: both organisations signed these records; nobody signs for own work",
        (false, _) => {
            "nothing in it is signed: own work has no second side, or nothing was agreed yet"
        }
    }
}
