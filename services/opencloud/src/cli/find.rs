//! Finds organisations and listings by what people type.

use oc_kernel::OrgId;
use oc_proto::catalog::v1::Listing;
use oc_proto::discovery::v1::PeerState;

use super::ids::ShortIds;
use super::typed::quoted;
use super::{CommandError, Context};

/// Fewer digits than this name no organisation.
const FEWEST: usize = 6;

/// An organisation that this node knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    org_id: String,
    name: String,
    blocked: bool,
}

/// An organisation by its id, the begin of its id, or its name. Names are not proven, so a name that two
/// organisations use is refused; those that are blocked count only where no other is meant.
pub(crate) async fn organisation(context: &Context, text: &str) -> Result<String, CommandError> {
    if text.parse::<OrgId>().is_ok() {
        return Ok(text.to_owned());
    }
    let known = known(context).await?;
    one_of(&known, |known| !known.blocked, text).map(|known| known.org_id.clone())
}

/// The same, where a block is to be lifted: those that are blocked come first.
pub(crate) async fn blocked(context: &Context, text: &str) -> Result<String, CommandError> {
    if text.parse::<OrgId>().is_ok() {
        return Ok(text.to_owned());
    }
    let known = known(context).await?;
    one_of(&known, |known| known.blocked, text).map(|known| known.org_id.clone())
}

/// An organisation whose things we mean to use: one that we blocked gives and lists nothing.
pub(crate) async fn usable(context: &Context, text: &str) -> Result<String, CommandError> {
    let known = known(context).await?;
    let found = match known.iter().find(|known| known.org_id == text) {
        Some(found) => found,
        None if text.parse::<OrgId>().is_ok() => return Ok(text.to_owned()),
        None => one_of(&known, |known| !known.blocked, text)?,
    };
    match found.blocked {
        true => Err(CommandError::input(format!(
            "you blocked {}: `opencloud peers unblock {}` lifts that",
            found.name,
            quoted(text)
        ))),
        false => Ok(found.org_id.clone()),
    }
}

async fn known(context: &Context) -> Result<Vec<Known>, CommandError> {
    let own = context.client.discovery().identity().await?;
    let peers = context.client.discovery().peers().await?;
    let mut known = vec![Known {
        org_id: own.org_id,
        name: own.name,
        blocked: false,
    }];
    let peers = peers.into_iter().filter(|peer| !peer.org_id.is_empty());
    known.extend(peers.map(|peer| Known {
        blocked: peer.state == i32::from(PeerState::Blocked),
        org_id: peer.org_id,
        name: peer.name,
    }));
    known.sort();
    known.dedup_by(|a, b| a.org_id == b.org_id);
    Ok(known)
}

/// The one that `text` names; where it names several, the one of them that is `likelier`.
fn one_of<'a>(
    known: &'a [Known],
    likelier: impl Fn(&Known) -> bool,
    text: &str,
) -> Result<&'a Known, CommandError> {
    let digits = text.strip_prefix("org-").unwrap_or(text);
    let begins = |id: &str| {
        let id = id.strip_prefix("org-");
        !digits.is_empty() && id.is_some_and(|id| id.starts_with(digits))
    };
    let named = |known: &Known| known.name.eq_ignore_ascii_case(text);
    let long_enough = digits.len() >= FEWEST;
    let mut found: Vec<_> = known
        .iter()
        .filter(|known| named(known) || (long_enough && begins(&known.org_id)))
        .collect();
    if found.iter().any(|known| likelier(known)) {
        found.retain(|known| likelier(known));
    }
    match found.as_slice() {
        [known] => Ok(known),
        [] if known.iter().any(|known| begins(&known.org_id)) => Err(CommandError::input(format!(
            "`{text}` is too short for an id: write {FEWEST} or more of its digits"
        ))),
        [] => {
            let names: Vec<_> = known.iter().map(|known| known.name.as_str()).collect();
            Err(CommandError::Missing(format!(
                "no organisation `{text}` is known here; there are: {}",
                names.join(", ")
            )))
        }
        several => {
            let ids = ShortIds::of(several.iter().map(|known| known.org_id.as_str()));
            let digits = |id: &str| ids.show(id).trim_start_matches("org-").to_owned();
            let ids: Vec<_> = several
                .iter()
                .map(|known| format!("`{}`", digits(&known.org_id)))
                .collect();
            Err(CommandError::input(format!(
                "`{text}` is not one organisation: write {} in its place; `opencloud peers` shows who has which id",
                ids.join(" or ")
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
        Some((owner, listing)) => Ok((usable(context, owner).await?, listing.to_owned())),
        None => Ok((
            context.client.discovery().identity().await?.org_id,
            text.to_owned(),
        )),
    }
}

/// As [`listing_ref`] for storage, whose offer may be named as well as its listing: `results` is `storage.results`.
pub(crate) async fn storage_ref(
    context: &Context,
    text: &str,
) -> Result<(String, String), CommandError> {
    let (owner, name) = listing_ref(context, text).await?;
    Ok((owner, format!("{STORAGE}{}", storage_name(&name))))
}

/// What the listings of storage begin with, before the name of the offer.
const STORAGE: &str = "storage.";

/// The name of a storage offer, also where its listing or `OWNER/LISTING` was typed.
pub(crate) fn storage_name(text: &str) -> &str {
    let listing = text.rsplit('/').next().unwrap_or(text);
    listing.strip_prefix(STORAGE).unwrap_or(listing)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn known(byte: u8, name: &str, blocked: bool) -> Known {
        Known {
            org_id: OrgId::from_digest([byte; 32]).to_string(),
            name: name.to_owned(),
            blocked,
        }
    }

    fn found(known: &[Known], text: &str) -> Result<String, String> {
        one_of(known, |known| !known.blocked, text)
            .map(|known| known.org_id.clone())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_of_two_is_refused_with_what_to_write_instead() {
        let known = [
            known(1, "North", false),
            known(2, "South", false),
            known(3, "south", false),
        ];
        assert_eq!(found(&known, "North").unwrap(), known[0].org_id);
        let refused = found(&known, "South").unwrap_err();
        assert!(
            refused.contains("write `02020202` or `03030303`"),
            "{refused}"
        );
        assert_eq!(found(&known, "03030303").unwrap(), known[2].org_id);
        assert!(
            found(&known, "East")
                .unwrap_err()
                .contains("no organisation")
        );
    }

    #[test]
    fn storage_is_named_by_its_offer_or_its_listing() {
        for text in [
            "results",
            "storage.results",
            "North/storage.results",
            "North/results",
        ] {
            assert_eq!(storage_name(text), "results", "{text}");
        }
    }

    #[test]
    fn an_id_that_is_cut_too_short_says_how_much_of_it_is_taken() {
        let known = [known(0x2a, "South", false), known(0xbf, "North", false)];
        assert_eq!(found(&known, "2a2a2a").unwrap(), known[0].org_id);
        for short in ["2a2a", "org-2a2a2"] {
            let refused = found(&known, short).unwrap_err();
            assert!(refused.contains("write 6 or more"), "{refused}");
        }
    }

    #[test]
    fn one_that_is_blocked_takes_no_name_from_another() {
        let known = [
            known(2, "South", false),
            known(3, "South", true),
            known(4, "West", true),
        ];
        assert_eq!(found(&known, "South").unwrap(), known[0].org_id);
        assert_eq!(found(&known, "West").unwrap(), known[2].org_id);
        let lifted = one_of(&known, |known| known.blocked, "South").unwrap();
        assert_eq!(lifted.org_id, known[1].org_id);
    }
}
