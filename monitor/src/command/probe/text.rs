//! What people see: a row for each connection as it ends, and what all of them say.

use std::time::Duration;

use super::outcome::{Answer, Outcome, Report, Reuse};
use super::summary::{By, Edge, Limit, Summary, Truth};
use crate::advice::numbers::{Spread, count};
use crate::terminal::table::{Cell, Column};
use crate::terminal::{Medium, Style, wrapped};

/// Of connections that are held until they are ended.
pub const HELD: [Column; 6] = [
    Column::right("CONN"),
    Column::right("PORT").least(5),
    Column::left("ANSWER"),
    Column::left("END").least(5),
    Column::right("AFTER").least(10),
    Column::left("NOTE").wrap(),
];

/// Of connections that are used again.
pub const REUSED: [Column; 6] = [
    Column::right("CONN"),
    Column::right("PORT").least(5),
    Column::right("IDLE").least(10),
    Column::left("RESULT").least(9),
    Column::left("CLOSED BEFORE").least(20),
    Column::left("NOTE").wrap(),
];

/// A row; `None` of a connection that Ctrl-C kept from telling anything.
pub fn row(report: &Report, reuse: bool) -> Option<[Cell; 6]> {
    let Report { number, local, wanted, answer, unasked, outcome } = report;
    let asked = if *unasked == 0 {
        String::new()
    } else {
        format!("{} came while it was held", count(*unasked, "byte"))
    };
    let port = Cell::new(local.map_or_else(String::new, |local| local.port().to_string()));
    let idle = || Cell::new(wanted.map_or_else(String::new, exact));
    let number = Cell::new(number.to_string());
    let answer = || Cell::new(answer.as_ref().map_or_else(String::new, answered));
    let cells = match outcome {
        Outcome::Ended(end) if reuse => {
            let closed = format!("{} after {}", end.how.text(), exact(end.after));
            [number, port, idle(), Cell::new("-"), Cell::new(closed), Cell::new(asked)]
        }
        Outcome::Ended(end) => {
            let style = if end.how.is_reset() { Style::Yellow } else { Style::Plain };
            let how = Cell::styled(end.how.text(), style);
            [number, port, answer(), how, Cell::new(exact(end.after)), Cell::new(asked)]
        }
        Outcome::Open { after } => {
            let after = Cell::new(format!("> {}", exact(*after)));
            [number, port, answer(), Cell::new("open"), after, Cell::new(asked)]
        }
        Outcome::Reused { idle, before, reuse } => {
            let closed = before.map(|end| format!("{} after {}", end.how.text(), exact(end.after)));
            let result = match reuse {
                Reuse::Answered => Cell::new("answered"),
                Reuse::Reset => Cell::styled("reset", Style::Red),
                Reuse::Closed => Cell::styled("closed", Style::Yellow),
                Reuse::Nothing => Cell::styled("no answer", Style::Yellow),
            };
            [
                number,
                port,
                Cell::new(exact(*idle)),
                result,
                Cell::new(closed.unwrap_or_default()),
                Cell::new(asked),
            ]
        }
        Outcome::NeverQuiet { longest } => {
            let never = Cell::styled("never quiet", Style::Yellow);
            let longest = Cell::new(format!("< {}", exact(*longest)));
            if reuse {
                [number, port, longest, never, Cell::new(""), Cell::new(asked)]
            } else {
                [number, port, answer(), never, longest, Cell::new(asked)]
            }
        }
        Outcome::Failed(failure) => {
            let failed = Cell::styled("failed", Style::Red);
            let note = Cell::new(failure.to_string());
            if reuse {
                [number, port, idle(), failed, Cell::new(""), note]
            } else {
                [number, port, answer(), failed, Cell::new(""), note]
            }
        }
        Outcome::Stopped => return None,
    };
    Some(cells)
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Http(head) => head.status.to_string(),
        Answer::Bytes(0) => String::new(),
        Answer::Bytes(bytes) => count(*bytes, "byte"),
    }
}

