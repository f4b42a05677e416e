//! `docs/kernels.md`: its tables are made from `docs/kernels.json`, the record of what machines said of each kernel.
//!
//! `cargo xtask kernel-test --write` writes both, any other run of the matrix compares with the record, and `cargo xtask docs` sees to
//! it that the page says what the record says.

mod compare;
mod costs;
mod record;
mod tables;

use std::fs;

use anyhow::{Context as _, Result};

use crate::workspace;

pub(crate) use self::compare::differences;
pub(crate) use self::costs::{Costs, Round};
pub(crate) use self::record::{Kernel, LOCKED_DOWN, Record, Seen, today};
pub(crate) use self::tables::table;

/// The page for people.
pub(crate) const PAGE: &str = "docs/kernels.md";

/// The page as it is and as its record says.
pub(crate) fn page(record: &Record) -> Result<(String, String)> {
    let path = workspace::root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut made = page.clone();
    for (name, table) in [
        ("releases", tables::releases(record)),
        ("signals", tables::signals(record)),
        ("hooks", tables::hooks(record)),
        ("missing", tables::missing(record)),
        ("programs", tables::programs(record)),
        ("costs", record.costs.as_ref().map(Costs::table).unwrap_or_default()),
    ] {
        made = filled(&made, name, &table).with_context(|| format!("in {PAGE}"))?;
    }
    Ok((page, made))
}

/// Writes record and page.
pub(crate) fn write(record: &mut Record) -> Result<()> {
    record.write()?;
    let (_, made) = page(record)?;
    let path = workspace::root().join(PAGE);
    fs::write(&path, made).with_context(|| format!("cannot write {}", path.display()))
}

/// The page with another text between `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
pub(crate) fn filled(page: &str, name: &str, text: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let (before, rest) = page.split_once(&begin).with_context(|| format!("no {begin}"))?;
    let (_, after) = rest.split_once(&end).with_context(|| format!("no {end} after {begin}"))?;
    Ok(format!("{before}{begin}\n{}\n{end}{after}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_written() {
        let page = "Before.\n<!-- a:begin -->\nold\n<!-- a:end -->\nAfter.\n";
        let made = filled(page, "a", "new\n\n").unwrap();
        assert_eq!(made, "Before.\n<!-- a:begin -->\nnew\n<!-- a:end -->\nAfter.\n");
        assert_eq!(filled(&made, "a", "new").unwrap(), made);
        assert!(filled(page, "b", "new").is_err());
    }
}
