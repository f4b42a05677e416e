//! The alerts there are: names, severities, words and default numbers. The Prometheus rules that are shipped have the same.

use std::time::Duration;

use super::rules::Rule;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alert {
    /// Of a peer's exchanges, too many met a reset.
    ResetRatioHigh,
    /// Of a peer's connections, too many ended by a reset.
    ConnectionResetRatioHigh,
    /// The server closes quiet connections before the client does.
    KeepAliveMisaligned,
    /// Requests met connections that were closed for idleness.
    IdleReuseResets,
    /// Resets that the peer probably did not send.
    MiddleboxResets,
    /// Many connections of a peer were reset at once.
    ResetBurst,
    /// A listener's accept queue was full.
    ListenOverflow,
    /// The table of tracked connections is nearly full.
    ConntrackNearlyFull,
    /// Stories were lost.
    EventsLost,
    /// A signal is not served.
    SignalMissing,
}

/// How urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Somebody is to be woken.
    Critical,
    /// Somebody is to look at it in working hours.
    Warning,
}

/// What an alert is told of, which decides the labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// A peer.
    Peer,
    /// A listener.
    Listener,
    /// The host.
    Host,
    /// A signal.
    Signal,
}

/// A number that can be set for an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Where it begins.
    Threshold,
    /// Resets it takes at least.
    MinResets,
    /// Exchanges or closed connections it takes at least.
    MinVolume,
    /// The time over which is counted.
    Window,
}

impl Key {
    /// As the file spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::MinResets => "min_resets",
            Self::MinVolume => "min_volume",
            Self::Window => "window",
        }
    }
}

impl Severity {
    /// As labels and JSON spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

impl Alert {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ResetRatioHigh,
        Self::ConnectionResetRatioHigh,
        Self::KeepAliveMisaligned,
        Self::IdleReuseResets,
        Self::MiddleboxResets,
        Self::ResetBurst,
        Self::ListenOverflow,
        Self::ConntrackNearlyFull,
        Self::EventsLost,
        Self::SignalMissing,
    ];

