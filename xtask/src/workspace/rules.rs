//! Who may depend on whom: the table of ARCHITECTURE.md, and the crates of others that some of ours must not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use crate::process::root;

/// What each library may know of ours. A library that is not here is refused.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("oc-kernel", &[]),
    ("oc-proto", &[]),
    ("oc-store", &["oc-kernel", "oc-bus"]),
    ("oc-bus", &["oc-kernel"]),
    ("oc-objects", &["oc-kernel"]),
    ("oc-trust", &["oc-kernel"]),
    ("oc-auth", &["oc-kernel"]),
    ("oc-federation", &["oc-kernel"]),
    ("oc-cwl", &["oc-kernel"]),
    ("oc-sandbox", &["oc-kernel"]),
    ("oc-runner", &["oc-kernel"]),
    ("oc-workflow", &["oc-kernel", "oc-cwl"]),
    ("oc-service", &["oc-kernel"]),
    (
        "oc-door",
        &["oc-kernel", "oc-proto", "oc-trust", "oc-service"],
    ),
    ("oc-client", &["oc-kernel", "oc-proto"]),
    ("oc-testkit", &["oc-kernel", "oc-client", "oc-proto"]),
];

/// Third-party crates that one crate of ours knows, and nobody else.
const OWNED: &[(&str, &[&str])] = &[
    ("libp2p", &["oc-federation"]),
    ("rusqlite", &["oc-store", "oc-accounting", "oc-e2e"]),
    ("object_store", &["oc-objects"]),
    ("rquickjs", &["oc-cwl"]),
    ("tantivy", &["oc-catalog"]),
    (
        "reqwest",
        &["oc-client", "oc-step", "oc-opencloud", "oc-e2e"],
    ),
];

/// Libraries that a service may not use although they are ours.
const NOT_FOR_SERVICES: &[(&str, &[&str])] = &[
    ("oc-federation", &["oc-discovery", "oc-opencloud"]),
    (
        "oc-sandbox",
        &["oc-step", "oc-compute-provider", "oc-opencloud"],
    ),
    ("oc-runner", &["oc-step", "oc-compute-provider"]),
    ("oc-client", &["oc-opencloud"]),
    ("oc-testkit", &[]),
];

/// Crates of others that a library must not know, with what it would be if it did.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    (
        "oc-kernel",
        &["tokio", "axum", "tonic", "hyper", "futures"],
        "free of I/O and async",
    ),
    ("oc-trust", &["tokio", "axum", "tonic", "hyper"], "pure"),
    ("oc-workflow", &["tokio", "axum", "tonic", "hyper"], "pure"),
    (
        "oc-auth",
        &["tokio", "axum", "tonic", "hyper"],
        "free of HTTP servers",
    ),
    (
        "oc-cwl",
        &["tokio", "axum", "tonic", "hyper"],
        "free of networks",
    ),
    (
        "oc-runner",
        &["tokio", "axum", "tonic", "hyper"],
        "only words that two sides share",
    ),
    ("oc-client", &["axum", "tonic"], "free of server code"),
    ("oc-store", &["axum", "tonic", "hyper"], "a driver"),
    ("oc-bus", &["axum", "tonic", "hyper"], "a driver"),
    (
        "oc-sandbox",
        &["axum", "tonic", "hyper"],
        "free of networks",
    ),
];

/// Crates that nothing may bring in, however far down: TLS is ring only.
const BANNED: &[&str] = &[
    "openssl",
    "openssl-sys",
    "native-tls",
    "aws-lc-rs",
    "aws-lc-sys",
];

#[derive(Deserialize)]
pub(super) struct Metadata {
    pub(super) packages: Vec<Package>,
}

#[derive(Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

impl Package {
    pub(super) fn is_service(&self) -> bool {
        self.manifest_path.starts_with(root().join("services"))
    }

    fn is_library(&self) -> bool {
        self.manifest_path.starts_with(root().join("libs"))
    }

    fn normal(&self) -> impl Iterator<Item = &str> {
        self.dependencies
            .iter()
            .filter(|d| d.kind.is_none())
            .map(|d| d.name.as_str())
    }
}

impl Package {
    fn every(&self) -> impl Iterator<Item = &str> {
        self.dependencies.iter().map(|d| d.name.as_str())
    }
}

/// What a package depends on and must not.
pub(super) fn check_dependencies(
    package: &Package,
    services: &BTreeSet<&str>,
    findings: &mut Vec<String>,
) {
    let name = package.name.as_str();
    let libraries: BTreeMap<&str, &[&str]> = LIBRARIES.iter().copied().collect();
    if package.is_library() {
        match libraries.get(name) {
            None => findings.push(format!("{name} has no row in the table of libraries")),
            Some(allowed) => {
                for ours in package.normal().filter(|d| d.starts_with("oc-")) {
                    if !allowed.contains(&ours) {
                        findings.push(format!("{name} must not know {ours}"));
                    }
                }
            }
        }
    }
    if package.is_service() && name != "oc-opencloud" {
        for other in package.normal().filter(|d| services.contains(d)) {
            findings.push(format!(
                "{name} imports the service {other}: call it through a trait of its own"
            ));
        }
    }
    if package.is_service() {
        for (library, users) in NOT_FOR_SERVICES {
            if package.normal().any(|d| d == *library) && !users.contains(&name) {
                findings.push(format!("{name} must not use {library}"));
            }
        }
    }
    for (library, crates, what) in FORBIDDEN {
        for known in package
            .normal()
            .filter(|d| name == *library && crates.contains(d))
        {
            findings.push(format!("{name} must not know {known}: it is {what}"));
        }
    }
    for (crate_name, owners) in OWNED {
        if package.normal().any(|d| d == *crate_name) && !owners.contains(&name) {
            findings.push(format!(
                "{name} must not know {crate_name}; ask {}",
                owners.join(", ")
            ));
        }
    }
}

