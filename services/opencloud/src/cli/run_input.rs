//! The inputs of a run as people write them, in a file and one by one.

use std::collections::BTreeMap;
use std::path::Path;

use oc_cwl::Limits;
use oc_proto::pipeline::v1::{DatasetInput, InputValue, ListingRef, input_value};
use oc_proto::types::v1::DatasetQuery;
use serde_json::{Value, json};

use super::file::{self, unreadable};
use super::query::QueryArguments;
use super::upload::Uploads;
use super::{CommandError, Context, find};

/// A file with inputs.
pub(crate) struct JobFile<'a> {
    pub(crate) path: &'a Path,
    /// Files outside its folder may be named in it.
    pub(crate) allow_outside: bool,
}

/// The inputs of a run: those in a file, a CWL input object where a value may also be one of `{"dataset": ..}`,
/// `{"file": ..}`, `{"run_output": ..}` as `oc.pipeline.v1.InputValue` says; then those given one by one. Owners may
/// be names of organisations; files of this machine are named as they will be uploaded. `query` completes each input that is a dataset.
pub(crate) async fn read(
    context: &Context,
    file: Option<&JobFile<'_>>,
    single: &[String],
    query: &QueryArguments,
    uploads: &mut Uploads<'_>,
) -> Result<BTreeMap<String, InputValue>, CommandError> {
    let mut inputs = match file {
        Some(file) => from_file(context, file, uploads).await?,
        None => BTreeMap::new(),
    };
    for (name, texts) in by_name(single)? {
        inputs.insert(
            name.to_owned(),
            given(context, name, &texts, uploads).await?,
        );
    }
    if query.is_empty() {
        return Ok(inputs);
    }
    let mut datasets = 0;
    for input in inputs.values_mut() {
        if let Some(input_value::Value::Dataset(dataset)) = &mut input.value {
            query.complete(dataset.query.get_or_insert_default())?;
            datasets += 1;
        }
    }
    if datasets == 0 {
        return Err(CommandError::input(
            "--area, --from, --to and --filter choose images, and no input is a dataset: say for example --input \
             red=dataset:South/dataset.sentinel-2-demo#B04",
        ));
    }
    Ok(inputs)
}

/// The values of `NAME=VALUE` by name. Several of one name are files, which make a list.
fn by_name(single: &[String]) -> Result<BTreeMap<&str, Vec<&str>>, CommandError> {
    let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for text in single {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            CommandError::input(format!("`{text}` is no input: write NAME=VALUE"))
        })?;
        values.entry(name).or_default().push(value);
    }
    let is_file = |value: &&str| value.starts_with(FILE);
    match values
        .iter()
        .find(|(_, values)| values.len() > 1 && !values.iter().all(is_file))
    {
        Some((name, _)) => Err(CommandError::input(format!(
            "input `{name}` is given more than once: a list is written as JSON, such as {name}='[1, 2]', or as \
             several files, {name}=@a {name}=@b"
        ))),
        None => Ok(values),
    }
}

async fn from_file(
    context: &Context,
    file: &JobFile<'_>,
    uploads: &mut Uploads<'_>,
) -> Result<BTreeMap<String, InputValue>, CommandError> {
    let path = file.path;
    // A pipe is not waited for.
    file::open(path).map_err(|error| unreadable(path, &error))?;
    let real = path
        .canonicalize()
        .map_err(|error| unreadable(path, &error))?;
    let folder = real.parent().filter(|_| !file.allow_outside);
    let wrong = |what: String| CommandError::input(format!("{}: {what}", path.display()));
    let text = path.to_string_lossy();
    let values = oc_cwl::read_inputs(&text, &Limits::default())
        .map_err(|error| CommandError::input(format!("no input object: {error}")))?;
    let mut inputs = BTreeMap::new();
    for (name, value) in values {
        let input =
            value_of(context, value, folder, uploads)
                .await
                .map_err(|error| match error {
                    CommandError::Input(text) | CommandError::Missing(text) => {
                        wrong(format!("input `{name}`: {text}"))
                    }
                    other => other,
                })?;
        inputs.insert(name, input);
    }
    Ok(inputs)
}

/// What stands before the path of a file of this machine.
const FILE: char = '@';

