//! Questions about a request that the proxy answers by itself, for plugins and for the decision
//! cache: which entry matches a part of the request, whether the request is in a share, which value
//! a table contains, whether a backend has a usable server.
//!
//! A [`Builder`] receives the definitions that a plugin makes in `configure`. [`Questions`]
//! contains the questions of one plugin version, for all workers and instances. [`Part`] names the
//! subject of a question, and [`reads`] implements the contract's narrow reads under the same
//! names. Nothing here waits or depends on plugins, and answering takes no lock.

mod answer;
mod body_json;
mod build;
mod draws;
mod error;
mod matcher;
mod networks;
mod part;
pub mod reads;
mod regexes;
mod set;
mod share;
mod subject;
mod text;
mod trie;

pub use self::answer::{Answer, Kind};
pub use self::build::{Builder, Entries};
pub use self::draws::Draws;
pub use self::error::{DefineError, MAX_QUESTIONS};
pub use self::matcher::{Case, MatchKind};
pub use self::part::{Part, PartError};
pub use self::set::{Description, Questions};
pub use self::subject::{Body, Subject};
