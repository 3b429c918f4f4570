//! Certificates from a real ACME server: orders, storage, renewals, and no order for a certificate
//! that already exists.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use pointsman_tests::{DEADLINE, Origin, Pebble, PebbleSetup, Proxy, Wire};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::scenario::{Site, Transport};

const NAME: &str = "www.test.tld";
const ANY: &str = "127.0.0.1:0";

const OBTAINED: &str = "certificate obtained";
const FAILED: &str = "cannot obtain a certificate: ";

/// An ACME server, with an origin and the storage that the proxies share.
struct Fixture {
    pebble: Pebble,
    www: Origin,
    storage: TempDir,
}

impl Fixture {
    async fn new(setup: PebbleSetup) -> anyhow::Result<Fixture> {
        Ok(Fixture {
            pebble: Pebble::start(setup).await?,
            www: Origin::with_name("www").await?,
            storage: tempfile::tempdir()?,
        })
    }

    /// Returns the configuration of a proxy that serves plain HTTP at `http` and TLS at `https`,
    /// with `more` keys for ACME.
    fn config(&self, http: &str, https: &str, more: &str) -> String {
        let acme = self.pebble.table(&[NAME], self.storage.path(), more);
        format!(
            "workers = 2\nadmin.socket = \"admin.sock\"\n\
             [frontend.http-in]\n\
             bind = {{ address = \"{http}\", redirect_to_https = true }}\n\
             default_backend = \"www\"\n\
             [frontend.https-in]\nbind = {{ address = \"{https}\", tls = \"www\" }}\n\
             default_backend = \"www\"\n\
             [backend.www]\nserver.www = \"{}\"\n[tls.www]\n{acme}\n",
            self.www.address()
        )
    }

    /// Returns the configuration of a proxy that the ACME server can validate by `http-01`.
    fn config_for_http(&self) -> String {
        self.config(&self.pebble.http().to_string(), ANY, "")
    }

    /// Returns the folder of the certificate.
    fn folder(&self) -> anyhow::Result<PathBuf> {
        let server = fs::read_dir(self.storage.path())?.next();
        Ok(server.context("nothing is stored")??.path().join(NAME))
    }

    fn state(&self) -> anyhow::Result<Value> {
        let text = fs::read_to_string(self.folder()?.join("state.json"))?;
        Ok(serde_json::from_str(&text)?)
    }

    fn set_state(&self, state: &Value) -> anyhow::Result<()> {
        let path = self.folder()?.join("state.json");
        Ok(fs::write(path, state.to_string())?)
    }

    /// Requests the page over TLS, trusting the ACME server's root certificate, and returns the
    /// body of the response.
    async fn get(&self, proxy: &Proxy) -> anyhow::Result<Vec<u8>> {
        let address = https(proxy)?;
        get(address, self.pebble.root().await?).await
    }
}

fn https(proxy: &Proxy) -> anyhow::Result<SocketAddr> {
    let address = proxy.addresses_of("https-in").next();
    address.context("no address for TLS")
}

