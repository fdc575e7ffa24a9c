//! What is offered, before anyone signed it.

use std::collections::BTreeMap;

use oc_kernel::{Name, OrgId};
use oc_trust::{Interval, Listing, ListingKind, Price, Statement, Version, Visibility};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CatalogError;

/// How long a signature holds, in ms. It is renewed at half of it.
pub(crate) const SIGNATURE_LIFE_MS: u64 = 24 * 3600 * 1000;
/// The shortest and the longest time to live, in seconds.
const TTL_SECONDS: std::ops::RangeInclusive<u32> = 1..=86_400;
const MOST_FACETS: usize = 32;
const LONGEST_FACET: usize = 256;
/// Longest body in bytes: with base64 and the rest it stays below the limit of an envelope.
const LONGEST_BODY: usize = 512 * 1024;
const MOST_VIEWERS: usize = 1000;

/// What is offered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// Its id, `<kind>.<name>`.
    pub(crate) id: Name,
    /// What it is.
    pub(crate) kind: ListingKind,
    /// Short name.
    pub(crate) name: String,
    /// One line for people.
    pub(crate) title: String,
    /// A paragraph for people.
    pub(crate) summary: String,
    /// Terms of use for people.
    pub(crate) terms: String,
    /// What it costs; none is free.
    pub(crate) price: Option<Price>,
    /// Where its data lie: west, south, east, north.
    pub(crate) bbox: Option<[f64; 4]>,
    /// When its data were taken.
    pub(crate) interval: Option<Interval>,
    /// Words to filter by.
    pub(crate) facets: BTreeMap<String, Vec<String>>,
    /// Details by kind, JSON.
    pub(crate) body: String,
    /// Who may see it.
    pub(crate) visibility: Visibility,
    /// Seconds after which it is stale unless it is renewed.
    pub(crate) ttl: u32,
}

impl Offer {
    /// Checks the rules of an offer of ours.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(crate) fn check(&self) -> Result<(), CatalogError> {
        let refuse = |text: String| Err(CatalogError::Offer(text));
        let id = self.id.as_str();
        let rest = id
            .strip_prefix(self.kind.as_str())
            .and_then(|rest| rest.strip_prefix('.'));
        if rest.is_none_or(str::is_empty) {
            return refuse(format!(
                "the id of a {kind} is `{kind}.NAME`, not `{id}`",
                kind = self.kind
            ));
        }
        if self.name.is_empty() {
            return refuse(format!("the listing `{id}` needs a name"));
        }
        if !TTL_SECONDS.contains(&self.ttl) {
            let (least, most) = (TTL_SECONDS.start(), TTL_SECONDS.end());
            return refuse(format!(
                "a listing lives {least} to {most} seconds, not {}",
                self.ttl
            ));
        }
        if self.facets.len() > MOST_FACETS {
            return refuse(format!("a listing may have {MOST_FACETS} facets"));
        }
        let mut facets = self
            .facets
            .iter()
            .flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
        if facets.any(|(key, value)| key.is_empty() || key.len() + value.len() > LONGEST_FACET) {
            return refuse(format!(
                "a facet has a key, and {LONGEST_FACET} bytes at most"
            ));
        }
        if self.body.len() > LONGEST_BODY {
            return refuse(format!(
                "the body of a listing may have {LONGEST_BODY} bytes"
            ));
        }
        if let Visibility::Orgs(orgs) = &self.visibility
            && orgs.len() > MOST_VIEWERS
        {
            return refuse(format!(
                "a listing may be shown to {MOST_VIEWERS} chosen partners"
            ));
        }
        let network = "check".parse().map_err(|reason| CatalogError::Id {
            id: "check".to_owned(),
            reason,
        })?;
        let statement =
            self.statement(OrgId::from_digest([0; 32]), network, Version::default(), 0)?;
        statement.check().map_err(CatalogError::Offer)
    }

    /// What is signed for one network.
    ///
    /// # Errors
    /// When the body is no JSON.
    pub(crate) fn statement(
        &self,
        owner: OrgId,
        network: Name,
        revision: Version,
        now_ms: u64,
    ) -> Result<Listing, CatalogError> {
        let body: Value = serde_json::from_str(&self.body)
            .map_err(|error| CatalogError::Offer(format!("the body is no JSON: {error}")))?;
        Ok(Listing {
            id: self.id.clone(),
            owner,
            network,
            kind: self.kind,
            name: self.name.clone(),
            title: self.title.clone(),
            summary: self.summary.clone(),
            revision,
            ttl: self.ttl,
            visibility: self.visibility.clone(),
            facets: self.facets.clone(),
            bbox: self.bbox,
            interval: self.interval,
            price: self.price,
            terms: self.terms.clone(),
            body,
            withdrawn: false,
            not_before: now_ms,
            not_after: now_ms + SIGNATURE_LIFE_MS,
        })
    }

    /// The note that it is gone: it says no more than its name.
    pub(crate) fn tombstone(
        &self,
        owner: OrgId,
        network: Name,
        revision: Version,
        now_ms: u64,
    ) -> Listing {
        Listing {
            id: self.id.clone(),
            owner,
            network,
            kind: self.kind,
            name: self.name.clone(),
            title: String::new(),
            summary: String::new(),
            revision,
            ttl: self.ttl,
            // Whom it goes to is decided by who saw the listing; the note itself gives nothing away.
            visibility: Visibility::Members,
            facets: BTreeMap::new(),
            bbox: None,
            interval: None,
            price: None,
            terms: String::new(),
            body: Value::Null,
            withdrawn: true,
            not_before: now_ms,
            not_after: now_ms + SIGNATURE_LIFE_MS,
        }
    }
}

