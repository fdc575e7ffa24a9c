//! The twelve steps of the main job.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use oc_client::{Client, ListingFilter};
use oc_kernel::{Clock as _, SystemClock};
use oc_proto::backend::v1::{AddFavoriteRequest, CreateUserRequest, Draft};
use oc_proto::catalog::v1::Listing;
use oc_proto::compute::v1::{Grant, Offer, OfferKind, RequestGrantRequest, Rule};
use oc_proto::data::v1::CreateDatasetRequest;
use oc_proto::discovery::v1::{
    self as pb, CreateNetworkRequest, GetIdentityResponse, InviteRequest, JoinNetworkRequest,
    PeerState,
};
use oc_proto::federation::v1::GrantState;
use oc_proto::json::Word as _;
use oc_proto::pipeline::v1::{
    DatasetInput, FragmentState, InputValue, ListingRef, OutputPlace, Run, RunRequest, RunState,
    StartRunRequest, input_value, watch_run_response,
};
use oc_proto::service::v1::ProcessingService;
use oc_proto::types::v1::Limits;
use secrecy::SecretString;

use super::ending::{compare_books, leave};
use super::node_process::NodeProcess;
use super::progress::Progress;
use super::report::{Network, Output, Report, organisation, run_report};
use super::wait::until;
use super::wishes::{euros, grant_limits, summer};
use crate::cli::dataset_import;

pub(super) const SOON: Duration = Duration::from_secs(20);
const RUN_LIMIT: Duration = Duration::from_secs(90);

const DATASET: &str = "sentinel-2-demo";
const DATASET_LISTING: &str = "dataset.sentinel-2-demo";
pub(super) const MACHINES: &str = "machines";
const MACHINES_LISTING: &str = "compute.machines";
const SERVICE: &str = "sentinel-pictures";
const SERVICE_LISTING: &str = "processing.sentinel-pictures.1.0";
const STORAGE: &str = "results";
const STORAGE_LISTING: &str = "storage.results";

/// Everything the story needs.
pub(crate) struct Story<'a> {
    pub(crate) north: &'a mut NodeProcess,
    pub(crate) south: &'a mut NodeProcess,
    pub(crate) samples: &'a Path,
    pub(crate) pictures: &'a Path,
    pub(crate) progress: &'a Progress,
    /// Whether both nodes go on running: then South does not leave at the end.
    pub(crate) keep: bool,
}

/// Both sides after they have met.
pub(super) struct Cast {
    pub(super) north: Client,
    pub(super) south: Client,
    pub(super) north_id: GetIdentityResponse,
    pub(super) south_id: GetIdentityResponse,
}

