//! STAC item search: which images, in which order, which part of them, and where a page goes on.

use std::cmp::Ordering;
use std::sync::Arc;

use oc_kernel::PageToken;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::filter::compare;
use super::index::Place;
use super::{DataError, Found, Image, Index, Query};

/// Keys a search may sort by.
const MOST_KEYS: usize = 8;

/// One key to sort by (STAC API sort extension).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SortKey {
    /// A property, `id` or `collection`.
    pub(crate) field: String,
    /// Largest first.
    pub(crate) descending: bool,
}

/// A search.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Search {
    /// Only of these collections.
    pub(crate) collections: Option<Vec<String>>,
    /// Only of these ids.
    pub(crate) ids: Option<Vec<String>>,
    /// Place and time.
    pub(crate) query: Query,
    /// In this order, else the newest first; then by collection and id.
    pub(crate) sort: Vec<SortKey>,
    /// Images in one page.
    pub(crate) limit: usize,
    /// Where the last page ended.
    pub(crate) after: Option<Cursor>,
}

/// A page of images.
#[derive(Debug)]
pub(crate) struct SearchResult {
    /// The images.
    pub(crate) images: Vec<Arc<Found>>,
    /// How many match in all.
    pub(crate) matched: usize,
    /// Where to go on.
    pub(crate) next: Option<Cursor>,
}

/// The place in a sorted list after an image: the values it was sorted by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cursor(Vec<Value>);

impl SortKey {
    /// Reads `+field`, `-field` or `field`.
    ///
    /// # Errors
    /// When there is no field.
    pub(crate) fn parse(text: &str) -> Result<Self, DataError> {
        let (field, descending) = match text.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (text.strip_prefix('+').unwrap_or(text), false),
        };
        Self::new(field, descending)
    }

    /// A key; `properties.` in front of the field may be left out.
    ///
    /// # Errors
    /// When there is no field.
    pub(crate) fn new(field: &str, descending: bool) -> Result<Self, DataError> {
        // A plus sign in a query arrives as a space.
        let field = field.trim_start();
        let field = field.strip_prefix("properties.").unwrap_or(field);
        if field.is_empty() {
            return Err(DataError::Question("a key to sort by is empty".to_owned()));
        }
        Ok(Self {
            field: field.to_owned(),
            descending,
        })
    }
}

impl Cursor {
    /// The text to hand out.
    pub(crate) fn token(&self) -> String {
        let text = serde_json::to_string(&self.0).unwrap_or_default();
        PageToken::after(&text).as_str().to_owned()
    }

    /// Takes a text back.
    ///
    /// # Errors
    /// When it is none of ours.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, DataError> {
        let wrong =
            || DataError::Question("the token is damaged: search again without it".to_owned());
        let Some(token) = PageToken::parse(text).map_err(|_| wrong())? else {
            return Ok(None);
        };
        let text = token.key().map_err(|_| wrong())?;
        let values = serde_json::from_str(&text).map_err(|_| wrong())?;
        Ok(Some(Self(values)))
    }
}

impl Search {
    /// Runs the search. `matched` is exact. A page goes on after the last image of the one before, whatever
    /// was added or removed meanwhile.
    ///
    /// # Errors
    /// When there are too many keys, or when the cursor is of another search.
    pub(crate) fn run(&self, index: &Index) -> Result<SearchResult, DataError> {
        let keys = self.keys()?;
        if let Some(Cursor(after)) = &self.after
            && after.len() != keys.len()
        {
            return Err(other_order());
        }
        let (matched, mut page) = match self.is_by_time_alone() {
            true => self.newest(index)?,
            false => self.sorted(index, &keys),
        };
        let more = page.len() > self.limit;
        page.truncate(self.limit);
        let last = page.last().filter(|_| more);
        Ok(SearchResult {
            matched,
            next: last.map(|found| Cursor(values(&keys, &found.image))),
            images: page.into_iter().cloned().collect(),
        })
    }

    /// True where the images that match lie side by side in the order that is wanted.
    fn is_by_time_alone(&self) -> bool {
        let at_this_time = Query {
            time: self.query.time,
            ..Query::default()
        };
        self.sort.is_empty() && self.ids.is_none() && self.query == at_this_time
    }

    fn newest<'i>(&self, index: &'i Index) -> Result<(usize, Vec<&'i Arc<Found>>), DataError> {
        let after = match self.after.as_ref().map(|Cursor(after)| &after[..]) {
            None => None,
            Some(
                [
                    Value::Number(taken),
                    Value::String(dataset),
                    Value::String(id),
                ],
            ) => {
                let taken_ms = taken.as_i64().ok_or_else(other_order)?;
                Some(Place::new(taken_ms, dataset, id))
            }
            Some(_) => return Err(other_order()),
        };
        let datasets = self.collections.as_deref();
        Ok(index.newest(datasets, self.query.time, after.as_ref(), self.limit + 1))
    }

    fn sorted<'i>(&self, index: &'i Index, keys: &[SortKey]) -> (usize, Vec<&'i Arc<Found>>) {
        let mut found = index.find_in(self.collections.as_deref(), &self.query);
        if let Some(ids) = &self.ids {
            found.retain(|found| ids.iter().any(|id| id == found.image.id.as_str()));
        }
        let matched = found.len();
        let mut valued: Vec<_> = found
            .into_iter()
            .map(|found| (values(keys, &found.image), found))
            .collect();
        if let Some(Cursor(after)) = &self.after {
            valued.retain(|(values, _)| order(keys, values, after).is_gt());
        }
        let by_keys = |(a, _): &(Vec<Value>, _), (b, _): &(Vec<Value>, _)| order(keys, a, b);
        let wanted = self.limit + 1;
        if valued.len() > wanted {
            valued.select_nth_unstable_by(wanted, by_keys);
            valued.truncate(wanted);
        }
        valued.sort_unstable_by(by_keys);
        (
            matched,
            valued.into_iter().map(|(_, found)| found).collect(),
        )
    }

    /// The keys in force: they always end with collection and id, so that no two images are equal.
    fn keys(&self) -> Result<Vec<SortKey>, DataError> {
        if self.sort.len() > MOST_KEYS {
            let text = format!("a search may be sorted by {MOST_KEYS} keys");
            return Err(DataError::Question(text));
        }
        let mut keys = match self.sort.is_empty() {
            true => vec![SortKey::new("datetime", true)?],
            false => self.sort.clone(),
        };
        keys.push(SortKey::new("collection", false)?);
        keys.push(SortKey::new("id", false)?);
        Ok(keys)
    }
}

