//! The rules: pure functions from a file's path and content to violations.

use std::path::Path;

/// Longer files hold more than one idea.
const MOST_LINES: usize = 500;
/// Larger files belong into a release, not into everybody's clone.
const MOST_BYTES: usize = 1 << 20;
/// How far above an unsafe block its reason may begin.
const SAFETY_REACH: usize = 3;
/// The files of the daemon with an operation that has no safe form: `mmap`, `perf_event_open`, and in a test whatever the kernel must refuse.
const UNSAFE_FILES: [&str; 3] = [
    "monitor/src/kernel/mapping.rs",
    "monitor/src/kernel/late_probe.rs",
    "monitor/src/kernel/confinement/tests/call.rs",
];

/// Input of fuzz targets: it says whatever reaches some branch.
const CORPUS: &str = "fuzz/corpus/";

/// Pictures of documents: they load with the page, on any line.
const PICTURES: &str = "docs/pictures/";
const MOST_PICTURE_BYTES: usize = 150_000;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 4] = ["utils.rs", "util.rs", "helpers.rs", "manager.rs"];
/// Unfinished work, in Rust files. Split, so that this file does not violate its own rule.
const UNFINISHED_CODE: [&str; 4] =
    [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("db", "g!("), concat!("#[ig", "nore")];
/// Unfinished work, in any text.
const UNFINISHED_WORDS: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// Counted from 1.
    pub(super) line: usize,
    /// What is wrong, and often what to do.
    pub(super) rule: String,
}

/// Checks one file; `path` is relative to the repository and uses slashes.
pub(super) fn check(path: &str, content: &[u8]) -> Vec<Violation> {
    let mut found = Vec::new();
    if content.len() > MOST_BYTES {
        found.push(violation(1, format!("{} bytes; at most {MOST_BYTES} per file", content.len())));
    }
    if path.starts_with(PICTURES) && content.len() > MOST_PICTURE_BYTES {
        found
            .push(violation(1, format!("{} bytes; at most {MOST_PICTURE_BYTES} per picture", content.len())));
    }
    if path.starts_with(CORPUS) {
        return found;
    }
    let Ok(text) = std::str::from_utf8(content) else { return found };
    unfinished_words(text, &mut found);
    if Path::new(path).extension().is_some_and(|extension| extension == "rs") {
        file_name(path, &mut found);
        length(text, &mut found);
        module_documentation(path, text, &mut found);
        unfinished_code(text, &mut found);
        unsafe_code(path, text, &mut found);
    }
    found
}

/// Pictures of this repository that a document shows, with their lines: in Markdown or as an HTML element.
pub(super) fn pictures<'a>(path: &str, text: &'a str) -> Vec<(usize, &'a str)> {
    if Path::new(path).extension().is_none_or(|extension| extension != "md") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (number, line) in numbered(text) {
        for place in line.match_indices(PICTURES).map(|(place, _)| place) {
            let end = line[place..].find(['"', ')', ' ']).map_or(line.len(), |length| place + length);
            found.push((number, &line[place..end]));
        }
    }
    found
}

fn violation(line: usize, rule: impl Into<String>) -> Violation {
    Violation { line, rule: rule.into() }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn file_name(path: &str, found: &mut Vec<Violation>) {
    let name = path.rsplit('/').next().unwrap_or(path);
    if EMPTY_NAMES.contains(&name) {
        found.push(violation(
            1,
            format!("a file called {name} collects anything; name it after its one idea"),
        ));
    }
}

fn length(text: &str, found: &mut Vec<Violation>) {
    let lines = text.lines().count();
    if lines > MOST_LINES {
        found.push(violation(MOST_LINES + 1, format!("{lines} lines; at most {MOST_LINES} per Rust file")));
    }
}

fn module_documentation(path: &str, text: &str, found: &mut Vec<Violation>) {
    let module = path.starts_with("src/") || path.contains("/src/");
    if module && !path.ends_with("/main.rs") && !text.starts_with("//!") {
        found.push(violation(1, "a module starts with `//!`: what it turns into what"));
    }
}

fn unfinished_code(text: &str, found: &mut Vec<Violation>) {
    for (number, line) in numbered(text) {
        for word in UNFINISHED_CODE.into_iter().filter(|word| line.contains(word)) {
            found.push(violation(number, format!("`{word}` is unfinished work")));
        }
    }
}

fn unfinished_words(text: &str, found: &mut Vec<Violation>) {
    for (number, line) in numbered(text) {
        for word in UNFINISHED_WORDS.into_iter().filter(|word| has_word(line, word)) {
            found.push(violation(number, format!("{word}: finish it or open an issue")));
        }
    }
}

fn unsafe_code(path: &str, text: &str, found: &mut Vec<Violation>) {
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let code = code_of(line);
        if !has_word(&code, "unsafe") {
            continue;
        }
        if path.starts_with("monitor/") && !UNSAFE_FILES.contains(&path) {
            let files = UNSAFE_FILES.join(" and ");
            found.push(violation(index + 1, format!("unsafe code in the daemon outside {files}")));
        }
        let explained =
            || lines[index.saturating_sub(SAFETY_REACH)..=index].iter().any(|line| line.contains("SAFETY:"));
        if code.contains("unsafe {") && !explained() {
            let rule = format!("an unsafe block needs a `SAFETY:` comment within {SAFETY_REACH} lines above");
            found.push(violation(index + 1, rule));
        }
    }
}

