//! The inputs of a run as people write them, in a file and one by one.

use std::collections::BTreeMap;
use std::path::Path;

use oc_proto::pipeline::v1::{DatasetInput, InputValue, ListingRef, input_value};
use oc_proto::types::v1::DatasetQuery;
use serde_json::Value;

use super::query::QueryArguments;
use super::{CommandError, Context, find, service};

/// The inputs of a run: those in a file, by name either a CWL value, or one of `{"dataset": ..}`, `{"file": ..}`,
/// `{"run_output": ..}` as `oc.pipeline.v1.InputValue` says; then those given one by one. Owners may be names of
/// organisations. `query` completes each input that is a dataset.
pub(crate) async fn read(
    context: &Context,
    file: Option<&Path>,
    single: &[String],
    query: &QueryArguments,
) -> Result<BTreeMap<String, InputValue>, CommandError> {
    let mut inputs = match file {
        Some(path) => from_file(context, path).await?,
        None => BTreeMap::new(),
    };
    for text in single {
        let (name, value) = given(context, text).await?;
        inputs.insert(name, value);
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

async fn from_file(
    context: &Context,
    path: &Path,
) -> Result<BTreeMap<String, InputValue>, CommandError> {
    let text = service::read(path)?;
    let wrong = |what: String| CommandError::input(format!("{}: {what}", path.display()));
    let values: BTreeMap<String, Value> = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("is no JSON object of inputs: {error}")))?;
    let mut inputs = BTreeMap::new();
    for (name, value) in values {
        let input = value_of(context, value)
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

/// `NAME=VALUE`, where the value is `dataset:OWNER/LISTING`, with `#` and names of assets behind it, else JSON, else
/// a text.
async fn given(context: &Context, text: &str) -> Result<(String, InputValue), CommandError> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| CommandError::input(format!("`{text}` is no input: write NAME=VALUE")))?;
    let Some(reference) = value.strip_prefix("dataset:") else {
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        let json = input_value::Value::Json(value.to_string());
        return Ok((name.to_owned(), InputValue { value: Some(json) }));
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
    Ok((name.to_owned(), InputValue { value }))
}

async fn value_of(context: &Context, value: Value) -> Result<InputValue, CommandError> {
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
        return Ok(InputValue {
            value: Some(input_value::Value::Json(value.to_string())),
        });
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
