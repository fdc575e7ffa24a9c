//! South with machines and images, North with storage for what comes out: enough for a run at a partner.

use std::time::Duration;

use oc_client::{Client, ClientError, ListingFilter};
use oc_e2e::images::import;
use oc_kernel::{Clock as _, SystemClock};
use oc_proto::compute::v1::{
    Grant, Offer, OfferKind, RequestGrantRequest, RevokeGrantRequest, Rule,
};
use oc_proto::federation::v1::GrantState;
use oc_proto::pipeline::v1::{
    DatasetInput, InputValue, ListingRef, Run, RunRequest, StartRunRequest, input_value,
};
use oc_proto::types::v1::{DatasetQuery, Limits, Price, TimeRange};
use oc_testkit::{Pair, until};

pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const MACHINES: &str = "compute.machines";
pub(crate) const IMAGES: &str = "dataset.sentinel-2-demo";

/// June 2025, in which both images of the dataset lie.
pub(crate) const JUNE: TimeRange = TimeRange {
    start_ms: 1_748_736_000_000,
    end_ms: 1_751_327_999_999,
};

/// Both organisations, joined, with their offers.
pub(crate) struct Scene {
    pub(crate) pair: Pair,
}

impl Scene {
    /// Sets it; South's process gets these settings.
    pub(crate) async fn set(south_settings: &[&str]) -> Self {
        Self::set_with(&[], south_settings).await
    }

    /// The same, with settings for North too.
    pub(crate) async fn set_with(north_settings: &[&str], south_settings: &[&str]) -> Self {
        Self::on(Pair::meet_with(north_settings, south_settings).await).await
    }

    /// Sets it for a pair that has met.
    pub(crate) async fn on(pair: Pair) -> Self {
        let (north, south) = (pair.north.client(), pair.south.client());
        // Two images, of 12 and 27 June 2025.
        import(&pair.south, &["toulouse-20250612-a", "toulouse-20250627-a"]).unwrap();
        let price = Price {
            currency: "EUR".to_owned(),
            core_hour_micros: 36_000_000,
            ..Price::default()
        };
        let machines = Limits {
            cores: 4,
            memory_bytes: 4 << 30,
            concurrent_fragments: 4,
            wall_seconds: 3600,
            ..Limits::default()
        };
        let shelf = Limits {
            storage_bytes: 1 << 30,
            ..Limits::default()
        };
        let offer = |name: &str, kind: OfferKind, capacity, price| Offer {
            name: name.to_owned(),
            kind: kind.into(),
            capacity: Some(capacity),
            price,
            ..Offer::default()
        };
        let offer_machines = offer("machines", OfferKind::Compute, machines, Some(price));
        south.compute().create_offer(&offer_machines).await.unwrap();
        let offer_shelf = offer("results", OfferKind::Storage, shelf, None);
        north.compute().create_offer(&offer_shelf).await.unwrap();
        let rule = Rule {
            name: "members".to_owned(),
            limits: Some(large()),
            max_life_seconds: 86_400,
            ..Rule::default()
        };
        south.compute().put_rule(&rule).await.unwrap();
        let filter = ListingFilter::default();
        until("North sees all offers", SOON, async || {
            let found = north.catalog().search(&filter).await.ok()?.listings;
            let seen = |id: &str| found.iter().any(|listing| listing.listing_id == id);
            (seen(MACHINES) && seen(IMAGES) && seen("storage.results")).then_some(())
        })
        .await;
        Self { pair }
    }

    pub(crate) fn north(&self) -> Client {
        self.pair.north.client()
    }

    pub(crate) fn south(&self) -> Client {
        self.pair.south.client()
    }

    /// A grant from South on its machines and images, in force.
    pub(crate) async fn grant(&self, limits: Limits, life: Duration) -> Grant {
        self.grant_on(&[MACHINES, IMAGES], limits, life).await
    }

