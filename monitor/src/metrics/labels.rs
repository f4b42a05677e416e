//! The labels of a line.

use super::text::label;
use crate::event::role_name;
use crate::snapshot::PeerLabel;

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

/// `peer`, `port` and `role`, and where namespaces are told apart `netns`: spelt out once for all lines of a peer.
pub(super) struct PeerLabels {
    values: Vec<(&'static str, String)>,
    text: String,
}

impl PeerLabels {
    pub(super) fn new(of: &PeerLabel, netns: Option<u32>) -> Self {
        let peer = of.scope.to_string();
        let port = of.port.map_or_else(|| peer.clone(), |port| port.to_string());
        let mut values = vec![("peer", peer), ("port", port), ("role", role_name(of.role).to_owned())];
        values.extend(netns.map(|netns| ("netns", netns.to_string())));
        let mut text = String::new();
        for (name, value) in &values {
            label(&mut text, name, value);
        }
        Self { values, text }
    }
}

impl Labels for &PeerLabels {
    fn each(&self, take: &mut dyn FnMut(&str, &str)) {
        for (name, value) in &self.values {
            take(name, value);
        }
    }

    /// The first labels of their lines.
    fn text(&self, out: &mut String) {
        out.push_str(&self.text);
    }
}
