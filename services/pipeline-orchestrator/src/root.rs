//! What a chain of delegations begins with: a grant that a partner gave us, as both signed it.

use oc_kernel::Digest;
use oc_proto::compute::v1::Grant as GrantMessage;
use oc_trust::{Envelope, Grant, Unverified};

use crate::driver::CallFailure;

/// A grant of ours in its signed form.
pub(crate) struct Root {
    pub(crate) envelope: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) claim: Grant,
}

/// The grant with this id, where it is in force.
pub(crate) fn granted(grants: &[GrantMessage], id: &str) -> Result<Root, CallFailure> {
    let found = grants.iter().find(|grant| grant.grant_id == id);
    let found = found.ok_or_else(|| CallFailure::no_grant(format!("grant {id} is not here")))?;
    if found.state() != oc_proto::federation::v1::GrantState::Active {
        let why = found.cause.clone().unwrap_or_default().text;
        return Err(CallFailure::no_grant(format!(
            "grant {id} is no longer in force: {why}"
        )));
    }
    let envelope = found.envelope.clone();
    let parsed = Unverified::<Grant>::parse(&envelope).map_err(CallFailure::defect)?;
    let digest = Envelope::from_json(&envelope)
        .map_err(CallFailure::defect)?
        .digest();
    Ok(Root {
        digest,
        claim: parsed.claim().clone(),
        envelope,
    })
}
