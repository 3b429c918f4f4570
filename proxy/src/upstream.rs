//! Backends at run time: clusters, their servers and endpoints, and connections to them.
//!
//! [`LocalCluster::checkout`] gives a [`Lease`] for one exchange. Knows nothing of plugins
//! and nothing of downstream. Called by `request`; `control` creates clusters and replaces
//! their endpoint sets, `worker` puts them into force.

mod balance;
mod checkout;
pub mod cluster;
pub mod connect;
pub mod connection;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "`connect` resolves names until endpoints follow them"
    )
)]
mod discovery;
pub mod endpoint;
mod establish;
mod health;
mod http2;
mod lease;
mod local;
pub mod pool;
mod private;
mod server_tls;
mod slots;
mod stream;
#[cfg(test)]
mod testing;

pub use self::checkout::{CheckoutError, DialError, Reuse};
pub use self::cluster::{Cluster, ClusterConfig, ServerError};
pub use self::connect::DialCause;
pub use self::establish::Needs;
pub use self::health::Condition;
pub use self::lease::{Hold, Lease, Origin, Upgraded};
pub use self::local::{LocalCluster, LocalEndpoint};
pub use self::private::PrivateConnections;
pub use self::stream::ServerStream;
