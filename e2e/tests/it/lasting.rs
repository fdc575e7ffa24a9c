//! Work at a partner that takes longer than the books allow clocks and messages to differ.

use std::time::Duration;

use oc_client::Export;
use oc_proto::pipeline::v1::RunState;

use crate::scene::{JUNE, SOON, Scene, large, over, start};

#[tokio::test]
async fn books_agree_on_a_step_of_seven_seconds_at_a_partner() {
    let scene = Scene::set(&[]).await;
    let grant = scene.grant(large(), Duration::from_secs(3600)).await;
    let north = scene.north();
    let run = start(&north, scene.sleep("7", "", JUNE)).await.unwrap();
    let (run, story) = over(&north, &run.run_id, SOON + Duration::from_secs(20)).await;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{story}");
    assert_eq!(run.fragments[0].grant_id, grant.grant_id, "it ran at South");

    let settled = north.accounting().settle(&grant.grant_id).await.unwrap();
    assert_eq!(settled.disputes, vec![]);
    assert!(settled.countersigned);
    let mut exports = Vec::new();
    let south = scene.south();
    for side in [&north, &south] {
        let books = side.accounting().books(&grant.grant_id).await.unwrap();
        assert_eq!((books.size, books.countersigned), (1, true));
        assert_eq!(books.disputes, vec![]);
        let accounting = side.accounting();
        let export = accounting.export(&grant.grant_id, "", Export::Json).await;
        exports.push(export.unwrap());
    }
    assert_eq!(exports[0], exports[1]);
    let records = north.accounting().records(&grant.grant_id, "").await;
    let record = &records.unwrap()[0];
    assert!(record.wall_ms >= 7_000, "{} ms", record.wall_ms);

    // The run shows what is charged, and a plan of the same what that was.
    assert_eq!(run.charged_micros, Some(record.charge_micros));
    let plan = north.pipeline().plan(&scene.sleep("7", "", JUNE)).await;
    let plan = plan.unwrap();
    assert_eq!(plan.expected_micros, run.charged_micros);
    assert!(
        plan.cost_micros >= record.charge_micros,
        "it is at most that"
    );

    // The grant is as good as before.
    let next = start(&north, scene.sleep("0.1", "", JUNE)).await.unwrap();
    let (next, story) = over(&north, &next.run_id, SOON).await;
    assert_eq!(next.state, i32::from(RunState::Succeeded), "{story}");
}
