//! The place a query asks for: a box (RFC 7946, section 5) or polygons, longitudes first.

use serde::{Deserialize, Serialize};

use super::Polygons;

/// Where images are looked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Area {
    /// A rectangle.
    Box(BoundingBox),
    /// Any outline.
    Polygons(Polygons),
}

/// Why a box is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BoxError {
    /// A longitude outside -180..180 or a latitude outside -90..90, or not a number.
    #[error(
        "{longitude}, {latitude} is no place on earth: give longitude, then latitude, in degrees"
    )]
    Position {
        /// Degrees east.
        longitude: f64,
        /// Degrees north.
        latitude: f64,
    },
    /// South of a box lies north of its north.
    #[error("the box ends at {north} degrees north, below its begin at {south}")]
    Upturned {
        /// Degrees north of the lower edge.
        south: f64,
        /// Degrees north of the upper edge.
        north: f64,
    },
}

/// West, south, east, north in degrees. A west above its east crosses the antimeridian
/// (RFC 7946, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f64; 4]", into = "[f64; 4]")]
pub struct BoundingBox([f64; 4]);

impl BoundingBox {
    /// A checked box.
    ///
    /// # Errors
    /// When a corner is no place on earth or the box is upside down.
    pub fn new(west: f64, south: f64, east: f64, north: f64) -> Result<Self, BoxError> {
        for (longitude, latitude) in [(west, south), (east, north)] {
            if !on_earth(longitude, latitude) {
                return Err(BoxError::Position {
                    longitude,
                    latitude,
                });
            }
        }
        if south > north {
            return Err(BoxError::Upturned { south, north });
        }
        Ok(Self([west, south, east, north]))
    }

    /// West, south, east, north in degrees.
    pub const fn edges(&self) -> [f64; 4] {
        self.0
    }
}

/// True for a longitude and a latitude in degrees.
pub(super) fn on_earth(longitude: f64, latitude: f64) -> bool {
    // A NaN is in no range.
    (-180.0..=180.0).contains(&longitude) && (-90.0..=90.0).contains(&latitude)
}

impl TryFrom<[f64; 4]> for BoundingBox {
    type Error = BoxError;

    fn try_from([west, south, east, north]: [f64; 4]) -> Result<Self, BoxError> {
        Self::new(west, south, east, north)
    }
}

impl From<BoundingBox> for [f64; 4] {
    fn from(bounds: BoundingBox) -> Self {
        bounds.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_read_back_as_written_also_across_the_antimeridian() {
        for text in [
            "[2.0,48.5,2.8,49.1]",
            "[179.0,-18.0,-179.0,-16.0]",
            r#"{"type":"Polygon","coordinates":[[[0.0,0.0],[1.0,0.0],[0.0,1.0],[0.0,0.0]]]}"#,
        ] {
            let written: serde_json::Value = serde_json::from_str(text).unwrap();
            let area: Area = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_value(&area).unwrap(), written);
        }
    }

    #[test]
    fn what_is_no_place_on_earth_is_refused_with_its_reason() {
        for (edges, reason) in [
            ([48.5, 200.0, 49.0, 201.0], "no place on earth"),
            ([f64::NAN, 0.0, 1.0, 1.0], "no place on earth"),
            ([2.0, 49.0, 3.0, 48.0], "below its begin"),
        ] {
            let error = BoundingBox::try_from(edges).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
