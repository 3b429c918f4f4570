//! The setup that the migration guide from HAProxy starts with (`docs/start/from-haproxy.md`), here
//! called the how-to, with real programs: Apache serves a page, Node's socket.io sends pushes, and
//! Chromium is the client. The proxy between them is first Pointsman, then `HAProxy` with the
//! configuration that Pointsman replaces.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use nix::unistd::Uid;
use pointsman_tests::{Process, Proxy, ReservedPort, Wire, path_with_sbin};
use serde_json::Value;
use tempfile::TempDir;

use crate::routing;

#[tokio::test]
async fn pushes_reach_the_browser_through_pointsman() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let config = site.config(as_root("user = \"haproxy\"\ngroup = \"haproxy\""));
    let directory = tempfile::tempdir()?;
    // After startup, the user `haproxy` reads the configuration.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let proxy = Proxy::pointsman_in(directory, &config).await?;
    let hello = site.check(&proxy).await?;
    // `X-Forwarded-For` is on by default, unlike in HAProxy.
    assert_eq!(hello["forwardedFor"], "127.0.0.1", "{hello:#}");
    Ok(())
}

#[tokio::test]
async fn pushes_reach_the_browser_through_haproxy() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let config = routing::haproxy(
        as_root("user haproxy\n    group haproxy"),
        site.apache.address(),
        site.notifier.address,
    );
    let proxy = Proxy::haproxy(&config)?;
    site.check(&proxy).await?;
    Ok(())
}

/// Returns the lines that set the how-to's user and group if the test runs as root, because only
/// root can change to them.
fn as_root(lines: &str) -> &str {
    if Uid::effective().is_root() {
        lines
    } else {
        ""
    }
}

/// The browser's transport.
pub(crate) enum Transport<'a> {
    Plain,
    /// TLS, with this certificate at the proxy.
    Tls(&'a Path),
}

/// The servers behind the proxy.
pub(crate) struct Site {
    apache: Apache,
    notifier: Node,
}

impl Site {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Ok(Self {
            apache: Apache::start().await?,
            notifier: Node::start("notifier.js").await?,
        })
    }

    /// Returns the how-to's configuration for this site.
    pub(crate) fn config(&self, extra: &str) -> String {
        routing::pointsman(extra, self.apache.address(), self.notifier.address)
    }

    /// Drives the browser, checks everything that it saw, and returns Node's greeting.
    pub(crate) async fn check(&self, proxy: &Proxy) -> anyhow::Result<Value> {
        self.check_over(Transport::Plain, proxy).await
    }

    /// Does the same as [`Site::check`], over this transport.
    pub(crate) async fn check_over(
        &self,
        transport: Transport<'_>,
        proxy: &Proxy,
    ) -> anyhow::Result<Value> {
        let mut browser = node("browser.js");
        browser.arg(proxy.address().port().to_string());
        let (protocol, scheme) = match transport {
            Transport::Plain => ("http/1.1", "ws"),
            Transport::Tls(certificate) => {
                browser.arg(certificate);
                ("h2", "wss")
            }
        };
        let mut browser = Process::start(browser)?;
        let report = browser.line_with("{\"status\":").await?;
        ensure!(browser.ended().await?.success(), "the browser failed");
        let report: Value = serde_json::from_str(&report).context("the browser's report")?;
        let seen = &report["seen"];

        // The page came from Apache.
        assert_eq!(report["status"], 200, "{report:#}");
        assert_eq!(report["protocol"], protocol, "{report:#}");
        assert_eq!(
            report["title"], "Pushes from Node, page from Apache",
            "{report:#}"
        );
        let server = report["server"].as_str().unwrap_or_default();
        assert!(server.starts_with("Apache"), "{report:#}");

        // socket.io started with polling, and moved to the page's only WebSocket.
        assert_eq!(
            seen["transports"],
            serde_json::json!(["polling", "websocket"]),
            "{report:#}"
        );
        assert_eq!(report["webSockets"].as_array().map(Vec::len), Some(1));
        let url = report["webSockets"][0]["url"].as_str().unwrap_or_default();
        let expected = format!("{scheme}://io.test.tld/socket.io/");
        assert!(url.starts_with(&expected), "{report:#}");

        // Pushes came over the WebSocket, each once and in order, and a reply went back.
        let pushes: Vec<u64> = seen["overWebSocket"]
            .as_array()
            .context("no pushes")?
            .iter()
            .filter_map(Value::as_u64)
            .collect();
        assert!(pushes.len() >= 5, "{report:#}");
        assert!(
            pushes.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{report:#}"
        );
        assert_eq!(seen["answer"], "ARE YOU THERE", "{report:#}");

        // Node received the Host that the browser sent.
        assert_eq!(seen["hello"]["server"], "node", "{report:#}");
        assert_eq!(seen["hello"]["host"], "io.test.tld", "{report:#}");
        Ok(seen["hello"].clone())
    }
}

