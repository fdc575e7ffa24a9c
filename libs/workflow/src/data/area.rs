//! The place a query asks for: a rectangle on the Earth (RFC 7946, section 5), longitudes first.

use serde::{Deserialize, Serialize};

/// Why an area is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AreaError {
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
pub struct Area([f64; 4]);

impl Area {
    /// A checked box.
    ///
    /// # Errors
    /// When a corner is no place on earth or the box is upside down.
    pub fn new(west: f64, south: f64, east: f64, north: f64) -> Result<Self, AreaError> {
        for (longitude, latitude) in [(west, south), (east, north)] {
            // A NaN is in no range.
            if !(-180.0..=180.0).contains(&longitude) || !(-90.0..=90.0).contains(&latitude) {
                return Err(AreaError::Position {
                    longitude,
                    latitude,
                });
            }
        }
        if south > north {
            return Err(AreaError::Upturned { south, north });
        }
        Ok(Self([west, south, east, north]))
    }

    /// West, south, east, north in degrees.
    pub const fn edges(&self) -> [f64; 4] {
        self.0
    }
}

impl TryFrom<[f64; 4]> for Area {
    type Error = AreaError;

    fn try_from([west, south, east, north]: [f64; 4]) -> Result<Self, AreaError> {
        Self::new(west, south, east, north)
    }
}

impl From<Area> for [f64; 4] {
    fn from(area: Area) -> Self {
        area.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_read_back_as_written_also_across_the_antimeridian() {
        for text in ["[2.0,48.5,2.8,49.1]", "[179.0,-18.0,-179.0,-16.0]"] {
            let area: Area = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&area).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_place_on_earth_is_refused_with_its_reason() {
        for (edges, reason) in [
            ([48.5, 200.0, 49.0, 201.0], "no place on earth"),
            ([f64::NAN, 0.0, 1.0, 1.0], "no place on earth"),
            ([2.0, 49.0, 3.0, 48.0], "below its begin"),
        ] {
            let error = Area::try_from(edges).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
