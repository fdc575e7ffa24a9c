//! Moving inputs and outputs over connections that break.

use std::fs;
use std::time::Duration;

use oc_runner::Event;
use oc_step::{Announcement, Folders, Node, Outputs, Reporter, StepError, fetch_inputs};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::fake_node::{FakeNode, MACAROON, serve_in_pieces};

struct Bench {
    _folder: tempfile::TempDir,
    folders: Folders,
    fake: FakeNode,
    address: String,
    reporter: Reporter,
    stop: CancellationToken,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders::create(folder.path()).unwrap();
    let fake = FakeNode::default();
    let address = fake.serve().await;
    let (reporter, _writer) = Reporter::start(std::io::sink(), 1000).unwrap();
    Bench {
        _folder: folder,
        folders,
        fake,
        address,
        reporter,
        stop: CancellationToken::new(),
    }
}

impl Bench {
    fn node_until(&self, macaroon: &str, limit: Duration) -> Node {
        let deadline = Instant::now() + limit;
        Node::new(&self.address, macaroon, deadline, self.stop.clone()).unwrap()
    }

    fn node(&self) -> Node {
        self.node_until(MACAROON, Duration::from_secs(20))
    }

    async fn fetch(&self, inputs: &[oc_runner::Input]) -> Result<u64, StepError> {
        fetch_inputs(&self.node(), inputs, &self.folders, &self.reporter).await
    }

    fn fetched(&self, name: &str) -> Vec<u8> {
        fs::read(self.folders.inputs.join(name)).unwrap()
    }

    fn output(&self, text: &str) -> (serde_json::Map<String, Value>, Outputs) {
        let path = self.folders.outputs.join("o");
        fs::write(&path, text).unwrap();
        let location = oc_cwl::uri_of_path(&path);
        let value = json!({"o": {"class": "File", "location": location, "basename": "o.txt"}});
        let Value::Object(mut object) = value else {
            unreachable!()
        };
        let outputs = Outputs::name(&mut object, &self.folders).unwrap();
        (object, outputs)
    }
}

#[tokio::test]
async fn inputs_are_fetched_side_by_side() {
    let bench = bench().await;
    let large = vec![7; 3_000_000];
    let inputs = [
        bench.fake.keep("a", "same.tif", &large),
        bench.fake.keep("b", "same.tif", b""),
    ];
    assert_eq!(bench.fetch(&inputs).await.unwrap(), 3_000_000);
    assert_eq!(bench.fetched("a/same.tif"), large);
    assert_eq!(bench.fetched("b/same.tif"), b"");
}

#[tokio::test]
async fn a_fetch_that_is_cut_off_goes_on_where_it_was() {
    let bench = bench().await;
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    let input = bench.fake.keep("a", "a", &bytes);
    let (address, serving) = serve_in_pieces(bytes.clone(), 300_000);
    let deadline = Instant::now() + Duration::from_secs(20);
    let node = Node::new(&address, MACAROON, deadline, bench.stop.clone()).unwrap();
    fetch_inputs(&node, &[input], &bench.folders, &bench.reporter)
        .await
        .unwrap();
    assert_eq!(bench.fetched("a/a"), bytes);
    assert_eq!(
        serving.join().unwrap(),
        ["", "300000-", "600000-", "900000-"]
    );
}

#[tokio::test]
async fn a_node_that_is_busy_is_asked_again() {
    let bench = bench().await;
    let input = bench.fake.keep("a", "a", b"x");
    bench.fake.shelf().unavailable = 2;
    bench.fetch(&[input]).await.unwrap();
}

#[tokio::test]
async fn other_bytes_than_promised_are_refused() {
    let bench = bench().await;
    let input = bench.fake.keep("a", "a", b"promised");
    for other in ["tampered", "promised and more"] {
        bench.fake.shelf().inputs.insert("a".into(), other.into());
        let _fresh = fs::remove_dir_all(bench.folders.inputs.join("a"));
        let error = bench.fetch(std::slice::from_ref(&input)).await.unwrap_err();
        assert!(matches!(error, StepError::Corrupt { .. }), "{error:?}");
        assert_eq!(error.failed().word(), "checksum-mismatch");
    }
}

#[tokio::test]
async fn an_input_that_is_gone_is_told_apart_from_one_that_cannot_be_moved() {
    let bench = bench().await;
    let input = bench.fake.keep("a", "a", b"x");
    bench.fake.shelf().inputs.clear();
    let gone = bench.fetch(&[input]).await.unwrap_err();
    assert_eq!(gone.failed().word(), "data-gone", "{gone}");
}

