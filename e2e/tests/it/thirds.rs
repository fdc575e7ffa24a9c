//! A third member that has learnt the ids of what is between two others, and says them everywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use oc_kernel::AttemptId;
use oc_proto::pipeline::v1::RunState;
use oc_testkit::until;
use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FieldDescriptorProto};
use tonic::Code;

use crate::scene::{IMAGES, JUNE, MACHINES, SOON, Scene, large, over, start};
use crate::strangers::Raw;

/// Methods that say yes to whoever holds nothing, and do nothing.
const GIVEN_BACK: [&str; 3] = [
    "ComputeService/NoteGrant",
    "ComputeService/ReleaseCapacity",
    "DataService/Release",
];

const HOUR: Duration = Duration::from_secs(3600);

/// Every method between organisations, with the message that it takes.
fn methods() -> Vec<(String, DescriptorProto)> {
    let set = prost_types::FileDescriptorSet::decode(oc_proto::DESCRIPTORS).unwrap();
    let package = "oc.federation.v1";
    let files = || set.file.iter().filter(|file| file.package() == package);
    let messages: BTreeMap<String, DescriptorProto> = files()
        .flat_map(|file| &file.message_type)
        .map(|message| (format!(".{package}.{}", message.name()), message.clone()))
        .collect();
    let services = files().flat_map(|file| &file.service);
    let methods = services.flat_map(|service| {
        let path = format!("/{package}.{}", service.name());
        let methods = service.method.iter();
        methods.map(move |method| (format!("{path}/{}", method.name()), method.input_type()))
    });
    methods
        .map(|(path, input)| (path, messages[input].clone()))
        .collect()
}

/// A field on the wire: its number with the wire type, then the value.
fn put(message: &mut Vec<u8>, field: &FieldDescriptorProto, value: &[u8]) {
    let number = u32::try_from(field.number()).unwrap();
    let numeric = matches!(field.r#type(), Type::Uint32 | Type::Uint64);
    prost::encoding::encode_varint(
        u64::from((number << 3) | (u32::from(!numeric) * 2)),
        message,
    );
    if numeric {
        let value = String::from_utf8_lossy(value).parse().unwrap();
        prost::encoding::encode_varint(value, message);
    } else {
        prost::encoding::encode_varint(value.len() as u64, message);
        message.extend_from_slice(value);
    }
}

/// A message with everything that is known, by the names of its fields.
fn message(of: &DescriptorProto, known: &BTreeMap<&str, Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in &of.field {
        if let Some(value) = known.get(field.name()) {
            put(&mut bytes, field, value);
        }
    }
    bytes
}

#[tokio::test]
async fn the_ids_of_others_open_nothing_for_a_third_member() {
    let scene = Scene::set(&[]).await;
    let (north, south) = (scene.north(), scene.south());
    let grant = scene.grant(large(), HOUR).await;
    let network_id = &scene.pair.network.network_id;
    let east = Raw::join_network(&scene.pair.south, network_id).await;
    east.hello().await;
    let run = start(&north, scene.sleep("6", "", JUNE)).await.unwrap();
    let run = until("it runs at South", SOON, async || {
        let run = north.pipeline().run(&run.run_id).await.ok()?;
        (run.fragments[0].started_at_ms > 0).then_some(run)
    })
    .await;
    let fragment = &run.fragments[0];
    let reservations = south.data().reservations().await.unwrap();
    let known = |attempt_id: &str, listing: &str| {
        let texts = [
            ("grant_id", grant.grant_id.as_str()),
            ("listing_id", listing),
            ("run_id", run.run_id.as_str()),
            ("fragment_id", fragment.fragment_id.as_str()),
            ("attempt_id", attempt_id),
            ("attempt_ids", attempt_id),
            ("operation_id", "east"),
            ("reservation_id", reservations[0].reservation_id.as_str()),
            ("reason", "none"),
            ("key", "east/seen.txt"),
            ("cores", "1"),
            ("memory_bytes", "1048576"),
            ("wall_seconds", "60"),
            ("ttl_seconds", "60"),
            ("page_size", "10"),
        ];
        let mut known: BTreeMap<&str, Vec<u8>> = texts
            .map(|(name, text)| (name, text.as_bytes().to_vec()))
            .into();
        // Not even the grant itself, with both signatures.
        known.insert("delegation", grant.envelope.clone());
        known.insert("envelope", grant.envelope.clone());
        known
    };
    let held = scene.held().await;
    let before = south.compute().grant(&grant.grant_id).await.unwrap();
    let mut walked = 0;
    let mut open = Vec::new();
    for (path, input) in methods() {
        let names = |field: &str| input.field.iter().any(|it| it.name() == field);
        if !["grant_id", "attempt_id", "attempt_ids", "reservation_id"]
            .into_iter()
            .any(names)
        {
            continue;
        }
        walked += 1;
        let listing = if path.contains("DataService") {
            IMAGES
        } else {
            MACHINES
        };
        for attempt in [fragment.attempt_id.clone(), AttemptId::new().to_string()] {
            let bytes = message(&input, &known(&attempt, listing));
            let calling = east.call_with(&path, "", &bytes);
            let answered = tokio::time::timeout(SOON, calling).await;
            let (code, text) = answered.unwrap_or((Code::Ok, "it streams".to_owned()));
            let refused = match code {
                Code::NotFound | Code::PermissionDenied => true,
                // What is not there for who asks is given back already.
                Code::Ok => GIVEN_BACK.iter().any(|end| path.ends_with(end)),
                // A chain that does not end at who shows it is none.
                _ => names("delegation") || names("envelope"),
            };
            if !refused {
                open.push((path.clone(), code, text));
            }
        }
    }
    assert!(walked > 15, "{walked} methods take an id");
    assert!(open.is_empty(), "{open:#?}");
    assert_eq!(
        south.compute().grant(&grant.grant_id).await.unwrap(),
        before
    );
    assert_eq!(scene.held().await, held);
    let (run, why) = over(&north, &run.run_id, HOUR).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
    assert_eq!(run.fragments[0].attempts, 1, "{why}");
}
