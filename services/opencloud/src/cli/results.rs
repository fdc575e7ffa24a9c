//! `opencloud results`: what a run made, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use oc_kernel::{Classify as _, Kind};
use oc_proto::pipeline::v1::{GetResultsResponse, ResultFile};
use serde_json::{Map, Value};

use super::download::{NAMED, download};
use super::output::{counted, hint, safe};
use super::result_tree::{Tree, holds_files};
use super::{CommandError, Context, Outcome, ids, size};

/// Longest value that is shown, in characters.
const LONGEST: usize = 120;

#[derive(Debug, Args)]
pub(crate) struct ResultsArguments {
    /// Run, or the begin of its id
    run: String,
    /// Fetch the files into this folder, as OUTPUT/NAME, and the output object as outputs.json; what lies there with
    /// other content is replaced after a yes
    #[arg(long, value_name = "DIR")]
    download: Option<PathBuf>,
}

pub(crate) async fn results(context: &Context, arguments: ResultsArguments) -> Outcome {
    let run = ids::run(context, &arguments.run).await?;
    let results = context.client.pipeline().results(&run).await?;
    let tree = Tree::of(&results)?;
    let gone = gone(context, &results).await?;
    let away = away(&results, &gone);
    if let Some(folder) = &arguments.download {
        if let Some(away) = away {
            return Err(CommandError::Missing(away));
        }
        download(context, &tree, folder).await?;
    }
    if context.output.is_json() {
        return context.output.show(&nested(&results)?, |_| ());
    }
    values(&tree.outputs);
    if !tree.files.is_empty() {
        let heads = ["FILE", "SIZE", "SHA-256"];
        context
            .output
            .list(&rows(&tree, &gone), "", heads, Clone::clone)?;
        match &away {
            Some(away) => hint(away),
            None => hint(&below(&results)),
        }
    }
    if !tree.refused.is_empty() {
        let names: Vec<_> = tree.refused.iter().map(String::as_str).collect();
        hint(&format!(
            "not listed, since no file is given such a name: {}; --output json tells the keys",
            names.join(", ")
        ));
    }
    if tree.outputs.is_empty() {
        anstream::println!("the run made no files and no values");
    }
    Ok(())
}

/// Tells what a run that is over gave: its values, and how to have its files.
pub(crate) async fn given(context: &Context, run: &str) -> Outcome {
    let results = context.client.pipeline().results(run).await?;
    let tree = Tree::of(&results)?;
    values(&tree.outputs);
    if !tree.files.is_empty() {
        let files = counted(tree.files.len(), "file");
        hint(&format!(
            "{files}: `opencloud results {run}` lists them, with --download DIR fetches them"
        ));
    }
    Ok(())
}

/// The answer of the node with the output object in it, instead of its text.
fn nested(results: &GetResultsResponse) -> Result<Value, CommandError> {
    let mut answer = serde_json::to_value(results).map_err(anyhow::Error::from)?;
    let outputs: Value =
        serde_json::from_str(&results.outputs_json).map_err(anyhow::Error::from)?;
    if let Value::Object(fields) = &mut answer {
        fields.remove("outputs_json");
        fields.insert("outputs".to_owned(), outputs);
    }
    Ok(answer)
}

/// Outputs that are no files, each on a line.
fn values(outputs: &Map<String, Value>) {
    for line in value_lines(outputs) {
        anstream::println!("{}", safe(&line));
    }
}

fn value_lines(outputs: &Map<String, Value>) -> Vec<String> {
    let values = outputs.iter().filter(|(_, value)| !holds_files(value));
    let lines = values.map(|(name, value)| {
        let line = format!("{name} = {value}");
        match line.char_indices().nth(LONGEST) {
            Some((at, _)) => format!("{}...", &line[..at]),
            None => line,
        }
    });
    lines.collect()
}

/// A row for each file, as it is called when it is fetched; one for all files of an output that has many.
fn rows(tree: &Tree<'_>, gone: &BTreeSet<&str>) -> Vec<[String; 3]> {
    let mut rows = Vec::new();
    let output = |path: &PathBuf| path.iter().next().map(ToOwned::to_owned);
    let files: Vec<_> = tree.files.iter().collect();
    for files in files.chunk_by(|(one, _), (other, _)| output(one) == output(other)) {
        let objects = files.iter().filter_map(|(_, file)| file.object.as_ref());
        if files.len() > NAMED {
            let name = files[0].0.iter().next().unwrap_or_default();
            let bytes = objects.map(|object| object.length).sum();
            let all = counted(files.len(), "file");
            rows.push([
                format!("{}/", name.to_string_lossy()),
                format!("{} in {all}", size::show(bytes)),
                String::new(),
            ]);
            continue;
        }
        let named = files.iter().zip(objects).map(|((path, _), object)| {
            let digest = match gone.contains(object.key.as_str()) {
                true => "removed".to_owned(),
                false => object.sha256.chars().take(12).collect(),
            };
            [
                path.display().to_string(),
                size::show(object.length),
                digest,
            ]
        });
        rows.extend(named);
    }
    rows
}

/// Where the files lie: the folder that all their keys have in common.
fn below(results: &GetResultsResponse) -> String {
    let objects = results.files.iter().filter_map(|file| file.object.as_ref());
    let common = common(objects.map(|object| object.key.as_str()));
    format!("stored below `{common}/`: --output json tells each key")
}

/// The folder that keys have in common.
fn common<'a>(keys: impl Iterator<Item = &'a str>) -> &'a str {
    let folders = keys.map(|key| key.rsplit_once('/').map_or("", |(folder, _)| folder));
    let common = folders.reduce(|common, folder| {
        let parts = common.split('/').zip(folder.split('/'));
        let same = parts.take_while(|(one, other)| one == other);
        let length: usize = same.map(|(part, _)| part.len() + 1).sum();
        &common[..length.saturating_sub(1).min(common.len())]
    });
    common.unwrap_or_default()
}

