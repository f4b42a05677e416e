//! Reads metrics in text format 0.0.4, as far as the trials need it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};

/// The series of one scrape that only ever grow, by name and labels.
#[derive(Debug)]
pub(crate) struct Counters(pub(crate) BTreeMap<String, f64>);

impl Counters {
    /// Counters, and the counting parts of histograms.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut growing = BTreeSet::new();
        let mut series = BTreeMap::new();
        for line in text.lines() {
            if let Some(of) = line.strip_prefix("# TYPE ") {
                match of.split_once(' ').context("no type")? {
                    (name, "counter") => drop(growing.insert(name.to_owned())),
                    (name, "histogram") => {
                        growing.extend(["_bucket", "_count", "_sum"].map(|part| format!("{name}{part}")));
                    }
                    _ => {}
                }
            } else if !line.starts_with('#') {
                let (key, value) = line.rsplit_once(' ').with_context(|| format!("no value in {line}"))?;
                let name = key.split_once('{').map_or(key, |(name, _)| name);
                if growing.contains(name) {
                    series.insert(
                        key.to_owned(),
                        value.parse().with_context(|| format!("no number in {line}"))?,
                    );
                }
            }
        }
        Ok(Self(series))
    }

    /// Series that went down, or away, since an earlier scrape.
    pub(crate) fn fallen_since(&self, earlier: &Self) -> Vec<String> {
        let fallen = |(key, before): (&String, &f64)| {
            let now = self.0.get(key);
            let fell = now.is_none_or(|now| now < before);
            fell.then(|| format!("{key}: {before} before, {now:?} now"))
        };
        earlier.0.iter().filter_map(fallen).collect()
    }

    /// Sum over the series of one name, whatever their labels.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let of_name =
            |key: &str| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        self.0.iter().filter(|(key, _)| of_name(key)).map(|(_, value)| value).sum()
    }
}
