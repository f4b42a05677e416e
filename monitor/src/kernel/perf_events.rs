//! Who may open what probes are attached to: a setting of the kernel, which has a step more on Debian than elsewhere.

/// Where it is.
const SETTING: &str = "/proc/sys/kernel/perf_event_paranoid";
/// From here on Debian's kernels ask for `CAP_SYS_ADMIN` where others ask for `CAP_PERFMON` (seen on 6.18.15: refused at 3, attached
/// at 2). Others take the number, and it means nothing to them.
const FOR_ADMINISTRATORS: i32 = 3;

/// What to do about it.
pub(super) const ADVICE: &str = "set kernel.perf_event_paranoid to 2 before reset-monitor starts";

/// Why a probe is refused, or will be, in spite of `CAP_PERFMON`; `None` where the setting is no reason.
pub(super) fn refusal() -> Option<String> {
    refusal_at(&std::fs::read_to_string(SETTING).ok()?)
}

fn refusal_at(setting: &str) -> Option<String> {
    let step = setting.trim().parse::<i32>().ok().filter(|step| *step >= FOR_ADMINISTRATORS)?;
    Some(format!("kernel.perf_event_paranoid is {step}, with which Debian's kernels ask for CAP_SYS_ADMIN"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debians_own_step_is_a_reason() {
        for setting in ["-1\n", "2\n", "", "many\n"] {
            assert_eq!(refusal_at(setting), None, "{setting:?}");
        }
        assert!(refusal_at("3\n").unwrap().contains("kernel.perf_event_paranoid is 3"));
    }
}
