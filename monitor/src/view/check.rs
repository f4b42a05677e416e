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
