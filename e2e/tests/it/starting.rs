//! A node that cannot start says why; a node that runs refuses nonsense.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use oc_testkit::{Node, program};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn up(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_port_in_use_is_named_with_what_to_do() {
    let node = Node::start("North").await;
    let taken = format!(
        "listen.api={}",
        node.address().trim_start_matches("http://")
    );
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let output = up(&[
        "--data",
        data,
        "up",
        "--set",
        &taken,
        "--set",
        "listen.admin=127.0.0.1:0",
    ]);
    assert!(!output.status.success());
    let text = errors(&output);
    assert!(
        text.contains("is in use (listen.api)") && text.contains("OC__LISTEN__API"),
        "{text}"
    );
}

#[tokio::test]
async fn a_folder_that_another_node_has_is_refused() {
    let node = Node::start("North").await;
    let output = node.run(&[
        "up",
        "--set",
        "listen.api=127.0.0.1:0",
        "--set",
        "listen.admin=127.0.0.1:0",
    ]);
    assert!(!output.status.success());
    let text = errors(&output);
    assert!(text.contains("another node runs on"), "{text}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let data = file.join("below").display().to_string();
    let ports = [
        "--set",
        "listen.api=127.0.0.1:0",
        "--set",
        "listen.admin=127.0.0.1:0",
    ];
    let output = up(&[&["--data", &data, "up"], &ports[..]].concat());
    assert!(!output.status.success());
    let text = errors(&output);
    assert!(text.contains(&data) && text.contains("--data"), "{text}");
}

/// The program, without root's right to write where it is not let.
fn unprivileged() -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new(program());
    }
    let mut command = Command::new("setpriv");
    command
        .arg("--bounding-set=-dac_override,-dac_read_search")
        .arg(program());
    command
}

#[test]
fn a_folder_without_the_right_to_write_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, Permissions::from_mode(0o555)).unwrap();
    let data = closed.join("data").display().to_string();
    let output = unprivileged()
        .args(["--data", &data, "up"])
        .args(["--set", "listen.api=127.0.0.1:0"])
        .args(["--set", "listen.admin=127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    assert!(
        text.contains(&data) && text.contains("--data") && text.contains("Permission denied"),
        "{text}"
    );
    assert_eq!(std::fs::read_dir(&closed).unwrap().count(), 0);
}

#[test]
fn an_unknown_setting_is_named_and_ends_with_78() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let output = up(&["--data", data, "up", "--set", "listen.apii=127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(78), "{}", errors(&output));
    let text = errors(&output);
    assert!(text.contains("apii") && text.contains("`api`"), "{text}");
    assert_eq!(text.matches("unknown field").count(), 1, "{text}");
}

#[test]
fn an_address_that_is_none_is_named_with_an_example() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let output = up(&["--data", data, "up", "--set", "listen.api=foo"]);
    assert_eq!(output.status.code(), Some(78), "{}", errors(&output));
    let text = errors(&output);
    assert!(
        text.contains("`foo`") && text.contains("127.0.0.1:8700"),
        "{text}"
    );
}

#[test]
fn settings_are_printed_without_starting() {
    let output = up(&["up", "--print-config", "--name", "North"]);
    assert!(output.status.success(), "{}", errors(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("name = \"North\"") && text.contains("[listen]"),
        "{text}"
    );
}

/// The status line for a body that is only announced: the node refuses before the body has come, so a client
/// that went on sending could find the connection closed.
async fn announce(node: &Node, token: &str, length: usize) -> String {
    let address = node.address().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/compute/v1/offers HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    String::from_utf8_lossy(&status).into_owned()
}

#[tokio::test]
async fn ten_megabytes_of_json_and_deep_nesting_are_refused() {
    let node = Node::start("North").await;
    let token = std::fs::read_to_string(node.data().join("admin.token")).unwrap();
    let http = reqwest::Client::new();
    let post = async |body: String| {
        let request = http
            .post(format!("{}/api/compute/v1/offers", node.address()))
            .bearer_auth(token.trim())
            .header("content-type", "application/json")
            .body(body);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(
        announce(&node, token.trim(), 10 << 20).await,
        "HTTP/1.1 413"
    );
    assert_eq!(
        post(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))).await,
        400
    );
    assert_eq!(post("{\"offer\":".to_owned()).await, 400);
}

#[tokio::test]
async fn a_node_keeps_its_name_and_its_accounts_over_a_power_cut() {
    let mut node = Node::start("North").await;
    let before = node.client().discovery().identity().await.unwrap();
    node.kill();
    node.begin().await;
    let after = node.client().discovery().identity().await.unwrap();
    assert_eq!(before.org_id, after.org_id);
    assert_eq!(before.peer_ids, after.peer_ids);
    node.stop().await;
}

#[tokio::test]
async fn a_start_without_a_name_goes_on_with_the_last_one() {
    let mut node = Node::start("North Sea").await;
    node.stop().await;
    let mut command = Command::new(program());
    command.arg("--data").arg(node.data()).arg("up");
    for setting in [
        "listen.api=127.0.0.1:0",
        "listen.admin=127.0.0.1:0",
        "discovery.swarm.first_port=0",
        "discovery.swarm.last_port=0",
    ] {
        command.args(["--set", setting]);
    }
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let up = lines
        .map_while(Result::ok)
        .find(|line| line.contains(" is up at "));
    child.kill().unwrap();
    child.wait().unwrap();
    let up = up.unwrap();
    assert!(up.starts_with("North Sea is up at "), "{up}");
}