impl Story<'_> {
    /// Plays it.
    pub(crate) async fn play(self) -> anyhow::Result<Report> {
        let begin = Instant::now();
        let mut report = Report::default();
        let since = |at: Instant| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);

        self.progress
            .step(1, "North and South start, each with keys of its own");
        self.north.start(self.keep)?;
        self.south.start(self.keep)?;
        let north = self.north.ready().await?;
        let south = self.south.ready().await?;
        let north_id = north.discovery().identity().await?;
        let south_id = south.discovery().identity().await?;
        report.organisations = [&north_id, &south_id].map(organisation).into();
        report.timings_ms.nodes_ready = since(begin);
        let cast = Cast {
            north,
            south,
            north_id,
            south_id,
        };

        self.progress.step(2, "South joins North's private network");
        let at = Instant::now();
        let network = self.meet(&cast).await?;
        report.network = Network {
            name: network.name.clone(),
            kind: network.kind.clone(),
        };
        report.timings_ms.joined = since(at);

        self.progress.step(
            3,
            "South offers images, machines and a service; North offers storage",
        );
        self.offer(&cast).await?;
        let ada = scientist(&cast.north).await?;

        self.progress
            .step(4, "North's catalogue shows South's offers");
        let at = Instant::now();
        let listings = self.find_offers(&cast, &ada).await?;
        report.timings_ms.offers_visible = since(at);

        self.progress
            .step(5, "she draws a workflow and gives dates and area");
        let request = self.draw(&cast, &ada, &listings).await?;

        self.progress.step(
            6,
            "North asks South for a grant; a rule of South's approves it",
        );
        let at = Instant::now();
        let grant = ask_for_grant(&cast).await?;
        report.timings_ms.granted = since(at);

        self.progress.step(
            7,
            "the orchestrator counts images and plans where each step runs",
        );
        let plan = ada.pipeline().plan(&request).await?;
        let counted = plan.data.iter().map(|data| data.count).max().unwrap_or(0);
        ensure!(
            counted == 3,
            "three of the six images were expected, {counted} were counted"
        );

        self.progress.step(
            8,
            "the run starts, each step with authority for that step only",
        );
        let at = Instant::now();
        let start = StartRunRequest {
            run: Some(request),
            operation_id: String::new(),
        };
        let run = ada.pipeline().start(&start).await?;

        self.progress.step(9, "she watches it");
        let run = self.watch(&ada, &run.run_id).await?;
        report.timings_ms.run = since(at);
        report.run = run_report(&run);

        self.progress.step(10, "the results lie in North's storage");
        report.outputs = self.fetch(&ada, &run.run_id).await?;

        self.progress.step(11, "both sign the same usage records");
        report.usage = compare_books(&cast, &grant.grant_id).await?;

        if !self.keep {
            self.progress
                .step(12, "South withdraws and leaves; the bill still stands");
            report.kept = Some(leave(&cast, &network.network_id, &grant.grant_id).await?);
        }
        report.timings_ms.total = since(begin);
        Ok(report)
    }

    async fn meet(&self, cast: &Cast) -> anyhow::Result<pb::Network> {
        let create = CreateNetworkRequest {
            name: "north-and-south".to_owned(),
            port: 0,
        };
        let network = cast.north.discovery().create_network(&create).await?;
        let invite = InviteRequest {
            network_id: network.network_id.clone(),
            addresses: Vec::new(),
        };
        let invitation = cast.north.discovery().invite(&invite).await?;
        cast.south
            .discovery()
            .join_network(&JoinNetworkRequest {
                invitation,
                port: 0,
            })
            .await?;
        for (client, other) in [(&cast.north, &cast.south_id), (&cast.south, &cast.north_id)] {
            until("both organisations see each other", SOON, || async {
                let peers = client.discovery().peers().await?;
                let connected = peers.iter().any(|peer| {
                    peer.org_id == other.org_id && peer.state == i32::from(PeerState::Connected)
                });
                Ok(connected.then_some(()))
            })
            .await?;
        }
        Ok(network)
    }

    async fn offer(&self, cast: &Cast) -> anyhow::Result<()> {
        let samples = self.samples.join("sentinel");
        let read = |path: &Path| {
            std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
        };
        let create = CreateDatasetRequest {
            collection_json: read(&samples.join("collection.json"))?,
            terms: "for partners' research; cite Copernicus".to_owned(),
            price: None,
            visible_to: Vec::new(),
        };
        cast.south.data().create_dataset(&create).await?;
        let mut items: Vec<_> = std::fs::read_dir(&samples)?
            .filter_map(Result::ok)
            .filter(|entry| entry.path().is_dir())
            .map(|entry| {
                entry
                    .path()
                    .join(entry.file_name())
                    .with_added_extension("json")
            })
            .collect();
        items.sort();
        for item in &items {
            let done = dataset_import::import(&cast.south, DATASET, item).await?;
            self.progress.note(&done.id);
        }
        let service = ProcessingService {
            name: SERVICE.to_owned(),
            version: "1.0".to_owned(),
            description: "True-colour and vegetation pictures of Sentinel-2 scenes".to_owned(),
            cwl: read(&self.samples.join("workflows/sentinel-pictures.cwl"))?,
            ..ProcessingService::default()
        };
        cast.south.services().create(&service).await?;
        let machines = Offer {
            name: MACHINES.to_owned(),
            kind: OfferKind::Compute.into(),
            title: "Two cores next to the images".to_owned(),
            capacity: Some(Limits {
                cores: 2,
                memory_bytes: 2 << 30,
                concurrent_fragments: 2,
                wall_seconds: 3600,
                ..Limits::default()
            }),
            price: Some(euros(40_000, 50_000)),
            ..Offer::default()
        };
        cast.south.compute().create_offer(&machines).await?;
        let rule = Rule {
            name: "members".to_owned(),
            limits: Some(grant_limits()),
            max_life_seconds: 30 * 86_400,
            ..Rule::default()
        };
        cast.south.compute().put_rule(&rule).await?;
        let storage = Offer {
            name: STORAGE.to_owned(),
            kind: OfferKind::Storage.into(),
            title: "Results of our scientists".to_owned(),
            capacity: Some(Limits {
                storage_bytes: 1 << 30,
                ..Limits::default()
            }),
            ..Offer::default()
        };
        cast.north.compute().create_offer(&storage).await?;
        Ok(())
    }

    async fn find_offers(&self, cast: &Cast, ada: &Client) -> anyhow::Result<Vec<Listing>> {
        let filter = ListingFilter {
            owner: Some(cast.south_id.org_id.clone()),
            ..ListingFilter::default()
        };
        let wanted = [DATASET_LISTING, MACHINES_LISTING, SERVICE_LISTING];
        let listings = until("North's catalogue shows South's offers", SOON, || async {
            let found = ada.catalog().search(&filter).await?.listings;
            let all = wanted
                .iter()
                .all(|id| found.iter().any(|l| l.listing_id == *id));
            Ok(all.then_some(found))
        })
        .await?;
        for listing in &listings {
            let favorite = AddFavoriteRequest {
                owner: listing.owner.clone(),
                listing_id: listing.listing_id.clone(),
                note: String::new(),
            };
            ada.backend().add_favorite(&favorite).await?;
        }
        Ok(listings)
    }

    async fn draw(
        &self,
        cast: &Cast,
        ada: &Client,
        listings: &[Listing],
    ) -> anyhow::Result<RunRequest> {
        let service = listings.iter().find(|l| l.listing_id == SERVICE_LISTING);
        let service = service.context("the service is listed")?;
        let body: serde_json::Value = serde_json::from_str(&service.body_json)?;
        let draft = Draft {
            name: "summer-around-toulouse".to_owned(),
            cwl: body["cwl"].as_str().unwrap_or_default().to_owned(),
            ..Draft::default()
        };
        let draft = ada.backend().put_draft(&draft).await?;
        let of = |listing_id: &str| ListingRef {
            owner: cast.south_id.org_id.clone(),
            listing_id: listing_id.to_owned(),
        };
        let bands = [
            ("red", "B04"),
            ("green", "B03"),
            ("blue", "B02"),
            ("nir", "B08"),
        ];
        let inputs = bands.map(|(input, asset)| {
            let dataset = DatasetInput {
                dataset: Some(of(DATASET_LISTING)),
                query: Some(summer(asset)),
            };
            let value = InputValue {
                value: Some(input_value::Value::Dataset(dataset)),
            };
            (input.to_owned(), value)
        });
        Ok(RunRequest {
            cwl: draft.cwl,
            inputs: inputs.into(),
            output: Some(OutputPlace {
                storage: Some(ListingRef {
                    owner: cast.north_id.org_id.clone(),
                    listing_id: STORAGE_LISTING.to_owned(),
                }),
                prefix: "toulouse".to_owned(),
            }),
            name: draft.name,
            ..RunRequest::default()
        })
    }

    async fn watch(&self, ada: &Client, run_id: &str) -> anyhow::Result<Run> {
        let follow = async {
            let events = ada.pipeline().watch(run_id, 0).await?;
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                match event?.event {
                    Some(watch_run_response::Event::Step(step)) if step.started => {
                        self.progress.note(&step.step);
                    }
                    Some(watch_run_response::Event::FragmentState(change)) => {
                        let state = FragmentState::try_from(change.state).unwrap_or_default();
                        self.progress.note(&state.word());
                    }
                    _ => {}
                }
            }
            anyhow::Ok(())
        };
        let followed = tokio::time::timeout(RUN_LIMIT, follow).await;
        let run = ada.pipeline().run(run_id).await?;
        if followed.is_ok() && run.state == i32::from(RunState::Succeeded) {
            return Ok(run);
        }
        let why = ada.pipeline().explain(run_id).await?;
        bail!("the run did not succeed\n{}", why.text);
    }

    async fn fetch(&self, ada: &Client, run_id: &str) -> anyhow::Result<Vec<Output>> {
        let results = ada.pipeline().results(run_id).await?;
        let mut outputs = Vec::new();
        for file in results.files {
            let object = file.object.unwrap_or_default();
            let bytes = ada.download(&file.path).await?;
            ensure!(
                bytes.len() as u64 == object.length,
                "{} has another length",
                file.name
            );
            let name = file.name.rsplit('/').next().unwrap_or(&file.name);
            let path = self.pictures.join(name);
            std::fs::write(&path, &bytes).with_context(|| format!("write {}", path.display()))?;
            outputs.push(Output {
                name: file.output,
                path: path.display().to_string(),
                bytes: object.length,
                sha256: object.sha256,
                media_type: object.media_type,
            });
        }
        ensure!(!outputs.is_empty(), "the run left no files");
        Ok(outputs)
    }
}

async fn scientist(north: &Client) -> anyhow::Result<Client> {
    let create = CreateUserRequest {
        name: "ada".to_owned(),
        roles: vec!["user".to_owned()],
    };
    let created = north.backend().create_user(&create).await?;
    Ok(Client::new(
        north.base(),
        Some(SecretString::from(created.token)),
    )?)
}

async fn ask_for_grant(cast: &Cast) -> anyhow::Result<Grant> {
    let request = RequestGrantRequest {
        provider: cast.south_id.org_id.clone(),
        listing_ids: [DATASET_LISTING, MACHINES_LISTING, SERVICE_LISTING]
            .map(str::to_owned)
            .into(),
        limits: Some(grant_limits()),
        not_after_ms: SystemClock.now_ms() + 7 * 86_400_000,
        message: "pictures of the summer around Toulouse".to_owned(),
        operation_id: String::new(),
    };
    let grant = cast.north.compute().request_grant(&request).await?;
    until("the grant is in force", SOON, || async {
        let grant = cast.north.compute().grant(&grant.grant_id).await?;
        Ok((grant.state == i32::from(GrantState::Active)).then_some(grant))
    })
    .await
}