/// One input as it was typed: `dataset:OWNER/LISTING`, with `#` and names of assets behind it, `@PATH`, else JSON,
/// else a text.
async fn given(
    context: &Context,
    name: &str,
    texts: &[&str],
    uploads: &mut Uploads<'_>,
) -> Result<InputValue, CommandError> {
    let mut files = Vec::new();
    for path in texts.iter().filter_map(|text| text.strip_prefix(FILE)) {
        let file = uploads.path(Path::new(path)).await;
        files.push(file.map_err(|error| match error {
            CommandError::Input(text) => CommandError::input(format!("input `{name}`: {text}")),
            other => other,
        })?);
    }
    match (files.as_mut_slice(), texts) {
        ([], [text]) => typed(context, text, uploads).await,
        ([one], _) => Ok(literal(&one.take())),
        _ => Ok(literal(&Value::Array(files))),
    }
}

async fn typed(
    context: &Context,
    text: &str,
    uploads: &mut Uploads<'_>,
) -> Result<InputValue, CommandError> {
    let Some(reference) = text.strip_prefix("dataset:") else {
        match serde_json::from_str(text) {
            Ok(Value::Array(_) | Value::Object(_)) => {}
            Ok(scalar) => return Ok(literal(&scalar)),
            Err(_) => return Ok(literal(&json!(text))),
        }
        // As an input object of its own, so that a File in it is seen from here.
        let object = format!("{{\"value\": {text}}}");
        let here = oc_cwl::uri_of_argument("-");
        let values = oc_cwl::parse_inputs(&object, &here, &Limits::default());
        let values = values.map_err(|error| CommandError::input(error.to_string()))?;
        let value = values.get("value").unwrap_or(&Value::Null);
        return Ok(literal(&uploads.value(value).await?));
    };
    let (listing, assets) = reference.split_once('#').unwrap_or((reference, ""));
    let (owner, listing_id) = find::listing_ref(context, listing).await?;
    let assets = assets.split(',').filter(|asset| !asset.is_empty());
    let dataset = DatasetInput {
        dataset: Some(ListingRef { owner, listing_id }),
        query: Some(DatasetQuery {
            assets: assets.map(str::to_owned).collect(),
            ..DatasetQuery::default()
        }),
    };
    let value = Some(input_value::Value::Dataset(dataset));
    Ok(InputValue { value })
}

fn literal(value: &Value) -> InputValue {
    InputValue {
        value: Some(input_value::Value::Json(value.to_string())),
    }
}

async fn value_of(
    context: &Context,
    value: Value,
    folder: Option<&Path>,
    uploads: &mut Uploads<'_>,
) -> Result<InputValue, CommandError> {
    let reference = value
        .as_object()
        .filter(|object| object.len() == 1)
        .and_then(|object| {
            let key = object.keys().next()?;
            ["json", "dataset", "file", "run_output"]
                .contains(&key.as_str())
                .then_some(())
        });
    if reference.is_none() {
        return Ok(literal(&match folder {
            Some(folder) => uploads.value_below(&value, folder).await?,
            None => uploads.value(&value).await?,
        }));
    }
    let mut input: InputValue =
        oc_service::read_json(value.to_string().as_bytes()).map_err(|problem| {
            match problem.advice {
                Some(advice) => CommandError::input(format!("{}; {advice}", problem.detail)),
                None => CommandError::input(problem.detail),
            }
        })?;
    match &mut input.value {
        Some(input_value::Value::Dataset(dataset)) => {
            if let Some(listing) = &mut dataset.dataset {
                listing.owner = find::organisation(context, &listing.owner).await?;
            }
        }
        Some(input_value::Value::File(file)) => {
            if let Some(object) = &mut file.object {
                object.owner = find::organisation(context, &object.owner).await?;
            }
        }
        _ => {}
    }
    Ok(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_given_more_than_once() {
        let typed = ["a=@x", "a=@y", "b=1"].map(str::to_owned);
        let values = by_name(&typed).unwrap();
        assert_eq!(values["a"], ["@x", "@y"]);
        for typed in [["a=1", "a=2"], ["a=@x", "a=2"], ["a=dataset:x", "a=@y"]] {
            let refused = by_name(&typed.map(str::to_owned)).unwrap_err().to_string();
            assert!(refused.contains("more than once"), "{refused}");
        }
        assert!(by_name(&["x".to_owned()]).is_err());
    }
}