    /// As labels, JSON and the configuration spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResetRatioHigh => "ResetRatioHigh",
            Self::ConnectionResetRatioHigh => "ConnectionResetRatioHigh",
            Self::KeepAliveMisaligned => "KeepAliveMisaligned",
            Self::IdleReuseResets => "IdleReuseResets",
            Self::MiddleboxResets => "MiddleboxResets",
            Self::ResetBurst => "ResetBurst",
            Self::ListenOverflow => "ListenOverflow",
            Self::ConntrackNearlyFull => "ConntrackNearlyFull",
            Self::EventsLost => "EventsLost",
            Self::SignalMissing => "SignalMissing",
        }
    }

    /// The alert with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alert| alert.name() == name)
    }

    /// How urgent it is.
    pub const fn severity(self) -> Severity {
        match self {
            Self::ResetRatioHigh | Self::ResetBurst | Self::ListenOverflow | Self::ConntrackNearlyFull => {
                Severity::Critical
            }
            Self::ConnectionResetRatioHigh
            | Self::KeepAliveMisaligned
            | Self::IdleReuseResets
            | Self::MiddleboxResets
            | Self::EventsLost
            | Self::SignalMissing => Severity::Warning,
        }
    }

    /// What it is told of.
    pub const fn of(self) -> Of {
        match self {
            Self::ResetRatioHigh
            | Self::ConnectionResetRatioHigh
            | Self::KeepAliveMisaligned
            | Self::IdleReuseResets
            | Self::MiddleboxResets
            | Self::ResetBurst => Of::Peer,
            Self::ListenOverflow => Of::Listener,
            Self::ConntrackNearlyFull | Self::EventsLost => Of::Host,
            Self::SignalMissing => Of::Signal,
        }
    }

    /// The numbers that mean something for it, besides `enabled`, `for` and `hold`, which every alert has.
    pub const fn keys(self) -> &'static [Key] {
        match self {
            Self::ResetRatioHigh | Self::ConnectionResetRatioHigh => {
                &[Key::Threshold, Key::MinResets, Key::MinVolume, Key::Window]
            }
            Self::IdleReuseResets
            | Self::MiddleboxResets
            | Self::ResetBurst
            | Self::ListenOverflow
            | Self::EventsLost => &[Key::Threshold, Key::Window],
            Self::KeepAliveMisaligned | Self::ConntrackNearlyFull => &[Key::Threshold],
            Self::SignalMissing => &[],
        }
    }

    /// The numbers without any configuration.
    pub fn default_rule(self) -> Rule {
        let rule = |threshold, window, lasting| Rule {
            enabled: true,
            threshold,
            min_resets: 0,
            min_volume: 0,
            window: Duration::from_mins(window),
            lasting: Duration::from_mins(lasting),
            hold: Duration::from_mins(5),
        };
        match self {
            Self::ResetRatioHigh | Self::ConnectionResetRatioHigh => {
                Rule { min_resets: 3, min_volume: 100, ..rule(0.001, 10, 10) }
            }
            Self::KeepAliveMisaligned | Self::SignalMissing => rule(0.0, 0, 5),
            Self::IdleReuseResets | Self::MiddleboxResets => rule(3.0, 10, 0),
            Self::ResetBurst => rule(50.0, 1, 0),
            Self::ListenOverflow => rule(10.0, 5, 0),
            Self::ConntrackNearlyFull => rule(0.9, 0, 5),
            Self::EventsLost => rule(0.0, 10, 0),
        }
    }

    /// One sentence that is the same for all of them.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::ResetRatioHigh => "Too many requests to or from a peer meet a reset.",
            Self::ConnectionResetRatioHigh => "Too many connections with a peer end by a reset.",
            Self::KeepAliveMisaligned => {
                "The server closes quiet connections before the client gives them up."
            }
            Self::IdleReuseResets => "Requests meet connections that have just been closed for idleness.",
            Self::MiddleboxResets => "Resets come from a device on the way and not from the peer.",
            Self::ResetBurst => "Many connections with a peer were reset at once.",
            Self::ListenOverflow => {
                "A listener's accept queue is full, and connections are dropped in silence."
            }
            Self::ConntrackNearlyFull => "The table of tracked connections is nearly full.",
            Self::EventsLost => {
                "Stories of resets were lost: the event ring was full. Counts are exact all the same."
            }
            Self::SignalMissing => {
                "A signal is not served on this kernel, so what it would show is not seen."
            }
        }
    }

    /// What to do, in the order in which to do it.
    pub const fn runbook(self) -> &'static str {
        match self {
            Self::ResetRatioHigh | Self::ConnectionResetRatioHigh => {
                "Run `reset-monitor explain PEER:PORT`: it says which cause dominates, on what evidence, and what to change. `reset-monitor events --peer PEER` shows the single resets. If the peer was just restarted or deployed, let it drain its connections before it ends."
            }
            Self::KeepAliveMisaligned => {
                "Run `reset-monitor timeouts --peer PEER`, for clients of a port of ours `--port PORT`: it shows both timeouts and the value to set. Let the client give up first, by five seconds or more: lower the client's idle timeout, or raise the server's. `reset-monitor probe` measures it again."
            }
            Self::IdleReuseResets => {
                "Run `reset-monitor explain PEER:PORT` for the timeout that was seen and the setting to change. Let the client give up quiet connections five seconds before the server does, and retry idempotent requests once."
            }
            Self::MiddleboxResets => {
                "Run `reset-monitor events --peer PEER --cause middlebox -o json`: the TTL of the reset beside that of the handshake tells how far away its sender is. Ask who runs firewalls, load balancers and NAT on the way for their idle timeouts and rules, and keep connections alive below the shortest."
            }
            Self::ResetBurst => {
                "Run `reset-monitor events --peer PEER --since 5m`: bursts are marked, with whether a restart is suspected. Look for a deployment, a crash or an OOM kill of the peer at that time, and let it drain its connections before it ends."
            }
            Self::ListenOverflow => {
                "Run `reset-monitor listeners`: it shows the queue, its limit and at which stage it was full. The application accepts too slowly: look at its CPU and its workers; then raise the backlog that it passes to listen() together with net.core.somaxconn."
            }
            Self::ConntrackNearlyFull => {
                "Run `reset-monitor listeners` for entries and limit, and `conntrack -L` for whose they are. Raise net.netfilter.nf_conntrack_max, or lower net.netfilter.nf_conntrack_tcp_timeout_established; new connections are dropped when it is full."
            }
            Self::EventsLost => {
                "Run `reset-monitor peers` to see whose resets are that many. Raise --ring-bytes if it goes on. Counts and ratios are exact; only causes of the lost ones are `unclassified`."
            }
            Self::SignalMissing => {
                "Run `reset-monitor check`: it says why the signal is missing here and what to do. If it cannot be had on this host, set `enabled = false` under [alerts.SignalMissing]."
            }
        }
    }
}

