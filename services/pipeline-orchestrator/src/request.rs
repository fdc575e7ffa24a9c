//! What a person asks for, read and checked against the workflow. Nobody is asked yet.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oc_cwl::{Document, Limits, Severity, Type};
use oc_kernel::Name;
use oc_proto::pipeline::v1::input_value::Value as Asked;
use oc_proto::pipeline::v1::{self as pb, PlacementStrategy};
use oc_proto::types::v1 as types;
use oc_service::Finding;
use oc_workflow::data::{
    Area, BoundingBox, Comparison, DatasetQuery, Input, ListingRef, PolygonsError, QueryError,
    TimeRange,
};
use oc_workflow::plan::{Placement, Strategy};
use serde_json::{Map, Value, json};

use crate::error::RunError;
use crate::files;

/// Reads a CWL document; a tool becomes a workflow of one step.
pub(crate) fn document(text: &str, most_bytes: usize) -> Result<Document, RunError> {
    let limits = Limits {
        bytes: most_bytes,
        ..Limits::default()
    };
    let document = Document::parse(text, "workflow", &limits).map_err(|error| {
        let text = error.to_string();
        let findings: Vec<Finding> = error.into_findings().into_iter().map(finding).collect();
        match findings.is_empty() {
            true => RunError::Unreadable(text),
            false => RunError::Document(findings),
        }
    })?;
    let faults = document.check().into_iter();
    let faults = faults.filter(|fault| fault.severity == Severity::Error);
    let faults: Vec<Finding> = faults.map(finding).collect();
    match faults.is_empty() {
        true => Ok(document.into_workflow()),
        false => Err(RunError::Document(faults)),
    }
}

fn finding(found: oc_cwl::Finding) -> Finding {
    Finding {
        message: found.message,
        line: Some(found.line),
        column: Some(found.column),
        pointer: None,
    }
}

/// The inputs by the workflow's names, without those of files that must still be looked up.
pub(crate) fn inputs(
    document: &Document,
    asked: BTreeMap<String, pb::InputValue>,
) -> Result<BTreeMap<String, Input>, RunError> {
    let mut inputs = BTreeMap::new();
    let mut unknown = Vec::new();
    for (name, value) in asked {
        if document.process().input(&name).is_none() {
            unknown.push(format!("the workflow has no input `{name}`"));
            continue;
        }
        if let Some(value) = value.value {
            let read = input(value).map_err(|error| in_input(&name, error))?;
            inputs.insert(name, read);
        }
    }
    match unknown.is_empty() {
        true => Ok(inputs),
        false => Err(RunError::Inputs(unknown)),
    }
}

fn in_input(name: &str, error: RunError) -> RunError {
    match error {
        RunError::Malformed { field, reason } => RunError::Malformed {
            field: format!("inputs.{name}.{field}"),
            reason,
        },
        RunError::Invalid { field, reason } => RunError::Invalid {
            field: format!("inputs.{name}.{field}"),
            reason,
        },
        other => other,
    }
}

fn input(asked: Asked) -> Result<Input, RunError> {
    match asked {
        Asked::Json(text) => {
            let value: Value =
                serde_json::from_str(&text).map_err(|error| RunError::malformed("json", error))?;
            Input::literal(value).map_err(|error| RunError::invalid("json", error))
        }
        Asked::Dataset(dataset) => Ok(Input::Dataset {
            dataset: listing(dataset.dataset.as_ref(), "dataset")?,
            query: query(dataset.query.unwrap_or_default())?,
        }),
        Asked::File(file) => {
            let object = file.object.unwrap_or_default();
            let storage = match file.listing_id.as_str() {
                "" => None,
                id => Some(
                    id.parse()
                        .map_err(|error| RunError::malformed("file.listing_id", error))?,
                ),
            };
            Ok(Input::File {
                object: files::object(&object)?,
                storage,
            })
        }
        Asked::RunOutput(output) => Ok(Input::RunOutput {
            run: output
                .run_id
                .parse()
                .map_err(|error| RunError::malformed("run_output.run_id", error))?,
            output: output.output,
        }),
    }
}