/// Sends one request over a new connection.
async fn get(address: SocketAddr, root: PathBuf) -> anyhow::Result<Vec<u8>> {
    let mut curl = Command::new("curl");
    curl.args(["-sSf", "--max-time", &DEADLINE.as_secs().to_string()])
        .args(["--connect-to", &format!("{NAME}:443:{address}"), "--cacert"])
        .arg(root)
        .arg(format!("https://{NAME}/"));
    let output = tokio::task::spawn_blocking(move || curl.output()).await??;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// Returns the value of the metric whose line begins with `name`.
async fn metric(proxy: &Proxy, name: &str) -> anyhow::Result<i64> {
    let mut curl = Command::new("curl");
    curl.args(["-sSf", "http://localhost/metrics", "--unix-socket"])
        .arg(proxy.directory().join("admin.sock"));
    let output = tokio::task::spawn_blocking(move || curl.output()).await??;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find(|line| line.starts_with(name));
    let line = line.with_context(|| format!("no {name} in:\n{text}"))?;
    let value = line.rsplit_once(' ').context("no value")?.1;
    Ok(value.parse()?)
}

#[tokio::test]
async fn http_01_and_a_restart() -> anyhow::Result<()> {
    let fixture = Fixture::new(PebbleSetup::default()).await?;
    let config = fixture.config_for_http();
    let proxy = Proxy::pointsman(&config).await?;
    proxy.line_with(OBTAINED).await?;
    assert_eq!(fixture.get(&proxy).await?, b"www");
    // The proxy answers only challenges in progress, so this request gets the usual redirect.
    let mut client = Wire::connect(proxy.address()).await?;
    let target = "/.well-known/acme-challenge/none";
    let request = format!("GET {target} HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
    assert_eq!(client.exchange(request).await?.head.status()?, 308);
    drop(proxy);
    check_modes(fixture.storage.path())?;

    // After a restart, even the first connection gets the certificate.
    let proxy = Proxy::pointsman(&config).await?;
    assert_eq!(fixture.get(&proxy).await?, b"www");
    assert_eq!(fixture.pebble.orders(), 1);
    Ok(())
}

/// Checks that all files below `folder` have mode 0600 and all folders 0700.
fn check_modes(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            check_modes(&path)?;
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
    Ok(())
}

#[tokio::test]
async fn tls_alpn_01_with_refused_nonces() -> anyhow::Result<()> {
    let fixture = Fixture::new(PebbleSetup {
        refused_nonces: 10,
        ..PebbleSetup::default()
    })
    .await?;
    let tls = fixture.pebble.tls().to_string();
    let config = fixture.config(ANY, &tls, "challenge = \"tls-alpn-01\"");
    let proxy = Proxy::pointsman(&config).await?;
    proxy.line_with(OBTAINED).await?;
    assert_eq!(fixture.get(&proxy).await?, b"www");
    assert_eq!(fixture.pebble.orders(), 1);
    Ok(())
}

#[tokio::test]
async fn renewals_fail_no_request() -> anyhow::Result<()> {
    // A certificate that is valid for twelve seconds is renewed after seven or eight.
    let fixture = Fixture::new(PebbleSetup {
        validity: Some(12),
        ..PebbleSetup::default()
    })
    .await?;
    let proxy = Proxy::pointsman(&fixture.config_for_http()).await?;
    proxy.line_with(OBTAINED).await?;
    let load = Load::start(https(&proxy)?, &fixture.pebble.root().await?, "www");
    proxy.wait_for("two renewals", renewed_twice).await?;
    load.stop().await?;
    assert!(!proxy.log().iter().any(|line| line.contains(FAILED)));
    Ok(())
}

/// Clients that send requests until they are stopped, each over a new connection.
struct Load {
    stop: watch::Sender<bool>,
    clients: Vec<JoinHandle<anyhow::Result<u32>>>,
}

impl Load {
    /// Starts two clients, which expect `text` in every response.
    fn start(address: SocketAddr, root: &Path, text: &'static str) -> Load {
        let (stop, stopped) = watch::channel(false);
        let client = || {
            let (root, stopped) = (root.to_owned(), stopped.clone());
            tokio::spawn(async move {
                let mut answers = 0;
                while !*stopped.borrow() {
                    let answer = String::from_utf8(get(address, root.clone()).await?)?;
                    ensure!(answer.contains(text), "{answer}");
                    answers += 1;
                }
                Ok(answers)
            })
        };
        let clients = vec![client(), client()];
        Load { stop, clients }
    }

    /// Stops the clients. Fails unless every response was right and each client received at least
    /// one.
    async fn stop(self) -> anyhow::Result<()> {
        self.stop.send(true)?;
        for client in self.clients {
            ensure!(client.await?? > 0, "no answer");
        }
        Ok(())
    }
}

fn renewed_twice(lines: &[String]) -> Option<()> {
    let obtained = lines.iter().filter(|line| line.contains(OBTAINED));
    (obtained.count() >= 3).then_some(())
}

#[tokio::test]
async fn browsers_get_pages_and_pushes_through_renewals() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let pebble = Pebble::start(PebbleSetup {
        validity: Some(12),
        ..PebbleSetup::default()
    })
    .await?;
    let storage = tempfile::tempdir()?;
    let names = [NAME, "io.test.tld"];
    let acme = pebble.table(&names, storage.path(), "challenge = \"tls-alpn-01\"");
    let bind = format!(
        "bind = {{ address = \"{}\", tls = \"site\" }}",
        pebble.tls()
    );
    let config = site.config("").replace("bind = \"127.0.0.1:0\"", &bind);
    let proxy = Proxy::pointsman(&format!("{config}[tls.site]\n{acme}\n")).await?;
    proxy.line_with(OBTAINED).await?;
    let load = Load::start(proxy.address(), &pebble.root().await?, "Pushes from Node");
    // The browser trusts only the key of the intermediate certificate, which every renewed
    // certificate must have in its chain.
    let intermediate = pebble.intermediate().await?;
    while renewed_twice(&proxy.log()).is_none() {
        site.check_over(Transport::Tls(&intermediate), &proxy)
            .await?;
    }
    load.stop().await?;
    let log = proxy.log();
    let is_fault = |line: &&String| line.contains(FAILED) || line.contains(" status=5");
    assert_eq!(log.iter().find(is_fault), None);
    Ok(())
}

#[tokio::test]
async fn a_failed_challenge_pauses_across_restarts() -> anyhow::Result<()> {
    let fixture = Fixture::new(PebbleSetup::default()).await?;
    // Nothing listens at the address to which the ACME server connects for validation.
    let wrong = fixture.config(ANY, ANY, "");
    let proxy = Proxy::pointsman(&wrong).await?;
    let line = proxy.line_with(FAILED).await?;
    assert!(line.contains(NAME), "{line}");
    assert!(
        line.contains("urn:ietf:params:acme:error:connection"),
        "{line}"
    );
    assert!(line.contains("next_try="), "{line}");
    assert_eq!(metric(&proxy, FAILURES).await?, 1);
    let next = metric(&proxy, NEXT).await?;
    assert!(fixture.get(&proxy).await.is_err());
    drop(proxy);

    // After a restart with a correct configuration, the proxy orders nothing before the time of the
    // next attempt.
    let config = fixture.config_for_http();
    let proxy = Proxy::pointsman(&config).await?;
    proxy.line_with("ready").await?;
    while metric(&proxy, NEXT).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(metric(&proxy, NEXT).await?, next);
    assert_eq!(fixture.pebble.orders(), 1);

    // Once that time has come, the proxy places a new order.
    let mut state = fixture.state()?;
    assert_eq!(state["failures"], 1);
    state["next_try"] = 0.into();
    fixture.set_state(&state)?;
    proxy.line_with(OBTAINED).await?;
    assert_eq!(fixture.get(&proxy).await?, b"www");
    assert_eq!(fixture.pebble.orders(), 2);
    assert_eq!(fixture.state()?["failures"], 0);
    Ok(())
}

const FAILURES: &str = "pointsman_certificate_orders_total{tls=\"www\",result=\"failed\"}";
const NEXT: &str = "pointsman_certificate_next_order{";

#[tokio::test]
async fn an_order_goes_on_after_a_crash() -> anyhow::Result<()> {
    let fixture = Fixture::new(PebbleSetup {
        is_slow: true,
        ..PebbleSetup::default()
    })
    .await?;
    let config = fixture.config_for_http();
    let proxy = Proxy::pointsman(&config).await?;
    let ordered = fixture.pebble.ordered();
    ordered.await?;
    while !fixture
        .state()
        .is_ok_and(|state| state["order"].is_object())
    {
        tokio::task::yield_now().await;
    }
    proxy.signal(Signal::SIGKILL)?;
    drop(proxy);
    let mut state = fixture.state()?;
    assert_eq!(state["failures"], 1);
    state["next_try"] = 0.into();
    fixture.set_state(&state)?;
    let proxy = Proxy::pointsman(&config).await?;
    proxy.line_with(OBTAINED).await?;
    assert_eq!(fixture.get(&proxy).await?, b"www");
    assert_eq!(fixture.pebble.orders(), 1);
    Ok(())
}

#[tokio::test]
async fn two_processes_order_once() -> anyhow::Result<()> {
    let fixture = Fixture::new(PebbleSetup {
        skip_validation: true,
        ..PebbleSetup::default()
    })
    .await?;
    let config = fixture.config(ANY, ANY, "");
    let (one, other) = tokio::try_join!(Proxy::pointsman(&config), Proxy::pointsman(&config))?;
    for proxy in [one, other] {
        // The proxy that did not place the order loads the certificate from disk.
        while fixture.get(&proxy).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(fixture.pebble.orders(), 1);
    Ok(())
}

#[tokio::test]
async fn a_reload_begins_and_ends_orders() -> anyhow::Result<()> {
    let fixture = Fixture::new(PebbleSetup::default()).await?;
    let config = fixture.config_for_http();
    let acme = fixture.pebble.table(&[NAME], fixture.storage.path(), "");
    let both = [NAME, "more.test.tld"];
    let more = fixture.pebble.table(&both, fixture.storage.path(), "");
    let proxy = Proxy::pointsman(&config).await?;
    proxy.line_with(OBTAINED).await?;
    proxy.configure(&config.replace(&acme, &more))?;
    proxy.ctl(&["reload"]).await?;
    proxy
        .line_with("names=\"www.test.tld, more.test.tld\" not_after")
        .await?;
    assert_eq!(fixture.get(&proxy).await?, b"www");
    assert_eq!(fixture.pebble.orders(), 2);
    let none = config
        .replace(", tls = \"www\"", "")
        .replace(&format!("[tls.www]\n{acme}"), "");
    proxy.configure(&none)?;
    proxy.ctl(&["reload"]).await?;
    assert!(metric(&proxy, NEXT).await.is_err());
    Ok(())
}

#[tokio::test]
async fn mistakes_are_found_before_the_start() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("file"), "")?;
    fs::write(folder.path().join("ca.pem"), "no PEM")?;
    let table = |name: &str, more: &str| {
        format!(
            "[tls.{name}.acme]\nnames = [\"{NAME}\"{more}]\n\
             directory = \"https://acme.test.tld/\"\nstorage = \"file/acme\"\n\
             ca = \"ca.pem\"\naccept_terms = true\n"
        )
    };
    let config = format!(
        "[frontend.https-in]\nbind = [{{ address = \"{ANY}\", tls = \"www\" }},\
         {{ address = \"{ANY}\", tls = \"more\" }}]\n\
         default_backend = \"www\"\n[backend.www]\nserver.www = \"127.0.0.1:9\"\n{}{}",
        table("www", ""),
        table("more", ", \"more.test.tld\"")
    );
    let command = pointsman_tests::pointsman()?;
    let log = Proxy::refused_by(command, &folder, &config).await?.log;
    let found = [
        "`tls.www.acme.storage`: cannot write to",
        "`tls.www.acme.ca`: the certificates of authorities cannot be read",
        "`tls.more.acme.names`: begins with the same name as `tls.www.acme.names`",
    ];
    for mistake in found {
        assert!(log.contains(mistake), "{mistake}:\n{log}");
    }
    Ok(())
}