impl std::str::FromStr for Alert {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::from_name(text)
            .ok_or_else(|| format!("`{text}` is no alert: one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::{Alert, Key, Severity};

    /// The contract with the Prometheus rules, line by line.
    #[test]
    fn names_severities_and_numbers_are_those_of_the_shipped_rules() {
        let minutes = |time: std::time::Duration| time.as_secs() / 60;
        let told = Alert::ALL.map(|alert| {
            let rule = alert.default_rule();
            assert_eq!(minutes(rule.hold), 5, "{}", alert.name());
            assert!(rule.enabled, "{}", alert.name());
            let volume = (rule.min_resets, rule.min_volume);
            (
                alert.name(),
                alert.severity(),
                rule.threshold.to_string(),
                volume,
                minutes(rule.window),
                minutes(rule.lasting),
            )
        });
        let (critical, warning) = (Severity::Critical, Severity::Warning);
        let expected = [
            ("ResetRatioHigh", critical, "0.001", (3, 100), 10, 10),
            ("ConnectionResetRatioHigh", warning, "0.001", (3, 100), 10, 10),
            ("KeepAliveMisaligned", warning, "0", (0, 0), 0, 5),
            ("IdleReuseResets", warning, "3", (0, 0), 10, 0),
            ("MiddleboxResets", warning, "3", (0, 0), 10, 0),
            ("ResetBurst", critical, "50", (0, 0), 1, 0),
            ("ListenOverflow", critical, "10", (0, 0), 5, 0),
            ("ConntrackNearlyFull", critical, "0.9", (0, 0), 0, 5),
            ("EventsLost", warning, "0", (0, 0), 10, 0),
            ("SignalMissing", warning, "0", (0, 0), 0, 5),
        ];
        for (told, (name, severity, threshold, volume, window, lasting)) in told.into_iter().zip(expected) {
            assert_eq!(told, (name, severity, threshold.to_owned(), volume, window, lasting));
        }
    }

    #[test]
    fn an_alert_has_a_window_if_and_only_if_it_counts_over_one() {
        for alert in Alert::ALL {
            assert_eq!(
                alert.keys().contains(&Key::Window),
                !alert.default_rule().window.is_zero(),
                "{}",
                alert.name()
            );
            assert_eq!(Alert::from_name(alert.name()), Some(alert));
        }
    }

    #[test]
    fn summaries_and_runbooks_are_sentences_of_one_line() {
        for alert in Alert::ALL {
            for text in [alert.summary(), alert.runbook()] {
                assert!(text.ends_with('.') && !text.contains('\n'), "{}: {text}", alert.name());
            }
            assert!(alert.runbook().contains("`reset-monitor "), "{}", alert.name());
        }
    }
}
