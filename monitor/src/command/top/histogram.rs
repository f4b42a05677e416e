//! How long connections had been quiet before their resets, in lines: buckets with a bar, and the inferred timeouts beside theirs.
//!
//! Bars lie, so that any terminal is wide enough, and marks are words, so that none needs colour.

use crate::snapshot::IDLE_BOUNDS;

/// A timeout of one side.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// After how much quiet, in seconds.
    pub seconds: f64,
    /// Whose it is.
    pub text: String,
}

/// A line for each bucket that has resets or marks, with bars of `longest` characters at most; `...` for those left out between two.
pub fn lines(idle: impl IntoIterator<Item = f64>, marks: &[Mark], longest: usize) -> Vec<String> {
    let mut counts = [0_usize; IDLE_BOUNDS.len() + 1];
    for seconds in idle {
        if let Some(count) = counts.get_mut(bucket(seconds)) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let mut lines = Vec::new();
    let mut last = None;
    for (place, count) in counts.into_iter().enumerate() {
        let here: Vec<&str> = marks
            .iter()
            .filter(|mark| bucket(mark.seconds) == place)
            .map(|mark| mark.text.as_str())
            .collect();
        if count == 0 && here.is_empty() {
            continue;
        }
        if last.is_some_and(|last| last + 1 < place) {
            lines.push(format!("{:>15}", "..."));
        }
        last = Some(place);
        let bar = "#".repeat((count * longest).div_ceil(most).min(longest));
        let marks = if here.is_empty() { String::new() } else { format!("  <- {}", here.join("; ")) };
        let line = format!("{:>15} {count:>5} {bar}{marks}", range(place));
        lines.push(line);
    }
    lines
}

fn bucket(seconds: f64) -> usize {
    IDLE_BOUNDS.iter().position(|bound| seconds <= f64::from(*bound)).unwrap_or(IDLE_BOUNDS.len())
}

fn range(place: usize) -> String {
    let above = place.checked_sub(1).and_then(|below| IDLE_BOUNDS.get(below));
    match (above, IDLE_BOUNDS.get(place)) {
        (None, Some(to)) => format!("up to {to} s"),
        (Some(from), Some(to)) => format!("{from} to {to} s"),
        (from, None) => format!("over {} s", from.copied().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, lines};

    #[test]
    fn buckets_have_bars_and_timeouts_stand_beside_theirs() {
        let mark = |seconds, text: &str| Mark { seconds, text: text.to_owned() };
        let idle = [0.2, 59.9, 60.0, 60.0, 59.5, 60.1, 9_000.0];
        let marks = [mark(60.0, "they close after 60.0 s"), mark(75.0, "we give up after 75.0 s")];
        let wanted = "      up to 1 s     1 ###
            ...
     55 to 60 s     4 ############  <- they close after 60.0 s
     60 to 65 s     1 ###
     65 to 75 s     0   <- we give up after 75.0 s
            ...
    over 3600 s     1 ###";
        assert_eq!(lines(idle, &marks, 12).join("\n"), wanted);
        assert!(lines([], &[], 12).is_empty());
    }

    #[test]
    fn whatever_number_comes_it_has_a_bucket() {
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
            assert_eq!(lines([odd], &[], 12).len(), 1, "{odd}");
        }
    }
}
