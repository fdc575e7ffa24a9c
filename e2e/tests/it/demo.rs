//! The main job, as `opencloud demo` plays it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use oc_kernel::Digest;
use oc_testkit::program;
use serde_json::{Value, json};

fn texts<'a>(list: &'a Value, field: &str) -> BTreeSet<&'a str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|entry| entry[field].as_str().unwrap())
        .collect()
}

/// Each field that the report promises, with something in it.
fn assert_told(report: &Value) {
    let told = |list: &Value, fields: &[&str]| {
        let entries = list.as_array().unwrap();
        assert!(!entries.is_empty());
        for entry in entries {
            for field in fields {
                let text = entry[field].as_str();
                assert!(
                    text.is_some_and(|text| !text.is_empty()),
                    "{field} of {entry}"
                );
            }
        }
    };
    told(&report["organisations"], &["name", "org_id", "peer_id"]);
    told(&json!([report["network"]]), &["name", "kind"]);
    told(&json!([report["run"]]), &["id", "state"]);
    let fragments = &report["run"]["fragments"];
    told(
        fragments,
        &["id", "site", "reason", "state", "started_at", "ended_at"],
    );
    told(
        &report["outputs"],
        &["name", "path", "sha256", "media_type"],
    );
    let records = &report["usage"]["records"];
    told(
        records,
        &[
            "record_id",
            "grant_id",
            "run_id",
            "fragment_id",
            "attempt_id",
            "outcome",
            "currency",
        ],
    );
    for phase in [
        "nodes_ready",
        "joined",
        "offers_visible",
        "granted",
        "run",
        "total",
    ] {
        assert!(report["timings_ms"][phase].is_u64(), "{phase}");
    }
}

#[test]
fn the_demonstration_plays_the_main_job_and_reports_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let output = Command::new(program())
        .args(["demo", "--quiet", "--output", "json", "--json"])
        .arg(&file)
        .arg("--outdir")
        .arg(folder.path().join("pictures"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, report);
    assert_told(&report);

    assert_eq!(
        texts(&report["organisations"], "name"),
        ["North", "South"].into()
    );
    assert_eq!(texts(&report["organisations"], "org_id").len(), 2);
    assert_eq!(texts(&report["organisations"], "peer_id").len(), 2);
    assert_eq!(report["network"]["kind"], "private");
    assert_eq!(report["run"]["state"], "succeeded");
    let fragments = &report["run"]["fragments"];
    assert_eq!(
        texts(fragments, "site"),
        ["South"].into(),
        "the steps run next to the data"
    );
    for fragment in fragments.as_array().unwrap() {
        assert_eq!(fragment["state"], "succeeded");
        assert!(!fragment["steps"].as_array().unwrap().is_empty());
        assert!(fragment["started_at"].as_str().unwrap() <= fragment["ended_at"].as_str().unwrap());
    }

    let kinds: BTreeMap<_, _> = [
        ("true_colour", ("image/png", b"\x89PNG")),
        ("ndvi_picture", ("image/png", b"\x89PNG")),
        ("ndvi", ("image/tiff; application=geotiff", b"II*\0")),
    ]
    .into();
    let outputs = report["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), kinds.len());
    for output in outputs {
        let bytes = std::fs::read(output["path"].as_str().unwrap()).unwrap();
        assert_eq!(output["bytes"], bytes.len(), "{output}");
        assert_eq!(output["sha256"], Digest::of(&bytes).to_string());
        let (media_type, begin) = kinds[output["name"].as_str().unwrap()];
        assert_eq!(output["media_type"], media_type, "{output}");
        assert!(bytes.starts_with(begin), "{output} is no picture");
    }

    assert_eq!(report["usage"]["agree"], true, "books_agree");
    let books = report["usage"]["books"].as_array().unwrap();
    assert_eq!(
        texts(&report["usage"]["books"], "organisation"),
        ["North", "South"].into()
    );
    assert_eq!(
        texts(&report["usage"]["books"], "root").len(),
        1,
        "books_agree"
    );
    assert!(books.iter().all(|its| its["signed_by_both"] == true));
    for left in ["networks", "grants", "reservations", "cores"] {
        assert_eq!(report["kept"][left], 0, "South keeps {left} of North's");
    }
    let records = report["usage"]["records"].as_array().unwrap();
    assert_eq!(report["kept"]["records"], records.len());
    assert_eq!(
        records.len(),
        fragments.as_array().unwrap().len(),
        "no_effect_twice"
    );
    for record in records {
        assert_eq!(record["run_id"], report["run"]["id"]);
        assert_eq!(record["outcome"], "succeeded");
        assert!(record["wall_ms"].as_u64().unwrap() > 0, "{record}");
        assert!(record["charge_micros"].as_i64().unwrap() > 0, "{record}");
    }
    let total = report["timings_ms"]["total"].as_u64().unwrap();
    assert!(total < 15_000, "the story took {total} ms");
}

#[test]
fn a_demonstration_that_is_told_to_stop_leaves_nothing_running() {
    let temporary = tempfile::tempdir().unwrap();
    let demo = Command::new(program())
        .args(["demo", "--quiet"])
        .env("TMPDIR", temporary.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let base = temporary
        .path()
        .join(format!("opencloud-demo-{}", demo.id()));
    let address = base.join("south").join("address");
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !address.is_file() {
        assert!(std::time::Instant::now() < limit, "South does not start");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let at = std::fs::read_to_string(&address).unwrap();
    let at = at.trim().trim_start_matches("http://").to_owned();
    let id = nix::unistd::Pid::from_raw(i32::try_from(demo.id()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
    let output = demo.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("both nodes have ended"), "{errors}");
    assert!(!base.exists(), "its folders are still there");
    assert!(
        std::net::TcpStream::connect(&at).is_err(),
        "South still answers at {at}"
    );
}

#[test]
fn a_demonstration_that_is_killed_takes_its_nodes_along() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Command::new(program())
        .args(["demo", "--quiet"])
        .env("TMPDIR", temporary.path())
        .spawn()
        .unwrap();
    let base = temporary
        .path()
        .join(format!("opencloud-demo-{}", demo.id()));
    let address = base.join("south").join("address");
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !address.is_file() {
        assert!(std::time::Instant::now() < limit, "South does not start");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let at = std::fs::read_to_string(&address).unwrap();
    let at = at.trim().trim_start_matches("http://").to_owned();
    demo.kill().unwrap();
    demo.wait().unwrap();
    while std::net::TcpStream::connect(&at).is_ok() {
        assert!(std::time::Instant::now() < limit, "South goes on at {at}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_demonstration_without_a_sandbox_says_what_is_missing() {
    let nowhere = tempfile::tempdir().unwrap();
    let output = Command::new(program())
        .args(["demo", "--quiet"])
        .env("PATH", nowhere.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("`bwrap` is not on the PATH"), "{errors}");
    assert!(errors.contains("apt-get install bubblewrap"), "{errors}");
}
