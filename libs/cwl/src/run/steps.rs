//! One step of a workflow: its inputs and its condition.

use serde_json::Value;

use super::files::{self, Object, each_outermost};
use super::shared::Shared;
use crate::expression::{Context, Scripts};
use crate::{Reference, RunError, Step};

/// Whether a step runs, and with what.
pub(super) enum Decision {
    /// With these inputs.
    Run(Object),
    /// Its condition does not hold.
    Skip,
}

/// The inputs of a step from its links and defaults, before scatter and `valueFrom`.
pub(super) fn gather<'v>(
    step: &Step,
    value_of: impl Fn(&Reference) -> Option<&'v Value>,
    shared: &Shared<'_>,
) -> Result<Object, RunError> {
    let mut inputs = Object::new();
    for input in &step.inputs {
        let fault = |reason: String| RunError::Input(format!("input `{}`: {reason}", input.id));
        let mut value = input.links.gather(&value_of).map_err(fault)?;
        if value.is_null() {
            value = input.default.clone().unwrap_or(Value::Null);
        }
        each_outermost(&mut value, &mut |object| {
            files::complete(object, &shared.guard)?;
            if input.load_contents {
                files::load_contents(object)?;
            }
            if let Some(how) = input.load_listing
                && files::text(object, "class") == Some("Directory")
            {
                files::load_listing(object, how, &shared.guard)?;
            }
            Ok(())
        })?;
        inputs.insert(input.id.clone(), value);
    }
    Ok(inputs)
}

/// Evaluates `valueFrom` of each input, all of which see the inputs as they were before, and then the
/// condition (CWL v1.2, Workflow, section 4.2.2).
pub(super) fn decide(
    step: &Step,
    inputs: Object,
    scripts: &Scripts<'_>,
) -> Result<Decision, RunError> {
    let before = Value::Object(inputs);
    let runtime = Value::Object(Object::new());
    let context = Context {
        scripts,
        inputs: &before,
        own: &Value::Null,
        runtime: &runtime,
    };
    let mut after = Object::new();
    for input in &step.inputs {
        let value = before.get(&input.id).unwrap_or(&Value::Null);
        let value = match &input.value_from {
            Some(text) => context.with_self(value).evaluate(text)?,
            None => value.clone(),
        };
        after.insert(input.id.clone(), value);
    }
    let Some(condition) = &step.when else {
        return Ok(Decision::Run(after));
    };
    let after = Value::Object(after);
    let context = Context {
        inputs: &after,
        ..context
    };
    match context.evaluate(condition)? {
        Value::Bool(true) => match after {
            Value::Object(inputs) => Ok(Decision::Run(inputs)),
            _ => Ok(Decision::Skip),
        },
        Value::Bool(false) => Ok(Decision::Skip),
        other => Err(RunError::Input(format!(
            "`when` must be true or false, not {other}"
        ))),
    }
}