/// Versions decided in the root manifest for crates that nobody uses.
pub(super) fn check_unused(root: &toml::Table, packages: &[Package], findings: &mut Vec<String>) {
    let decided = root
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(toml::Value::as_table);
    let used: BTreeSet<&str> = packages.iter().flat_map(Package::every).collect();
    for name in decided.into_iter().flat_map(toml::Table::keys) {
        if !used.contains(name.as_str()) {
            findings.push(format!(
                "{name} has a version in the root manifest and no user"
            ));
        }
    }
}

/// What is built, by name; the lock file also holds what no feature turns on.
pub(super) fn check_built<'a>(
    built: impl IntoIterator<Item = &'a str>,
    findings: &mut Vec<String>,
) {
    for name in built.into_iter().collect::<BTreeSet<_>>() {
        if BANNED.contains(&name) {
            findings.push(format!("{name} is banned: TLS is ring only"));
        }
    }
}

/// What the lock file brings in comes from crates.io.
pub(super) fn check_lock(lock: &toml::Table, findings: &mut Vec<String>) {
    let packages = lock.get("package").and_then(toml::Value::as_array);
    for package in packages.into_iter().flatten() {
        let text = |field: &str| package.get(field).and_then(toml::Value::as_str);
        let name = text("name").unwrap_or_default();
        if text("source").is_some_and(|source| source != CRATES_IO) {
            findings.push(format!("{name} does not come from crates.io"));
        }
    }
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &str, name: &str, dependencies: &[&str]) -> Package {
        let normal = |name: &&str| Dependency {
            name: (*name).to_owned(),
            kind: None,
        };
        Package {
            name: name.to_owned(),
            manifest_path: root().join(folder).join("Cargo.toml"),
            dependencies: dependencies.iter().map(normal).collect(),
        }
    }

    fn found(folder: &str, name: &str, dependencies: &[&str]) -> Vec<String> {
        let mut findings = Vec::new();
        let services = BTreeSet::from(["oc-catalog", "oc-accounting", "oc-opencloud"]);
        let package = package(folder, name, dependencies);
        check_dependencies(&package, &services, &mut findings);
        findings
    }

    #[test]
    fn a_service_imports_no_service_but_the_one_that_builds_all() {
        let findings = found("services/catalog", "oc-catalog", &["oc-accounting"]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].contains("imports the service oc-accounting"));
        let all = &["oc-accounting", "oc-catalog"];
        assert!(found("services/opencloud", "oc-opencloud", all).is_empty());
    }

    #[test]
    fn a_library_knows_only_what_its_row_names() {
        assert!(found("libs/store", "oc-store", &["oc-kernel", "oc-bus"]).is_empty());
        assert_eq!(found("libs/store", "oc-store", &["oc-proto"]).len(), 1);
        assert_eq!(found("libs/new", "oc-new", &[]).len(), 1);
    }

    #[test]
    fn a_pure_library_knows_no_runtime_and_a_driver_only_its_own_crate() {
        assert_eq!(found("libs/kernel", "oc-kernel", &["tokio"]).len(), 1);
        assert_eq!(found("libs/trust", "oc-trust", &["libp2p"]).len(), 1);
        assert!(found("libs/federation", "oc-federation", &["libp2p"]).is_empty());
    }

    #[test]
    fn what_only_some_services_may_use_is_refused_to_others() {
        assert_eq!(
            found("services/catalog", "oc-catalog", &["oc-sandbox"]).len(),
            1
        );
    }

    #[test]
    fn a_version_that_nobody_uses_is_named() {
        let manifest = "[workspace.dependencies]\nserde = \"1\"\nmoka = \"0.12\"".parse();
        let mut findings = Vec::new();
        let packages = [package("libs/kernel", "oc-kernel", &["serde"])];
        check_unused(&manifest.unwrap(), &packages, &mut findings);
        assert_eq!(
            findings,
            ["moka has a version in the root manifest and no user"]
        );
    }

    #[test]
    fn another_tls_is_refused() {
        let mut findings = Vec::new();
        check_built(["ring", "aws-lc-sys", "aws-lc-sys"], &mut findings);
        assert_eq!(findings, ["aws-lc-sys is banned: TLS is ring only"]);
    }

    #[test]
    fn a_crate_from_elsewhere_is_refused() {
        let lock = format!(
            "[[package]]\nname = \"serde\"\nsource = \"{CRATES_IO}\"\n\
             [[package]]\nname = \"fork\"\nsource = \"git+https://example.org/fork\"\n\
             [[package]]\nname = \"oc-kernel\"\n"
        );
        let mut findings = Vec::new();
        check_lock(&lock.parse().unwrap(), &mut findings);
        assert_eq!(findings, ["fork does not come from crates.io"]);
    }
}
