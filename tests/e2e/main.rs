//! End-to-end tests: the real binary on real sockets, between real clients and servers.
//!
//! One module per topic. `pointsman_tests` has the harness.

mod accounts;
mod acme;
mod admin;
mod authentication;
mod autobahn;
mod binds;
mod body_prefix;
mod changes;
mod churn;
mod clients;
mod decisions;
mod differential;
mod discovery;
mod endpoints;
mod faults;
mod framing;
mod growth;
mod http2;
mod languages;
mod limits;
mod logs;
mod memory;
mod metrics;
mod origins;
mod parity;
mod reload;
mod retries;
mod routing;
mod scenario;
mod servers;
mod sessions;
mod stages;
mod starting;
mod starts;
mod swaps;
mod tables;
mod tcp;
mod timeouts;
mod tls;
mod trials;
mod tunnels;
mod upgrade;
mod upstream_tls;
mod workers;