    /// The same, on these listings.
    pub(crate) async fn grant_on(
        &self,
        listings: &[&str],
        limits: Limits,
        life: Duration,
    ) -> Grant {
        let life = u64::try_from(life.as_millis()).unwrap();
        let request = RequestGrantRequest {
            provider: self.pair.south_id.clone(),
            listing_ids: listings.iter().map(|&id| id.to_owned()).collect(),
            limits: Some(limits),
            not_after_ms: SystemClock.now_ms() + life,
            ..RequestGrantRequest::default()
        };
        let grant = self.north().compute().request_grant(&request).await;
        self.reaches(&self.north(), &grant.unwrap().grant_id, GrantState::Active)
            .await
    }

    /// Waits until one side knows that a grant has come to this state.
    pub(crate) async fn reaches(&self, side: &Client, grant_id: &str, state: GrantState) -> Grant {
        until("the grant reaches its state", SOON, async || {
            let grant = side.compute().grant(grant_id).await.ok()?;
            (grant.state == i32::from(state)).then_some(grant)
        })
        .await
    }

    /// South takes a grant back.
    pub(crate) async fn revoke(&self, grant_id: &str, reason: &str) {
        let revoke = RevokeGrantRequest {
            grant_id: grant_id.to_owned(),
            reason: reason.to_owned(),
        };
        self.south().compute().revoke_grant(&revoke).await.unwrap();
    }

    /// A request to sleep for `seconds`, with an image in reach that was taken in `time`.
    pub(crate) fn sleep(&self, seconds: &str, requirements: &str, time: TimeRange) -> RunRequest {
        let query = DatasetQuery {
            time: Some(time),
            assets: vec!["B04".to_owned()],
            limit: 1,
            ..DatasetQuery::default()
        };
        let dataset = DatasetInput {
            dataset: Some(ListingRef {
                owner: self.pair.south_id.clone(),
                listing_id: IMAGES.to_owned(),
            }),
            query: Some(query),
        };
        let image = InputValue {
            value: Some(input_value::Value::Dataset(dataset)),
        };
        RunRequest {
            cwl: format!(
                "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [sleep, \"{seconds}\"]\n\
                 requirements: {{{requirements}}}\ninputs:\n  image: File\noutputs:\n  said: stdout\nstdout: said.txt\n"
            ),
            inputs: [("image".to_owned(), image)].into(),
            name: "sleep".to_owned(),
            ..RunRequest::default()
        }
    }

    /// Waits until nothing is held at South.
    pub(crate) async fn nothing_is_held(&self) {
        until("no_capacity_leak", SOON, async || {
            (self.held().await == (0, 0)).then_some(())
        })
        .await;
    }

    /// What is held at South, of images and of cores.
    pub(crate) async fn held(&self) -> (usize, u32) {
        let reservations = self.south().data().reservations().await.unwrap().len();
        let offers = self.south().compute().offers().await.unwrap();
        let cores = offers.iter().filter_map(|offer| Some(offer.used?.cores));
        (reservations, cores.sum())
    }
}

/// More than any test needs.
pub(crate) fn large() -> Limits {
    Limits {
        cores: 4,
        memory_bytes: 4 << 30,
        concurrent_fragments: 4,
        wall_seconds: 600,
        core_seconds: 36_000,
        egress_bytes: 1 << 30,
        storage_bytes: 1 << 30,
    }
}

pub(crate) async fn start(client: &Client, request: RunRequest) -> Result<Run, ClientError> {
    let start = StartRunRequest {
        run: Some(request),
        operation_id: String::new(),
    };
    client.pipeline().start(&start).await
}

/// Waits for the end of a run; the run and its story.
pub(crate) async fn over(client: &Client, run_id: &str, limit: Duration) -> (Run, String) {
    let run = until("the run is over", limit, async || {
        let run = client.pipeline().run(run_id).await.ok()?;
        (run.ended_at_ms > 0).then_some(run)
    })
    .await;
    (run, client.pipeline().explain(run_id).await.unwrap().text)
}
