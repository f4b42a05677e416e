//! What can be typed. No I/O and no defaults with logic: `config.rs` resolves, and `cli/help.rs` adds examples.

pub mod help;
pub mod named;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::command::alerts::AlertsArgs;
use crate::command::completions::CompletionsArgs;
use crate::command::events::EventsArgs;
use crate::command::explain::ExplainArgs;
use crate::command::listeners::ListenersArgs;
use crate::command::man::ManArgs;
use crate::command::peers::PeersArgs;
use crate::command::probe::ProbeArgs;
use crate::command::record::RecordArgs;
use crate::command::replay::ReplayArgs;
use crate::command::timeouts::TimeoutsArgs;
use crate::command::top::TopArgs;
use crate::event_log::settings::EventLogArgs;
use crate::kernel::plan::Backend;
#[cfg(feature = "kubernetes")]
use crate::kubernetes::settings::KubernetesArgs;
use crate::selection::settings::MetricsArgs;

/// Catches every TCP reset in the kernel, sent and received, and tells per peer how many, who really sent them, and why.
#[derive(Debug, Parser)]
#[command(name = "reset-monitor", version, about, max_term_width = 110, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch this host: count resets per peer, serve the page, the API and /metrics
    Run(RunArgs),
    /// Tell what this kernel and these privileges allow, and what to do about the rest
    Check(CheckArgs),
    /// Show resets as they happen
    Events(EventsArgs),
    /// Watch peers live in the terminal: who is reset now, why, and what to change
    Top(TopArgs),
    /// Show peers with their counts
    Peers(PeersArgs),
    /// Tell what is wrong with a peer, or with a port of ours: verdict, evidence, and what to change
    Explain(ExplainArgs),
    /// Show who keeps a quiet connection for how long, and whether the client gives up first
    Timeouts(TimeoutsArgs),
    /// Show alerts: what is firing or about to, what is over, and what to do about it
    Alerts(AlertsArgs),
    /// Measure after how long a peer ends a quiet connection, or what a request meets after so much quiet
    Probe(ProbeArgs),
    /// Show listening sockets with their queues and drops, and what else fills up
    Listeners(ListenersArgs),
    /// Record what the kernel tells into a file, without a daemon (needs root)
    Record(RecordArgs),
    /// Show the events of a recording
    Replay(ReplayArgs),
    /// Print what completes these commands in a shell
    Completions(CompletionsArgs),
    /// Print the manual, or write all of its pages
    Man(ManArgs),
}

