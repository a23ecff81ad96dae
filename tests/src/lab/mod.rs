//! The lab: three sites on one machine, made of the real programs.
//!
//! It decides how the sites are wired, how a site is lost, and what counts as a whole failover. It must
//! never stand in for a decision of the programs it starts: it looks from outside, as an operator and a
//! client would, and everything it starts ends with it.
//!
//! ```text
//! world                    everything that runs; substrate wiring service cluster program are its parts
//! stack_file agent_file coordinator_file   what the programs are told
//! loss                     how a site is taken away
//! traffic events status operator           what is seen from outside
//! judgement report         whether it was whole
//! shown_run kept           what `deploy/lab/run.sh` shows, and how it stays up
//! homecoming               what the old site does when it comes back
//! disk false_clock         what fills up, and what goes wrong with time
//! crash tap                who writes is killed before and after each write
//! glass                    the key that signs plans for break glass
//! scenario log_watch duplicator recorder garbage   text files run by tests and by hand
//! ```

pub mod agent_file;
pub mod answers;
pub mod cluster;
pub mod coordinator_file;
pub mod crash;
pub mod disk;
pub mod duplicator;
pub mod events;
pub mod false_clock;
pub mod garbage;
pub mod glass;
pub mod homecoming;
pub mod http;
pub mod judgement;
pub mod kept;
pub mod log_watch;
pub mod loss;
pub mod narrative;
pub mod operator;
pub mod program;
pub mod recorder;
pub mod report;
pub mod scenario;
pub mod service;
pub mod shown_run;
pub mod stack_file;
pub mod status;
pub mod substrate;
pub mod tap;
pub mod traffic;
pub mod wiring;
pub mod workload;
pub mod world;

/// The sites: the first is live at the start, the second takes over, the third is the witness.
pub const SITES: [&str; 3] = ["dc1", "dc2", "dc3"];
/// The sites that have a Kubernetes cluster.
pub const CLUSTERED: [&str; 2] = ["dc1", "dc2"];
/// The stack's name.
pub const STACK: &str = "lab";

/// The agent beside the database of a site.
pub fn database_node(site: &str) -> String {
    format!("{site}-db")
}

/// The agent of a site's Kubernetes cluster.
pub fn cluster_node(site: &str) -> String {
    format!("{site}-k8s")
}

/// The slot that a site's standby uses, named as a plan names it.
pub fn slot(site: &str) -> String {
    format!("pointsman_{site}_db")
}
