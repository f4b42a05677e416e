//! The judge of the API's document: a validator of `OpenAPI` from npm, which the lock file of `monitor/tests/openapi` names.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::npm;
use crate::cache::Cache;
use crate::process::{note, step};

/// Where it is named.
const SOURCE: &str = "monitor/tests/openapi";
/// The name of the cached tree. The tests look there, too.
const CACHED: &str = "openapi";

/// Makes sure that the tree is there, and is what the lock file names.
pub(super) fn find_or_fetch(cache: &Cache) -> Result<PathBuf> {
    if let Some(tree) = at_hand(cache)? {
        return Ok(tree);
    }
    step("setup: looking for the validator of the API's document");
    npm::ensure_programs()?;
    let _lock = cache.lock()?;
    // Whoever held the lock may have done the work.
    if let Some(tree) = at_hand(cache)? {
        return Ok(tree);
    }
    note("fetching it (5 MB) from npm, once");
    cache.install(CACHED, |growing| npm::fill(growing, SOURCE)).context("the validator of the API's document")
}

fn at_hand(cache: &Cache) -> Result<Option<PathBuf>> {
    let Some(tree) = cache.installed(CACHED) else { return Ok(None) };
    Ok(npm::is_as_locked(&tree, SOURCE)?.then_some(tree))
}
