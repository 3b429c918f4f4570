//! How much is measured, as the command line has it.

use super::peers::Peer;
use super::workloads::Workload;

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    /// Of each run.
    pub(crate) seconds: u64,
    /// Figures that show no more than that the harness works.
    pub(crate) quick: bool,
    /// The command that asked for it, as the report shows it.
    pub(crate) command: String,
    pub(crate) peers: Vec<Peer>,
    pub(crate) workloads: Vec<&'static Workload>,
}
