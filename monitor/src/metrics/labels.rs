//! A peer's labels, spelt out once for all of its lines.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};

use crate::event::role_name;
use crate::snapshot::PeerLabel;

/// `peer`, `port` and `role`, and where namespaces are told apart `netns`.
pub(super) struct PeerLabels {
    peer: String,
    port: String,
    role: &'static str,
    netns: Option<String>,
}

impl PeerLabels {
    pub(super) fn new(label: &PeerLabel, netns: Option<u32>) -> Self {
        let peer = label.scope.to_string();
        let port = label.port.map_or_else(|| peer.clone(), |port| port.to_string());
        Self { peer, port, role: role_name(label.role), netns: netns.map(|netns| netns.to_string()) }
    }
}

impl EncodeLabelSet for &PeerLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let PeerLabels { peer, port, role, netns } = self;
        [("peer", peer.as_str()), ("port", port), ("role", role)].encode(encoder)?;
        netns.as_deref().map_or(Ok(()), |netns| [("netns", netns)].encode(encoder))
    }
}
