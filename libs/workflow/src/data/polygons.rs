//! An area with any outline: a Polygon or MultiPolygon of GeoJSON (RFC 7946, sections 3.1.6 and 3.1.7).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::area::on_earth;

/// Why polygons are refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolygonsError {
    /// No JSON, or JSON that is no geometry of the wanted kind.
    #[error("it is no GeoJSON Polygon or MultiPolygon: {0}")]
    Unreadable(String),
    /// No polygon at all.
    #[error("it holds no polygon")]
    Empty,
    /// Fewer positions than a ring needs, or an end elsewhere than its begin.
    #[error("a ring needs four positions or more and must end where it begins")]
    Open,
    /// A ring without an inside.
    #[error("a ring encloses nothing")]
    Flat,
    /// A position that is none.
    #[error("{0:?} is no place on earth: give longitude, then latitude, in degrees")]
    Position(Vec<f64>),
    /// More positions than an area may have.
    #[error("an area may have {} positions: simplify it", Polygons::POSITIONS)]
    TooManyPositions,
}

type Position = Vec<f64>;
type Rings = Vec<Vec<Position>>;

#[derive(Deserialize, Serialize)]
#[serde(tag = "type")]
enum GeoJson {
    Polygon { coordinates: Rings },
    MultiPolygon { coordinates: Vec<Rings> },
}

/// One or more polygons, each an outer ring and then the rings of its holes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Polygons(Vec<Vec<Vec<[f64; 2]>>>);

impl Polygons {
    /// Most positions of all rings together.
    pub const POSITIONS: usize = 10_000;
}

impl FromStr for Polygons {
    type Err = PolygonsError;

    fn from_str(text: &str) -> Result<Self, PolygonsError> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| PolygonsError::Unreadable(error.to_string()))?;
        value.try_into()
    }
}

impl TryFrom<Value> for Polygons {
    type Error = PolygonsError;

    fn try_from(value: Value) -> Result<Self, PolygonsError> {
        let geojson = GeoJson::deserialize(value)
            .map_err(|error| PolygonsError::Unreadable(error.to_string()))?;
        let polygons = match geojson {
            GeoJson::Polygon { coordinates } => vec![coordinates],
            GeoJson::MultiPolygon { coordinates } => coordinates,
        };
        if polygons.is_empty() || polygons.iter().any(Vec::is_empty) {
            return Err(PolygonsError::Empty);
        }
        let positions = polygons.iter().flatten().map(Vec::len).sum::<usize>();
        if positions > Self::POSITIONS {
            return Err(PolygonsError::TooManyPositions);
        }
        let polygons = polygons
            .into_iter()
            .map(|rings| rings.into_iter().map(ring).collect());
        Ok(Self(polygons.collect::<Result<_, _>>()?))
    }
}

fn ring(positions: Vec<Position>) -> Result<Vec<[f64; 2]>, PolygonsError> {
    let positions = positions.into_iter().map(|position| match *position {
        // A height says nothing about the place on a map.
        [longitude, latitude] | [longitude, latitude, _] if on_earth(longitude, latitude) => {
            Ok([longitude, latitude])
        }
        _ => Err(PolygonsError::Position(position)),
    });
    let ring: Vec<[f64; 2]> = positions.collect::<Result<_, _>>()?;
    if ring.len() < 4 || ring.first() != ring.last() {
        return Err(PolygonsError::Open);
    }
    let twice_the_area: f64 = ring
        .windows(2)
        .map(|pair| pair[0][0] * pair[1][1] - pair[1][0] * pair[0][1])
        .sum();
    match twice_the_area == 0.0 {
        true => Err(PolygonsError::Flat),
        false => Ok(ring),
    }
}

impl From<Polygons> for Value {
    fn from(polygons: Polygons) -> Self {
        let mut polygons = polygons.0;
        match polygons.len() {
            1 => serde_json::json!({"type": "Polygon", "coordinates": polygons.remove(0)}),
            _ => serde_json::json!({"type": "MultiPolygon", "coordinates": polygons}),
        }
    }
}

/// As GeoJSON.
impl fmt::Display for Polygons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Value::from(self.clone()), f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Polygons, PolygonsError> {
        value.to_string().parse()
    }

    #[test]
    fn polygons_are_read_back_as_written() {
        let triangle = json!([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]]);
        let one = json!({"type": "Polygon", "coordinates": triangle});
        let two = json!({"type": "MultiPolygon", "coordinates": [triangle, triangle]});
        for geometry in [one, two] {
            let area = read(geometry.clone()).unwrap();
            assert_eq!(area.to_string(), geometry.to_string());
            assert_eq!(area.to_string().parse(), Ok(area));
        }
    }

    #[test]
    fn what_is_no_area_on_earth_is_refused_with_its_reason() {
        let many: Vec<[f64; 2]> = vec![[1.0, 1.0]; Polygons::POSITIONS + 1];
        for (geometry, reason) in [
            (json!("Toulouse"), "no GeoJSON Polygon"),
            (json!({"type": "Point", "coordinates": [1.0, 2.0]}), "Point"),
            (
                json!({"type": "MultiPolygon", "coordinates": []}),
                "no polygon",
            ),
            (json!({"type": "Polygon", "coordinates": []}), "no polygon"),
            (
                json!({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}),
                "end where it begins",
            ),
            (
                json!({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]}),
                "encloses nothing",
            ),
            (
                json!({"type": "Polygon", "coordinates": [[[43, 200], [1, 0], [1, 1], [43, 200]]]}),
                "no place on earth",
            ),
            (
                json!({"type": "Polygon", "coordinates": [many]}),
                "simplify",
            ),
        ] {
            let error = read(geometry).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