/// A listing of somebody.
pub(crate) fn listing(asked: Option<&pb::ListingRef>, field: &str) -> Result<ListingRef, RunError> {
    let asked = asked.ok_or_else(|| RunError::malformed(field, "it is missing"))?;
    let wrong = |part: &str, error: String| RunError::malformed(format!("{field}.{part}"), error);
    let owner = asked.owner.parse();
    let listing: Result<Name, _> = asked.listing_id.parse();
    Ok(ListingRef {
        owner: owner.map_err(|error| wrong("owner", format!("{error}")))?,
        listing: listing.map_err(|error| wrong("listing_id", format!("{error}")))?,
    })
}

fn query(asked: types::DatasetQuery) -> Result<DatasetQuery, RunError> {
    let area = area(asked.area, &asked.geometry_json)?;
    let time = asked
        .time
        .filter(|time| (time.start_ms, time.end_ms) != (0, 0));
    let time = time.map(time_range).transpose()?;
    let filters = asked.filters.into_iter().map(comparison);
    let assets = asked.assets.iter().map(|asset| {
        asset
            .parse()
            .map_err(|error| RunError::malformed("query.assets", error))
    });
    let query = DatasetQuery {
        area,
        time,
        filters: filters.collect::<Result<_, _>>()?,
        assets: assets.collect::<Result<_, _>>()?,
        limit: asked.limit,
    };
    query
        .check()
        .map_err(|error| RunError::invalid("query", error))
}

fn area(bounds: Option<types::BoundingBox>, geometry: &str) -> Result<Option<Area>, RunError> {
    match (bounds, geometry) {
        (None, "") => Ok(None),
        (Some(area), "") => BoundingBox::new(area.west, area.south, area.east, area.north)
            .map(|bounds| Some(Area::Box(bounds)))
            .map_err(|error| RunError::invalid("query.area", error)),
        (None, geometry) => geometry
            .parse()
            .map(|polygons| Some(Area::Polygons(polygons)))
            .map_err(|error: PolygonsError| RunError::invalid("query.geometry_json", error)),
        (Some(_), _) => Err(RunError::invalid(
            "query.geometry_json",
            "an area is given too: give one of them",
        )),
    }
}

fn time_range(asked: types::TimeRange) -> Result<TimeRange, RunError> {
    let moment = |ms: i64| match ms {
        0 => Ok(None),
        ms => Timestamp::from_millisecond(ms).map(Some),
    };
    let wrong = |error: jiff::Error| RunError::malformed("query.time", error);
    let (from, to) = (
        moment(asked.start_ms).map_err(wrong)?,
        moment(asked.end_ms).map_err(wrong)?,
    );
    TimeRange::new(from, to).map_err(|error| RunError::invalid("query.time", error))
}

fn comparison(asked: types::PropertyFilter) -> Result<Comparison, RunError> {
    let value: Value = serde_json::from_str(&asked.value_json).map_err(|error| {
        let text = format!("{error}: a number stands as it is, a text in quotation marks");
        RunError::invalid("query.filters.value_json", text)
    })?;
    let wrong = |error: QueryError| RunError::invalid("query.filters", error);
    let operator = asked.operator.parse().map_err(wrong)?;
    Comparison::new(asked.property, operator, value).map_err(wrong)
}

/// A query as messages write it.
pub(crate) fn query_message(query: &DatasetQuery) -> types::DatasetQuery {
    let ms = |at: Option<Timestamp>| at.map_or(0, Timestamp::as_millisecond);
    let (area, geometry_json) = match &query.area {
        None => (None, String::new()),
        Some(Area::Polygons(polygons)) => (None, polygons.to_string()),
        Some(Area::Box(bounds)) => {
            let [west, south, east, north] = bounds.edges();
            let bounds = types::BoundingBox {
                west,
                south,
                east,
                north,
            };
            (Some(bounds), String::new())
        }
    };
    types::DatasetQuery {
        area,
        geometry_json,
        time: query.time.map(|time| types::TimeRange {
            start_ms: ms(time.from()),
            end_ms: ms(time.to()),
        }),
        filters: query
            .filters
            .iter()
            .map(|filter| types::PropertyFilter {
                property: filter.property().to_owned(),
                operator: filter.operator().to_string(),
                value_json: filter.value().to_string(),
            })
            .collect(),
        assets: query.assets.iter().map(ToString::to_string).collect(),
        limit: query.limit,
    }
}

