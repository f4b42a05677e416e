//! `OpenMetrics` text to text format 0.0.4, which differs in the metadata only.
//!
//! `OpenMetrics` names a family without the suffix of its samples (`x` for `x_total`); 0.0.4 names the samples. It knows
//! neither the type `info` nor units, nor an end mark. Sample lines are the same: timestamps and exemplars, which are
//! not, do not occur here.

/// Rewrites the text of `prometheus-client`: for each family its `HELP`, `TYPE`, perhaps `UNIT`, then its samples.
pub(super) fn from_open_metrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 64);
    // The name in a HELP line depends on the type, which comes one line later.
    let mut help = None;
    let mut rest = text;
    while !rest.is_empty() {
        // Most lines are samples, which are copied family by family. In a label's value a line break is escaped.
        let samples =
            if rest.starts_with("# ") { 0 } else { rest.find("\n# ").map_or(rest.len(), |end| end + 1) };
        let (same, metadata) = rest.split_at(samples);
        out.push_str(same);
        let end = metadata.find('\n').map_or(metadata.len(), |end| end + 1);
        let (line, after) = metadata.split_at(end);
        rest = after;
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.trim_end().rsplit_once(' ').unwrap_or((rest.trim_end(), "unknown"));
            let (suffix, kind) = classic_type(kind);
            if let Some((helped, text)) = help.take()
                && helped == name
            {
                push(&mut out, &["# HELP ", name, suffix, " ", text]);
            }
            push(&mut out, &["# TYPE ", name, suffix, " ", kind, "\n"]);
        }
    }
    out
}

/// What an `OpenMetrics` type adds to the family's name, and its type in 0.0.4.
fn classic_type(kind: &str) -> (&'static str, &str) {
    match kind {
        "counter" => ("_total", kind),
        "info" => ("_info", "gauge"),
        "unknown" => ("", "untyped"),
        _ => ("", kind),
    }
}

fn push(out: &mut String, parts: &[&str]) {
    out.extend(parts.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::from_open_metrics;

    #[test]
    fn families_are_named_like_their_samples() {
        let open = "# HELP a_b Some help.\n# TYPE a_b counter\na_b_total{x=\"1\"} 2\n\
                    # HELP build Version.\n# TYPE build info\nbuild_info{version=\"1\"} 1\n";
        let classic = "# HELP a_b_total Some help.\n# TYPE a_b_total counter\na_b_total{x=\"1\"} 2\n\
                       # HELP build_info Version.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n";
        assert_eq!(from_open_metrics(open), classic);
    }

    #[test]
    fn gauges_stay_and_units_and_the_end_mark_go() {
        let open = "# HELP d_seconds Time.\n# TYPE d_seconds gauge\n# UNIT d_seconds seconds\nd_seconds 0.5\n# EOF\n";
        let classic = "# HELP d_seconds Time.\n# TYPE d_seconds gauge\nd_seconds 0.5\n";
        assert_eq!(from_open_metrics(open), classic);
    }

    #[test]
    fn an_unknown_type_is_untyped() {
        assert_eq!(
            from_open_metrics("# HELP a Help.\n# TYPE a unknown\na 1\n"),
            "# HELP a Help.\n# TYPE a untyped\na 1\n"
        );
    }
}
