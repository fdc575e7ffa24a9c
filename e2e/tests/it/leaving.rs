//! Step 12 of the main job: South withdraws, ends its grants and leaves; the books stay.

pub(crate) mod bill;
mod traces;

use std::path::Path;
use std::time::Duration;

use oc_client::{Client, Export, ListingFilter};
use oc_kernel::{Clock as _, SystemClock};
use oc_proto::backend::v1::{AddFavoriteRequest, CreateUserRequest};
use oc_proto::compute::v1::{Offer, OfferKind, RequestGrantRequest, RevokeGrantRequest, Rule};
use oc_proto::data::v1::CreateDatasetRequest;
use oc_proto::federation::v1::GrantState;
use oc_proto::pipeline::v1::{
    DatasetInput, InputValue, ListingRef, OutputPlace, Run, RunRequest, RunState, StartRunRequest,
    input_value,
};
use oc_proto::types::v1::{DatasetQuery, Limits, Price};
use oc_testkit::{Node, Pair, until};
use secrecy::SecretString;
use serde_json::Value;

use self::traces::{Names, processes, saying, traces};

const LIMIT: Duration = Duration::from_secs(30);
/// Stands in the workflow, its inputs and its outputs: North's bytes.
const MARK: &str = "marmalade-of-north";
/// The name of the workflow, which the bill says.
const BILLED: &str = "orangery-of-north";
/// A user of North's; partners know a pseudonym.
const USER: &str = "quintilia-of-north";
/// Seconds that nothing else on this machine sleeps.
const LONG: &str = "600.0417";

fn limits() -> Limits {
    Limits {
        cores: 2,
        memory_bytes: 2 << 30,
        concurrent_fragments: 2,
        wall_seconds: 3600,
        core_seconds: 36_000,
        egress_bytes: 1 << 30,
        storage_bytes: 1 << 30,
    }
}

fn offer(name: &str, kind: OfferKind) -> Offer {
    let capacity = match kind {
        OfferKind::Storage => Limits {
            storage_bytes: 1 << 30,
            ..Limits::default()
        },
        _ => Limits {
            cores: 2,
            memory_bytes: 2 << 30,
            concurrent_fragments: 2,
            wall_seconds: 3600,
            ..Limits::default()
        },
    };
    Offer {
        name: name.to_owned(),
        kind: kind.into(),
        capacity: Some(capacity),
        price: (kind == OfferKind::Compute).then(|| Price {
            currency: "EUR".to_owned(),
            core_hour_micros: 40_000,
            ..Price::default()
        }),
        ..Offer::default()
    }
}

/// South offers images, machines and an attic; North has storage for results and no machines.
async fn offers(pair: &Pair) {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/sentinel");
    let south = pair.south.client();
    let create = CreateDatasetRequest {
        collection_json: std::fs::read_to_string(samples.join("collection.json")).unwrap(),
        ..CreateDatasetRequest::default()
    };
    south.data().create_dataset(&create).await.unwrap();
    let item = samples.join("toulouse-20250612-a/toulouse-20250612-a.json");
    succeeds(
        &pair.south,
        &[
            "dataset",
            "import",
            "sentinel-2-demo",
            item.to_str().unwrap(),
        ],
    );
    for offer in [
        offer("machines", OfferKind::Compute),
        offer("attic", OfferKind::Storage),
    ] {
        south.compute().create_offer(&offer).await.unwrap();
    }
    let rule = Rule {
        name: "members".to_owned(),
        limits: Some(limits()),
        max_life_seconds: 30 * 86_400,
        ..Rule::default()
    };
    south.compute().put_rule(&rule).await.unwrap();
    let results = offer("results", OfferKind::Storage);
    pair.north
        .client()
        .compute()
        .create_offer(&results)
        .await
        .unwrap();
}

