//! Ports to try, addresses to listen on, addresses to name to others.

use std::net::IpAddr;

use oc_federation::{AddressPart, Multiaddr};

use crate::domain::error::DiscoveryError;

pub(super) fn checked_port(port: u32) -> Result<Option<u16>, DiscoveryError> {
    match u16::try_from(port) {
        Ok(0) => Ok(None),
        Ok(port) => Ok(Some(port)),
        Err(_) => Err(DiscoveryError::Port(port)),
    }
}

/// The port of the last start first, since invitations name it.
pub(super) fn candidates(first: u16, last: u16, recorded: u16) -> Vec<u16> {
    let range = if first == 0 { 0..=0 } else { first..=last };
    let recorded = (recorded != 0).then_some(recorded);
    recorded.into_iter().chain(range).collect()
}

pub(super) fn listen_on(host: IpAddr, port: u16) -> Result<Multiaddr, DiscoveryError> {
    match host {
        IpAddr::V4(host) => parse(&format!("/ip4/{host}/tcp/{port}")),
        IpAddr::V6(host) => parse(&format!("/ip6/{host}/tcp/{port}")),
    }
}

pub(super) fn parse(text: &str) -> Result<Multiaddr, DiscoveryError> {
    let wrong = |_| DiscoveryError::Address(text.chars().take(120).collect());
    text.parse().map_err(wrong)
}

pub(super) fn port_of(addresses: &[Multiaddr]) -> Option<u16> {
    addresses
        .iter()
        .flat_map(Multiaddr::iter)
        .find_map(|part| match part {
            AddressPart::Tcp(port) => Some(port),
            _ => None,
        })
}

/// An announced address; it names its port only where that is another than the one listened on.
pub(super) fn with_port(address: Multiaddr, port: u16) -> Multiaddr {
    match port_of(std::slice::from_ref(&address)) {
        Some(_) => address,
        None => address.with(AddressPart::Tcp(port)),
    }
}

/// Addresses that mean the same to someone else: loopback only where there is nothing else, since the
/// reader of an invitation would find itself there.
pub(super) fn invitable(addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let reachable = |address: &Multiaddr| {
        address.iter().next().is_some_and(|part| match part {
            AddressPart::Ip4(ip) => !ip.is_loopback() && !ip.is_link_local(),
            AddressPart::Ip6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
            _ => true,
        })
    };
    if !addresses.iter().any(reachable) {
        return addresses;
    }
    addresses.into_iter().filter(reachable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_invitation_names_loopback_only_where_there_is_nothing_else() {
        let both = addresses(&[
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/192.0.2.7/tcp/1",
            "/ip6/fe80::1/tcp/1",
        ]);
        assert_eq!(invitable(both), addresses(&["/ip4/192.0.2.7/tcp/1"]));
        let alone = addresses(&["/ip4/127.0.0.1/tcp/1"]);
        assert_eq!(invitable(alone.clone()), alone);
    }

    #[test]
    fn an_announced_address_has_the_port_listened_on_unless_it_names_its_own() {
        let [plain, forwarded] = ["/dns4/north.example.org", "/ip4/192.0.2.7/tcp/31001"];
        let port = |text: &str| with_port(text.parse().unwrap(), 4001).to_string();
        assert_eq!(port(plain), format!("{plain}/tcp/4001"));
        assert_eq!(port(forwarded), forwarded);
    }

    #[test]
    fn the_port_of_the_last_start_is_tried_first() {
        assert_eq!(candidates(4001, 4003, 0), [4001, 4002, 4003]);
        assert_eq!(candidates(4001, 4002, 4002), [4002, 4001, 4002]);
        assert_eq!(candidates(0, 4005, 0), [0]);
        assert_eq!(candidates(0, 0, 5000), [5000, 0]);
    }

    #[test]
    fn a_port_beyond_the_last_is_refused() {
        assert!(matches!(checked_port(0), Ok(None)));
        assert!(matches!(checked_port(4001), Ok(Some(4001))));
        assert!(matches!(
            checked_port(65536),
            Err(DiscoveryError::Port(65536))
        ));
    }
}