fn other_order() -> DataError {
    DataError::Question("the token belongs to a search in another order".to_owned())
}

fn values(keys: &[SortKey], image: &Image) -> Vec<Value> {
    let value = |key: &SortKey| match key.field.as_str() {
        // The item may spell its time in many ways and give a span instead.
        "datetime" => image.taken_ms.into(),
        field => image.property(field).cloned().unwrap_or(Value::Null),
    };
    keys.iter().map(value).collect()
}

fn order(keys: &[SortKey], a: &[Value], b: &[Value]) -> Ordering {
    let orders = keys.iter().zip(a.iter().zip(b)).map(|(key, (a, b))| {
        // What lacks the property comes last in either direction.
        match (rank(a), rank(b)) {
            (ra, rb) if ra != rb => ra.cmp(&rb),
            _ if key.descending => compare(b, a).unwrap_or(Ordering::Equal),
            _ => compare(a, b).unwrap_or(Ordering::Equal),
        }
    });
    orders.fold(Ordering::Equal, Ordering::then)
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) | Value::Object(_) | Value::Null => 3,
    }
}

/// Which parts of an item are wanted (STAC API fields extension 1.0.0, "Include/Exclude Semantics").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// Only these; the default ones where this and the next are empty.
    pub(crate) include: Vec<String>,
    /// Not these.
    pub(crate) exclude: Vec<String>,
}

const DEFAULT_FIELDS: [&str; 10] = [
    "type",
    "stac_version",
    "id",
    "geometry",
    "bbox",
    "links",
    "assets",
    "properties.datetime",
    "properties.start_datetime",
    "properties.end_datetime",
];
/// Fields of an item itself; any other name is one of its properties.
const TOP_FIELDS: [&str; 9] = [
    "type",
    "stac_version",
    "stac_extensions",
    "id",
    "geometry",
    "bbox",
    "properties",
    "links",
    "collection",
];

impl Fields {
    /// Reads `id,properties.datetime,-geometry`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut fields = Self::default();
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            match name.strip_prefix('-') {
                Some(name) => fields.exclude.push(name.to_owned()),
                None => {
                    let name = name.strip_prefix('+').unwrap_or(name);
                    fields.include.push(name.to_owned());
                }
            }
        }
        fields
    }

    /// The wanted parts of an item.
    pub(crate) fn apply(&self, item: Map<String, Value>) -> Map<String, Value> {
        let mut wanted = match (&self.include[..], &self.exclude[..]) {
            ([], []) => pick(&item, DEFAULT_FIELDS.into_iter()),
            ([], _) => item,
            (include, _) => pick(&item, include.iter().map(String::as_str)),
        };
        for name in &self.exclude {
            let path = path(name);
            remove(&mut wanted, &path);
        }
        wanted
    }
}

/// The steps to a field: `properties.a`, or `a` for a property without its prefix.
fn path(name: &str) -> Vec<&str> {
    let (first, rest) = name.split_once('.').unwrap_or((name, ""));
    match first {
        "assets" if rest.is_empty() => vec![first],
        // Names of properties hold colons and, rarely, dots: they are one step.
        "properties" | "assets" if !rest.is_empty() => vec![first, rest],
        _ if TOP_FIELDS.contains(&name) => vec![name],
        _ => vec!["properties", name],
    }
}

fn pick<'n>(item: &Map<String, Value>, names: impl Iterator<Item = &'n str>) -> Map<String, Value> {
    let mut picked = Map::new();
    for name in names {
        match path(name)[..] {
            [first, second] => {
                let value = item.get(first).and_then(|outer| outer.get(second));
                let outer = picked.entry(first).or_insert_with(|| Map::new().into());
                if let (Some(value), Some(outer)) = (value, outer.as_object_mut()) {
                    outer.insert(second.to_owned(), value.clone());
                }
            }
            [first, ..] => {
                if let Some(value) = item.get(first) {
                    picked.insert(first.to_owned(), value.clone());
                }
            }
            [] => {}
        }
    }
    picked
}

fn remove(item: &mut Map<String, Value>, path: &[&str]) {
    match path {
        [only] => {
            item.shift_remove(*only);
        }
        [first, rest @ ..] => {
            if let Some(inner) = item.get_mut(*first).and_then(Value::as_object_mut) {
                remove(inner, rest);
            }
        }
        [] => {}
    }
}

#[cfg(test)]
mod tests;
