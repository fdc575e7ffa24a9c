//! The end of the story: the books of both sides, and what South keeps when it has left.

use anyhow::ensure;
use oc_client::{Client, Export};
use oc_proto::accounting::v1::GetBooksResponse;
use oc_proto::federation::v1::GrantState;

use super::report::{Books, Kept, Usage};
use super::story::{Cast, MACHINES, SOON};
use super::wait::until;

/// Waits until both have signed, and holds the exports of both nodes side by side.
pub(super) async fn compare_books(cast: &Cast, grant_id: &str) -> anyhow::Result<Usage> {
    until("both sign the books", SOON, || async {
        let settled = cast.north.accounting().settle(grant_id).await?;
        let south = cast.south.accounting().books(grant_id).await?;
        Ok((settled.countersigned && settled.size > 0 && south.countersigned).then_some(()))
    })
    .await?;
    let ours = export(&cast.north, grant_id).await?;
    let theirs = export(&cast.south, grant_id).await?;
    let records = cast.north.accounting().records(grant_id, "").await?;
    let mut books = Vec::new();
    for (name, client) in [
        (&cast.north_id.name, &cast.north),
        (&cast.south_id.name, &cast.south),
    ] {
        let its = client.accounting().books(grant_id).await?;
        books.push(Books {
            organisation: name.clone(),
            grant_id: grant_id.to_owned(),
            records: its.size,
            root: its.root,
            signed_by_both: its.countersigned,
        });
    }
    Ok(Usage {
        agree: ours == theirs && !records.is_empty(),
        records,
        books,
    })
}

/// South takes its machines back and leaves the network. The bill is the same as before, on both sides.
pub(super) async fn leave(cast: &Cast, network_id: &str, grant_id: &str) -> anyhow::Result<Kept> {
    let bill = export(&cast.north, grant_id).await?;
    cast.south.compute().withdraw_offer(MACHINES).await?;
    until("North learns that the grant is gone", SOON, || async {
        let grant = cast.north.compute().grant(grant_id).await?;
        Ok((grant.state == i32::from(GrantState::Revoked)).then_some(()))
    })
    .await?;
    cast.south.discovery().leave_network(network_id).await?;
    let kept = until("nothing of North's is left at South", SOON, || async {
        let kept = kept(cast, grant_id).await?;
        Ok(kept.nothing_but_books().then_some(kept))
    })
    .await?;
    for client in [&cast.north, &cast.south] {
        let books = client.accounting().books(grant_id).await?;
        ensure!(stands(&books), "the books are gone");
        ensure!(
            export(client, grant_id).await? == bill,
            "the bill has changed"
        );
    }
    Ok(kept)
}

async fn kept(cast: &Cast, grant_id: &str) -> anyhow::Result<Kept> {
    let south = &cast.south;
    let used = south.compute().offers().await?;
    let cores = used
        .iter()
        .filter_map(|offer| Some(offer.used?.cores))
        .sum();
    Ok(Kept {
        networks: south.discovery().networks().await?.len(),
        grants: south.compute().grants(false).await?.len(),
        reservations: south.data().reservations().await?.len(),
        cores,
        records: south.accounting().records(grant_id, "").await?.len(),
    })
}

fn stands(books: &GetBooksResponse) -> bool {
    books.countersigned && books.size > 0 && books.disputes.is_empty()
}

async fn export(client: &Client, grant_id: &str) -> anyhow::Result<Vec<u8>> {
    let accounting = client.accounting();
    Ok(accounting.export(grant_id, "", Export::Json).await?.into())
}