fn succeeds(node: &Node, arguments: &[&str]) -> String {
    let output = node.run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

async fn listed(north: &Client, owner: &str) -> Vec<String> {
    let filter = ListingFilter {
        owner: Some(owner.to_owned()),
        ..ListingFilter::default()
    };
    let found = north.catalog().search(&filter).await.unwrap().listings;
    found
        .into_iter()
        .map(|listing| listing.listing_id)
        .collect()
}

async fn granted(pair: &Pair, listings: &[&str]) -> String {
    let north = pair.north.client();
    let request = RequestGrantRequest {
        provider: pair.south_id.clone(),
        listing_ids: listings.iter().map(|&listing| listing.to_owned()).collect(),
        limits: Some(limits()),
        not_after_ms: SystemClock.now_ms() + 86_400_000,
        message: MARK.to_owned(),
        operation_id: String::new(),
    };
    let id = north
        .compute()
        .request_grant(&request)
        .await
        .unwrap()
        .grant_id;
    in_state(&north, &id, GrantState::Active).await;
    id
}

async fn in_state(client: &Client, grant: &str, state: GrantState) {
    until(&format!("{grant} is {state:?}"), LIMIT, async || {
        let found = client.compute().grant(grant).await.ok()?;
        (found.state == i32::from(state)).then_some(())
    })
    .await;
}

/// North has a command run next to South's image; its output goes to `storage` of `owner`.
async fn start(
    user: &Client,
    pair: &Pair,
    command: &str,
    text: &str,
    owner: &str,
    storage: &str,
) -> String {
    let cwl = format!(
        "cwlVersion: v1.2\nclass: CommandLineTool\nlabel: {MARK}\nbaseCommand: {command}\n\
         inputs:\n  text: {{type: string, inputBinding: {{}}}}\n  band: File\n\
         outputs:\n  said: stdout\nstdout: said.txt\n"
    );
    let listing = |owner: &str, id: &str| ListingRef {
        owner: owner.to_owned(),
        listing_id: id.to_owned(),
    };
    let image = DatasetInput {
        dataset: Some(listing(&pair.south_id, "dataset.sentinel-2-demo")),
        query: Some(DatasetQuery {
            assets: vec!["B04".to_owned()],
            limit: 1,
            ..DatasetQuery::default()
        }),
    };
    let value = |value| InputValue { value: Some(value) };
    let inputs = [
        (
            "text".to_owned(),
            value(input_value::Value::Json(format!("\"{text}\""))),
        ),
        ("band".to_owned(), value(input_value::Value::Dataset(image))),
    ];
    let run = RunRequest {
        cwl,
        inputs: inputs.into(),
        output: Some(OutputPlace {
            storage: Some(listing(owner, storage)),
            prefix: String::new(),
        }),
        name: BILLED.to_owned(),
        ..RunRequest::default()
    };
    let start = StartRunRequest {
        run: Some(run),
        operation_id: String::new(),
    };
    user.pipeline().start(&start).await.unwrap().run_id
}

async fn over(north: &Client, run_id: &str, state: RunState) -> Run {
    let run = until("the run is over", LIMIT, async || {
        let run = north.pipeline().run(run_id).await.ok()?;
        (run.ended_at_ms > 0).then_some(run)
    })
    .await;
    let why = north.pipeline().explain(run_id).await.unwrap().text;
    assert_eq!(run.state, i32::from(state), "{why}");
    run
}

/// Waits until South's machines hold a fragment of North's, started.
async fn runs_at(south: &Node, base: usize) {
    until("the fragment runs at South", LIMIT, async || {
        (processes(&south.data()) > base).then_some(())
    })
    .await;
}

#[tokio::test]
async fn south_leaves_and_keeps_nothing_of_norths_but_the_books() {
    let mut pair = Pair::meet().await;
    offers(&pair).await;
    let (north, south) = (pair.north.client(), pair.south.client());
    let offered = [
        "compute.machines",
        "dataset.sentinel-2-demo",
        "storage.attic",
    ];
    until("North sees South's offers", LIMIT, async || {
        (listed(&north, &pair.south_id).await.len() == offered.len()).then_some(())
    })
    .await;
    let mark = AddFavoriteRequest {
        owner: pair.south_id.clone(),
        listing_id: "compute.machines".to_owned(),
        note: String::new(),
    };
    north.backend().add_favorite(&mark).await.unwrap();
    let grant = granted(&pair, &offered).await;
    let attic = granted(&pair, &["storage.attic"]).await;

    let user = CreateUserRequest {
        name: USER.to_owned(),
        roles: vec!["user".to_owned()],
    };
    let token = north.backend().create_user(&user).await.unwrap().token;
    let user = Client::new(pair.north.address(), Some(SecretString::from(token))).unwrap();

    // Traces of every kind: a result that went home, one that stays in the attic, a fragment that runs.
    let home = start(
        &user,
        &pair,
        "echo",
        MARK,
        &pair.north_id,
        "storage.results",
    )
    .await;
    let home = over(&north, &home, RunState::Succeeded).await;
    let kept = start(&user, &pair, "echo", MARK, &pair.south_id, "storage.attic").await;
    let kept = over(&north, &kept, RunState::Succeeded).await;
    let base = processes(&pair.south.data());
    let cut = start(
        &user,
        &pair,
        "sleep",
        LONG,
        &pair.north_id,
        "storage.results",
    )
    .await;
    runs_at(&pair.south, base).await;
    until("the tool runs", LIMIT, async || {
        (saying(LONG) > 0).then_some(())
    })
    .await;

    let identity = north.discovery().identity().await.unwrap();
    let mut names = Names::default();
    names.add("peer id", &identity.peer_ids[0]);
    names.add_to_the_bill("network", &pair.network.network_id);
    names.add("bytes", MARK);
    names.add("user", USER);
    names.add_to_the_bill("workflow", BILLED);
    names.add_to_the_bill("OrgId", &pair.north_id);
    for run in [&home.run_id, &kept.run_id, &cut] {
        names.add_to_the_bill("run", run);
    }
    for id in [&grant, &attic] {
        names.add_to_the_bill("grant", id);
    }
    assert!(!traces(&pair.south.data(), &names).is_empty());

    // Leaving asks first, and says what it means.
    let asked = pair.south.run(&["network", "leave", "pair"]);
    let asked = String::from_utf8_lossy(&asked.stderr).into_owned();
    for words in [grant.as_str(), attic.as_str(), "The books stay", "--yes"] {
        assert!(asked.contains(words), "{words}: {asked}");
    }
    assert_eq!(south.discovery().networks().await.unwrap().len(), 1);

    let withdrawn = south.compute().withdraw_offer("machines").await.unwrap();
    assert_eq!(
        (withdrawn.grants_revoked, withdrawn.attempts_stopped),
        (1, 1)
    );
    let revoke = RevokeGrantRequest {
        grant_id: attic.clone(),
        reason: "the attic is cleared".to_owned(),
    };
    south.compute().revoke_grant(&revoke).await.unwrap();
    until("no process of North's is left", LIMIT, async || {
        (processes(&pair.south.data()) == base && saying(LONG) == 0).then_some(())
    })
    .await;
    over(&north, &cut, RunState::Failed).await;
    in_state(&north, &grant, GrantState::Revoked).await;
    in_state(&north, &attic, GrantState::Revoked).await;
    until(
        "the machines are no more in North's catalogue",
        LIMIT,
        async || {
            let listed = listed(&north, &pair.south_id).await;
            (!listed.iter().any(|id| id == "compute.machines")).then_some(())
        },
    )
    .await;
    let favorites = succeeds(&pair.north, &["favorite", "list", "--output", "json"]);
    let favorites: Value = serde_json::from_str(&favorites).unwrap();
    assert_eq!(favorites[0]["listing_id"], "compute.machines");
    assert_eq!(favorites[0]["offered"], false);
    until(
        "both have signed the bill of all three",
        LIMIT,
        async || {
            let ours = north.accounting().settle(&grant).await.ok()?;
            let theirs = south.accounting().books(&grant).await.ok()?;
            (ours.countersigned && ours.size == 3 && theirs.countersigned && theirs.size == 3)
                .then_some(())
        },
    )
    .await;

    succeeds(&pair.south, &["network", "leave", "pair", "--yes"]);
    assert!(south.discovery().networks().await.unwrap().is_empty());
    until("South has forgotten North's grants", LIMIT, async || {
        south
            .compute()
            .grants(false)
            .await
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    for run in [&home, &kept] {
        let records = south.accounting().records(&grant, "").await.unwrap();
        assert!(records.iter().any(|record| record.run_id == run.run_id));
    }
    // What both hold is the same, byte for byte, and South still verifies it after a restart.
    let mut left = Vec::new();
    let gone = until("nothing of North's is left", LIMIT, async || {
        left = traces(&pair.south.data(), &names);
        left.is_empty().then_some(())
    });
    if tokio::time::timeout(LIMIT - Duration::from_secs(1), gone)
        .await
        .is_err()
    {
        panic!("South has of North's:\n{}", left.join("\n"));
    }
    pair.south.stop().await;
    assert_eq!(processes(&pair.south.data()), 0);
    let left = traces(&pair.south.data(), &names);
    assert!(left.is_empty(), "{}", left.join("\n"));
    pair.south.begin().await;
    let south = pair.south.client();
    let books = async |client: &Client| {
        let books = client.accounting().books(&grant).await.unwrap();
        assert!(
            books.countersigned && books.disputes.is_empty(),
            "{books:?}"
        );
        let export = client.accounting().export(&grant, "", Export::Json).await;
        (books.root, books.head, export.unwrap())
    };
    let (ours, theirs) = (books(&north).await, books(&south).await);
    assert!(ours == theirs, "books_agree");
    for node in [&pair.north, &pair.south] {
        let records = bill::verified(node, &theirs.2, &pair.south_id, &pair.north_id).await;
        assert_eq!(records, 3, "{} verifies the bill", node.address());
    }

    // North's own results are its own.
    let results = north.pipeline().results(&home.run_id).await.unwrap();
    let bytes = north.download(&results.files[0].path).await.unwrap();
    assert_eq!(bytes, format!("{MARK}\n"));
}
