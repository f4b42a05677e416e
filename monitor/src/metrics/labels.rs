//! The labels of a line.

use super::text::label;
use crate::event::role_name;
use crate::snapshot::{PeerLabel, Scope};

/// Names and values, in order.
pub(super) trait Labels {
    /// Hands over each.
    fn each(&self, take: &mut dyn FnMut(&str, &str));

    /// As text, after what `out` holds of the line.
    fn text(&self, out: &mut String) {
        self.each(&mut |name, value| label(out, name, value));
    }
}

/// Of a family with one line.
pub(super) struct NoLabels;

impl Labels for NoLabels {
    fn each(&self, _take: &mut dyn FnMut(&str, &str)) {}
}

impl<V: AsRef<str>, const N: usize> Labels for [(&str, V); N] {
    fn each(&self, take: &mut dyn FnMut(&str, &str)) {
        for (name, value) in self {
            take(name, value.as_ref());
        }
    }
}

impl<A: Labels, B: Labels> Labels for (A, B) {
    fn each(&self, take: &mut dyn FnMut(&str, &str)) {
        self.0.each(take);
        self.1.each(take);
    }

    fn text(&self, out: &mut String) {
        self.0.text(out);
        self.1.text(out);
    }
}

/// Usual length of a peer's labels in bytes, to allocate them once.
const PEER_BYTES: usize = 96;

/// `peer`, `port` and `role`, and where namespaces are told apart `netns`: spelt out once for all lines of a peer.
pub(super) struct PeerLabels {
    of: PeerLabel,
    netns: Option<u32>,
    text: String,
}

impl PeerLabels {
    pub(super) fn new(of: &PeerLabel, netns: Option<u32>) -> Self {
        let mut text = String::with_capacity(PEER_BYTES);
        each_of_peer(of, netns, |name, value| label(&mut text, name, value));
        Self { of: *of, netns, text }
    }
}

/// Without a port, a peer's name stands for it.
fn each_of_peer(of: &PeerLabel, netns: Option<u32>, mut take: impl FnMut(&str, &str)) {
    let mut peer = String::with_capacity(Scope::BYTES);
    of.scope.spell(&mut peer);
    take("peer", &peer);
    let mut digits = itoa::Buffer::new();
    take("port", of.port.map_or(&peer, |port| digits.format(port)));
    take("role", role_name(of.role));
    if let Some(netns) = netns {
        take("netns", digits.format(netns));
    }
}

impl Labels for &PeerLabels {
    fn each(&self, take: &mut dyn FnMut(&str, &str)) {
        each_of_peer(&self.of, self.netns, take);
    }

    /// The first labels of their lines.
    fn text(&self, out: &mut String) {
        out.push_str(&self.text);
    }
}
