//! Which of our services stands behind each federation service.

/// The service that serves `path` (`/oc.federation.v1.<Service>/<Method>`); none for any other path, so
/// that nothing outside this table can be reached from a partner.
pub fn service_of(path: &str) -> Option<&'static str> {
    let (service, method) = path.strip_prefix("/oc.federation.v1.")?.split_once('/')?;
    if method.is_empty() || method.contains('/') {
        return None;
    }
    match service {
        "IdentityService" => Some("discovery"),
        "CatalogueService" => Some("catalog"),
        "DataService" => Some("sentinel-provider"),
        "ComputeService" | "ObjectsService" => Some("compute-provider"),
        "BooksService" => Some("accounting"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::service_of;

    #[test]
    fn only_federation_paths_lead_to_a_service() {
        assert_eq!(
            service_of("/oc.federation.v1.DataService/Count"),
            Some("sentinel-provider")
        );
        for path in [
            "/oc.compute.v1.GrantService/RevokeGrant",
            "/oc.federation.v1.DataService",
            "/oc.federation.v1.DataService/",
            "/oc.federation.v1.DataService/Count/../x",
            "/oc.federation.v2.DataService/Count",
            "/oc.federation.v1.Unknown/Count",
            "oc.federation.v1.DataService/Count",
            "/api/compute/v1/grants",
        ] {
            assert_eq!(service_of(path), None, "{path}");
        }
    }
}
