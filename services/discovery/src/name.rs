//! The organisation's name for people: kept when an operator gives it, so that later starts need not.

use std::sync::Arc;

use oc_kernel::DisplayName;
use oc_store::{Collection, Documents, Expect, Store, StoreError};
use serde::{Deserialize, Serialize};

static ORGANISATION: Collection = Collection::new("organisation", &[]);
const KEY: &str = "self";
/// What an organisation is called that was never given a name.
const UNNAMED: &str = "Unnamed organisation";

#[derive(Serialize, Deserialize)]
struct OrganisationRecord {
    name: String,
}

/// The name that was given now, else the one that was given before.
///
/// # Errors
/// The store's.
pub(crate) async fn settle(
    store: &Arc<dyn Store>,
    given: Option<DisplayName>,
) -> Result<String, StoreError> {
    let records = Documents::<OrganisationRecord>::new(store.clone(), &ORGANISATION, 1);
    let Some(name) = given else {
        let kept = records.get(KEY).await?;
        return Ok(kept.map_or_else(|| UNNAMED.to_owned(), |kept| kept.value.name));
    };
    let record = OrganisationRecord {
        name: name.to_string(),
    };
    records.put(KEY, &record, Expect::Any, Vec::new()).await?;
    Ok(record.name)
}

#[cfg(test)]
mod tests {
    use oc_store::SqliteStore;

    use super::*;

    #[tokio::test]
    async fn a_name_is_kept_until_another_is_given() {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::temporary().await.unwrap());
        assert_eq!(settle(&store, None).await.unwrap(), UNNAMED);
        let given = |name: &str| name.parse().ok();
        assert_eq!(settle(&store, given("North")).await.unwrap(), "North");
        assert_eq!(settle(&store, None).await.unwrap(), "North");
        assert_eq!(
            settle(&store, given("North Sea")).await.unwrap(),
            "North Sea"
        );
        assert_eq!(settle(&store, None).await.unwrap(), "North Sea");
    }
}
