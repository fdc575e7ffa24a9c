//! Which images of a dataset, as options of a command.

use std::path::Path;

use clap::Args;
use oc_proto::types::v1::{BoundingBox, DatasetQuery, PropertyFilter, TimeRange};
use serde_json::{Value, json};

use super::{CommandError, file, when};

/// Comparisons that a filter may make, the longer ones first.
const OPERATORS: [&str; 6] = ["<=", ">=", "!=", "=", "<", ">"];

/// Which images.
#[derive(Debug, Default, Args)]
pub(crate) struct QueryArguments {
    /// Images that touch this box, WEST,SOUTH,EAST,NORTH in degrees, or the polygons of this GeoJSON file
    #[arg(
        long,
        alias = "bbox",
        allow_hyphen_values = true,
        value_name = "W,S,E,N|FILE",
        help_heading = "Images"
    )]
    area: Option<String>,
    /// Images from this day on
    #[arg(long, value_name = "DATE", help_heading = "Images")]
    from: Option<String>,
    /// Images up to this day
    #[arg(long, value_name = "DATE", help_heading = "Images")]
    to: Option<String>,
    /// Images with this property, such as 'eo:cloud_cover<=20'; may be repeated
    #[arg(
        long = "filter",
        value_name = "PROPERTY<=VALUE",
        help_heading = "Images"
    )]
    filters: Vec<String>,
}

impl QueryArguments {
    /// True when none was given.
    pub(crate) fn is_empty(&self) -> bool {
        self.area.is_none() && self.from.is_none() && self.to.is_none() && self.filters.is_empty()
    }

    /// The query that they make.
    pub(crate) fn message(&self) -> Result<DatasetQuery, CommandError> {
        let mut query = DatasetQuery::default();
        self.complete(&mut query)?;
        Ok(query)
    }

    /// Gives a query the area, the time and the filters that it does not have.
    pub(crate) fn complete(&self, query: &mut DatasetQuery) -> Result<(), CommandError> {
        if let Some(area) = &self.area
            && query.area.is_none()
            && query.geometry_json.is_empty()
        {
            match bounding_box(area) {
                Some(bounds) => query.area = Some(bounds),
                None => query.geometry_json = polygons_in(area)?,
            }
        }
        if query.time.is_none() {
            let time = |text: &Option<String>, end| -> Result<i64, CommandError> {
                let Some(text) = text else { return Ok(0) };
                let at = when::parse(text, end).map_err(CommandError::Input)?;
                Ok(at.as_millisecond())
            };
            let span = TimeRange {
                start_ms: time(&self.from, false)?,
                end_ms: time(&self.to, true)?,
            };
            query.time = (span != TimeRange::default()).then_some(span);
        }
        if query.filters.is_empty() {
            let filters = self.filters.iter().map(|text| filter(text));
            query.filters = filters.collect::<Result<_, _>>()?;
        }
        Ok(())
    }
}

fn bounding_box(text: &str) -> Option<BoundingBox> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|n| n.trim().parse()).collect();
    match numbers.as_deref() {
        Ok(&[west, south, east, north]) => Some(BoundingBox {
            west,
            south,
            east,
            north,
        }),
        _ => None,
    }
}

/// The polygons of a GeoJSON file (RFC 7946), as one geometry.
fn polygons_in(text: &str) -> Result<String, CommandError> {
    let path = Path::new(text);
    if !path.is_file() {
        return Err(CommandError::input(format!(
            "`{text}` is no area: write WEST,SOUTH,EAST,NORTH in degrees, for example 1.2,43.5,1.6,43.7, or name a \
             GeoJSON file"
        )));
    }
    let wrong = |why: String| CommandError::input(format!("{text}: {why}"));
    let document: Value = serde_json::from_str(&file::text(path)?)
        .map_err(|error| wrong(format!("is no GeoJSON: {error}")))?;
    let mut polygons = Vec::new();
    collect(&document, &mut polygons).map_err(wrong)?;
    let geometry = match polygons.as_slice() {
        [] => return Err(wrong("holds no polygon".to_owned())),
        [one] => json!({"type": "Polygon", "coordinates": one}),
        several => json!({"type": "MultiPolygon", "coordinates": several}),
    };
    Ok(geometry.to_string())
}

fn collect(value: &Value, polygons: &mut Vec<Value>) -> Result<(), String> {
    let parts = |field: &str| value[field].as_array().cloned().unwrap_or_default();
    match value["type"].as_str().unwrap_or_default() {
        "FeatureCollection" => parts("features")
            .iter()
            .try_for_each(|feature| collect(feature, polygons)),
        "Feature" => collect(&value["geometry"], polygons),
        "GeometryCollection" => parts("geometries")
            .iter()
            .try_for_each(|geometry| collect(geometry, polygons)),
        "Polygon" => {
            polygons.push(value["coordinates"].clone());
            Ok(())
        }
        "MultiPolygon" => {
            polygons.extend(parts("coordinates"));
            Ok(())
        }
        other => Err(format!("`{other}` is no area: only polygons are")),
    }
}

