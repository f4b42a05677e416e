//! Tests that need no privileges: one binary, a module per part of the product.

// An event's JSON has more keys than the macro may take steps.
#![recursion_limit = "256"]

#[cfg(test)]
#[path = "../grafana/queries.rs"]
mod dashboard_queries;
#[cfg(test)]
mod document;
#[cfg(test)]
mod exposition;
#[cfg(test)]
#[path = "../browser/player.rs"]
mod player;
#[cfg(feature = "native-histograms")]
#[cfg(test)]
mod prometheus_server;
#[cfg(test)]
mod promql;
#[cfg(test)]
mod promtool;
#[cfg(feature = "otlp")]
#[cfg(test)]
mod protoc;
#[cfg(test)]
mod support;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod wait;

#[cfg(test)]
mod alerts;
#[cfg(test)]
mod api;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod budget;
#[cfg(test)]
mod client;
#[cfg(feature = "kubernetes")]
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod completions;
#[cfg(test)]
mod config;
#[cfg(test)]
mod diagnosis;
#[cfg(test)]
mod event_log;
#[cfg(test)]
mod events;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod grafana;
#[cfg(test)]
mod help;
#[cfg(test)]
mod history;
#[cfg(test)]
mod kubernetes;
#[cfg(test)]
mod manual;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod metrics_page;
#[cfg(test)]
mod names;
#[cfg(feature = "native-histograms")]
#[cfg(test)]
mod native;
#[cfg(test)]
mod one_event;
#[cfg(test)]
mod openapi;
#[cfg(feature = "otlp")]
#[cfg(test)]
mod otlp;
#[cfg(test)]
mod owners;
#[cfg(test)]
mod page;
#[cfg(test)]
mod printed;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod push;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod residents;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod server;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod timeouts;
#[cfg(test)]
mod top;
