//! `opencloud doctor`: looks at this machine, the node's folder, the node and its partners, and says what to do.

mod folder;
mod machine;
mod partners;

use std::process::ExitCode;

use oc_kernel::{Classify as _, Clock as _, SystemClock};
use serde::Serialize;

use super::context::data_folder;
use super::output::{Output, safe};
use super::typed::with_options;
use super::{Context, Format, NodeOptions};
use crate::folder::NodeFolder;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Poor,
    Bad,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do; empty when nothing.
    advice: String,
}

impl Check {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self::other(name, Verdict::Good, found, "")
    }

    fn poor(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::other(name, Verdict::Poor, found, advice)
    }

    fn bad(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::other(name, Verdict::Bad, found, advice)
    }

    fn other(
        name: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            name,
            verdict,
            found: found.into(),
            advice: advice.into(),
        }
    }
}

pub(crate) async fn run(options: &NodeOptions) -> ExitCode {
    let mut checks = vec![machine::sandbox(), machine::limits()];
    match data_folder(options.data.as_deref()) {
        Ok(path) => {
            let folder = NodeFolder::new(path);
            checks.push(machine::disk(&folder));
            checks.push(folder::clock(&folder, SystemClock.now_ms()));
            checks.push(folder::keys(&folder));
            checks.push(folder::store(&folder));
            checks.extend(machine::ports(&folder, options.node.is_some()));
        }
        Err(error) => checks.push(Check::bad("disk", error.to_string(), "")),
    }
    checks.extend(node(options).await);
    let output = Output::new(options.output == Format::Json);
    let shown = output.show(&checks, |checks| checks.iter().for_each(show));
    let bad = checks.iter().any(|check| check.verdict == Verdict::Bad);
    if shown.is_err() || bad {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn show(check: &Check) {
    let (mark, colour) = match check.verdict {
        Verdict::Good => ("ok  ", anstyle::AnsiColor::Green),
        Verdict::Poor => ("note", anstyle::AnsiColor::Yellow),
        Verdict::Bad => ("bad ", anstyle::AnsiColor::Red),
    };
    let colour = colour.on_default();
    let (name, found) = (check.name, safe(&check.found));
    anstream::println!("{colour}{mark}{colour:#}  {name:10} {found}");
    if !check.advice.is_empty() {
        anstream::println!("                 {}", safe(&with_options(&check.advice)));
    }
}

async fn node(options: &NodeOptions) -> Vec<Check> {
    let context = match Context::new(options) {
        Ok(context) => context,
        Err(error) => {
            let start = "start one with `opencloud up`";
            return vec![Check::poor("node", error.to_string(), start)];
        }
    };
    let client = &context.client;
    let identity = match client.discovery().identity().await {
        Ok(identity) => identity,
        Err(error) => {
            let advice = error.advice();
            let advice = advice.unwrap_or_else(|| {
                "look into its log; where it has ended, start it with `opencloud up`".to_owned()
            });
            return vec![Check::bad("node", error.to_string(), advice)];
        }
    };
    let (name, version, base) = (&identity.name, &identity.version, client.base());
    let mut checks = vec![
        Check::good("node", format!("{name} {version} at {base}")),
        partners::version(env!("CARGO_PKG_VERSION"), version),
    ];
    checks.extend(partners::networks(&context, options.node.is_none()).await);
    checks.extend(partners::peers(&context, version).await);
    checks.push(offers(&context).await);
    checks
}

async fn offers(context: &Context) -> Check {
    match context.client.compute().offers().await {
        Ok(offers) => {
            let waiting = offers.iter().filter(|offer| !offer.listed).count();
            listed(offers.len(), waiting)
        }
        Err(error) => {
            let advice = error.advice().unwrap_or_default();
            Check::bad("offers", error.to_string(), advice)
        }
    }
}

fn listed(all: usize, waiting: usize) -> Check {
    if waiting > 0 {
        let found = format!("{waiting} of {all} not in the catalogue yet");
        let advice = "wait a moment; the log says why it takes longer";
        return Check::poor("offers", found, advice);
    }
    Check::good("offers", format!("{all} offered"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_that_is_not_listed_is_told() {
        assert_eq!(listed(2, 0).verdict, Verdict::Good);
        let waiting = listed(2, 1);
        assert_eq!(waiting.verdict, Verdict::Poor);
        assert!(waiting.found.starts_with("1 of 2"), "{waiting:?}");
        assert!(!waiting.advice.is_empty());
    }
}
