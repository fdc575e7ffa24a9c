//! The inputs of a run as people write them in a file.

use std::collections::BTreeMap;
use std::path::Path;

use oc_proto::pipeline::v1::{InputValue, input_value};
use serde_json::Value;

use super::{CommandError, Context, find, service};

/// Reads a file of inputs: by name either a CWL value, or one of `{"dataset": ..}`, `{"file": ..}`,
/// `{"run_output": ..}` as `oc.pipeline.v1.InputValue` says. Owners may be names of organisations.
pub(crate) async fn read(
    context: &Context,
    path: Option<&Path>,
) -> Result<BTreeMap<String, InputValue>, CommandError> {
    let Some(path) = path else {
        return Ok(BTreeMap::new());
    };
    let text = service::read(path)?;
    let wrong = |what: String| CommandError::input(format!("{}: {what}", path.display()));
    let values: BTreeMap<String, Value> = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("is no JSON object of inputs: {error}")))?;
    let mut inputs = BTreeMap::new();
    for (name, value) in values {
        let input = value_of(context, value)
            .await
            .map_err(|error| match error {
                CommandError::Input(text) => wrong(format!("input `{name}`: {text}")),
                other => other,
            })?;
        inputs.insert(name, input);
    }
    Ok(inputs)
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
        serde_json::from_value(value).map_err(|error| CommandError::input(error.to_string()))?;
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
