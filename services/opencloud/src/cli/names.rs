//! Names of organisations for people, who do not read 64 digits.

use std::collections::BTreeMap;

use oc_kernel::OrgId;
use oc_proto::catalog::v1::Listing;

use super::{Context, find};

/// How long an OrgId is in text: `org-` and 64 digits.
const ORG_ID: usize = 68;

/// The organisations that this node knows, by OrgId. Names are not proven.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<String, String>);

impl Names {
    /// Those of this node and its peers; none where the node does not say, since a name is only a convenience.
    pub(crate) async fn of(context: &Context) -> Self {
        let mut names = BTreeMap::new();
        if let Ok(own) = context.client.discovery().identity().await {
            names.insert(own.org_id, own.name);
        }
        for peer in context.client.discovery().peers().await.unwrap_or_default() {
            names.insert(peer.org_id, peer.name);
        }
        names.retain(|org, name| !org.is_empty() && !name.is_empty());
        Self(names)
    }

    /// These, and owners by the names that their listings bear: a listing outlives the sight of its owner.
    pub(crate) fn with_owners(mut self, listings: &[Listing]) -> Self {
        for listing in listings.iter().filter(|it| !it.owner_name.is_empty()) {
            let known = self.0.entry(listing.owner.clone());
            known.or_insert_with(|| listing.owner_name.clone());
        }
        self
    }

    /// The name; with the begin of the id where another has the same name or one that looks the same, and that alone
    /// without a name.
    pub(crate) fn show(&self, org_id: &str) -> String {
        let short = find::short(org_id);
        match self.0.get(org_id) {
            Some(name) if self.is_shared(name) => format!("{name} ({short})"),
            Some(name) => name.clone(),
            None => short,
        }
    }

    fn is_shared(&self, name: &str) -> bool {
        let skeleton = oc_kernel::skeleton(name);
        let same = self.0.values();
        let same = same.filter(|it| oc_kernel::skeleton(it) == skeleton);
        same.count() > 1
    }

    /// A text with names in place of OrgIds.
    pub(crate) fn in_text(&self, text: &str) -> String {
        let mut shown = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("org-") {
            let (before, from) = rest.split_at(at);
            shown.push_str(before);
            let id = from.get(..ORG_ID).filter(|id| id.parse::<OrgId>().is_ok());
            let length = match id {
                Some(id) => {
                    shown.push_str(&self.show(id));
                    ORG_ID
                }
                None => {
                    shown.push_str("org-");
                    "org-".len()
                }
            };
            rest = &from[length..];
        }
        shown.push_str(rest);
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn org(byte: u8) -> String {
        OrgId::from_digest([byte; 32]).to_string()
    }

    #[test]
    fn errors_name_partners_as_people_know_them() {
        let names = [(1, "North"), (2, "South"), (3, "South")];
        let names = Names(names.map(|(id, name)| (org(id), name.to_owned())).into());
        let text = format!(
            "{}: `{}` lists no org-chart; ask {}",
            org(1),
            org(2),
            org(9)
        );
        assert_eq!(
            names.in_text(&text),
            "North: `South (02020202)` lists no org-chart; ask 09090909"
        );
        assert_eq!(names.in_text("org-é"), "org-é");
    }

    #[test]
    fn names_that_look_the_same_are_told_apart_by_their_ids() {
        let names = [(2, "South"), (3, "S\u{43e}uth"), (4, "North")];
        let names = Names(names.map(|(id, name)| (org(id), name.to_owned())).into());
        assert_eq!(names.show(&org(2)), "South (02020202)");
        assert_eq!(names.show(&org(3)), "S\u{43e}uth (03030303)");
        assert_eq!(names.show(&org(4)), "North");
    }

    #[test]
    fn a_listing_of_someone_with_the_same_name_is_told_by_its_owners_id() {
        let names = Names([(org(2), "South".to_owned())].into());
        let listing = Listing {
            owner: org(3),
            owner_name: "SOUTH".to_owned(),
            ..Listing::default()
        };
        assert_eq!(names.show(&org(2)), "South");
        let names = names.with_owners(&[listing]);
        assert_eq!(names.show(&org(2)), "South (02020202)");
        assert_eq!(names.show(&org(3)), "SOUTH (03030303)");
    }
}