/// A line without its comment and without what its string literals say. Strings over several lines are taken for code.
fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut characters = line.chars().peekable();
    let mut in_string = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_string => drop(characters.next()),
            '\'' if !in_string && characters.peek() == Some(&'"') => drop(characters.next()),
            '"' => in_string = !in_string,
            _ if in_string => {}
            '/' if characters.peek() == Some(&'/') => break,
            other => code.push(other),
        }
    }
    code
}

fn has_word(text: &str, word: &str) -> bool {
    let part_of_word = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        !before.is_some_and(part_of_word) && !after.is_some_and(part_of_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each expected violation is its line and a part of its rule.
    #[track_caller]
    fn expect(path: &str, text: &str, expected: &[(usize, &str)]) {
        let found = check(path, text.as_bytes());
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (violation, (line, part)) in found.iter().zip(expected) {
            assert_eq!(violation.line, *line, "{violation:?}");
            assert!(violation.rule.contains(part), "{violation:?} should mention {part}");
        }
    }

    #[test]
    fn a_short_documented_module_is_fine() {
        expect("monitor/src/decode.rs", "//! Bytes to events.\n\nfn decode() {}\n", &[]);
    }

    #[test]
    fn a_file_has_at_most_500_lines() {
        let exact = format!("//! Long.\n{}", "\n".repeat(499));
        expect("monitor/src/long.rs", &exact, &[]);
        expect("monitor/src/long.rs", &format!("{exact}\n"), &[(501, "501 lines")]);
        expect("docs/long.md", &format!("{exact}\n"), &[]);
    }

    #[test]
    fn a_module_says_what_it_is_for() {
        expect("monitor/src/kernel/plan.rs", "use std::fs;\n", &[(1, "//!")]);
        expect("src/lib.rs", "mod a;\n", &[(1, "//!")]);
        expect("monitor/src/main.rs", "fn main() {}\n", &[]);
        expect("monitor/tests/it/support.rs", "fn peer() {}\n", &[]);
    }

    #[test]
    fn unfinished_work_is_named_with_its_line() {
        for word in UNFINISHED_CODE {
            expect("monitor/tests/it/a.rs", &format!("fn a() {{\n    {word}\n}}\n"), &[(2, word)]);
            expect("README.md", word, &[]);
        }
        for word in UNFINISHED_WORDS {
            expect("README.md", &format!("\n# {word}: later\n"), &[(2, word)]);
            expect("a.sh", &format!("mktemp a.{word}{word}\n"), &[]);
        }
    }

    #[test]
    fn a_file_name_names_an_idea() {
        expect("monitor/src/utils.rs", "//! Everything.\n", &[(1, "utils.rs")]);
        expect("monitor/src/http/helpers.rs", "//! Everything.\n", &[(1, "helpers.rs")]);
        expect("monitor/src/outputs.rs", "//! Outputs.\n", &[]);
    }

    #[test]
    fn large_files_stay_out() {
        assert_eq!(check("a.bin", &vec![0xff; MOST_BYTES]), []);
        assert_eq!(check("a.bin", &vec![0xff; MOST_BYTES + 1]).len(), 1);
    }

    #[test]
    fn input_of_fuzz_targets_may_say_anything_but_is_small() {
        expect("fuzz/corpus/config/1f3a", UNFINISHED_WORDS[0], &[]);
        assert_eq!(check("fuzz/corpus/config/1f3a", &vec![b'a'; MOST_BYTES + 1]).len(), 1);
    }

    #[test]
    fn the_daemon_is_safe_but_for_one_file() {
        let block = "//! A.\n// SAFETY: the kernel keeps the page.\nunsafe { map() }\n";
        expect("monitor/src/http.rs", block, &[(3, "outside")]);
        expect(UNSAFE_FILES[0], block, &[]);
        expect("monitor-ebpf/src/fields.rs", block, &[]);
        let harmless = "//! No unsafe.\n#![forbid(unsafe_code)]\nlet a = ('\"', \"unsafe {\"); // unsafe {\n";
        expect("monitor/src/http.rs", harmless, &[]);
    }

    #[test]
    fn an_unsafe_block_has_a_reason_near_by() {
        let with_gap = |lines: usize| {
            format!("//! A.\n// SAFETY: checked.\n{}let a = unsafe {{ b() }};\n", "\n".repeat(lines))
        };
        expect("monitor-ebpf/src/a.rs", &with_gap(2), &[]);
        expect("monitor-ebpf/src/a.rs", &with_gap(3), &[(6, "SAFETY")]);
        expect("monitor-ebpf/src/a.rs", "//! A.\nunsafe fn a() {}\n", &[]);
    }

    #[test]
    fn pictures_are_found_in_documents_and_must_be_small() {
        let text = "![a](docs/pictures/a.svg)\n<source srcset=\"docs/pictures/b.png\">";
        assert_eq!(pictures("README.md", text), [(1, "docs/pictures/a.svg"), (2, "docs/pictures/b.png")]);
        assert_eq!(pictures("x.rs", text), []);
        assert_eq!(check("docs/pictures/a.png", &vec![0; MOST_PICTURE_BYTES]), []);
        assert_eq!(check("docs/pictures/a.png", &vec![0; MOST_PICTURE_BYTES + 1]).len(), 1);
    }
}