#[tokio::test]
async fn what_the_node_refuses_is_not_asked_again_and_its_words_are_kept() {
    let bench = bench().await;
    let input = bench.fake.keep("a", "a", b"x");
    let node = bench.node_until("another", Duration::from_secs(20));
    let answer = fetch_inputs(&node, &[input], &bench.folders, &bench.reporter).await;
    let error = answer.unwrap_err().to_string();
    assert_eq!(error, "fetch input `a`: the macaroon does not open this");
    assert_eq!(bench.fake.shelf().asked, 0);
}

#[tokio::test]
async fn a_node_that_stays_away_is_given_up_at_the_deadline() {
    let bench = bench().await;
    let input = bench.fake.keep("a", "a", b"x");
    bench.fake.shelf().unavailable = u32::MAX;
    let node = bench.node_until(MACAROON, Duration::from_millis(500));
    let began = Instant::now();
    let answer = fetch_inputs(&node, &[input], &bench.folders, &bench.reporter).await;
    assert!(
        answer
            .unwrap_err()
            .to_string()
            .contains("later; no time is left")
    );
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_stop_ends_a_fetch() {
    let bench = bench().await;
    let input = bench.fake.keep("a", "a", b"x");
    bench.fake.shelf().unavailable = u32::MAX;
    bench.stop.cancel();
    let error = bench.fetch(&[input]).await.unwrap_err();
    assert!(matches!(error, StepError::Stopped), "{error:?}");
}

#[tokio::test]
async fn outputs_are_announced_with_their_digest_and_then_sent() {
    let bench = bench().await;
    let (object, outputs) = bench.output("result");
    let stored = outputs
        .store(&bench.node(), &bench.reporter, 6)
        .await
        .unwrap();
    assert_eq!(stored, 6);
    assert_eq!(object["o"]["location"], "output:o/o.txt");
    assert_eq!(bench.fake.shelf().stored["o/o.txt"], b"result");
}

#[tokio::test]
async fn outputs_over_the_limit_are_not_even_announced() {
    let bench = bench().await;
    let (_, outputs) = bench.output("result");
    let error = outputs
        .store(&bench.node(), &bench.reporter, 5)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the outputs have 6 bytes and 5 may leave this node for the attempt (egress): ask for a larger grant, with at \
         least 6, or have the workflow make less"
    );
    assert!(bench.fake.shelf().announced.is_empty());
}

#[tokio::test]
async fn an_upload_whose_answer_is_lost_is_not_sent_twice() {
    let bench = bench().await;
    bench.fake.shelf().lost_answers = 1;
    let (_, outputs) = bench.output("result");
    outputs
        .store(&bench.node(), &bench.reporter, 100)
        .await
        .unwrap();
    assert_eq!(bench.fake.shelf().lost_answers, 0);
}

#[tokio::test]
async fn an_upload_that_is_refused_fails_with_the_nodes_words() {
    let bench = bench().await;
    let path = bench.folders.outputs.join("x");
    fs::write(&path, "one").unwrap();
    let announcement = Announcement {
        name: "x".parse().unwrap(),
        length: 3,
        sha256: "0".repeat(64),
    };
    let node = bench.node();
    node.announce(&announcement).await.unwrap();
    let open = || Ok(fs::File::open(&path).unwrap());
    let error = node.upload(&announcement, open, |_| {}).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "store output `x`: the bytes are not those announced"
    );
}

#[tokio::test]
async fn progress_is_told() {
    let bench = bench().await;
    let input = bench.fake.keep("a", "a", &vec![1; 20 << 20]);
    let (output, kept) = std::io::pipe().unwrap();
    let (reporter, writer) = Reporter::start(kept, 1000).unwrap();
    let reading = tokio::task::spawn_blocking(|| std::io::read_to_string(output).unwrap());
    fetch_inputs(&bench.node(), &[input], &bench.folders, &reporter)
        .await
        .unwrap();
    drop(reporter);
    writer.finish().unwrap();
    let told = reading.await.unwrap();
    let mut events = told
        .lines()
        .map(|line| serde_json::from_str::<Event>(line).unwrap());
    let last = events.next_back();
    let all = 20 << 20;
    assert_eq!(
        last,
        Some(Event::Progress {
            bytes: all,
            of: all
        })
    );
}
