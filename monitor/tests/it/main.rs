//! Tests that need no privileges: one binary, a module per part of the product.

#[cfg(test)]
mod support;

#[cfg(test)]
mod api;
#[cfg(test)]
mod client;
#[cfg(test)]
mod config;
#[cfg(test)]
mod events;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod one_event;
#[cfg(test)]
mod owners;
#[cfg(test)]
mod page;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod server;
#[cfg(test)]
mod stream;
