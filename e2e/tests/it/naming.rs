//! Two organisations of one name: nobody is taken for the other, and neither stops the work with the other.

use std::net::TcpListener;
use std::path::Path;

use oc_testkit::Node;

use crate::terminal::Terminal;

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Joins and offers machines; the begin of its id, as lists show it.
async fn joins(node: &Node, folder: &Path, invitation: &str) -> String {
    let terminal = Terminal::open(node, folder);
    let port = free_port();
    terminal.types(&format!(
        "opencloud network join {invitation} --port {port}"
    ));
    terminal.types("opencloud offer compute machines --cores 1 --memory 1GiB");
    let own = node.client().discovery().identity().await.unwrap();
    own.org_id["org-".len()..][..8].to_owned()
}

#[tokio::test]
async fn two_of_one_name_are_told_apart_and_a_block_gives_the_name_to_the_other() {
    let north = Node::start("North").await;
    let (south, twin) = (Node::start("South").await, Node::start("South").await);
    let folder = tempfile::tempdir().unwrap();
    let at_north = Terminal::open(&north, folder.path());
    let port = free_port();
    at_north.types(&format!("opencloud network create alliance --port {port}"));
    let invite = format!("opencloud network invite alliance --address /ip4/127.0.0.1/tcp/{port}");
    let invitation = at_north.types(&invite);
    let south = joins(&south, folder.path(), invitation.trim()).await;
    let twin = joins(&twin, folder.path(), invitation.trim()).await;

    let listed = [&south, &twin].map(|id| format!("South ({id}) compute.machines"));
    let listed = listed.each_ref().map(String::as_str);
    at_north.awaits("opencloud catalog search", &listed).await;

    let search = "opencloud catalog search --owner";
    let (first, second) = (south.as_str().min(&twin), south.as_str().max(&twin));
    let advice = format!("`South` is not one organisation: write `{first}` or `{second}`");
    at_north.is_refused(&format!("{search} South"), &[&advice]);
    at_north.is_refused("opencloud peers block South --yes", &[&advice]);
    at_north.reads(&format!("{search} {south}"), &[listed[0]]);

    at_north.reads(&format!("opencloud peers block {twin} --yes"), &["blocked"]);
    at_north
        .awaits(&format!("{search} South"), &["compute.machines"])
        .await;
    let unblocked = format!("unblocked org-{twin}");
    at_north.reads("opencloud peers unblock South", &[&unblocked]);
}
