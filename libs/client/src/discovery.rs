//! Identity, networks and peers.

use oc_proto::discovery::v1::*;
use reqwest::Method;

use crate::error::ClientError;
use crate::request::{Client, segment};

const PREFIX: &str = "/api/discovery/v1";

/// Calls of discovery.
#[derive(Debug, Clone, Copy)]
pub struct Discovery<'a>(&'a Client);

impl Client {
    /// Identity, networks and peers.
    pub fn discovery(&self) -> Discovery<'_> {
        Discovery(self)
    }
}

/// Every call fails as [`ClientError`] says.
#[expect(
    clippy::missing_errors_doc,
    reason = "the same for all, said once above"
)]
impl Discovery<'_> {
    /// Our own organisation.
    pub async fn identity(&self) -> Result<GetIdentityResponse, ClientError> {
        self.0.get(&format!("{PREFIX}/identity"), &[]).await
    }

    /// Networks that the node is in.
    pub async fn networks(&self) -> Result<Vec<Network>, ClientError> {
        let answer: ListNetworksResponse = self.0.get(&format!("{PREFIX}/networks"), &[]).await?;
        Ok(answer.networks)
    }

    /// Makes a network.
    pub async fn create_network(
        &self,
        request: &CreateNetworkRequest,
    ) -> Result<Network, ClientError> {
        let answer: CreateNetworkResponse =
            self.0.post(&format!("{PREFIX}/networks"), request).await?;
        Ok(answer.network.unwrap_or_default())
    }

    /// An invitation to a network.
    pub async fn invite(&self, request: &InviteRequest) -> Result<String, ClientError> {
        let path = format!(
            "{PREFIX}/networks/{}/invitations",
            segment(&request.network_id)
        );
        let answer: InviteResponse = self.0.post(&path, request).await?;
        Ok(answer.invitation)
    }

    /// Joins a network.
    pub async fn join_network(&self, request: &JoinNetworkRequest) -> Result<Network, ClientError> {
        let answer: JoinNetworkResponse = self
            .0
            .post(&format!("{PREFIX}/networks/join"), request)
            .await?;
        Ok(answer.network.unwrap_or_default())
    }

    /// Leaves a network.
    pub async fn leave_network(&self, network_id: &str) -> Result<(), ClientError> {
        let path = format!("{PREFIX}/networks/{}", segment(network_id));
        let _: LeaveNetworkResponse = self.0.delete(&path).await?;
        Ok(())
    }

    /// Peers on all networks.
    pub async fn peers(&self) -> Result<Vec<Peer>, ClientError> {
        let answer: ListPeersResponse = self.0.get(&format!("{PREFIX}/peers"), &[]).await?;
        Ok(answer.peers)
    }

    /// Blocks an organisation or a node.
    pub async fn block(&self, request: &BlockPeerRequest) -> Result<(), ClientError> {
        let path = format!("{PREFIX}/peers/{}/block", segment(&request.peer));
        let _: BlockPeerResponse = self.0.call(Method::PUT, &path, request).await?;
        Ok(())
    }

    /// Lifts a block.
    pub async fn unblock(&self, peer: &str) -> Result<(), ClientError> {
        let _: UnblockPeerResponse = self
            .0
            .delete(&format!("{PREFIX}/peers/{}/block", segment(peer)))
            .await?;
        Ok(())
    }
}
