//! OpenAPI documents: how they are written, served, and kept equal to what is checked in.

mod document;

use std::path::Path;

use axum::response::{IntoResponse, Response};
use http::header;

use crate::app::App;
pub(crate) use document::{document, operation, plain};

/// The environment variable that makes [`check`] write instead of compare.
pub const BLESS: &str = "OC_BLESS";

/// The service's document as it is served and checked in: indented JSON that ends with a line feed.
pub(crate) fn render(app: &App) -> String {
    let mut text = serde_json::to_string_pretty(&document(app)).unwrap_or_default();
    text.push('\n');
    text
}

/// Compares the service's document with the file that is checked in, `docs/openapi/<service>.json`. With `OC_BLESS=1`
/// in the environment the file is written instead. For tests.
///
/// # Errors
/// What to do when they differ, or why the file cannot be read or written.
pub fn check(app: &App, file: &Path) -> Result<(), String> {
    let now = render(app);
    let name = file.display();
    if std::env::var_os(BLESS).is_some_and(|value| value == "1") {
        let folder = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        return std::fs::write(file, now).map_err(|error| format!("{name}: {error}"));
    }
    match std::fs::read_to_string(file) {
        Ok(before) if before == now => Ok(()),
        Ok(_) => Err(format!(
            "{name} differs from the routes: run the tests with {BLESS}=1 and read the diff"
        )),
        Err(error) => Err(format!(
            "{name}: {error}: run the tests with {BLESS}=1 to write it"
        )),
    }
}

pub(crate) fn answer(document: &str) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, document.to_owned()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_differs_from_the_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        let app = App::new("echo");
        assert!(check(&app, &file).unwrap_err().contains("OC_BLESS=1"));
        std::fs::write(&file, render(&app)).unwrap();
        assert_eq!(check(&app, &file), Ok(()));
        std::fs::write(&file, "{}").unwrap();
        assert!(check(&app, &file).unwrap_err().contains("differs"));
    }
}
