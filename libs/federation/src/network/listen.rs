//! Listening: which addresses can be listened on, and waiting until they are.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::core::transport::TransportError;
use libp2p::multiaddr::Protocol as AddressPart;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm};
use tokio::time::timeout;

use crate::NetworkError;
use crate::behaviour::Behaviour;

const FIRST_LISTEN: Duration = Duration::from_secs(5);

/// Listens on each address and waits until every listener has one.
pub(super) async fn listen(
    swarm: &mut Swarm<Behaviour>,
    addresses: &[Multiaddr],
) -> Result<(), NetworkError> {
    let mut waiting = HashSet::new();
    for address in addresses {
        free(address)?;
        let listener = swarm
            .listen_on(address.clone())
            .map_err(|error| listen_error(address, &error))?;
        waiting.insert(listener);
    }
    let listening = async {
        while !waiting.is_empty() {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { listener_id, .. } => {
                    waiting.remove(&listener_id);
                }
                SwarmEvent::ListenerClosed { reason, .. } => {
                    let cause = reason.err().map_or_else(String::new, |e| e.to_string());
                    return Err(NetworkError::Setup { cause });
                }
                _ => {}
            }
        }
        Ok(())
    };
    timeout(FIRST_LISTEN, listening)
        .await
        .unwrap_or(Err(NetworkError::Timeout { what: "listen" }))
}

/// libp2p shares its ports (`SO_REUSEPORT`) and would silently take half of another node's connections.
fn free(address: &Multiaddr) -> Result<(), NetworkError> {
    let bad = |reason: &str| NetworkError::BadAddress {
        address: address.to_string(),
        reason: reason.to_owned(),
    };
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(AddressPart::Ip4(ip)) => ip.into(),
        Some(AddressPart::Ip6(ip)) => ip.into(),
        _ => return Err(bad("it must begin with /ip4 or /ip6")),
    };
    let Some(AddressPart::Tcp(port)) = parts.next() else {
        return Err(bad("a private network needs /tcp"));
    };
    if parts.next().is_some() {
        return Err(bad("nothing may follow the port"));
    }
    match TcpListener::bind(SocketAddr::new(ip, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Err(NetworkError::AddressInUse {
                address: address.to_string(),
            })
        }
        Err(error) => Err(NetworkError::Listen {
            address: address.to_string(),
            cause: error.to_string(),
        }),
    }
}

fn listen_error(address: &Multiaddr, error: &TransportError<std::io::Error>) -> NetworkError {
    NetworkError::Listen {
        address: address.to_string(),
        cause: error.to_string(),
    }
}
