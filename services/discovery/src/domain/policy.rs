//! Which of our services may call which method of a partner, and for what. Everything that is not in this
//! table is refused, so that no service can borrow another's name.

use oc_door::{BulkRole, Purpose};

/// True when `service` may call `path` (`/oc.federation.v1.<Service>/<Method>`) for this purpose.
pub(crate) fn may_call(service: &str, path: &str, purpose: &Purpose) -> bool {
    let Some((role, method)) = path
        .strip_prefix("/oc.federation.v1.")
        .and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    match (service, role, purpose) {
        ("catalog", "CatalogueService", Purpose::Catalogue)
        | ("accounting", "BooksService", Purpose::Books(_))
        | ("compute-provider", "ObjectsService", Purpose::Run(_))
        | ("pipeline-orchestrator", "DataService", Purpose::Run(_)) => true,
        ("compute-provider", "ComputeService", Purpose::Grant(_)) => is_about_a_grant(method),
        ("compute-provider", "DataService", Purpose::Run(_)) => method == "Access",
        ("pipeline-orchestrator", "ComputeService", Purpose::Run(_)) => !is_about_a_grant(method),
        ("pipeline-orchestrator", "ObjectsService", Purpose::Run(_)) => {
            matches!(method, "OpenDownload" | "RemoveOutputs")
        }
        _ => false,
    }
}

fn is_about_a_grant(method: &str) -> bool {
    matches!(
        method,
        "RequestGrant" | "GetGrant" | "AcceptGrant" | "EndGrant" | "NoteGrant"
    )
}

/// True when `service` may move bytes from or to a partner.
pub(crate) fn may_transfer(service: &str, role: BulkRole, put: bool) -> bool {
    match (service, role) {
        ("compute-provider", BulkRole::Objects) => true,
        ("compute-provider", BulkRole::Data) | ("pipeline-orchestrator", BulkRole::Objects) => !put,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    const SERVICES: [&str; 9] = [
        "discovery",
        "catalog",
        "generic-backend",
        "sentinel-provider",
        "service-provider",
        "compute-provider",
        "pipeline-orchestrator",
        "accounting",
        "test",
    ];

    fn purposes() -> [Purpose; 5] {
        [
            Purpose::Hello,
            Purpose::Catalogue,
            Purpose::Grant(String::new()),
            Purpose::Run("run-1".to_owned()),
            Purpose::Books("grant-1".to_owned()),
        ]
    }

    fn methods() -> Vec<String> {
        let set = FileDescriptorSet::decode(oc_proto::DESCRIPTORS).unwrap();
        let services = set.file.iter().flat_map(|file| {
            let package = file.package().to_owned();
            file.service.iter().map(move |s| (package.clone(), s))
        });
        services
            .flat_map(|(package, service)| {
                let name = service.name().to_owned();
                let methods = service.method.iter();
                methods.map(move |m| format!("/{package}.{name}/{}", m.name()))
            })
            .collect()
    }

    #[test]
    fn every_federation_method_but_hello_is_somebodys_duty_and_no_other_method_is() {
        for path in methods() {
            let callers: BTreeSet<_> = SERVICES
                .into_iter()
                .filter(|s| purposes().iter().any(|p| may_call(s, &path, p)))
                .collect();
            let open = path.starts_with("/oc.federation.v1.") && !path.ends_with("/Hello");
            assert_eq!(!callers.is_empty(), open, "{path}: {callers:?}");
        }
    }

    #[test]
    fn a_service_cannot_call_for_anothers_purpose() {
        let run = Purpose::Run("run-1".to_owned());
        let grant = Purpose::Grant("grant-1".to_owned());
        let books = Purpose::Books("grant-1".to_owned());
        for (service, method, purpose, allowed) in [
            (
                "catalog",
                "CatalogueService/GetHead",
                &Purpose::Catalogue,
                true,
            ),
            ("catalog", "CatalogueService/GetHead", &run, false),
            (
                "accounting",
                "CatalogueService/GetHead",
                &Purpose::Catalogue,
                false,
            ),
            (
                "compute-provider",
                "ComputeService/RequestGrant",
                &grant,
                true,
            ),
            ("compute-provider", "ComputeService/Submit", &grant, false),
            ("compute-provider", "ComputeService/Submit", &run, false),
            ("pipeline-orchestrator", "ComputeService/Submit", &run, true),
            (
                "pipeline-orchestrator",
                "ComputeService/RequestGrant",
                &run,
                false,
            ),
            (
                "pipeline-orchestrator",
                "ObjectsService/RequestUpload",
                &run,
                false,
            ),
            (
                "pipeline-orchestrator",
                "ObjectsService/RemoveOutputs",
                &run,
                true,
            ),
            (
                "compute-provider",
                "ObjectsService/RequestUpload",
                &run,
                true,
            ),
            ("compute-provider", "DataService/Reserve", &run, false),
            ("accounting", "BooksService/Countersign", &books, true),
            ("accounting", "BooksService/Countersign", &grant, false),
        ] {
            let path = format!("/oc.federation.v1.{method}");
            assert_eq!(
                may_call(service, &path, purpose),
                allowed,
                "{service} {path} {purpose}"
            );
        }
    }

    #[test]
    fn only_the_compute_provider_moves_bytes_and_never_into_a_dataset_and_results_are_read() {
        for service in SERVICES {
            let compute = service == "compute-provider";
            let reads = compute || service == "pipeline-orchestrator";
            assert_eq!(may_transfer(service, BulkRole::Data, false), compute);
            assert_eq!(may_transfer(service, BulkRole::Objects, true), compute);
            assert_eq!(may_transfer(service, BulkRole::Objects, false), reads);
            assert!(!may_transfer(service, BulkRole::Data, true));
        }
    }
}
