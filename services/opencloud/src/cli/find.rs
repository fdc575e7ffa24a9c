//! Finds organisations and listings by what people type.

use oc_kernel::OrgId;
use oc_proto::catalog::v1::Listing;

use super::{CommandError, Context};

/// An organisation by its id, the begin of its id, or its name. Names are not proven, so a name that two
/// organisations use is refused.
pub(crate) async fn organisation(context: &Context, text: &str) -> Result<String, CommandError> {
    if text.parse::<OrgId>().is_ok() {
        return Ok(text.to_owned());
    }
    let own = context.client.discovery().identity().await?;
    let peers = context.client.discovery().peers().await?;
    let mut known: Vec<(String, String)> = vec![(own.org_id, own.name)];
    known.extend(
        peers
            .into_iter()
            .filter(|p| !p.org_id.is_empty())
            .map(|p| (p.org_id, p.name)),
    );
    known.sort();
    known.dedup();
    let digits = text.strip_prefix("org-").unwrap_or(text);
    let begins = |id: &str| {
        digits.len() >= 6
            && id
                .strip_prefix("org-")
                .is_some_and(|id| id.starts_with(digits))
    };
    let found: Vec<_> = known
        .iter()
        .filter(|(id, name)| name.eq_ignore_ascii_case(text) || begins(id))
        .collect();
    match found.as_slice() {
        [(id, _)] => Ok(id.clone()),
        [] => {
            let names: Vec<_> = known.iter().map(|(_, name)| name.as_str()).collect();
            Err(CommandError::Missing(format!(
                "no organisation `{text}` is known here; there are: {}",
                names.join(", ")
            )))
        }
        several => {
            let ids: Vec<_> = several.iter().map(|(id, _)| id.as_str()).collect();
            Err(CommandError::input(format!(
                "`{text}` is not one organisation: {}",
                ids.join(", ")
            )))
        }
    }
}

/// Splits `OWNER/LISTING` and finds the owner; without an owner it is our own.
pub(crate) async fn listing_ref(
    context: &Context,
    text: &str,
) -> Result<(String, String), CommandError> {
    match text.split_once('/') {
        Some((owner, listing)) => Ok((organisation(context, owner).await?, listing.to_owned())),
        None => Ok((
            context.client.discovery().identity().await?.org_id,
            text.to_owned(),
        )),
    }
}

/// The listing that `OWNER/LISTING` names.
pub(crate) async fn listing(context: &Context, text: &str) -> Result<Listing, CommandError> {
    let (owner, listing) = listing_ref(context, text).await?;
    let answer = context.client.catalog().listing(&owner, &listing).await?;
    Ok(answer.listing.unwrap_or_default())
}

/// The first eight digits of an OrgId, as tables show it.
pub(crate) fn short(org_id: &str) -> String {
    org_id
        .parse::<OrgId>()
        .map_or_else(|_| org_id.to_owned(), |org| org.short())
}