/// Debian's Apache httpd, which serves the page with its own configuration.
struct Apache {
    port: ReservedPort,
    _process: Process,
    _directory: TempDir,
}

impl Apache {
    async fn start() -> anyhow::Result<Self> {
        let port = ReservedPort::new()?;
        let directory = tempfile::tempdir()?;
        let root = directory.path();
        let pages = root.join("pages");
        fs::create_dir(&pages)?;
        fs::write(
            pages.join("index.html"),
            include_str!("scenario/index.html"),
        )?;
        readable_by_all(root)?;
        let config = root.join("apache2.conf");
        fs::write(&config, apache_config(root, &modules()?, port.address())?)?;

        let mut command = Command::new("apache2");
        command
            .env("PATH", path_with_sbin())
            .args(["-D", "FOREGROUND", "-f"])
            .arg(&config);
        let process = Process::start(command)?;
        // Apache reports in its error log on stderr that it is running. Its port may open a moment
        // later.
        process.line_with("resuming normal operations").await?;
        Wire::connect(port.address()).await?;
        Ok(Self {
            port,
            _process: process,
            _directory: directory,
        })
    }

    fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

fn apache_config(root: &Path, modules: &Path, address: SocketAddr) -> anyhow::Result<String> {
    let (root, modules) = (
        root.to_str().context("a directory that is not UTF-8")?,
        modules.to_str().context("a directory that is not UTF-8")?,
    );
    // If root starts Apache, its child processes run as another user.
    let user = as_root("User www-data\nGroup www-data");
    Ok(format!(
        "
ServerRoot \"{root}\"
ServerName www.test.tld
PidFile \"{root}/apache2.pid\"
DefaultRuntimeDir \"{root}\"
Mutex file:{root} default
Listen {address}
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule dir_module {modules}/mod_dir.so
LoadModule mime_module {modules}/mod_mime.so
TypesConfig /dev/null
AddType text/html .html
ErrorLog /dev/stderr
LogLevel notice
DocumentRoot \"{root}/pages\"
DirectoryIndex index.html
<Directory \"{root}/pages\">
    Require all granted
</Directory>
"
    ))
}

/// Returns the folder in which the distribution keeps Apache's modules.
fn modules() -> anyhow::Result<PathBuf> {
    [
        "/usr/lib/apache2/modules",
        "/usr/lib64/httpd/modules",
        "/usr/lib/httpd/modules",
    ]
    .into_iter()
    .map(PathBuf::from)
    .find(|directory| directory.is_dir())
    .context("Apache's modules are in none of the known places")
}

/// Lets other users read a temporary directory, such as the user of Apache's child processes.
fn readable_by_all(directory: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
        .context("opening the temporary directory to Apache")
}

/// A server from `tests/node`, which prints its port as JSON.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl Node {
    pub(crate) async fn start(script: &str) -> anyhow::Result<Self> {
        Self::start_with(script, [""; 0]).await
    }

    pub(crate) async fn start_with(
        script: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> anyhow::Result<Self> {
        let mut command = node(script);
        command.args(arguments);
        let process = Process::start(command)?;
        let line = process.line_with("{\"port\":").await?;
        let ready: Value = serde_json::from_str(&line)?;
        let port = ready["port"].as_u64().context("no port")?;
        Ok(Self {
            address: SocketAddr::from(([127, 0, 0, 1], u16::try_from(port)?)),
            _process: process,
        })
    }
}

/// Returns the command that runs a script from `tests/node`.
pub(crate) fn node(script: &str) -> Command {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    let mut command = Command::new("node");
    command.arg(directory.join(script)).current_dir(directory);
    command
}
