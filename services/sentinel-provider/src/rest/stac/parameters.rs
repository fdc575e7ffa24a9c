//! What a search may be asked, as parameters of a GET and as the body of a POST.

use oc_kernel::PageRequest;
use oc_service::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::bad;
use crate::domain::{Cursor, DataError, Fields, Geometry, Query, Search, SortKey, parse_interval};

/// Images in a page unless asked otherwise.
const PAGE: u32 = 10;
/// Ids or collections that a search may name.
const MOST_NAMES: usize = 1000;

/// The parameters of the images of a dataset.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ItemsParameters {
    /// West, south, east, north in degrees, with commas; with heights six numbers
    bbox: Option<String>,
    /// A time (RFC 3339), or two joined by `/`, of which one may be `..`
    datetime: Option<String>,
    /// Images in a page, 1 to 1000
    limit: Option<String>,
    /// Properties to sort by, with commas, each with `+` or `-` in front
    sortby: Option<String>,
    /// Parts of an item that are wanted, with commas, or not, with `-` in front
    fields: Option<String>,
    /// Where the last page ended
    token: Option<String>,
}

/// The parameters of a search.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchParameters {
    /// West, south, east, north in degrees, with commas; with heights six numbers
    bbox: Option<String>,
    /// A GeoJSON geometry, instead of `bbox`
    intersects: Option<String>,
    /// A time (RFC 3339), or two joined by `/`, of which one may be `..`
    datetime: Option<String>,
    /// Ids of images, with commas
    ids: Option<String>,
    /// Datasets, with commas
    collections: Option<String>,
    /// Images in a page, 1 to 1000
    limit: Option<String>,
    /// Properties to sort by, with commas, each with `+` or `-` in front
    sortby: Option<String>,
    /// Parts of an item that are wanted, with commas, or not, with `-` in front
    fields: Option<String>,
    /// Where the last page ended
    token: Option<String>,
}

/// The body of a search.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SearchBody {
    /// West, south, east, north in degrees; with heights six numbers.
    bbox: Option<Vec<f64>>,
    /// A GeoJSON geometry, instead of `bbox`.
    #[schema(value_type = Option<Object>)]
    intersects: Option<Value>,
    /// A time (RFC 3339), or two joined by `/`, of which one may be `..`.
    datetime: Option<String>,
    /// Ids of images.
    ids: Option<Vec<String>>,
    /// Datasets.
    collections: Option<Vec<String>>,
    /// Images in a page, 1 to 1000.
    limit: Option<u32>,
    /// Properties to sort by.
    sortby: Option<Vec<SortBy>>,
    /// Parts of an item that are wanted or not.
    fields: Option<FieldsBody>,
    /// Where the last page ended.
    token: Option<String>,
}

/// A property to sort by.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SortBy {
    /// The property.
    field: String,
    /// Smallest or largest first.
    #[serde(default)]
    direction: Direction,
}

/// The direction of a sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Direction {
    /// Smallest first.
    #[default]
    Asc,
    /// Largest first.
    Desc,
}

/// Parts of an item.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FieldsBody {
    /// These.
    include: Option<Vec<String>>,
    /// Not these.
    exclude: Option<Vec<String>>,
}

impl ItemsParameters {
    pub(super) fn search(&self) -> Result<(Search, Option<Fields>), Problem> {
        SearchParameters {
            bbox: self.bbox.clone(),
            datetime: self.datetime.clone(),
            limit: self.limit.clone(),
            sortby: self.sortby.clone(),
            fields: self.fields.clone(),
            token: self.token.clone(),
            ..SearchParameters::default()
        }
        .search()
    }

    pub(super) fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }
}

impl SearchParameters {
    pub(super) fn search(&self) -> Result<(Search, Option<Fields>), Problem> {
        self.body().and_then(SearchBody::read).map_err(bad)
    }

