//! Who an alert is about: with its name, its identity. What changes is never part of it.

use std::net::SocketAddr;

use monitor_common::peer::Role;

use super::catalog::Alert;
use crate::event::role_name;
use crate::snapshot::{PeerLabel, Scope};
use crate::timeouts::Service;

/// A listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listener {
    /// One that is kept apart.
    At(SocketAddr),
    /// All beyond those.
    Other,
    /// Any: where only the kernel's sum is known.
    Unknown,
}

impl std::fmt::Display for Listener {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(address) => address.fmt(out),
            Self::Other => out.write_str("other"),
            Self::Unknown => out.write_str("unknown"),
        }
    }
}

/// Who.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A peer of one namespace; `None` for `other`, which spans them all.
    Peer {
        /// Inode number of the namespace.
        netns: Option<u32>,
        /// The rest.
        label: PeerLabel,
    },
    /// A port of ours with all its clients.
    Port {
        /// Inode number of its namespace.
        netns: u32,
        /// Which.
        port: u16,
    },
    /// A listener.
    Listener {
        /// Inode number of its namespace; `None` for several.
        netns: Option<u32>,
        /// Which.
        listener: Listener,
    },
    /// A signal.
    Signal(&'static str),
    /// This host.
    Host,
}

impl Subject {
    /// Of a service: its peer, or without one the port.
    pub fn of(service: Service) -> Self {
        let Service { netns, peer, port, role } = service;
        match peer {
            Some(peer) => {
                let label = PeerLabel { scope: Scope::Address(peer), port: Some(port), role };
                Self::Peer { netns: Some(netns), label }
            }
            None => Self::Port { netns, port },
        }
    }

    /// The labels, besides those that every alert has. Spelt as on the metrics page.
    pub fn labels(&self) -> Vec<(&'static str, String)> {
        let netns = |netns: &Option<u32>| netns.map(|netns| ("netns", netns.to_string()));
        match self {
            Self::Peer { netns: within, label } => {
                let peer = label.scope.to_string();
                let port = label.port.map_or_else(|| peer.clone(), |port| port.to_string());
                let role = role_name(label.role).to_owned();
                let mut labels = vec![("peer", peer), ("port", port), ("role", role)];
                labels.extend(netns(within));
                labels
            }
            Self::Port { netns, port } => vec![
                ("port", port.to_string()),
                ("role", role_name(Role::Server).to_owned()),
                ("netns", netns.to_string()),
            ],
            Self::Listener { netns: within, listener } => {
                let mut labels = vec![("listener", listener.to_string())];
                labels.extend(netns(within));
                labels
            }
            Self::Signal(name) => vec![("signal", (*name).to_owned())],
            Self::Host => Vec::new(),
        }
    }
}

/// As a sentence names it.
impl std::fmt::Display for Subject {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Peer { netns: _, label: PeerLabel { scope, port, role } } => {
                let peer = scope.to_string();
                match port {
                    Some(port) if peer.contains(':') => write!(out, "[{peer}]:{port}")?,
                    Some(port) => write!(out, "{peer}:{port}")?,
                    None => out.write_str(&peer)?,
                }
                write!(out, " ({})", role_name(*role))
            }
            Self::Port { netns: _, port } => write!(out, "clients of port {port}"),
            Self::Listener { netns: _, listener } => listener.fmt(out),
            Self::Signal(name) => out.write_str(name),
            Self::Host => out.write_str("this host"),
        }
    }
}

/// What makes an alert the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Which alert.
    pub alert: Alert,
    /// Of whom.
    pub subject: Subject,
}
