//! The scope of a measurement, from the command line.

use super::peers::Peer;
use super::workloads::Workload;

/// The scope of a measurement.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    /// Duration of each run.
    pub(crate) seconds: u64,
    /// Whether the figures only show that the harness works.
    pub(crate) quick: bool,
    /// The command of this measurement, as shown in the report.
    pub(crate) command: String,
    pub(crate) peers: Vec<Peer>,
    pub(crate) workloads: Vec<&'static Workload>,
}
