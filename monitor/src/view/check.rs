//! JSON of `check`: what each signal is served by, and what the kernel's verifier did for the programs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SignalsView;

/// `check -o json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Check")]
pub struct CheckView {
    /// As at `/api/v1/signals`, `kernel` and `signals`.
    #[serde(flatten)]
    pub served: SignalsView,
    /// Every program that was loaded, each once.
    pub programs: Vec<ProgramView>,
    /// Capabilities that the daemon can do without and this process lacks. Without others nothing can run, or a signal says so.
    pub missing_capabilities: Vec<MissingCapabilityView>,
}

/// A capability that is not there, and what that costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "MissingCapability")]
pub struct MissingCapabilityView {
    /// As in `CAP_SYS_PTRACE`.
    pub capability: String,
    /// What is not seen without it.
    pub lost: String,
    /// What to do.
    pub advice: String,
}

/// A kernel program that `check` loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Program")]
pub struct ProgramView {
    /// Its name in the kernel.
    pub program: String,
    /// Where it is attached, as in `fentry:tcp_reset`.
    pub hook: String,
    /// Instructions that the verifier looked at, along every path, until it accepted the program; the kernel gives up at a million.
    /// `null` before Linux 5.16, which does not tell.
    pub verified_instructions: Option<u32>,
}