/// Flags of `run`. Every one can also be set in the environment or in the file.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Configuration file (TOML); flags and environment win over it
    #[arg(long, env = "RESET_MONITOR_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to serve HTTP on [default: 127.0.0.1:9777]
    #[arg(help_heading = "HTTP", long, env = "RESET_MONITOR_LISTEN", value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Name by which the page and the API may be asked for, besides IP addresses and localhost; repeatable
    #[arg(
        help_heading = "HTTP",
        long = "allowed-host",
        env = "RESET_MONITOR_ALLOWED_HOSTS",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub allowed_hosts: Vec<String>,
    /// File whose lock says that a daemon is running [default: /run/reset-monitor.lock]
    #[arg(long, env = "RESET_MONITOR_LOCK_FILE", value_name = "FILE")]
    pub lock_file: Option<PathBuf>,
    /// Peers we connect to that get counts of their own [default: 10000]
    #[arg(
        help_heading = "Room in the kernel",
        long,
        env = "RESET_MONITOR_CLIENT_PEERS",
        value_name = "COUNT"
    )]
    pub client_peers: Option<u32>,
    /// Peers connecting to us that get counts of their own [default: 10000]
    #[arg(
        help_heading = "Room in the kernel",
        long,
        env = "RESET_MONITOR_SERVER_PEERS",
        value_name = "COUNT"
    )]
    pub server_peers: Option<u32>,
    /// Peers that only ever refused us and get counts of their own [default: 1000]
    #[arg(
        help_heading = "Room in the kernel",
        long,
        env = "RESET_MONITOR_REFUSED_PEERS",
        value_name = "COUNT"
    )]
    pub refused_peers: Option<u32>,
    /// Networks (/24, /64) that get counts of their own once server-peers is used up [default: 4096]
    #[arg(help_heading = "Room in the kernel", long, env = "RESET_MONITOR_NETWORKS", value_name = "COUNT")]
    pub networks: Option<u32>,
    /// Seconds of quiet after which a peer gives up its place when it is needed [default: 600]
    #[arg(
        help_heading = "Room in the kernel",
        long,
        env = "RESET_MONITOR_RETIRE_AFTER",
        value_name = "SECONDS"
    )]
    pub retire_after: Option<u32>,
    /// Size of the event ring, a power of two; a full ring loses stories, never counts [default: 1048576]
    #[arg(help_heading = "Room in the kernel", long, env = "RESET_MONITOR_RING_BYTES", value_name = "BYTES")]
    pub ring_bytes: Option<u32>,
    /// Connections remembered after they closed, for late requests [default: 65536]
    #[arg(
        help_heading = "Room in the kernel",
        long,
        env = "RESET_MONITOR_CLOSED_MEMORY",
        value_name = "COUNT"
    )]
    pub closed_memory: Option<u32>,
    /// Also look at open connections of other network namespaces, for which one thread stays privileged [default: false]
    #[arg(
        help_heading = "What is watched",
        long,
        env = "RESET_MONITOR_ENTER_NAMESPACES",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub enter_namespaces: Option<bool>,
    /// Alertmanager to tell of alerts, such as `http://alertmanager:9093`; repeatable, each is told everything [default: none]
    #[arg(
        help_heading = "Who is told",
        long = "alertmanager",
        env = "RESET_MONITOR_ALERTMANAGERS",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub alertmanagers: Vec<String>,
    /// OpenTelemetry receiver to send metrics to over OTLP/HTTP, such as `http://collector:4318` [default: none]
    #[cfg(feature = "otlp")]
    #[arg(help_heading = "Who is told", long, env = "RESET_MONITOR_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Kinds of hooks to use; all but auto are for tests
    #[arg(
        help_heading = "What is watched",
        long,
        env = "RESET_MONITOR_BACKEND",
        value_enum,
        default_value_t
    )]
    pub backend: Backend,
    /// Have the kernel refuse system calls that the daemon does not need (seccomp) [default: true]
    #[arg(
        help_heading = "What it may do",
        long,
        env = "RESET_MONITOR_CONFINE",
        value_name = "BOOL",
        default_value_t = true,
        hide_default_value = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set,
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub confine: bool,
    /// How much to log
    #[arg(
        help_heading = "Messages",
        long,
        env = "RESET_MONITOR_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    pub log_level: LogLevel,
    /// How to log
    #[arg(
        help_heading = "Messages",
        long,
        env = "RESET_MONITOR_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
    /// Which peers have series of their own at /metrics.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// Whom names are asked of.
    #[cfg(feature = "kubernetes")]
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
    /// Where events are written.
    #[command(flatten)]
    pub event_log: EventLogArgs,
}

/// Flags of `check`.
#[derive(Args, Clone, Copy, Debug)]
pub struct CheckArgs {
    /// Form of the answer
    #[arg(short, long, default_value = "table")]
    pub output: CheckOutput,
    /// Also list the kernel programs and what verifying them took (JSON always has them)
    #[arg(long)]
    pub programs: bool,
    /// Tell how open connections would be seen with this flag of `run`
    #[arg(long)]
    pub enter_namespaces: bool,
    /// Kinds of hooks to use; all but auto are for tests
    #[arg(long, env = "RESET_MONITOR_BACKEND", value_enum, default_value_t)]
    pub backend: Backend,
}

/// Form of `check`'s answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckOutput {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// How much to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What may be wrong.
    Warn,
    /// What a user wants to know once.
    Info,
    /// For finding faults.
    Debug,
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
