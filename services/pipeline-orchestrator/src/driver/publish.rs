//! Signing what the attempts that count have left.

use std::collections::BTreeMap;

use oc_trust::{Artefact, Manifest, seal};
use oc_workflow::run::{AttemptRef, attempt_id, fragment_id};

use super::failure::CallFailure;
use super::perform::{Task, Told};
use crate::documents::Published;

/// How long a manifest can be shown.
const MANIFEST_MS: u64 = 10 * 365 * 24 * 3_600 * 1000;

/// Signs what the attempts that count have left.
pub(super) async fn publish(task: &Task) -> Result<Vec<Told>, CallFailure> {
    let document = &task.document;
    let outputs = document.outputs()?;
    let known = document.known_files();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in outputs.as_object().into_iter().flatten() {
        for location in crate::files::locations(value) {
            names
                .entry(location.to_owned())
                .or_insert_with(|| name.clone());
        }
    }
    let network = network(task).await?;
    let now = task.context.clock.now_ms();
    let mut manifests = Vec::new();
    for (index, fragment) in document.run.fragments().iter().enumerate() {
        let Some((attempt, result)) = fragment
            .counting()
            .and_then(|it| Some((it, it.result.as_ref()?)))
        else {
            continue;
        };
        let at = AttemptRef {
            fragment: u32::try_from(index).unwrap_or(u32::MAX),
            attempt: attempt.number,
        };
        let artefacts = result.objects.iter().map(|object| {
            let location = crate::files::location(object);
            let inner = object.key.file_name().to_owned();
            Artefact {
                name: names.get(&location).cloned().unwrap_or(inner),
                owner: object.owner,
                object: object.key.clone(),
                bytes: object.length,
                sha256: object.sha256,
                media_type: object.media_type.clone(),
            }
        });
        let manifest = Manifest {
            network: network.clone(),
            run: task.run(),
            fragment: fragment_id(task.run(), at.fragment),
            attempt: attempt_id(task.run(), at),
            outputs: artefacts.collect(),
            not_before: now,
            not_after: now + MANIFEST_MS,
        };
        let sealed = seal(&task.context.door, manifest).await?;
        manifests.push(String::from_utf8_lossy(sealed.bytes()).into_owned());
    }
    if crate::files::locations(&outputs)
        .iter()
        .any(|location| !known.contains_key(*location))
    {
        return Err(CallFailure::defect(
            "an output names a file that no attempt has left",
        ));
    }
    Ok(vec![Told::Published(Published { outputs, manifests })])
}

/// The network of the run's grants; a name that is none where all of it is ours.
async fn network(task: &Task) -> Result<oc_kernel::Name, CallFailure> {
    let places = task
        .document
        .run
        .fragments()
        .iter()
        .map(|fragment| fragment.place());
    let mut grants = places
        .filter_map(|place| place.grant)
        .map(|grant| grant.to_string());
    let used = grants
        .next()
        .or_else(|| task.document.spec.grants.values().next().cloned());
    let known = match &used {
        Some(_) => task.context.grants.all().await?,
        None => Vec::new(),
    };
    let grant = known
        .iter()
        .find(|grant| Some(&grant.grant_id) == used.as_ref());
    let network = grant.map_or("own", |grant| grant.network_id.as_str());
    network.parse().map_err(CallFailure::defect)
}
