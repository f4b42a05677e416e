//! Facts, plan and load in a row, for every command that attaches.

use std::io;

use anyhow::Context as _;
use aya::Endianness;
use monitor_common::names::function;

use super::btf::Btf;
use super::facts::{Facts, read_btf};
use super::layout::{Resolved, resolve};
use super::listening::Listening;
use super::load::{Loaded, Sizes, load};
use super::plan::{Backend, Plan, plan};

/// Everything is decided; nothing is loaded.
#[derive(Debug)]
pub struct Prepared {
    facts: Facts,
    plan: Plan,
    resolved: Resolved,
    /// Numbers of functions that programs may be attached to.
    functions: aya::Btf,
    /// Kept until the programs are loaded, as are the functions. Freed earlier, these 5 MB would teach the C library's allocator to serve what aya
    /// allocates in passing from the heap, where 10 MiB of it were measured to stay for life (mallopt(3), dynamic
    /// `M_MMAP_THRESHOLD`).
    btf: Vec<u8>,
}

/// Everything runs.
#[expect(missing_debug_implementations, reason = "aya's ring buffer has none")]
pub struct Attached {
    /// What kernel this is.
    pub facts: Facts,
    /// The running programs.
    pub loaded: Loaded,
    /// What is read without a hook.
    pub listening: Listening,
}

/// Finds out what can run here.
pub fn prepare(sizes: &Sizes, backend: Backend) -> anyhow::Result<Prepared> {
    let bytes = read_btf()?;
    let btf = Btf::parse(&bytes).map_err(io::Error::other).context("understand the running kernel's BTF")?;
    let facts = Facts::gather(&btf).context("find out what this kernel is")?;
    let plan = plan(&facts, sizes, backend)?;
    let resolved = resolve(&btf)?;
    let functions = btf.only_functions(&function::ALL.map(|pair| pair.function));
    let functions = aya::Btf::parse(&functions, Endianness::default())
        .context("understand the functions in the running kernel's BTF")?;
    Ok(Prepared { facts, plan, resolved, functions, btf: bytes })
}

/// Loads and attaches it.
pub fn attach(prepared: Prepared, sizes: &Sizes) -> anyhow::Result<Attached> {
    let Prepared { facts, plan, resolved, functions, btf } = prepared;
    let loaded = load(&plan, &resolved, sizes, facts.cpus, &functions)?;
    drop((functions, btf));
    for missing in &resolved.missing {
        tracing::debug!(field = %missing, "this kernel does not have it; stories tell less");
    }
    Ok(Attached { facts, loaded, listening: Listening::open() })
}