/// The storage offer of ours and the key of a file; none for one that lies elsewhere.
fn place(file: &ResultFile) -> Option<(&str, &str)> {
    let below = file.path.strip_prefix("/api/compute/v1/storage/")?;
    let (offer, _) = below.split_once("/objects/")?;
    Some((offer, file.object.as_ref()?.key.as_str()))
}

/// Keys of files that lay in storage of ours and are not there any more.
async fn gone<'a>(
    context: &Context,
    results: &'a GetResultsResponse,
) -> Result<BTreeSet<&'a str>, CommandError> {
    let mut offers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (offer, key) in results.files.iter().filter_map(place) {
        offers.entry(offer).or_default().insert(key);
    }
    let mut gone = BTreeSet::new();
    for (offer, mut keys) in offers {
        let below = common(keys.iter().copied());
        match context.client.compute().objects(offer, below).await {
            Ok(there) => {
                for object in there {
                    keys.remove(object.key.as_str());
                }
            }
            // The whole storage is gone.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        gone.append(&mut keys);
    }
    Ok(gone)
}

/// What is said of files that cannot be fetched; nothing where all can.
fn away(results: &GetResultsResponse, gone: &BTreeSet<&str>) -> Option<String> {
    // One file may be several outputs.
    let key = |file: &ResultFile| file.object.as_ref().map(|object| object.key.clone());
    let lost = |file: &&ResultFile| key(file).is_some_and(|key| gone.contains(key.as_str()));
    (!gone.is_empty()).then(|| {
        format!(
            "{} of {} cannot be fetched: they were removed from storage; a new run makes them again",
            results.files.iter().filter(lost).count(),
            counted(results.files.len(), "file")
        )
    })
}

#[cfg(test)]
mod tests {
    use oc_proto::types::v1::ObjectRef;
    use serde_json::json;

    use super::*;

    fn made(keys: impl Iterator<Item = String>) -> GetResultsResponse {
        let files: Vec<_> = keys
            .map(|key| ResultFile {
                name: key.rsplit('/').next().unwrap().to_owned(),
                object: Some(ObjectRef {
                    owner: "o".to_owned(),
                    role: "objects".to_owned(),
                    key,
                    sha256: "0123456789abcdef".to_owned(),
                    length: 2,
                    ..ObjectRef::default()
                }),
                ..ResultFile::default()
            })
            .collect();
        let listed = files.iter().map(|file| {
            let key = &file.object.as_ref().unwrap().key;
            json!({"class": "File", "location": format!("oc:o/objects/{key}"), "basename": "a b.txt"})
        });
        let outputs = json!({"many": listed.collect::<Vec<_>>(), "double": 42, "none": null});
        GetResultsResponse {
            outputs_json: outputs.to_string(),
            files,
            ..GetResultsResponse::default()
        }
    }

    #[test]
    fn results_that_cannot_be_fetched_are_told_with_what_works() {
        let mut results = made((0..2).map(|n| format!("runs/1/attempt/{n}")));
        let at_a_partner = "/api/pipeline/v1/runs/1/files/runs/objects/0";
        results.files[0].path = at_a_partner.to_owned();
        assert_eq!(place(&results.files[0]), None);
        for file in &mut results.files {
            let key = &file.object.as_ref().unwrap().key;
            file.path = format!("/api/compute/v1/storage/results/objects/{key}");
        }
        assert_eq!(
            place(&results.files[1]),
            Some(("results", "runs/1/attempt/1"))
        );
        assert_eq!(away(&results, &BTreeSet::new()), None);
        let gone = BTreeSet::from(["runs/1/attempt/1"]);
        let said = away(&results, &gone).unwrap();
        assert!(
            said.starts_with("1 of 2 files cannot be fetched: they were removed"),
            "{said}"
        );
        let names = rows(&Tree::of(&results).unwrap(), &gone);
        assert_eq!(names[1][2], "removed");
    }

    #[test]
    fn values_are_told_beside_files() {
        let results = made((0..2).map(|n| format!("runs/1/attempt/{n}")));
        let tree = Tree::of(&results).unwrap();
        assert_eq!(value_lines(&tree.outputs), ["double = 42", "none = null"]);
        let long = json!({"text": "x".repeat(500)});
        let line = value_lines(long.as_object().unwrap()).remove(0);
        assert!(line.len() < 130 && line.ends_with("..."), "{line}");
        assert_eq!(nested(&results).unwrap()["outputs"]["double"], 42);
    }

    #[test]
    fn files_are_called_as_they_are_fetched_and_many_are_summed_up() {
        let few = made((0..2).map(|n| format!("runs/1/attempt/{n}")));
        let names = rows(&Tree::of(&few).unwrap(), &BTreeSet::new());
        assert_eq!(names[0], ["many/a b.txt", "2 B", "0123456789ab"]);
        assert_eq!(names[1][0], "many/a b_2.txt");
        assert_eq!(
            below(&few),
            "stored below `runs/1/attempt/`: --output json tells each key"
        );
        let many = made((0..400).map(|n| format!("runs/1/attempt-{}/{n}", n % 2)));
        let names = rows(&Tree::of(&many).unwrap(), &BTreeSet::new());
        assert_eq!(
            names,
            [["many/", "800 B in 400 files", ""].map(str::to_owned)]
        );
        assert!(below(&many).contains("`runs/1/`"), "{}", below(&many));
    }
}
