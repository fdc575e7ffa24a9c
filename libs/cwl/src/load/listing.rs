//! The listing of InitialWorkDirRequirement.

use super::fields::DIRENT;
use super::files::resolve_locations;
use super::loader::{Loader, Scope};
use super::reading::Trail;
use crate::expression::is_dynamic;
use crate::syntax::Node;
use crate::{Listing, ListingItem, Text};

impl Loader<'_> {
    pub(super) fn listing(
        &mut self,
        body: &Node,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<Listing> {
        let Some(listing) = body.get("listing") else {
            self.error(body.mark, trail, "`listing` is missing");
            return None;
        };
        let trail = trail.at("listing");
        if let Some(text) = listing.as_text() {
            let text = self.expression_text(text, listing.mark, scope);
            return Some(Listing::Expression(text));
        }
        let mut items = Vec::new();
        for item in listing.each() {
            if let Some(item) = self.listing_item(item, scope, &trail) {
                items.push(item);
            }
        }
        Some(Listing::Items(items))
    }

    fn listing_item(
        &mut self,
        node: &Node,
        scope: &Scope,
        trail: &Trail<'_>,
    ) -> Option<ListingItem> {
        if let Some(text) = node.as_text() {
            let text: Text = self.expression_text(text, node.mark, scope);
            return Some(ListingItem::Expression(text));
        }
        let is_dirent = node
            .as_map()
            .is_some_and(|map| map.contains_key("entry") || map.contains_key("entryname"));
        if !is_dirent {
            if node.is_null() {
                return None;
            }
            let mut value = node.to_value();
            resolve_locations(&mut value, self.base(node.mark));
            return Some(ListingItem::Object(value));
        }
        self.object(node, "a Dirent", &[DIRENT], scope.version, trail)?;
        let Some(entry) = self.text(node, "entry", scope, trail) else {
            if node.get("entry").is_none() {
                self.error(node.mark, trail, "a Dirent needs `entry`");
            }
            return None;
        };
        let name = self.text(node, "entryname", scope, trail);
        if let Some(name) = &name
            && !is_dynamic(&name.text)
            && name.text.split('/').any(|part| part == "..")
        {
            let message = format!("`{}` leaves the work folder", name.text);
            self.error(name.mark, &trail.at("entryname"), message);
        }
        Some(ListingItem::Entry {
            name,
            entry,
            writable: self.boolean(node, "writable", false, trail),
        })
    }
}