/// The offer in a partner's statement.
impl From<Listing> for Offer {
    fn from(listing: Listing) -> Self {
        Self {
            id: listing.id,
            kind: listing.kind,
            name: listing.name,
            title: listing.title,
            summary: listing.summary,
            terms: listing.terms,
            price: listing.price,
            bbox: listing.bbox,
            interval: listing.interval,
            facets: listing.facets,
            body: listing.body.to_string(),
            visibility: listing.visibility,
            ttl: listing.ttl,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A dataset for tests.
    pub(crate) fn dataset(name: &str) -> Offer {
        Offer {
            id: format!("dataset.{name}").parse().unwrap(),
            kind: ListingKind::Dataset,
            name: name.to_owned(),
            title: format!("Images of {name}"),
            summary: "Sentinel-2, cut to the coast".to_owned(),
            terms: "CC BY 4.0".to_owned(),
            price: None,
            bbox: Some([-5.0, 47.0, -1.0, 49.0]),
            interval: Some(Interval {
                start: Some(1_000),
                end: Some(2_000),
            }),
            facets: BTreeMap::from([("platform".to_owned(), vec!["sentinel-2a".to_owned()])]),
            body: "{\"items\":4}".to_owned(),
            visibility: Visibility::Members,
            ttl: 60,
        }
    }

    #[test]
    fn an_offer_survives_its_statement() {
        let offer = dataset("brittany");
        offer.check().unwrap();
        let owner = OrgId::from_digest([1; 32]);
        let statement = offer
            .statement(owner, "n".parse().unwrap(), Version::default(), 5)
            .unwrap();
        assert_eq!(Offer::from(statement), offer);
    }

    #[test]
    fn a_tombstone_says_no_more_than_the_name() {
        let mut offer = dataset("secret");
        offer.visibility = Visibility::Orgs(vec![OrgId::from_digest([2; 32])]);
        let owner = OrgId::from_digest([1; 32]);
        let note = offer.tombstone(owner, "n".parse().unwrap(), Version::default(), 5);
        assert!(note.withdrawn);
        let text = serde_json::to_string(&note).unwrap();
        for hidden in ["Images", "coast", "CC BY", "sentinel", "items"] {
            assert!(!text.contains(hidden), "{hidden}");
        }
    }

    #[test]
    fn each_rule_of_an_offer_is_named_when_it_is_broken() {
        let broken = |change: fn(&mut Offer)| {
            let mut offer = dataset("a");
            change(&mut offer);
            offer.check().unwrap_err().to_string()
        };
        assert!(broken(|o| o.kind = ListingKind::Compute).contains("compute.NAME"));
        assert!(broken(|o| o.name.clear()).contains("needs a name"));
        assert!(broken(|o| o.ttl = 0).contains("1 to 86400 seconds"));
        assert!(broken(|o| o.body = "{".to_owned()).contains("no JSON"));
        assert!(broken(|o| o.body = format!("\"{}\"", "a".repeat(LONGEST_BODY))).contains("bytes"));
        assert!(broken(|o| o.bbox = Some([0.0, 9.0, 0.0, 1.0])).contains("bbox"));
        assert!(broken(|o| o.title = "t".repeat(300)).contains("title"));
        assert!(
            broken(|o| {
                o.facets.insert(String::new(), vec!["v".to_owned()]);
            })
            .contains("facet")
        );
        assert!(
            broken(|o| o.facets = (0..40).map(|n| (n.to_string(), vec![])).collect())
                .contains("32 facets")
        );
    }
}
