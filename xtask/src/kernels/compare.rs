//! What a machine says of its kernel against what the documentation says of it. Pure.

use super::record::{Program, Seen, Signal};

/// A program may take the verifier so many percent more than is documented: another package of the same series brings fixes of the
/// verifier, a change of ours that costs more is one to know of.
const TOLERANCE_PERCENT: u64 = 20;

/// One line for each difference that matters. The release may differ.
pub(crate) fn differences(documented: &Seen, seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    for signal in &seen.signals {
        match documented.signals.iter().find(|known| known.name == signal.name) {
            Some(known) => signal_differences(known, signal, &mut found),
            None => found.push(format!("signal {}: not documented", signal.name)),
        }
    }
    for gone in
        documented.signals.iter().filter(|known| !seen.signals.iter().any(|signal| signal.name == known.name))
    {
        found.push(format!("signal {}: documented, and not there", gone.name));
    }
    for program in &seen.programs {
        match documented.programs.iter().find(|known| known.name == program.name) {
            Some(known) => found.extend(program_difference(known, program)),
            None => found.push(format!("program {}: not documented", program.name)),
        }
    }
    for gone in documented
        .programs
        .iter()
        .filter(|known| !seen.programs.iter().any(|program| program.name == known.name))
    {
        found.push(format!("program {}: documented, and not there", gone.name));
    }
    found
}

fn signal_differences(known: &Signal, signal: &Signal, found: &mut Vec<String>) {
    let Signal { name, hook, status, why, advice } = signal;
    let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
    for (what, documented, now) in [
        ("hook", known.hook.clone(), hook.clone()),
        ("status", known.status.clone(), status.clone()),
        ("why", said(&known.why), said(why)),
        ("advice", said(&known.advice), said(advice)),
    ] {
        if documented != now {
            found.push(format!("signal {name}: {what} is documented as {documented:?} and is {now:?}"));
        }
    }
}

fn program_difference(known: &Program, program: &Program) -> Option<String> {
    let Program { name, hook, verified_instructions } = program;
    if known.hook != *hook {
        return Some(format!("program {name}: documented at {}, and is at {hook}", known.hook));
    }
    match (known.verified_instructions, *verified_instructions) {
        (Some(documented), Some(now)) => {
            let most = u64::from(documented) * (100 + TOLERANCE_PERCENT);
            (u64::from(now) * 100 > most).then(|| {
                format!(
                    "program {name}: the verifier looked at {now} instructions, more than {TOLERANCE_PERCENT} % above the \
                     documented {documented}"
                )
            })
        }
        (None, None) => None,
        (documented, now) => {
            let told =
                |count: Option<u32>| count.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
            Some(format!(
                "program {name}: verified instructions are documented as {} and are {}",
                told(documented),
                told(now)
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(name: &str) -> Signal {
        Signal {
            name: name.to_owned(),
            hook: "fentry:tcp_reset".to_owned(),
            status: "works".to_owned(),
            why: None,
            advice: None,
        }
    }

    fn program(name: &str, verified_instructions: Option<u32>) -> Program {
        Program { name: name.to_owned(), hook: "fentry:tcp_reset".to_owned(), verified_instructions }
    }

    fn seen(programs: Vec<Program>) -> Seen {
        Seen { kernel: "6.1.0-1".to_owned(), signals: vec![signal("reset_received")], programs }
    }

    #[track_caller]
    fn expect(documented: &Seen, seen: &Seen, parts: &[&str]) {
        let found = differences(documented, seen);
        assert_eq!(found.len(), 1, "{found:?}");
        for part in parts {
            assert!(found[0].contains(part), "no {part:?} in {found:?}");
        }
    }

    #[test]
    fn another_package_of_the_same_kernel_is_no_difference() {
        let documented = seen(vec![program("f_reset", Some(1_000))]);
        let other = Seen { kernel: "6.1.0-2".to_owned(), ..documented.clone() };
        assert_eq!(differences(&documented, &other), [""; 0]);
    }

    #[test]
    fn a_program_may_take_a_fifth_more_and_not_one_instruction_beyond() {
        for (documented, now, fits) in [
            (1_000, 1_199, true),
            (1_000, 1_200, true),
            (1_000, 1_201, false),
            (1_000, 10, true),
            (7, 8, true),
            (7, 9, false),
            (u32::MAX, u32::MAX, true),
        ] {
            let before = seen(vec![program("f_reset", Some(documented))]);
            let after = seen(vec![program("f_reset", Some(now))]);
            if fits {
                assert_eq!(differences(&before, &after), [""; 0], "{documented} to {now}");
            } else {
                expect(&before, &after, &["f_reset", &documented.to_string(), &now.to_string()]);
            }
        }
    }

    #[test]
    fn a_number_that_comes_or_goes_is_told() {
        let (known, unknown) =
            (seen(vec![program("f_reset", Some(7))]), seen(vec![program("f_reset", None)]));
        expect(&known, &unknown, &["as 7 and are unknown"]);
        expect(&unknown, &known, &["as unknown and are 7"]);
        assert_eq!(differences(&unknown, &unknown), [""; 0]);
    }

    #[test]
    fn what_is_said_of_a_signal_must_be_the_same() {
        let documented = seen(vec![]);
        let text = || Some("fentry: Permission denied".to_owned());
        for (changed, part) in [
            (Signal { hook: "kprobe:tcp_reset".to_owned(), ..signal("reset_received") }, "hook"),
            (Signal { status: "degraded".to_owned(), ..signal("reset_received") }, "status"),
            (Signal { why: text(), ..signal("reset_received") }, "why"),
            (Signal { advice: text(), ..signal("reset_received") }, "advice"),
        ] {
            let now = Seen { signals: vec![changed], ..documented.clone() };
            expect(&documented, &now, &["reset_received", part]);
        }
    }

    #[test]
    fn what_is_new_and_what_is_gone_is_told() {
        let (one, none) = (seen(vec![program("f_reset", None)]), seen(vec![]));
        expect(&one, &none, &["program f_reset: documented, and not there"]);
        expect(&none, &one, &["program f_reset: not documented"]);
        let without = Seen { signals: vec![], ..none.clone() };
        expect(&none, &without, &["signal reset_received: documented, and not there"]);
        expect(&without, &none, &["signal reset_received: not documented"]);
    }
}
