//! The policies of `plugins/examples` under load. The Rust version replaces the Python version, and
//! then the Python version returns. Both make the same decisions, so no client notices.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use pointsman_tests::{DEADLINE, Origin, Proxy, Wire};
use serde_json::Value;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::place::{Place, output, root};

/// Number of connections that send requests without a pause.
const CLIENTS: usize = 8;
/// Requests between two swaps.
const BETWEEN: usize = 400;

/// A request, and the servers that can respond to it.
#[derive(Clone)]
struct Case {
    request: String,
    servers: Vec<String>,
}

impl Case {
    fn new(request: impl Into<String>, servers: &[&str]) -> Case {
        let servers = servers.iter().map(|&server| server.to_owned());
        Case {
            request: request.into(),
            servers: servers.collect(),
        }
    }

    async fn play(&self, client: &mut Wire) -> anyhow::Result<String> {
        let response = client.exchange(&self.request).await?;
        let (status, request) = (response.head.status()?, &self.request);
        let server = String::from_utf8_lossy(&response.body).into_owned();
        ensure!(
            status == 200 && self.servers.contains(&server),
            "{status} by {server}, not by one of {:?}:\n{request}",
            self.servers
        );
        Ok(server)
    }
}

/// A frontend with the Python version of a policy, and its backends. The Rust version is in the
/// same folder.
struct Site {
    proxy: Proxy,
    /// Origins that respond with their names.
    _origins: Vec<Origin>,
}

impl Site {
    /// Starts the proxy. `top` contains keys for the top level. `backends` contains backends with
    /// their servers; the first one is the default backend.
    async fn start(
        policy: &str,
        config: &str,
        top: &str,
        backends: &[(&str, &[&str])],
    ) -> anyhow::Result<Site> {
        let directory = tempfile::tempdir()?;
        for language in ["python", "rust"] {
            let component = directory.path().join(format!("{language}.wasm"));
            build(&format!("{policy}-{language}"), component)?;
        }
        let mut text = String::from("workers = 2\nadmin.socket = \"admin.sock\"\n");
        let mut origins = Vec::new();
        for (backend, servers) in backends {
            for server in *servers {
                let origin = Origin::with_name(server).await?;
                let address = origin.address();
                writeln!(text, "backend.{backend}.server.{server} = \"{address}\"")?;
                origins.push(origin);
            }
        }
        let (default, _) = backends.first().context("no backend")?;
        write!(
            text,
            "{top}\n[frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"{default}\"\n\
             routing.body = {{ size = \"1KiB\", wait = \"10s\", types = [\"application/json\"] }}\n\
             router.name = \"policy\"\nrouter.plugin = \"./python.wasm\"\nrouter.watch = false\n\
             router.config = {config}\n"
        )?;
        std::fs::write(directory.path().join("tenants.csv"), "a,one\nb,two\n")?;
        Ok(Site {
            proxy: Proxy::pointsman_in(directory, &text).await?,
            _origins: origins,
        })
    }

    /// Sends each request once, and returns cases that expect the server which has responded.
    async fn settle(&self, cases: Vec<Case>) -> anyhow::Result<Vec<Case>> {
        let mut client = Wire::connect(self.proxy.address()).await?;
        let mut settled = Vec::new();
        for case in cases {
            let server = case.play(&mut client).await?;
            settled.push(Case::new(case.request, &[&server]));
        }
        Ok(settled)
    }

