//! GeoJSON geometries (RFC 7946) and the areas that images are looked for in.

use geo::{BoundingRect, Intersects};
use geo_types::{
    Coord, GeometryCollection, LineString, MultiLineString, MultiPoint, MultiPolygon, Point,
    Polygon, Rect,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Corners a geometry may have; more cost every search and say nothing about an image's place.
const MOST_POSITIONS: usize = 10_000;

/// A geometry on the Earth, in WGS 84 degrees.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Geometry(geo_types::Geometry<f64>);

/// Where images are looked for.
pub(crate) type Area = Geometry;

/// A position: longitude, latitude and, ignored here, a height.
type Position = Vec<f64>;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type")]
enum GeoJson {
    Point {
        coordinates: Position,
    },
    MultiPoint {
        coordinates: Vec<Position>,
    },
    LineString {
        coordinates: Vec<Position>,
    },
    MultiLineString {
        coordinates: Vec<Vec<Position>>,
    },
    Polygon {
        coordinates: Vec<Vec<Position>>,
    },
    MultiPolygon {
        coordinates: Vec<Vec<Vec<Position>>>,
    },
    GeometryCollection {
        geometries: Vec<GeoJson>,
    },
}

impl Geometry {
    /// Reads a GeoJSON geometry.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence for people.
    pub(crate) fn parse(value: &Value) -> Result<Self, String> {
        let geojson = GeoJson::deserialize(value)
            .map_err(|error| format!("it is no GeoJSON geometry: {error}"))?;
        let mut left = MOST_POSITIONS;
        let geometry = geojson.geometry(&mut left)?;
        if geometry.bounding_rect().is_none() {
            return Err("the geometry is empty".to_owned());
        }
        Ok(Self(geometry))
    }

    /// The area of a box. It crosses the antimeridian where west is greater than east (RFC 7946,
    /// section 5.2).
    ///
    /// # Errors
    /// What is wrong with it, as a sentence for people.
    pub(crate) fn of_box([west, south, east, north]: [f64; 4]) -> Result<Self, String> {
        for (longitude, latitude) in [(west, south), (east, north)] {
            coordinate(&[longitude, latitude])?;
        }
        if south > north {
            return Err(format!("the south {south} lies north of the north {north}"));
        }
        let rect = |west: f64, east: f64| {
            let (low, high) = (Coord { x: west, y: south }, Coord { x: east, y: north });
            geo_types::Geometry::Rect(Rect::new(low, high))
        };
        Ok(Self(if west <= east {
            rect(west, east)
        } else {
            let halves = vec![rect(west, 180.0), rect(-180.0, east)];
            geo_types::Geometry::GeometryCollection(GeometryCollection::from(halves))
        }))
    }

    /// The smallest box around it: west, south, east, north.
    pub(crate) fn bounds(&self) -> [f64; 4] {
        // Every way to make one sees to it that it is not empty.
        let Some(rect) = self.0.bounding_rect() else {
            return [0.0; 4];
        };
        [rect.min().x, rect.min().y, rect.max().x, rect.max().y]
    }

    /// The same, where it is nothing but a box.
    pub(crate) fn as_box(&self) -> Option<[f64; 4]> {
        matches!(self.0, geo_types::Geometry::Rect(_)).then(|| self.bounds())
    }

    /// True when the two have a point in common.
    pub(crate) fn touches(&self, other: &Geometry) -> bool {
        self.0.intersects(&other.0)
    }
}

impl GeoJson {
    fn geometry(self, left: &mut usize) -> Result<geo_types::Geometry<f64>, String> {
        Ok(match self {
            GeoJson::Point { coordinates } => Point(coordinate(&coordinates)?).into(),
            GeoJson::MultiPoint { coordinates } => {
                let points = line(coordinates, 1, left)?;
                MultiPoint::from_iter(points.into_iter().map(Point)).into()
            }
            GeoJson::LineString { coordinates } => LineString(line(coordinates, 2, left)?).into(),
            GeoJson::MultiLineString { coordinates } => {
                let lines = coordinates.into_iter();
                let lines = lines.map(|positions| Ok(LineString(line(positions, 2, left)?)));
                MultiLineString(lines.collect::<Result<_, String>>()?).into()
            }
            GeoJson::Polygon { coordinates } => polygon(coordinates, left)?.into(),
            GeoJson::MultiPolygon { coordinates } => {
                let polygons = coordinates.into_iter().map(|rings| polygon(rings, left));
                MultiPolygon(polygons.collect::<Result<_, _>>()?).into()
            }
            GeoJson::GeometryCollection { geometries } => {
                let parts = geometries.into_iter().map(|part| part.geometry(left));
                let parts = GeometryCollection(parts.collect::<Result<_, _>>()?);
                geo_types::Geometry::GeometryCollection(parts)
            }
        })
    }
}

fn polygon(rings: Vec<Vec<Position>>, left: &mut usize) -> Result<Polygon<f64>, String> {
    let mut rings = rings.into_iter().map(|ring| {
        let ring = line(ring, 4, left)?;
        if ring.first() != ring.last() {
            return Err("a ring of a polygon must end where it begins".to_owned());
        }
        Ok(LineString(ring))
    });
    let outer = rings.next().ok_or("a polygon needs a ring")??;
    Ok(Polygon::new(outer, rings.collect::<Result<_, _>>()?))
}

fn line(positions: Vec<Position>, least: usize, left: &mut usize) -> Result<Vec<Coord>, String> {
    if positions.len() < least {
        return Err(format!(
            "{least} positions are needed and {} there",
            positions.len()
        ));
    }
    *left = left
        .checked_sub(positions.len())
        .ok_or_else(|| format!("a geometry may have {MOST_POSITIONS} positions"))?;
    positions
        .iter()
        .map(|position| coordinate(position))
        .collect()
}

fn coordinate(position: &[f64]) -> Result<Coord, String> {
    let ([x, y] | [x, y, _]) = *position else {
        return Err("a position is a longitude and a latitude".to_owned());
    };
    if !(-180.0..=180.0).contains(&x) || !(-90.0..=90.0).contains(&y) {
        return Err(format!(
            "{x}, {y} is not a longitude and a latitude in degrees"
        ));
    }
    Ok(Coord { x, y })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn square(west: f64, south: f64, size: f64) -> Geometry {
        let (east, north) = (west + size, south + size);
        let ring = [
            [west, south],
            [east, south],
            [east, north],
            [west, north],
            [west, south],
        ];
        Geometry::parse(&json!({"type": "Polygon", "coordinates": [ring]})).unwrap()
    }

    #[test]
    fn an_area_finds_what_it_touches_and_not_what_its_box_touches() {
        let triangle =
            json!({"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [0, 10], [0, 0]]]});
        let triangle = Geometry::parse(&triangle).unwrap();
        assert!(triangle.touches(&square(1.0, 1.0, 1.0)));
        assert!(!triangle.touches(&square(8.0, 8.0, 1.0)));
        assert_eq!(triangle.bounds(), [0.0, 0.0, 10.0, 10.0]);
        assert!(square(0.0, 0.0, 1.0).touches(&Geometry::of_box([1.0, 0.0, 2.0, 1.0]).unwrap()));
    }

    #[test]
    fn a_box_may_cross_the_antimeridian() {
        let pacific = Geometry::of_box([170.0, -10.0, -170.0, 10.0]).unwrap();
        assert!(pacific.touches(&square(175.0, 0.0, 1.0)));
        assert!(pacific.touches(&square(-175.0, 0.0, 1.0)));
        assert!(!pacific.touches(&square(0.0, 0.0, 1.0)));
    }

    #[test]
    fn what_is_no_geometry_on_the_earth_is_refused() {
        for (value, part) in [
            (json!(null), "GeoJSON"),
            (json!({"type": "Circle"}), "GeoJSON"),
            (json!({"type": "Point", "coordinates": [1]}), "longitude"),
            (json!({"type": "Point", "coordinates": [200, 0]}), "degrees"),
            (
                json!({"type": "LineString", "coordinates": [[0, 0]]}),
                "needed",
            ),
            (json!({"type": "Polygon", "coordinates": []}), "ring"),
            (
                json!({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}),
                "begins",
            ),
            (
                json!({"type": "GeometryCollection", "geometries": []}),
                "empty",
            ),
        ] {
            let error = Geometry::parse(&value).unwrap_err();
            assert!(error.contains(part), "{value}: {error}");
        }
        assert!(Geometry::of_box([0.0, 10.0, 1.0, 0.0]).is_err());
        assert!(Geometry::of_box([f64::NAN, 0.0, 1.0, 1.0]).is_err());
    }

    #[test]
    fn a_geometry_of_too_many_corners_is_refused() {
        let positions: Vec<_> = (0..=MOST_POSITIONS).map(|_| [0.0, 0.0]).collect();
        let line = json!({"type": "LineString", "coordinates": positions});
        assert!(Geometry::parse(&line).unwrap_err().contains("10000"));
    }
}
