//! Embeds the BPF object that `cargo xtask build` made, or nothing: a plain `cargo build` needs no BPF toolchain.

use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-env-changed=RESET_MONITOR_BPF_OBJECT");
    let to = PathBuf::from(env::var("OUT_DIR")?).join("programs.o");
    match env::var_os("RESET_MONITOR_BPF_OBJECT") {
        Some(from) => {
            let from = PathBuf::from(from);
            println!("cargo::rerun-if-changed={}", from.display());
            fs::copy(&from, &to).map_err(|error| format!("embed {}: {error}", from.display()))?;
        }
        None => fs::write(&to, b"")?,
    }
    Ok(())
}