    /// Runs the cases without a pause while the plugins change.
    async fn swap_under_load(&self, cases: Vec<Case>) -> anyhow::Result<()> {
        let load = Rc::new(Load {
            cases,
            played: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let clients = LocalSet::new();
        for first in 0..CLIENTS {
            let (load, address) = (Rc::clone(&load), self.proxy.address());
            clients.spawn_local(async move {
                let result = load.run(address, first).await;
                load.is_over.store(true, Ordering::Relaxed);
                result.expect("a request");
            });
        }
        let changes = async {
            for file in ["rust.wasm", "python.wasm"] {
                load.more().await?;
                self.proxy.ctl(&["swap", "http-in", file]).await?;
            }
            load.more().await?;
            load.is_over.store(true, Ordering::Relaxed);
            anyhow::Ok(())
        };
        clients.run_until(changes).await?;
        timeout(DEADLINE, clients).await?;
        let plugins = self.proxy.ctl(&["plugins", "--json"]).await?;
        let plugins: Value = serde_json::from_str(&plugins)?;
        let versions = plugins["versions"].as_array().context("versions")?;
        ensure!(versions[0]["number"] == 3, "{plugins:#}");
        for version in versions {
            let count = |name: &str| version[name].as_u64().context("a count");
            ensure!(version["faults"] == serde_json::json!({}), "{version:#}");
            // There are few different requests, so nearly all decisions come from the cache.
            ensure!(
                count("cached")? * 10 > count("decisions")? * 9,
                "{version:#}"
            );
        }
        Ok(())
    }
}

/// Clients that run the cases without a pause, until the load is over.
struct Load {
    cases: Vec<Case>,
    played: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    async fn run(&self, proxy: std::net::SocketAddr, first: usize) -> anyhow::Result<()> {
        let mut client = Wire::connect(proxy).await?;
        for case in self.cases.iter().cycle().skip(first) {
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
            case.play(&mut client).await?;
            self.played.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Waits for [`BETWEEN`] more requests.
    async fn more(&self) -> anyhow::Result<()> {
        let enough = self.played.load(Ordering::Relaxed) + BETWEEN;
        let waiting = async {
            while self.played.load(Ordering::Relaxed) < enough {
                let is_over = self.is_over.load(Ordering::Relaxed);
                ensure!(!is_over, "a client has failed");
                tokio::task::yield_now().await;
            }
            Ok(())
        };
        timeout(DEADLINE, waiting).await?
    }
}

fn build(example: &str, component: PathBuf) -> anyhow::Result<()> {
    let place = Place::new()?;
    let mut build = place.command("pointsman");
    let project = root().join("plugins/examples").join(example);
    build.args(["plugin", "build"]).arg(project);
    // The Rust examples share their compiled dependencies.
    build.env("CARGO_TARGET_DIR", root().join("target/examples"));
    output(build.arg("--output").arg(component))?;
    Ok(())
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: www.test.tld\r\n{fields}\r\n")
}

#[tokio::test]
async fn sticky_canary() -> anyhow::Result<()> {
    let config = "{ backend = \"canary\", percent = 25 }";
    let backends: [(&str, &[&str]); 2] = [("stable", &["s1", "s2"]), ("canary", &["c1", "c2"])];
    let site = Site::start("sticky-canary", config, "", &backends).await?;
    let all = ["s1", "s2", "c1", "c2"];
    let sessions =
        (0..40).map(|session| Case::new(get(&format!("Cookie: session={session}\r\n")), &all));
    let settled = site.settle(sessions.collect()).await?;
    for server in all {
        let count = settled
            .iter()
            .filter(|case| case.servers == [server])
            .count();
        ensure!(count > 0, "no session for {server}");
    }
    site.swap_under_load(settled).await
}

#[tokio::test]
async fn tenant_router() -> anyhow::Result<()> {
    let table = "table.tenants = { file = \"tenants.csv\", values = \"backends\" }";
    let backends: [(&str, &[&str]); 3] = [("www", &["www"]), ("one", &["1"]), ("two", &["2"])];
    let site = Site::start("tenant-router", "{}", table, &backends).await?;
    let cases = [("a", "1"), ("b", "2"), ("c", "www")]
        .map(|(tenant, server)| Case::new(get(&format!("X-Tenant: {tenant}\r\n")), &[server]));
    site.swap_under_load(cases.to_vec()).await?;
    // A change to the table moves a tenant to another server, while the plugin stays the same.
    site.proxy
        .ctl(&["table", "tenants", "set", "a", "two"])
        .await?;
    let moved = Case::new(get("X-Tenant: a\r\n"), &["2"]);
    moved
        .play(&mut Wire::connect(site.proxy.address()).await?)
        .await?;
    Ok(())
}

#[tokio::test]
async fn model_router() -> anyhow::Result<()> {
    let config = "{ models = { small = \"one\", large = \"two\" } }";
    let backends: [(&str, &[&str]); 3] = [("www", &["www"]), ("one", &["1"]), ("two", &["2"])];
    let site = Site::start("model-router", config, "", &backends).await?;
    let cases = [
        (r#"{"model":"small"}"#, "1"),
        (r#"{"prompt":"x","model":"large"}"#, "2"),
        (r#"{"model":"other"}"#, "www"),
        (r#"{"model":"small","model":"large"}"#, "www"),
    ]
    .map(|(body, server)| {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Case::new(request, &[server])
    });
    site.swap_under_load(cases.to_vec()).await
}

#[tokio::test]
async fn failover() -> anyhow::Result<()> {
    let config = "{ primary = \"one\", secondary = \"two\" }";
    let backends: [(&str, &[&str]); 2] = [("one", &["1"]), ("two", &["2"])];
    let site = Site::start("failover", config, "", &backends).await?;
    for (order, server) in [("ready", "1"), ("maintenance", "2"), ("ready", "1")] {
        site.proxy.ctl(&["server", "one/1", order]).await?;
        let case = Case::new(get(""), &[server]);
        case.play(&mut Wire::connect(site.proxy.address()).await?)
            .await?;
    }
    site.proxy.ctl(&["server", "one/1", "drain"]).await?;
    site.swap_under_load(vec![Case::new(get(""), &["2"])]).await
}
