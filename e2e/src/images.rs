//! Images for a provider to offer: samples of `testdata/sentinel`.

use std::path::Path;

use anyhow::ensure;
use oc_testkit::Node;

/// Makes the dataset `sentinel-2-demo` with these items, each of Toulouse and named by its day.
///
/// # Errors
/// When the command line refuses; with what it says.
pub fn import(provider: &Node, items: &[&str]) -> anyhow::Result<()> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/sentinel");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let collection = text(&samples.join("collection.json"));
    let items: Vec<String> = items
        .iter()
        .map(|item| text(&samples.join(item).join(format!("{item}.json"))))
        .collect();
    let mut import = vec!["dataset", "import", "sentinel-2-demo"];
    import.extend(items.iter().map(String::as_str));
    for arguments in [["dataset", "create", &collection].as_slice(), &import] {
        let output = provider.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {errors}");
    }
    Ok(())
}
