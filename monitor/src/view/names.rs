//! JSON of what a cluster calls pods and addresses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a pod is a part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Workload")]
pub struct WorkloadView {
    /// `Deployment`, `StatefulSet`, `DaemonSet`, `Job`, or the kind of an operator's object.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// What the cluster calls an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Name")]
pub struct NameView {
    /// Namespace of the cluster.
    pub namespace: String,
    /// The service that is behind the address, or that it is an endpoint of; `null` where that is not clear.
    pub service: Option<String>,
    /// The pod that has the address; `null` where that is not clear.
    pub pod: Option<String>,
    /// What that pod is a part of; `null` for pods of other nodes, and for those that stand alone.
    pub workload: Option<WorkloadView>,
}

/// The pod that a socket belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Pod")]
pub struct PodView {
    /// Namespace of the cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its container; `null` where that is not known, as of one that has just been started anew.
    pub container: Option<String>,
    /// What it is a part of; `null` for one that stands alone.
    pub workload: Option<WorkloadView>,
}

/// How much is known of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Names")]
pub struct NamesView {
    /// Pods of this node.
    pub pods: u64,
    /// Addresses with a name.
    pub addresses: u64,
    /// How many can have one.
    pub capacity: u64,
    /// Claims to an address for which there was no room; they count again whenever they are listed again.
    pub left_out: u64,
    /// Something was not listed yet, or the API server does not answer: names may be missing or old.
    pub stale: bool,
}