fn filter(text: &str) -> Result<PropertyFilter, CommandError> {
    let found = OPERATORS
        .iter()
        .filter_map(|operator| Some((text.find(operator)?, *operator)))
        // Of two that begin at the same place the longer one comes first in the list.
        .min_by_key(|(at, _)| *at);
    let wrong = || {
        CommandError::input(format!(
            "`{text}` is no filter: write for example 'eo:cloud_cover<=20' or 'platform=sentinel-2a'"
        ))
    };
    let (at, operator) = found.ok_or_else(wrong)?;
    let (property, value) = (text[..at].trim(), text[at + operator.len()..].trim());
    if property.is_empty() || value.is_empty() {
        return Err(wrong());
    }
    let value = match serde_json::from_str::<Value>(value) {
        Ok(number) if number.is_number() => number,
        Ok(Value::String(text)) => Value::String(text),
        _ => Value::String(value.to_owned()),
    };
    Ok(PropertyFilter {
        property: property.to_owned(),
        operator: operator.to_owned(),
        value_json: value.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(area: &str) -> Result<DatasetQuery, String> {
        let arguments = QueryArguments {
            area: Some(area.to_owned()),
            ..QueryArguments::default()
        };
        arguments.message().map_err(|error| error.to_string())
    }

    #[test]
    fn an_area_is_a_box_or_the_polygons_of_a_file() {
        let bounds = asked("-1.5, 43,1,44").unwrap().area.unwrap();
        assert_eq!((bounds.west, bounds.north), (-1.5, 44.0));
        let ring = json!([[[0, 0], [1, 0], [1, 1], [0, 0]]]);
        let polygon = json!({"type": "Polygon", "coordinates": ring});
        let feature = json!({"type": "Feature", "properties": {}, "geometry": polygon});
        let both = json!({"type": "FeatureCollection", "features": [feature, feature]});
        let file = tempfile::NamedTempFile::new().unwrap();
        let written = |value: &Value| {
            std::fs::write(file.path(), value.to_string()).unwrap();
            asked(file.path().to_str().unwrap())
        };
        for (document, geometry) in [
            (&polygon, polygon.clone()),
            (&feature, polygon.clone()),
            (
                &both,
                json!({"type": "MultiPolygon", "coordinates": [ring, ring]}),
            ),
        ] {
            let query = written(document).unwrap();
            assert_eq!(query.geometry_json, geometry.to_string());
            assert!(query.area.is_none());
        }
        let point = json!({"type": "Point", "coordinates": [1, 2]});
        assert!(written(&point).unwrap_err().contains("`Point`"));
        let none = json!({"type": "FeatureCollection", "features": []});
        assert!(written(&none).unwrap_err().contains("no polygon"));
        assert!(asked("1,2,3").unwrap_err().contains("WEST,SOUTH"));
    }

    #[test]
    fn what_a_query_says_itself_is_kept() {
        let arguments = QueryArguments {
            area: Some("1,2,3,4".to_owned()),
            from: Some("2025-06-01".to_owned()),
            to: None,
            filters: vec!["eo:cloud_cover<=20".to_owned()],
        };
        let mut query = DatasetQuery {
            geometry_json: "{}".to_owned(),
            ..DatasetQuery::default()
        };
        arguments.complete(&mut query).unwrap();
        assert!(query.area.is_none());
        let time = query.time.unwrap();
        assert_eq!((time.start_ms, time.end_ms), (1_748_736_000_000, 0));
        assert_eq!(query.filters.len(), 1);
    }

    #[test]
    fn a_filter_compares_a_property_with_a_number_or_a_text() {
        for (text, property, operator, value) in [
            ("eo:cloud_cover<=20", "eo:cloud_cover", "<=", "20"),
            ("eo:cloud_cover < 2.5", "eo:cloud_cover", "<", "2.5"),
            ("platform!=sentinel-2a", "platform", "!=", "\"sentinel-2a\""),
            ("grid=\"31\"", "grid", "=", "\"31\""),
        ] {
            let filter = filter(text).unwrap();
            assert_eq!(
                (
                    filter.property.as_str(),
                    filter.operator.as_str(),
                    filter.value_json.as_str()
                ),
                (property, operator, value)
            );
        }
        for text in ["", "eo:cloud_cover", "<=20", "a<="] {
            assert!(filter(text).is_err(), "{text}");
        }
    }
}
