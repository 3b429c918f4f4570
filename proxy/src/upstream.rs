//! Backends at run time: clusters, their servers and endpoints, and connections to them.
//!
//! [`LocalCluster::checkout`] returns a [`Lease`] for one exchange. This module depends neither on
//! plugins nor on the client's side. `request` calls it; `control` creates clusters and replaces
//! their endpoint sets, and `worker` puts the sets into force.

mod balance;
mod checkout;
pub mod cluster;
mod configured;
pub mod connect;
pub mod connection;
mod discovery;
pub mod endpoint;
pub mod endpoint_set;
mod establish;
mod failure;
pub mod hash;
pub mod health;
mod http2;
mod latency;
mod learned;
mod lease;
mod local;
pub mod pool;
mod private;
mod queue;
mod random;
mod retry_budget;
pub mod server;
mod server_tls;
mod settings;
mod setup;
mod shared;
mod slots;
mod stream;
#[cfg(test)]
mod testing;
mod view;
mod wake;

pub use self::checkout::{Bound, CheckoutError, Demand, DialError, Reuse};
pub use self::cluster::{Cluster, ClusterConfig, FileServersOutcome, ServerOverride};
pub use self::configured::ServerError;
pub use self::connect::DialCause;
pub use self::discovery::Moved;
pub use self::endpoint::EndpointId;
pub use self::establish::Needs;
pub use self::failure::Failure;
pub use self::health::Condition;
pub use self::health::keeper::{Keeper, KeeperInputs};
pub use self::lease::{Hold, Lease, Origin, Upgraded};
pub use self::local::{LocalCluster, LocalEndpoint};
pub use self::private::PrivateConnections;
pub use self::settings::Settings;
pub use self::setup::Preparation;
pub use self::stream::ServerStream;
