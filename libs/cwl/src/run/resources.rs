//! What a tool asks for, evaluated, and the `runtime` object.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::scope::Scope;
use crate::expression::Context;
use crate::{Dynamic, RequirementKind, Reservation, Resources, RunError};

/// Values where a document says nothing (CWL v1.2, ResourceRequirement).
const DEFAULTS: Reservation = Reservation {
    cores: 1.0,
    ram: 256.0,
    tmpdir: 1024.0,
    outdir: 1024.0,
};

/// The resources to reserve for a tool.
pub(super) fn reservation(
    scope: &Scope<'_>,
    context: Context<'_>,
) -> Result<Reservation, RunError> {
    let Some(bounds) = scope.find(|kind| match kind {
        RequirementKind::Resource(bounds) => Some(bounds),
        _ => None,
    }) else {
        return Ok(DEFAULTS);
    };
    let Resources {
        cores_min,
        cores_max,
        ram_min,
        ram_max,
        tmpdir_min,
        tmpdir_max,
        outdir_min,
        outdir_max,
    } = bounds;
    let pick = |name, least, most, default| amount(context, name, least, most, default);
    Ok(Reservation {
        cores: pick("cores", cores_min, cores_max, DEFAULTS.cores)?,
        ram: pick("ram", ram_min, ram_max, DEFAULTS.ram)?,
        tmpdir: pick("tmpdir", tmpdir_min, tmpdir_max, DEFAULTS.tmpdir)?,
        outdir: pick("outdir", outdir_min, outdir_max, DEFAULTS.outdir)?,
    })
}

/// The lower bound, else what the upper bound allows.
fn amount(
    context: Context<'_>,
    name: &str,
    least: &Option<Dynamic>,
    most: &Option<Dynamic>,
    default: f64,
) -> Result<f64, RunError> {
    let least = least
        .as_ref()
        .map(|value| number(context, name, value))
        .transpose()?;
    let most = most
        .as_ref()
        .map(|value| number(context, name, value))
        .transpose()?;
    if let (Some(least), Some(most)) = (least, most)
        && least > most
    {
        return Err(RunError::Input(format!(
            "ResourceRequirement: {name}Min {least} is more than {name}Max {most}"
        )));
    }
    Ok(least.or(most).unwrap_or(default))
}

fn number(context: Context<'_>, name: &str, value: &Dynamic) -> Result<f64, RunError> {
    let value = dynamic(context, value)?;
    value
        .as_f64()
        .filter(|number| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| {
            RunError::Input(format!(
                "ResourceRequirement: {name} must be a number, not {value}"
            ))
        })
}

/// The value, evaluated where it is an expression.
pub(super) fn dynamic(context: Context<'_>, value: &Dynamic) -> Result<Value, RunError> {
    match value {
        Dynamic::Value(value) => Ok(value.clone()),
        Dynamic::Expression(text) => context.evaluate(text),
    }
}

/// The `runtime` object (section 3.5.2). Sizes and cores are whole numbers, rounded up.
pub(super) fn runtime(reservation: &Reservation, outdir: &Path, tmpdir: &Path) -> Value {
    json!({
        "outdir": outdir.to_string_lossy(),
        "tmpdir": tmpdir.to_string_lossy(),
        "cores": up(reservation.cores).max(1),
        "ram": up(reservation.ram),
        "outdirSize": up(reservation.outdir),
        "tmpdirSize": up(reservation.tmpdir),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "amounts are finite and not negative; a float casts to the nearest bound"
)]
fn up(amount: f64) -> u64 {
    amount.ceil() as u64
}

/// How long the tool may run; none for ever.
pub(super) fn time_limit(
    scope: &Scope<'_>,
    context: Context<'_>,
) -> Result<Option<Duration>, RunError> {
    let Some(limit) = scope.find(|kind| match kind {
        RequirementKind::ToolTimeLimit(limit) => Some(limit),
        _ => None,
    }) else {
        return Ok(None);
    };
    let value = dynamic(context, limit)?;
    match value.as_f64() {
        Some(0.0) => Ok(None),
        Some(seconds) if seconds > 0.0 => Ok(Duration::try_from_secs_f64(seconds).ok()),
        _ => Err(RunError::Input(format!(
            "ToolTimeLimit must be a number of seconds that is not negative, not {value}"
        ))),
    }
}

/// Whether the tool requires the network; a hint only says that it may use it.
pub(super) fn network(scope: &Scope<'_>, context: Context<'_>) -> Result<bool, RunError> {
    let Some(access) = scope.required(|kind| match kind {
        RequirementKind::NetworkAccess(access) => Some(access),
        _ => None,
    }) else {
        return Ok(false);
    };
    dynamic(context, access)?
        .as_bool()
        .ok_or_else(|| RunError::Input("NetworkAccess must be true or false".to_owned()))
}
