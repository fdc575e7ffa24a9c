//! Holds the workspace to ARCHITECTURE.md: who may depend on whom, where versions stand, names, heads and
//! sizes of files, what a service's README tells, and that the tests exist which the page of threats names.

mod files;
mod readme;
mod rules;
mod threats;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use anyhow::{Context, bail};

use crate::process::root;
use files::{check_file, source_files};
use readme::check_readme;
use rules::{Metadata, Package, check_built, check_dependencies, check_lock, check_unused};

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
        check_readme(package, &mut findings)?;
    }
    let read = |name: &str| -> anyhow::Result<toml::Table> {
        let text = fs::read_to_string(root().join(name)).with_context(|| format!("read {name}"))?;
        text.parse().with_context(|| format!("read {name}"))
    };
    check_unused(&read("Cargo.toml")?, &packages, &mut findings);
    check_lock(&read("Cargo.lock")?, &mut findings);
    check_built(built()?.split_whitespace(), &mut findings);
    let mut files = Vec::new();
    for folder in ["libs", "services", "benches", "e2e", "fuzz", "xtask"] {
        source_files(&root().join(folder), &mut files)?;
    }
    let mut functions = BTreeSet::new();
    for file in &files {
        check_file(file, &mut findings)?;
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        threats::functions(&text, &mut functions);
    }
    let page =
        fs::read_to_string(root().join(threats::PAGE)).context("read the page of threats")?;
    threats::check_page(&page, &functions, &mut findings);
    if !findings.is_empty() {
        bail!(
            "the workspace breaks its rules:\n  {}",
            findings.join("\n  ")
        );
    }
    Ok(())
}

fn packages() -> anyhow::Result<Vec<Package>> {
    let told = cargo(&["metadata", "--no-deps", "--format-version", "1", "--locked"])?;
    let metadata: Metadata = serde_json::from_slice(&told).context("read cargo metadata")?;
    Ok(metadata.packages)
}

/// The names of all crates that a build of everything builds.
fn built() -> anyhow::Result<String> {
    let options = [
        "--workspace",
        "--locked",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
    ];
    let told = cargo(&[&["tree", "--format", "{p}"], options.as_slice()].concat())?;
    String::from_utf8(told).context("read cargo tree")
}

fn cargo(arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new("cargo")
        .args(arguments)
        .current_dir(root())
        .output()
        .context("start cargo")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("cargo {} failed: {said}", arguments.join(" "));
    }
    Ok(output.stdout)
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
