//! Tables in Markdown, verdicts against the targets, and the generated parts of `docs/benchmarks.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::stats::Summary;

/// A table with its heading.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    note: String,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Without rows yet; `note` says what a reader has to know for this table.
    pub(crate) fn new(title: impl Into<String>, note: impl Into<String>, head: &[&'static str]) -> Self {
        Self { title: title.into(), note: note.into(), head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Self { title, note, head, rows } = self;
        write!(text, "\n### {title}\n\n")?;
        if !note.is_empty() {
            write!(text, "{note}\n\n")?;
        }
        writeln!(text, "| {} |", head.join(" | "))?;
        writeln!(text, "|{}", "---|".repeat(head.len()))?;
        for row in rows {
            writeln!(text, "| {} |", row.join(" | "))?;
        }
        Ok(())
    }
}

/// The whole report: what it was taken on, then the tables.
pub(crate) fn render(about: &[String], tables: &[Table]) -> Result<String> {
    let mut text = String::new();
    for line in about {
        writeln!(text, "* {line}")?;
    }
    for table in tables {
        table.write(&mut text)?;
    }
    Ok(text)
}

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    /// Met or not; or too close to say, when the target lies between the figure's quartiles.
    pub(crate) fn verdict(self, summary: &Summary) -> &'static str {
        let Summary { low, median: _, high, count: _ } = *summary;
        let (surely, hardly) = match self {
            Self::AtLeast(target) => (low >= target, high < target),
            Self::AtMost(target) => (high <= target, low > target),
        };
        match (surely, hardly) {
            (true, _) => "met",
            (false, true) => "**not met**",
            (false, false) => "too close to say",
        }
    }

    /// For one value, without a spread.
    pub(crate) fn verdict_of(self, value: f64) -> &'static str {
        self.verdict(&Summary { low: value, median: value, high: value, count: 1 })
    }
}

/// Replaces the part of a page between `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
pub(crate) fn replace_part(page: &str, name: &str, text: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let (before, rest) = page.split_once(&begin).with_context(|| format!("no {begin}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("no {end} after {begin}"))?;
    Ok(format!("{before}{begin}\n{}\n{end}{after}", text.trim_end()))
}

/// The same in a file.
pub(crate) fn write_part(path: &Path, name: &str, text: &str) -> Result<()> {
    let page = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let page = replace_part(&page, name, text).with_context(|| path.display().to_string())?;
    fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_the_quartiles_on_one_side() {
        let summary = |low, high| Summary { low, median: f64::midpoint(low, high), high, count: 9 };
        let target = Target::AtLeast(0.96);
        assert_eq!(target.verdict(&summary(0.96, 0.98)), "met");
        assert_eq!(target.verdict(&summary(0.90, 0.95)), "**not met**");
        assert_eq!(target.verdict(&summary(0.95, 0.97)), "too close to say");
        assert_eq!(Target::AtMost(24.0).verdict_of(25.0), "**not met**");
        assert_eq!(Target::AtMost(24.0).verdict_of(24.0), "met");
    }

    #[test]
    fn only_the_generated_part_of_a_page_is_replaced() {
        let page = "Method.\n<!-- a:begin -->\nold\n<!-- a:end -->\nReading.\n";
        let new = replace_part(page, "a", "new\n\n").unwrap();
        assert_eq!(new, "Method.\n<!-- a:begin -->\nnew\n<!-- a:end -->\nReading.\n");
        assert_eq!(replace_part(&new, "a", "new").unwrap(), new);
        assert!(replace_part(page, "b", "new").is_err());
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new("Title", "", &["a", "b"]);
        table.row(["1".to_owned(), "2".to_owned()]);
        assert_eq!(
            render(&["about".to_owned()], &[table]).unwrap(),
            "* about\n\n### Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
        );
    }
}