/// Where a race is sought, tenths are not enough.
fn exact(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

/// The lines after the rows.
pub fn lines(summary: &Summary, target: &str) -> Vec<String> {
    let Summary {
        ends,
        one_timer,
        by_reset,
        open,
        open_after,
        never_quiet,
        edge,
        stated,
        limit: _,
        client_at_most: _,
        failed: _,
    } = *summary;
    let mut lines = Vec::new();
    if let Some(edge) = edge {
        lines.extend(reused(edge));
    }
    if let Some(Spread { count: many, min, median, max }) = ends {
        let number = count(many as u64, "connection");
        let how = match by_reset {
            0 => String::new(),
            all if all == many => ", by a reset".to_owned(),
            some => format!(", {some} by a reset"),
        };
        let spread = format!("{} to {}, of {number}{how}", exact(min), exact(max));
        lines.push(if one_timer {
            format!("timeout  {} ({spread})", exact(median))
        } else {
            format!("timeout  not one: connections were ended after {spread}")
        });
    }
    if let Some(after) = open_after {
        lines.push(format!("open     {} after {} of quiet", count(open as u64, "connection"), exact(after)));
    }
    if let Some(longest) = never_quiet {
        lines.push(format!("never    quiet for more than {}: the peer sends by itself", exact(longest)));
    }
    if let Some((stated, truth)) = stated {
        lines.push(format!("stated   Keep-Alive: timeout={}: {}", stated.as_secs(), truth_text(truth)));
    }
    lines.extend(advice(summary, target));
    lines
}

fn reused(edge: Edge) -> Vec<String> {
    let Edge { answered, longest_answered, reset, unanswered, shortest_lost } = edge;
    let mut lines = Vec::new();
    if let Some(longest) = longest_answered {
        lines.push(format!(
            "answered {} after up to {} of quiet",
            count(answered as u64, "use"),
            exact(longest)
        ));
    }
    if let Some(shortest) = shortest_lost {
        let parts = [(reset, "met a reset"), (unanswered, "had no answer")];
        let parts: Vec<_> =
            parts.iter().filter(|(many, _)| *many > 0).map(|(many, what)| format!("{many} {what}")).collect();
        lines.push(format!("lost     from {} of quiet on: {}", exact(shortest), parts.join(", ")));
    }
    lines
}

const fn truth_text(truth: Truth) -> &'static str {
    match truth {
        Truth::True => "so it is",
        Truth::Early => "it closes EARLIER: a client that believes it can meet the race",
        Truth::Late => "it closes later",
        Truth::Untold => "not seen to run out",
    }
}

fn advice(summary: &Summary, target: &str) -> Option<String> {
    let Limit { after, by } = summary.limit?;
    let after = exact(after);
    match (summary.client_at_most, by) {
        (Some(most), By::End) => Some(format!(
            "set      clients of {target} must give up idle connections first: after {most} s at most, below the earliest end"
        )),
        (Some(most), By::Lost) => Some(format!(
            "set      clients of {target} must give up idle connections first: after {most} s at most, below the earliest loss"
        )),
        (Some(most), By::Waited) => Some(format!(
            "set      clients of {target} are safe, as far as was waited, if they give up idle connections after {most} s"
        )),
        (None, By::End) => Some(format!(
            "set      {after} leaves no room for clients to give up first: raise the timeout of {target}, or use each connection once"
        )),
        (None, By::Lost) => Some(format!(
            "set      uses after little more than {after} are lost, which leaves no room for clients of {target} to give up first: use each connection once"
        )),
        (None, By::Waited) => None,
    }
}

/// The same lines as a terminal has room for them: what goes on stands beside the first word.
pub fn fitting(lines: Vec<String>, medium: Medium) -> Vec<String> {
    match medium.width {
        Some(width) => lines.iter().flat_map(|line| hanging(line, width)).collect(),
        None => lines,
    }
}

/// A line that begins with a word and blanks, in as many lines as it needs; the others begin below what follows the blanks.
fn hanging(line: &str, width: usize) -> Vec<String> {
    let word = line.find(' ').unwrap_or_default();
    let start = line[word..].find(|character| character != ' ').map_or(word, |blanks| word + blanks);
    let (first, rest) = line.split_at(start);
    wrapped(rest, width, first, &" ".repeat(first.chars().count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: &[u64], client_at_most: Option<u64>) -> String {
        let ends = Spread::of(seconds.iter().map(|seconds| Duration::from_secs(*seconds)).collect());
        let summary = Summary {
            ends,
            one_timer: seconds.len() < 3,
            by_reset: 1,
            open: 0,
            open_after: None,
            never_quiet: None,
            edge: None,
            limit: ends.map(|ends| Limit { after: ends.min, by: By::End }),
            stated: Some((Duration::from_secs(5), Truth::Early)),
            client_at_most,
            failed: 0,
        };
        lines(&summary, "http://a/").join("\n")
    }

    #[test]
    fn the_end_says_the_timeout_its_spread_and_what_to_set() {
        assert_eq!(
            text(&[60, 61], Some(55)),
            "timeout  61.000 s (60.000 s to 61.000 s, of 2 connections, 1 by a reset)\n\
             stated   Keep-Alive: timeout=5: it closes EARLIER: a client that believes it can meet the race\n\
             set      clients of http://a/ must give up idle connections first: after 55 s at most, below the earliest end"
        );
        assert!(text(&[1], None).contains("by a reset)\n") && text(&[1], None).contains("no room"));
        assert!(
            text(&[1, 5, 60], None)
                .contains("timeout  not one: connections were ended after 1.000 s to 60.000 s")
        );
    }

    #[test]
    fn what_was_never_ended_is_safe_as_far_as_was_waited() {
        let open_after = Some(Duration::from_mins(10));
        let summary = Summary {
            ends: None,
            one_timer: false,
            by_reset: 0,
            open: 3,
            open_after,
            never_quiet: None,
            edge: None,
            limit: open_after.map(|after| Limit { after, by: By::Waited }),
            stated: None,
            client_at_most: Some(595),
            failed: 0,
        };
        let text = lines(&summary, "a:1").join("\n");
        assert!(
            text.contains("open     3 connections after 600.000 s") && text.contains("as far as was waited"),
            "{text}"
        );
    }
}
