//! What a daemon was told to do to what it may do from then on.

use crate::config::Config;
use crate::event_log::settings::EventLogSettings;
use crate::kernel::confinement::{self, Purpose};

/// Has the kernel refuse whatever else it could do, and says so. Without that the daemon does what it did before there was such a thing.
pub(super) fn confine(config: &Config, attaches: bool) {
    let purposes = purposes(config, attaches);
    match confinement::confine(&purposes) {
        Ok(()) => tracing::info!(
            allowed = ?purposes,
            "confined: the kernel refuses system calls that are not needed any more (seccomp)"
        ),
        Err(error) => {
            tracing::warn!(%error, "system calls that are not needed any more stay allowed; running on");
        }
    }
}

/// What is left to do for this one and not for every one.
fn purposes(config: &Config, attaches: bool) -> Vec<Purpose> {
    #[cfg(feature = "kubernetes")]
    let runs = config.kubernetes.as_ref().is_some_and(|settings| settings.kubeconfig.is_some());
    #[cfg(not(feature = "kubernetes"))]
    let runs = false;
    // What is run inherits the filter, and may keep its tokens in files.
    let writes = runs || matches!(config.event_log, Some(EventLogSettings::File { .. }));
    let purposes = [
        (Purpose::Attach, attaches),
        (Purpose::Enter, config.enter_namespaces),
        (Purpose::Write, writes),
        (Purpose::Run, runs),
    ];
    purposes.into_iter().filter_map(|(purpose, wanted)| wanted.then_some(purpose)).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::RunArgs;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        run: RunArgs,
    }

    fn told(flags: &[&str]) -> Vec<Purpose> {
        let line = Line::try_parse_from([&["run"][..], flags].concat()).unwrap();
        purposes(&Config::resolve(&line.run).unwrap(), false)
    }

    #[test]
    fn what_a_daemon_was_told_to_do_is_all_that_is_left_to_it() {
        for nothing in [&[][..], &["--event-log", "-"], &["--event-log", "journald"]] {
            assert!(told(nothing).is_empty(), "{nothing:?}");
        }
        assert_eq!(told(&["--event-log", "/var/log/events.json"]), [Purpose::Write]);
        assert_eq!(told(&["--enter-namespaces"]), [Purpose::Enter]);
        #[cfg(feature = "kubernetes")]
        {
            assert!(told(&["--kubernetes", "--kubernetes-node", "n"]).is_empty(), "as pods do");
            let file = told(&["--kubernetes", "--kubernetes-node", "n", "--kubeconfig", "/etc/kubeconfig"]);
            assert_eq!(file, [Purpose::Write, Purpose::Run]);
        }
        let config = Config::resolve(&Line::try_parse_from(["run"]).unwrap().run).unwrap();
        assert_eq!(purposes(&config, true), [Purpose::Attach]);
    }
}