/// Which sites a person wants.
pub(crate) fn placement(request: &pb::RunRequest) -> Placement {
    Placement {
        strategy: match request.strategy() {
            PlacementStrategy::Cheapest => Strategy::Cheapest,
            PlacementStrategy::Unspecified | PlacementStrategy::NearData => Strategy::NearData,
        },
        steps: request.placement.clone(),
    }
}

/// True where a type takes a list.
pub(crate) fn takes_a_list(type_: &Type) -> bool {
    let mut members = type_.members().iter();
    members.any(|member| matches!(member, Type::Array(_)))
}

/// Checks that required inputs are there and of the right type; a value that only the run will know is
/// taken for a file.
pub(crate) fn check_types(
    document: &Document,
    values: &BTreeMap<String, Option<Value>>,
) -> Result<(), RunError> {
    let file = || json!({"class": "File", "location": "oc:later"});
    let mut object = Map::new();
    for (name, value) in values {
        let list = document
            .process()
            .input(name)
            .is_some_and(|input| takes_a_list(&input.type_));
        let value = match (value, list) {
            (Some(value), _) => value.clone(),
            (None, true) => json!([file()]),
            (None, false) => file(),
        };
        object.insert(name.clone(), value);
    }
    let faults = document.check_inputs(&object);
    match faults.is_empty() {
        true => Ok(()),
        false => Err(RunError::Inputs(faults)),
    }
}

#[cfg(test)]
mod tests {
    use oc_kernel::Classify as _;

    use super::*;

    fn triangle() -> String {
        let ring = json!([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]);
        json!({"type": "Polygon", "coordinates": [ring]}).to_string()
    }

    fn asked(area: Option<types::BoundingBox>, geometry_json: &str) -> types::DatasetQuery {
        types::DatasetQuery {
            area,
            geometry_json: geometry_json.to_owned(),
            ..types::DatasetQuery::default()
        }
    }

    #[test]
    fn a_box_or_polygons_reach_the_data_provider_as_they_were_asked_for() {
        let bounds = types::BoundingBox {
            west: 1.0,
            south: 43.0,
            east: 2.0,
            north: 44.0,
        };
        for asked in [
            asked(Some(bounds), ""),
            asked(None, &triangle()),
            asked(None, ""),
        ] {
            let read = query(asked.clone()).unwrap();
            assert_eq!(query_message(&read), asked);
        }
    }

    #[test]
    fn a_filter_that_compares_nothing_is_refused_with_its_fault() {
        for (property, operator, value_json, reason) in [
            ("", "<=", "20", "names no property"),
            ("eo:cloud_cover", "~", "20", "`~` is not a comparison"),
            ("eo:cloud_cover", "<=", "abc", "a text in quotation marks"),
            ("eo:cloud_cover", "<=", "true", "needs a number or a text"),
        ] {
            let asked = types::DatasetQuery {
                filters: vec![types::PropertyFilter {
                    property: property.to_owned(),
                    operator: operator.to_owned(),
                    value_json: value_json.to_owned(),
                }],
                ..types::DatasetQuery::default()
            };
            let error = query(asked).unwrap_err();
            assert_eq!(error.kind().http_status(), 422);
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn two_areas_at_once_and_what_is_none_are_refused() {
        let bounds = types::BoundingBox::default();
        for (asked, reason) in [
            (asked(Some(bounds), &triangle()), "one of them"),
            (asked(None, "Toulouse"), "no GeoJSON"),
        ] {
            let error = query(asked).unwrap_err().to_string();
            assert!(error.contains("query.geometry_json"), "{error}");
            assert!(error.contains(reason), "{error}");
        }
    }
}