    pub(super) fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The same question as a body.
    fn body(&self) -> Result<SearchBody, DataError> {
        let bbox = self.bbox.as_deref().map(numbers).transpose()?;
        let intersects = self
            .intersects
            .as_deref()
            .map(serde_json::from_str)
            .transpose();
        let intersects = intersects.map_err(|reason| DataError::Json {
            what: "`intersects`",
            reason,
        })?;
        let limit = self.limit.as_deref().map(|text| {
            let limit = text.parse();
            limit.map_err(|_| DataError::Question("`limit` must be a number".to_owned()))
        });
        let sortby = self.sortby.as_deref().map(|text| {
            let keys = text.split(',').map(|text| {
                let key = SortKey::parse(text.trim_end())?;
                let direction = match key.descending {
                    true => Direction::Desc,
                    false => Direction::Asc,
                };
                Ok(SortBy {
                    field: key.field,
                    direction,
                })
            });
            keys.collect::<Result<_, DataError>>()
        });
        let fields = self.fields.as_deref().map(|text| {
            let Fields { include, exclude } = Fields::parse(text);
            FieldsBody {
                include: Some(include),
                exclude: Some(exclude),
            }
        });
        Ok(SearchBody {
            bbox,
            intersects,
            datetime: self.datetime.clone(),
            ids: self.ids.as_deref().map(names),
            collections: self.collections.as_deref().map(names),
            limit: limit.transpose()?,
            sortby: sortby.transpose()?,
            fields,
            token: self.token.clone(),
        })
    }
}

impl SearchBody {
    pub(super) fn search(self) -> Result<(Search, Option<Fields>), Problem> {
        self.read().map_err(bad)
    }

    fn read(self) -> Result<(Search, Option<Fields>), DataError> {
        let question = |text: String| DataError::Question(text);
        let area = match (self.bbox, self.intersects) {
            (Some(_), Some(_)) => {
                let text = "`bbox` and `intersects` exclude each other";
                return Err(question(text.to_owned()));
            }
            (Some(bbox), None) => Some(area(&bbox)?),
            (None, Some(geometry)) => {
                let geometry = Geometry::parse(&geometry);
                Some(geometry.map_err(|reason| question(format!("`intersects`: {reason}")))?)
            }
            (None, None) => None,
        };
        let limit = match self.limit.unwrap_or(PAGE) {
            0 => return Err(question("`limit` must be 1 or more".to_owned())),
            limit => limit.min(PageRequest::MAX_SIZE) as usize,
        };
        for names in [&self.ids, &self.collections].into_iter().flatten() {
            if names.len() > MOST_NAMES {
                return Err(question(format!(
                    "a search may name {MOST_NAMES} ids or collections"
                )));
            }
        }
        let sort = self.sortby.unwrap_or_default().into_iter();
        let sort = sort.map(|key| SortKey::new(&key.field, key.direction == Direction::Desc));
        let fields = self.fields.map(|fields| Fields {
            include: fields.include.unwrap_or_default(),
            exclude: fields.exclude.unwrap_or_default(),
        });
        let search = Search {
            collections: self.collections,
            ids: self.ids,
            query: Query {
                area,
                time: self
                    .datetime
                    .as_deref()
                    .map(parse_interval)
                    .transpose()?
                    .unwrap_or_default(),
                ..Query::default()
            },
            sort: sort.collect::<Result<_, _>>()?,
            limit,
            after: Cursor::parse(&self.token.unwrap_or_default())?,
        };
        Ok((search, fields))
    }
}

fn names(text: &str) -> Vec<String> {
    text.split(',').map(|name| name.trim().to_owned()).collect()
}

fn numbers(text: &str) -> Result<Vec<f64>, DataError> {
    let numbers = text.split(',').map(|number| number.trim().parse());
    let numbers: Result<_, std::num::ParseFloatError> = numbers.collect();
    numbers
        .map_err(|_| DataError::Question("`bbox` must be numbers with commas between".to_owned()))
}

fn area(bbox: &[f64]) -> Result<Geometry, DataError> {
    let flat = match *bbox {
        [west, south, east, north] | [west, south, _, east, north, _] => [west, south, east, north],
        _ => {
            let text = format!("`bbox` has 4 or 6 numbers, not {}", bbox.len());
            return Err(DataError::Question(text));
        }
    };
    Geometry::of_box(flat).map_err(|reason| DataError::Question(format!("`bbox`: {reason}")))
}
