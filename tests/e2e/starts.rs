//! Plugins that take long to start, or never finish starting: only their own requests wait for
//! them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use pointsman_tests::{Origin, Proxy, Wire, guest};
use tokio::time::Instant;

const GET: &str = "GET / HTTP/1.1\r\nHost: www.test.tld\r\n\r\n";

/// Returns a configuration with one worker and two frontends: one has a plugin and these `keys`,
/// the other has no plugin.
fn config(keys: &str, servers: &[&Origin]) -> String {
    let servers: Vec<String> = servers
        .iter()
        .enumerate()
        .map(|(index, server)| format!("server.s{index} = \"{}\"\n", server.address()))
        .collect();
    format!(
        "workers = 1\nadmin.socket = \"admin.sock\"\n\
         [frontend.slow]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
         router.plugin = \"./guest.wasm\"\n{keys}\n\
         [frontend.other]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
         [backend.www]\n{}",
        servers.concat()
    )
}

async fn start(name: &str, config: &str) -> anyhow::Result<Proxy> {
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("guest.wasm"), guest(name)?)?;
    Proxy::pointsman_in(directory, config).await
}

async fn client(proxy: &Proxy, frontend: &str) -> anyhow::Result<Wire> {
    let address = proxy.addresses_of(frontend).next().context("no address")?;
    Wire::connect(address).await
}

async fn status(client: &mut Wire) -> anyhow::Result<u16> {
    client.exchange(GET).await?.head.status()
}

/// An instance that takes long to start holds up only its own request. Each request has its own
/// instance, whose `configure` waits for half a second.
#[tokio::test]
async fn an_instance_that_starts_slowly_delays_only_its_own_request() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let keys = "router.isolation = \"request\"\n\
                router.limits.deadline = \"20s\"\n\
                router.config = { configure = [{ sleep = 500 }], route = [\"clock\"] }";
    let proxy = start("guest-wasi", &config(keys, &[&www])).await?;
    let mut other = client(&proxy, "other").await?;
    assert_eq!(status(&mut other).await?, 200);
    // The first request uses the instance that startup has prepared.
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut slow = client(&proxy, "slow").await?;
        slow.send(GET).await?;
        waiting.push(slow);
    }
    let answers = async {
        for slow in &mut waiting {
            assert_eq!(slow.response("GET").await?.head.status()?, 200);
        }
        anyhow::Ok(Instant::now())
    };
    let others = async {
        for _ in 0..10 {
            assert_eq!(status(&mut other).await?, 200);
        }
        anyhow::Ok(Instant::now())
    };
    let (last, others) = tokio::try_join!(answers, others)?;
    assert!(others < last, "the other frontend waited, too");
    // If a client disconnects while its request waits, the next client is not affected.
    let mut gone = client(&proxy, "slow").await?;
    gone.send(GET).await?;
    drop(gone);
    let mut next = client(&proxy, "slow").await?;
    assert_eq!(status(&mut next).await?, 200);
    Ok(())
}

/// If requests wait for an instance of a version that a reload replaces, they do not fail: the new
/// version decides.
#[tokio::test]
async fn a_reload_fails_no_request_that_waits() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let keys = |steps: &str| {
        config(
            &format!(
                "router.isolation = \"request\"\nrouter.limits.deadline = \"20s\"\n\
                 router.config = {{ configure = [{{ sleep = 200 }}], route = [{steps}] }}"
            ),
            &[&www],
        )
    };
    let proxy = start("guest-wasi", &keys("\"clock\"")).await?;
    let mut waiting = Vec::new();
    for _ in 0..40 {
        let mut slow = client(&proxy, "slow").await?;
        slow.send(GET).await?;
        waiting.push(slow);
    }
    proxy.configure(&keys("\"clock\", \"wall-clock\""))?;
    proxy.ctl(&["reload"]).await?;
    for slow in &mut waiting {
        assert_eq!(slow.response("GET").await?.head.status()?, 200);
    }
    let versions = ["version=1 cached", "version=2 cached"];
    for version in versions {
        proxy.line_with(version).await?;
    }
    Ok(())
}

/// Starts a proxy with a plugin whose `configure` enters a long loop from a certain time on. By
/// then, the proxy has started. When this function returns, the plugin's first instance is gone.
async fn spinning(keys: &str) -> anyhow::Result<(Origin, Proxy)> {
    let www = Origin::with_name("www").await?;
    let harmless = Duration::from_secs(3);
    let end = Instant::now() + harmless;
    let moment = SystemTime::now() + harmless;
    let moment = moment.duration_since(UNIX_EPOCH)?.as_millis();
    let keys = format!(
        "router.fault_window = \"1h\"\n{keys}\n\
         router.config = {{ configure = [{{ after = [{moment}, [{{ spin = 600000 }}]] }}], \
         route = [\"exit\"], spare_probe = true }}"
    );
    let proxy = start("guest-wasi", &config(&keys, &[&www])).await?;
    tokio::time::sleep_until(end).await;
    let mut slow = client(&proxy, "slow").await?;
    assert_eq!(status(&mut slow).await?, 503);
    proxy.line_with("plugin fault").await?;
    Ok((www, proxy))
}

/// A `configure` that would loop for ten minutes holds up no other request.
#[tokio::test]
async fn a_looping_configure_delays_no_request() -> anyhow::Result<()> {
    let (_www, proxy) = spinning("router.limits.configure_deadline = \"10m\"").await?;
    let mut slow = client(&proxy, "slow").await?;
    let mut other = client(&proxy, "other").await?;
    for _ in 0..5 {
        assert_eq!(status(&mut slow).await?, 503);
        assert_eq!(status(&mut other).await?, 200);
    }
    Ok(())
}

/// Sends requests until the log has `line`.
async fn request_until(proxy: &Proxy, line: &str) -> anyhow::Result<()> {
    let mut slow = client(proxy, "slow").await?;
    let asked = async {
        loop {
            match status(&mut slow).await {
                Ok(status) => assert_eq!(status, 503),
                Err(error) => return error,
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        line = proxy.line_with(line) => line.map(drop),
        error = asked => Err(error),
    }
}

/// Requests that fail because no instance could be started count as faults in `fault_window`, in
/// addition to the trap.
#[tokio::test]
async fn requests_that_a_failed_start_fails_are_faults() -> anyhow::Result<()> {
    let keys = "router.max_faults = 5\nrouter.limits.configure_deadline = \"100ms\"";
    let (_www, proxy) = spinning(keys).await?;
    request_until(
        &proxy,
        "too many faults: plugin calls suspended for a while",
    )
    .await
}

#[tokio::test]
async fn a_plugin_that_cannot_be_started_again_is_left_alone() -> anyhow::Result<()> {
    let keys = "router.max_faults = 1000000\nrouter.limits.configure_deadline = \"100ms\"";
    let (_www, proxy) = spinning(keys).await?;
    request_until(&proxy, "cannot be started again").await
}
