//! Files in storage of our own that an input names: each must be there as it is named, and be the caller's own
//! unless that is an operator.

use std::collections::BTreeMap;

use oc_kernel::{Name, ObjectKey, OrgId};
use oc_service::access::{Principal, Role as Access};
use oc_workflow::data::{ObjectRef, Role};
use serde_json::Value;

use super::output::first_storage;
use super::user_of;
use super::world::World;
use crate::context::Context;
use crate::documents::{KnownFile, SpecInput};
use crate::error::RunError;
use crate::files;

/// An object that a message names with its digest.
pub(super) async fn named(
    context: &Context,
    caller: &Principal,
    world: &World,
    input: &str,
    object: &ObjectRef,
    storage: Option<Name>,
) -> Result<KnownFile, RunError> {
    let wrong =
        |part: &str, text: String| RunError::invalid(format!("inputs.{input}.file.{part}"), text);
    if object.owner != world.me.org || object.role != Role::Objects {
        let text = "only files in storage of our own can be named: copy it there first";
        return Err(wrong("object", text.to_owned()));
    }
    let listing = match storage {
        Some(listing) => listing,
        None => first_storage(context, world).await?,
    };
    if !listing.as_str().starts_with(files::STORAGE) {
        let text = format!("`{listing}` is no storage of ours: write storage.NAME");
        return Err(wrong("listing_id", text));
    }
    let found = find(context, caller, input, &listing, &object.key).await?;
    let found = found.map_err(|text| wrong("object", text))?;
    if found.sha256 != object.sha256 || found.length != object.length {
        let key = &object.key;
        let text = format!("`{key}` in {listing} has other content: name it as it is there");
        return Err(wrong("object", text));
    }
    Ok(known(object.clone(), listing))
}

/// A CWL value whose Files may lie in storage of ours: with what is known of each filled in, and those files. Where
/// they may come `later`, into storage of that organisation, what the value says of them is enough.
pub(super) async fn in_value(
    context: &Context,
    caller: &Principal,
    input: &str,
    value: &Value,
    later: Option<OrgId>,
) -> Result<(Value, Vec<KnownFile>), RunError> {
    let wrong = |text: String| RunError::invalid(format!("inputs.{input}"), text);
    let mut objects = BTreeMap::new();
    let mut known_files = Vec::new();
    for location in files::locations(value) {
        if objects.contains_key(location) {
            continue;
        }
        let (listing, key) = files::stored(location)
            .ok_or_else(|| wrong(format!("`{location}` is no `oc://storage.NAME/KEY`")))?;
        let object = find(context, caller, input, &listing, &key).await?;
        let promised = later.and_then(|owner| files::promised(value, location, owner));
        let object = object.or_else(|text| promised.ok_or(text)).map_err(wrong)?;
        known_files.push(known(object.clone(), listing));
        objects.insert(location.to_owned(), object);
    }
    let value = files::settle(value, &objects).map_err(wrong)?;
    Ok((value, known_files))
}

/// Files of a run are told apart by their owner and key: the same key in two storages may not be two files of one run.
///
/// # Errors
/// When two inputs name it so.
pub(super) fn apart(inputs: &BTreeMap<String, SpecInput>) -> Result<(), RunError> {
    let mut seen: BTreeMap<String, (&str, &KnownFile)> = BTreeMap::new();
    for (name, input) in inputs {
        for file in &input.files {
            let location = files::location(&file.object);
            let (first, known) = *seen.entry(location).or_insert((name.as_str(), file));
            if known.object.sha256 != file.object.sha256 {
                let [here, there] = [file, known].map(|file| {
                    let listing = file.listing.as_ref();
                    listing.map(ToString::to_string).unwrap_or_default()
                });
                let text = format!(
                    "`{}` in {here} is another file than in {there} for input `{first}`: store one under another key",
                    file.object.key
                );
                return Err(RunError::invalid(format!("inputs.{name}"), text));
            }
        }
    }
    Ok(())
}

fn known(object: ObjectRef, listing: Name) -> KnownFile {
    KnownFile {
        object,
        listing: Some(listing),
        reservation: None,
    }
}

/// The object of a storage listing of ours, or a sentence that there is none for this caller.
async fn find(
    context: &Context,
    caller: &Principal,
    input: &str,
    listing: &Name,
    key: &ObjectKey,
) -> Result<Result<ObjectRef, String>, RunError> {
    let offer = listing.as_str();
    let offer = offer.strip_prefix(files::STORAGE).unwrap_or(offer);
    let user = user_of(caller).0;
    let user = (!Access::Operator.admits(caller)).then_some(user.as_str());
    let found = context.objects.find(offer, key.as_str(), user).await;
    let found = found.map_err(RunError::call(format!("input `{input}`: `{listing}`")))?;
    match found {
        Some(found) => files::object(&found).map(Ok),
        None => Ok(Err(format!(
            "there is no `{key}` in {listing}: upload it, or name where it lies"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use oc_kernel::{Digest, OrgId};
    use oc_workflow::data::Input;

    use super::*;

    fn input(listing: &str, content: &str) -> SpecInput {
        let object = ObjectRef {
            owner: OrgId::from_digest([1; 32]),
            role: Role::Objects,
            key: "in/a.txt".parse().unwrap(),
            sha256: Digest::of(content.as_bytes()),
            length: 3,
            media_type: String::new(),
        };
        SpecInput {
            input: Input::Value(Value::Null),
            value: Some(files::file(&object)),
            files: vec![known(object, listing.parse().unwrap())],
            list: false,
        }
    }

    #[test]
    fn one_key_with_two_contents_in_two_storages_is_refused_in_one_run() {
        let inputs = |first, second| {
            let first = ("f".to_owned(), input("storage.a", first));
            BTreeMap::from([first, ("g".to_owned(), input("storage.b", second))])
        };
        apart(&inputs("same", "same")).unwrap();
        let text = apart(&inputs("one", "two")).unwrap_err().to_string();
        assert!(
            text.contains(
                "`in/a.txt` in storage.b is another file than in storage.a for input `f`"
            ),
            "{text}"
        );
    }
}
