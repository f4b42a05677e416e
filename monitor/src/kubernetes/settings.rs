//! The section `kubernetes` of the configuration file: whether names are asked for, and whom.

use std::path::PathBuf;
use std::time::Duration;

/// How long a watch lasts before it is taken up again: the server ends it. One that is dead is noticed 5 s later.
const WATCH_SECONDS: u32 = 290;

/// The first wait after a failure, and the longest: those of kube itself. All nodes ask, and all of them anew when the server comes back.
const RETRY: [Duration; 2] = [Duration::from_millis(800), Duration::from_secs(30)];

/// `[kubernetes]`. Unknown keys are errors.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesFile {
    enabled: Option<bool>,
    node: Option<String>,
    kubeconfig: Option<PathBuf>,
}

/// What was typed.
#[derive(clap::Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct KubernetesArgs {
    /// Ask the cluster's API server what pods and services are called [default: false]
    #[arg(
        help_heading = "Names",
        long,
        env = "RESET_MONITOR_KUBERNETES",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub kubernetes: Option<bool>,
    /// This node's name in the cluster [default: name of the host]
    #[arg(help_heading = "Names", long, env = "RESET_MONITOR_KUBERNETES_NODE", value_name = "NAME")]
    pub kubernetes_node: Option<String>,
    /// How to reach the API server from outside of a pod [default: as pods do, by their service account]
    #[arg(help_heading = "Names", long, env = "RESET_MONITOR_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// Whom to ask about what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSettings {
    /// Whose pods are this node's.
    pub node: String,
    /// `None` in a pod.
    pub kubeconfig: Option<PathBuf>,
    /// How long a watch lasts at most.
    pub watch_seconds: u32,
    /// The first wait after a failure, and the longest.
    pub retry: [Duration; 2],
}

impl KubernetesFile {
    /// With what was typed, which wins. `None` where nobody is asked; `host` is the name of this host.
    pub fn settings(
        self,
        typed: &KubernetesArgs,
        host: impl FnOnce() -> String,
    ) -> Option<KubernetesSettings> {
        let Self { enabled, node, kubeconfig } = self;
        // A variable that is set and empty says nothing.
        let typed_node = typed.kubernetes_node.clone().filter(|node| !node.is_empty());
        typed.kubernetes.or(enabled).unwrap_or(false).then(|| KubernetesSettings {
            node: typed_node.or(node).unwrap_or_else(host),
            kubeconfig: typed.kubeconfig.clone().or(kubeconfig),
            watch_seconds: WATCH_SECONDS,
            retry: RETRY,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(file: &str, typed: &KubernetesArgs) -> Option<KubernetesSettings> {
        toml::from_str::<KubernetesFile>(file).unwrap().settings(typed, || "host".to_owned())
    }

    #[test]
    fn nobody_is_asked_unless_somebody_says_so() {
        assert_eq!(settings("", &KubernetesArgs::default()), None);
        assert_eq!(settings("node = \"n\"", &KubernetesArgs::default()), None);
        let typed = KubernetesArgs { kubernetes: Some(false), ..KubernetesArgs::default() };
        assert_eq!(settings("enabled = true", &typed), None);
    }

    #[test]
    fn what_is_typed_wins_over_the_file_and_the_file_over_the_host() {
        let of = |file, typed: &KubernetesArgs| {
            settings(file, typed).map(|found| (found.node, found.kubeconfig)).unwrap()
        };
        let typed = KubernetesArgs {
            kubernetes: Some(true),
            kubernetes_node: Some("typed".to_owned()),
            kubeconfig: Some("/b".into()),
        };
        let file = "enabled = true\nnode = \"written\"\nkubeconfig = \"/a\"";
        assert_eq!(of(file, &typed), ("typed".to_owned(), Some("/b".into())));
        assert_eq!(of(file, &KubernetesArgs::default()), ("written".to_owned(), Some("/a".into())));
        let empty = KubernetesArgs { kubernetes_node: Some(String::new()), ..KubernetesArgs::default() };
        assert_eq!(of("enabled = true", &empty), ("host".to_owned(), None));
        assert!(toml::from_str::<KubernetesFile>("enabled = true\nnodes = 1").is_err());
    }
}
