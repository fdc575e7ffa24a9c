//! A member of a network that means harm: whatever it does, the node stays well and others are served.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use http::Request;
use oc_federation::Protocol;
use oc_testkit::{Node, Pair, until};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::AsyncWriteExt as _;
use tonic::Code;
use tonic::body::Body;
use tower::ServiceExt as _;

use crate::strangers::Raw;
use oc_e2e::stranger::methods;

const GET_HEAD: &str = "/oc.federation.v1.CatalogueService/GetHead";
/// Within which an honest member is answered while another does what it can.
const ANSWER: Duration = Duration::from_secs(5);
/// Within which what one offers is seen while another announces without end.
const NEWS: Duration = Duration::from_secs(15);
/// Memory that a node may take beside what it had before.
const ROOM: u64 = 300 << 20;

/// A node, a member that means well and one that does not.
async fn scene() -> (Node, Raw, Raw) {
    let node = Node::start("North").await;
    let honest = Raw::join(&node).await;
    honest.hello().await;
    let network = node.client().discovery().networks().await.unwrap();
    let enemy = Raw::join_network(&node, &network[0].network_id).await;
    enemy.hello().await;
    (node, honest, enemy)
}

/// What a process has in memory, in bytes.
fn memory(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.process_id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib << 10
}

/// The honest member is answered each time while `harm` goes on, and the node is well afterwards.
async fn is_served_during(node: &Node, honest: &Raw, harm: impl Future<Output = ()>) {
    let before = memory(node);
    tokio::pin!(harm);
    let mut answered = 0;
    loop {
        let call = tokio::time::timeout(ANSWER, honest.call(GET_HEAD, ""));
        tokio::select! {
            () = &mut harm => break,
            code = call => assert_ne!(code.ok(), None, "no answer within {ANSWER:?} after {answered}"),
        }
        answered += 1;
    }
    assert!(answered > 0, "nothing was asked meanwhile");
    until("the node is well", ANSWER, async || {
        node.client().discovery().identity().await.ok()
    })
    .await;
    let taken = memory(node).saturating_sub(before);
    assert!(taken < ROOM, "{taken} bytes more");
    let log = node.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_without_end_of_one_member_leave_the_others_unharmed() {
    let (node, honest, enemy) = scene().await;
    let harm = async {
        let open = || enemy.network().open_stream(enemy.node(), Protocol::Grpc);
        let streams = stream::iter(0..10_000).map(|_| open()).buffer_unordered(64);
        // Kept open until all were tried.
        let streams: Vec<_> = streams
            .filter_map(async |opened| opened.ok())
            .collect()
            .await;
        assert!(streams.len() > 100, "{} were opened", streams.len());
    };
    is_served_during(&node, &honest, harm).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_come_a_byte_at_a_time_leave_the_others_unharmed() {
    let (node, honest, enemy) = scene().await;
    let harm = async {
        // A message of 1 MiB is announced, and its bytes come slowly.
        let slow = || {
            let begin = stream::iter([vec![0, 0, 16, 0, 0]]);
            let drops = stream::unfold((), async |()| {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Some((vec![0], ()))
            });
            let bytes = begin.chain(Box::pin(drops).take(20));
            let frames =
                bytes.map(|part| Ok::<_, tonic::Status>(http_body::Frame::data(part.into())));
            let body = Body::new(http_body_util::StreamBody::new(frames));
            let request = Request::post(GET_HEAD).header("content-type", "application/grpc");
            let request = request.header("te", "trailers").body(body).unwrap();
            enemy.network().channel(enemy.node()).oneshot(request)
        };
        let calls = stream::iter(0..256).map(|_| slow()).buffer_unordered(256);
        let raw = async {
            for _ in 0..4 {
                let Ok(mut stream) = enemy
                    .network()
                    .open_stream(enemy.node(), Protocol::Grpc)
                    .await
                else {
                    continue;
                };
                for byte in b"PRI * HTTP/2.0" {
                    if stream.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        };
        tokio::join!(calls.count(), raw);
    };
    is_served_during(&node, &honest, harm).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_at_every_method_is_refused_and_the_node_stays_well() {
    let (node, honest, enemy) = scene().await;
    let paths: Vec<String> = methods()
        .into_iter()
        .filter(|path| path.starts_with("/oc.federation.v1."))
        .collect();
    assert!(paths.len() > 15, "{}", paths.len());
    let harm = async {
        let mut random = StdRng::seed_from_u64(4);
        for path in &paths {
            for round in 0..12 {
                let length = [0, 1, 7, 64, 4_000, 200_000][round % 6];
                let mut bytes = vec![0; length];
                random.fill(&mut bytes[..]);
                if round >= 6 {
                    // Each field from 1 to 15 as a text of the bytes: what a partner of another version might send.
                    let text = bytes.iter().map(|byte| byte % 90 + 33).take(100);
                    let text: Vec<u8> = text.collect();
                    bytes = (1..16_u8)
                        .flat_map(|field| [&[field << 3 | 2, text.len() as u8], &text[..]].concat())
                        .collect();
                }
                let (code, said) = enemy.call_with(path, "", &bytes).await;
                let fault = [Code::Unknown, Code::Unimplemented, Code::DataLoss].contains(&code);
                assert!(!fault, "{path}: {code:?} {said}");
            }
        }
    };
    is_served_during(&node, &honest, harm).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_announces_without_end_hides_nobodys_news() {
    let pair = Pair::meet().await;
    let enemy = Raw::join_network(&pair.north, &pair.network.network_id).await;
    enemy.hello().await;
    let announce = async {
        let mut random = StdRng::seed_from_u64(5);
        loop {
            let mut news = vec![0; 60_000];
            random.fill(&mut news[..]);
            // Its own queue is full now and then: it goes on as fast as it can.
            if enemy.network().publish("heads", news).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    let news = async {
        for number in 0..5 {
            let name = format!("machines-{number}");
            let offered = pair.south.run(&[
                "offer", "compute", &name, "--cores", "1", "--memory", "64MiB",
            ]);
            assert!(offered.status.success(), "{offered:?}");
            until("North sees what South offers", NEWS, async || {
                let search = ["--output", "json", "catalog", "search", &name];
                let found = pair.north.run(&search);
                let listing = format!("compute.{name}");
                String::from_utf8_lossy(&found.stdout)
                    .contains(&listing)
                    .then_some(())
            })
            .await;
        }
    };
    tokio::select! {
        () = announce => {}
        () = news => {}
    }
    assert!(!pair.north.log().contains("panicked"));
}
