//! End-to-end tests: the real binary on real sockets, between real clients and servers.
//!
//! One module per topic. `pointsman_tests` has the harness.

mod autobahn;
mod differential;
mod faults;
mod framing;
mod limits;
mod parity;
mod retries;
mod routing;
mod scenario;
mod swaps;
mod timeouts;
mod tunnels;
mod workers;
