//! The demo's configuration file, and the swap of its plugin.
//!
//! Owns both versions of the file. The proxy applies a changed file by a reload, as for any
//! operator. Called by `page`.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

/// Addresses and ports used in the configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Servers {
    /// The proxy's port, on loopback.
    pub(super) port: u16,
    pub(super) page: SocketAddr,
    pub(super) notifier: SocketAddr,
}

/// The plugin that routes the demo's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// Compares the end of the Host, as HAProxy's `hdr_end(host) -i` does.
    HostSuffix,
    /// Matches the Host with an expression, so that `evilio.localhost` no longer matches.
    HeaderMatch,
}

impl Policy {
    /// Returns the name of the bundled plugin.
    pub(super) fn plugin(self) -> &'static str {
        match self {
            Self::HostSuffix => "host-suffix",
            Self::HeaderMatch => "header-match",
        }
    }

    /// Returns the policy of this plugin.
    pub(super) fn of(plugin: &str) -> Option<Policy> {
        let all = [Self::HostSuffix, Self::HeaderMatch];
        all.into_iter().find(|policy| policy.plugin() == plugin)
    }

    fn rule(self) -> &'static str {
        match self {
            Self::HostSuffix => {
                r#"{ suffix = "io.localhost", ignore_port = true, backend = "node_backend" }"#
            }
            Self::HeaderMatch => {
                r#"{ header.host.regex = '^([^.]+\.)*io\.localhost(:\d+)?$', backend = "node_backend" }"#
            }
        }
    }

    /// Returns the configuration, as a user would write it.
    pub(super) fn config(self, servers: Servers) -> String {
        let Servers {
            port,
            page,
            notifier,
        } = servers;
        let (plugin, rule) = (self.plugin(), self.rule());
        format!(
            r#"# Written by `pointsman demo`.
timeout.drain = "1s"

[admin]
socket = "admin.sock"

[frontend.http-in]
bind = "127.0.0.1:{port}"
default_backend = "www_backend"
router.plugin = "{plugin}"
router.config.rules = [
  {rule},
]

[backend.www_backend]
server.page = "{page}"

[backend.node_backend]
timeout.tunnel = "1h"
server.notifier = "{notifier}"
"#
        )
    }
}

/// The proxy's configuration file, in a temporary folder. Dropping this value removes the folder.
#[derive(Debug)]
pub(super) struct ConfigFile {
    /// Keeps the folder until this value is dropped.
    _folder: TempDir,
    path: PathBuf,
    servers: Servers,
    /// Makes the proxy read the file again.
    reload: fn() -> io::Result<()>,
    /// The policy in the file. Locked while the file is written.
    policy: Mutex<Policy>,
}

impl ConfigFile {
    /// Writes the file with the first policy.
    ///
    /// # Errors
    /// The temporary folder cannot be created or written.
    pub(super) fn create(servers: Servers, reload: fn() -> io::Result<()>) -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("pointsman-demo-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()?;
        let path = folder.path().join("demo.toml");
        fs::write(&path, Policy::HostSuffix.config(servers))?;
        Ok(Self {
            _folder: folder,
            path,
            servers,
            reload,
            policy: Mutex::new(Policy::HostSuffix),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a policy to the file and makes the proxy reload it. The policy takes effect soon
    /// afterwards. Does nothing if the file has the policy already.
    ///
    /// # Errors
    /// The file cannot be written, or the signal cannot be sent.
    pub(super) fn swap(&self, next: Policy) -> io::Result<()> {
        let mut policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        if *policy == next {
            return Ok(());
        }
        // Write another file and rename it, so that the proxy never reads an incomplete file.
        let draft = self.path.with_extension("new");
        fs::write(&draft, next.config(self.servers))?;
        fs::rename(&draft, &self.path)?;
        *policy = next;
        (self.reload)()
    }
}
