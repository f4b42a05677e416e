//! `man`: pages that a manual's own checker finds no fault with, and that say what the help says.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use monitor::cli::help;

/// A directory that is gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("reset-monitor-it-{}-{name}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn man(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reset-monitor")).arg("man").args(arguments).output().unwrap()
}

#[test]
fn mandoc_finds_no_fault_with_any_page() {
    let directory = Scratch::new("man-lint").0.join("man1");
    let _gone_later = Scratch(directory.parent().unwrap().to_path_buf());
    let output = man(&[directory.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let pages: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(pages.len(), help::COMMANDS.len() + 1);
    let lint = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(&pages).output().unwrap_or_else(|error| {
        panic!("not run: no mandoc here ({error}); `cargo xtask setup --tests` fetches it, `cargo xtask test` uses it")
    });
    // A date would make the same version's pages differ.
    let said = String::from_utf8(lint.stdout).unwrap();
    let faults: Vec<_> = said.lines().filter(|line| !line.contains("missing date")).collect();
    assert!(faults.is_empty(), "{faults:#?}{}", String::from_utf8_lossy(&lint.stderr));
    // As a reader sees them: nothing of the markup is left over, and examples can be copied.
    for path in &pages {
        let shown =
            Command::new("mandoc").args(["-T", "ascii", "-O", "width=100"]).arg(path).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        // Bold is a letter printed twice.
        let mut text = String::new();
        for character in shown.chars() {
            if character == '\u{8}' {
                text.pop();
            } else {
                text.push(character);
            }
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let command = name.strip_prefix("reset-monitor-").unwrap_or_default();
        let page =
            help::COMMANDS.iter().find(|(one, _)| *one == command).map_or(&help::PROGRAM, |(_, page)| page);
        for (line, _) in page.examples {
            assert!(text.contains(line), "{name} lacks {line}:\n{text}");
        }
        assert!(!text.contains("\\f") && !text.contains("\\-"), "{text}");
    }
}

#[test]
fn the_programs_page_goes_to_standard_output() {
    let output = man(&[]);
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\n.TH RESET-MONITOR 1 "), "{text}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let output = man(&["/proc/self/no-such/man1"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("/proc/self/no-such/man1"), "{said}");
}
