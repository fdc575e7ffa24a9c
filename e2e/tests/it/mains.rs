//! Every service as a process of its own, as in a cluster: settings from a file, the others over the network, each
//! known to the others by a token.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use oc_client::{Client, ListingFilter};
use oc_kernel::Classify as _;
use oc_proto::compute::v1::{Offer, OfferKind};
use oc_proto::types::v1::Limits;
use oc_testkit::{program, until};
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(15);

/// Each service with settings of its own; `%` stands for its folder.
const SERVICES: [(&str, &str); 8] = [
    (
        "discovery",
        "store = '%/store.db'\n[service.discovery]\nname = 'North'\nkeys = '%/keys'\n\
         [service.discovery.swarm]\nhost = '127.0.0.1'\nfirst_port = 0\nlast_port = 0\n",
    ),
    ("catalog", "store = '%/store.db'\n"),
    (
        "generic-backend",
        "store = '%/store.db'\nadmin_token = '%/admin.token'\n",
    ),
    (
        "sentinel-provider",
        "store = '%/store.db'\nobjects = '%/objects'\n",
    ),
    ("service-provider", "store = '%/store.db'\n"),
    (
        "compute-provider",
        "store = '%/store.db'\nobjects = '%/objects'\nwork = '%/work'\n",
    ),
    ("pipeline-orchestrator", "store = '%/store.db'\n"),
    (
        "accounting",
        "store = '%/store.db'\nledger = '%/ledger.db'\n",
    ),
];

#[derive(Clone, Copy)]
struct Ports {
    api: SocketAddr,
    admin: SocketAddr,
}

/// Ports that are free now. The settings of each process name those of the others, so they must be known before
/// any process starts.
fn free_ports() -> BTreeMap<&'static str, Ports> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let held = SERVICES.map(|(name, _)| (name, listen(), listen()));
    held.iter()
        .map(|(name, api, admin)| {
            let (api, admin) = (api.local_addr().unwrap(), admin.local_addr().unwrap());
            (*name, Ports { api, admin })
        })
        .collect()
}

fn settings(name: &str, own: &str, folder: &Path, ports: &BTreeMap<&str, Ports>) -> String {
    let Ports { api, admin } = ports[name];
    let mut text = format!("[listen]\napi = '{api}'\nadmin = '{admin}'\n");
    let others = || ports.iter().filter(|(other, _)| **other != name);
    text.push_str("[callers]\n");
    for (other, _) in others() {
        writeln!(text, "{other} = '{other} at {name}'").unwrap();
    }
    for (other, Ports { api, .. }) in others() {
        writeln!(text, "[remotes.{other}]\naddress = 'http://{api}'").unwrap();
        writeln!(text, "token = '{name} at {other}'").unwrap();
    }
    let own = own.replace('%', folder.to_str().unwrap());
    text + "[service]\n" + &own
}

struct Service {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Service {
    fn start(name: &'static str, settings: &str, folder: &Path) -> Self {
        let (config, log) = (folder.join("settings.toml"), folder.join("log"));
        fs::write(&config, settings).unwrap();
        let file = File::create(&log).unwrap();
        let child = Command::new(program().with_file_name(format!("oc-{name}")))
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { name, child, log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    async fn becomes_ready(&mut self, admin: SocketAddr) {
        let what = format!("{} is ready", self.name);
        until(&what, START, async || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended:\n{}", self.name, self.log());
            is_ready(admin).await.ok()?.then_some(())
        })
        .await;
    }

    async fn stops(mut self) -> ExitStatus {
        let told = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(told.unwrap().success());
        let what = format!("{} stops", self.name);
        until(&what, STOP, async || self.child.try_wait().unwrap()).await
    }
}

async fn is_ready(admin: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(admin).await?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.starts_with("HTTP/1.0 200"))
}

impl Drop for Service {
    #[expect(
        clippy::print_stderr,
        reason = "a test that failed shows the log of its service"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- log of {}\n{}", self.name, self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn eight_processes_become_ready_and_know_each_other_and_the_administrator() {
    let (folder, ports) = (tempfile::tempdir().unwrap(), free_ports());
    let mut services = Vec::new();
    for (name, own) in SERVICES {
        let folder = folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        let settings = settings(name, own, &folder, &ports);
        services.push(Service::start(name, &settings, &folder));
    }
    for service in &mut services {
        service.becomes_ready(ports[service.name].admin).await;
    }
    let token = fs::read_to_string(folder.path().join("generic-backend/admin.token")).unwrap();
    let at = |name: &str, token: &str| {
        let token = SecretString::from(token.trim().to_owned());
        Client::new(&format!("http://{}", ports[name].api), Some(token)).unwrap()
    };

    // The account is in one process, its token is shown to another.
    let identity = at("discovery", &token)
        .discovery()
        .identity()
        .await
        .unwrap();
    assert_eq!(identity.name, "North");
    let stranger = at("discovery", "nobody's").discovery().identity().await;
    assert_eq!(stranger.unwrap_err().kind().as_str(), "unauthenticated");

    // compute-provider lists an offer with the catalogue, which has discovery sign it.
    let offer = Offer {
        name: "attic".to_owned(),
        kind: OfferKind::Storage.into(),
        capacity: Some(Limits {
            storage_bytes: 1 << 20,
            ..Limits::default()
        }),
        ..Offer::default()
    };
    at("compute-provider", &token)
        .compute()
        .create_offer(&offer)
        .await
        .unwrap();
    let catalog = at("catalog", &token);
    let found = until("the offer is listed", START, async || {
        let found = catalog.catalog().search(&ListingFilter::default()).await;
        found.unwrap().listings.into_iter().next()
    })
    .await;
    assert_eq!(found.name, "attic");

    for service in services {
        let (name, log) = (service.name, service.log());
        let status = service.stops().await;
        assert!(status.success(), "{name}: {status}\n{log}");
        assert!(log.contains("events stay within this process"), "{log}");
    }
}
