//! Rectangles on the Earth.

use super::CatalogError;

/// West, south, east and north in degrees; west exceeds east where it crosses the antimeridian (RFC 7946,
/// section 5.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

impl Area {
    /// A rectangle of west, south, east and north.
    ///
    /// # Errors
    /// When a side lies outside the Earth or south is above north.
    pub(crate) fn new([west, south, east, north]: [f64; 4]) -> Result<Self, CatalogError> {
        let longitudes = [west, east].iter().all(|x| (-180.0..=180.0).contains(x));
        let latitudes = (-90.0..=90.0).contains(&south) && (south..=90.0).contains(&north);
        if !longitudes || !latitudes {
            let text = "an area is west, south, east, north in degrees, south below north";
            return Err(CatalogError::Malformed(text.to_owned()));
        }
        Ok(Self {
            west,
            south,
            east,
            north,
        })
    }

    /// West, south, east, north.
    pub(crate) fn bounds(&self) -> [f64; 4] {
        [self.west, self.south, self.east, self.north]
    }

    /// True where the two share a point; touching sides count.
    pub(crate) fn touches(&self, other: &Area) -> bool {
        let latitudes = self.south <= other.north && other.south <= self.north;
        latitudes
            && self.spans().iter().flatten().any(|(west, east)| {
                let mut spans = other.spans().into_iter().flatten();
                spans.any(|(w, e)| *west <= e && w <= *east)
            })
    }

    /// The longitudes, cut at the antimeridian.
    fn spans(&self) -> [Option<(f64, f64)>; 2] {
        if self.west <= self.east {
            [Some((self.west, self.east)), None]
        } else {
            [Some((self.west, 180.0)), Some((-180.0, self.east))]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(bounds: [f64; 4]) -> Area {
        Area::new(bounds).unwrap()
    }

    #[test]
    fn areas_touch_across_the_antimeridian() {
        let fiji = area([177.0, -20.0, -178.0, -15.0]);
        assert!(fiji.touches(&area([179.0, -18.0, 179.5, -17.0])));
        assert!(fiji.touches(&area([-180.0, -18.0, -179.0, -17.0])));
        assert!(fiji.touches(&area([178.0, -16.0, -179.0, -10.0])));
        assert!(!fiji.touches(&area([-10.0, -18.0, 10.0, -17.0])));
        assert!(!fiji.touches(&area([179.0, 0.0, 179.5, 1.0])));
    }

    #[test]
    fn touching_sides_count() {
        assert!(area([0.0, 0.0, 1.0, 1.0]).touches(&area([1.0, 1.0, 2.0, 2.0])));
        assert!(!area([0.0, 0.0, 1.0, 1.0]).touches(&area([1.1, 0.0, 2.0, 2.0])));
    }

    #[test]
    fn an_area_lies_on_the_earth() {
        for bounds in [
            [-181.0, 0.0, 0.0, 1.0],
            [0.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 91.0],
            [f64::NAN, 0.0, 0.0, 1.0],
        ] {
            assert!(Area::new(bounds).is_err(), "{bounds:?}");
        }
    }
}
