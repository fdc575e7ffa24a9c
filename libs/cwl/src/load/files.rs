//! Locations of `File` and `Directory` objects that are written in documents and job files.

use serde_json::Value;

use crate::resolve;

/// Makes the relative locations in a value absolute, seen from `base`; `path` becomes `location`.
pub(crate) fn resolve_locations(value: &mut Value, base: &str) {
    match value {
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| resolve_locations(item, base)),
        Value::Object(map) => {
            if matches!(
                map.get("class").and_then(Value::as_str),
                Some("File" | "Directory")
            ) {
                if let Some(Value::String(path)) = map.shift_remove("path")
                    && !map.contains_key("location")
                {
                    let uri = location_of_path(&path, base);
                    map.insert("location".to_owned(), Value::String(uri));
                }
                if let Some(Value::String(location)) = map.get_mut("location")
                    && !location.starts_with("_:")
                {
                    *location = absolute(location, base);
                }
            }
            map.values_mut()
                .for_each(|item| resolve_locations(item, base));
        }
        _ => {}
    }
}

/// A path is not a URI: a `#` in it is a letter like any other.
fn location_of_path(path: &str, base: &str) -> String {
    if resolve::has_scheme(path) {
        return path.to_owned();
    }
    let encoded = resolve::uri_of_path(std::path::Path::new(path));
    resolve::join(base, encoded.strip_prefix("file://").unwrap_or(&encoded))
}

/// A `#` in a location is a fragment only where the part before it is a file of its own.
fn absolute(location: &str, base: &str) -> String {
    if resolve::has_scheme(location) {
        return location.to_owned();
    }
    resolve::join(base, &location.replace('#', "%23"))
}
