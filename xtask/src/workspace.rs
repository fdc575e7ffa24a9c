//! Holds the workspace to ARCHITECTURE.md: who may depend on whom, where versions stand, names and
//! sizes of files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
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
    ("rusqlite", &["oc-store", "oc-accounting"]),
    ("object_store", &["oc-objects"]),
    ("rquickjs", &["oc-cwl"]),
    ("tantivy", &["oc-catalog"]),
    ("reqwest", &["oc-client", "oc-step", "oc-opencloud"]),
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

/// Longest file of ours in lines, generated ones apart.
const LONGEST_FILE: usize = 500;

/// Words that say nothing, refused as names of files and folders.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "helper", "helpers", "common", "manager"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

impl Package {
    fn is_service(&self) -> bool {
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

/// Checks everything and reports all findings at once.
pub(crate) fn check() -> anyhow::Result<()> {
    let packages = packages()?;
    let mut findings = Vec::new();
    let services: BTreeSet<&str> = packages
        .iter()
        .filter(|p| p.is_service())
        .map(|p| p.name.as_str())
        .collect();
    for package in &packages {
        check_dependencies(package, &services, &mut findings);
        check_manifest(package, &mut findings)?;
        check_head_comment(package, &mut findings)?;
    }
    let mut files = Vec::new();
    for folder in ["libs", "services", "xtask", "e2e"] {
        source_files(&root().join(folder), &mut files)?;
    }
    for file in &files {
        check_file(file, &mut findings)?;
    }
    if !findings.is_empty() {
        bail!(
            "the workspace breaks its rules:\n  {}",
            findings.join("\n  ")
        );
    }
    Ok(())
}

fn packages() -> anyhow::Result<Vec<Package>> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .context("start cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
    Ok(metadata.packages)
}

fn check_dependencies(package: &Package, services: &BTreeSet<&str>, findings: &mut Vec<String>) {
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
    for (crate_name, owners) in OWNED {
        if package.normal().any(|d| d == *crate_name) && !owners.contains(&name) {
            findings.push(format!(
                "{name} must not know {crate_name}; ask {}",
                owners.join(", ")
            ));
        }
    }
}

fn check_manifest(package: &Package, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let text = fs::read_to_string(&package.manifest_path)
        .with_context(|| format!("read {}", package.manifest_path.display()))?;
    let manifest: toml::Table = text.parse().context("read a manifest")?;
    let name = &package.name;
    let inherits = |table: &str| {
        manifest
            .get(table)
            .and_then(|t| t.get("workspace"))
            .and_then(toml::Value::as_bool)
            == Some(true)
    };
    if !inherits("lints") {
        findings.push(format!("{name} does not inherit the lints"));
    }
    for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(entries) = manifest.get(table).and_then(toml::Value::as_table) else {
            continue;
        };
        for (dependency, value) in entries {
            let from_workspace =
                value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
            if !from_workspace || value.get("features").is_some() && !dependency.starts_with("oc-")
            {
                findings.push(format!(
                    "{name} decides a version or a feature of {dependency} itself: the root manifest does"
                ));
            }
        }
    }
    Ok(())
}

fn check_head_comment(package: &Package, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let folder = package
        .manifest_path
        .parent()
        .unwrap_or_else(|| Path::new("."));
    for head in ["src/lib.rs", "src/main.rs"] {
        let path = folder.join(head);
        if path.is_file() && !fs::read_to_string(&path)?.starts_with("//!") {
            findings.push(format!(
                "{}/{head} does not say what it is for",
                package.name
            ));
        }
    }
    Ok(())
}

fn source_files(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if path
                .file_name()
                .is_some_and(|name| name != "gen" && name != "target")
            {
                source_files(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(())
}

fn check_file(path: &Path, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let shown = path.strip_prefix(root()).unwrap_or(path).display();
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    if stem == "mod" {
        findings.push(format!(
            "{shown}: no mod.rs, name the file after the module"
        ));
    }
    let parts = path
        .components()
        .filter_map(|part| part.as_os_str().to_str());
    if parts.chain([stem]).any(|part| EMPTY_NAMES.contains(&part)) {
        findings.push(format!("{shown}: the name says nothing"));
    }
    let lines = fs::read_to_string(path)?.lines().count();
    if lines > LONGEST_FILE {
        findings.push(format!(
            "{shown}: {lines} lines, {LONGEST_FILE} are enough for one idea"
        ));
    }
    Ok(())
}
