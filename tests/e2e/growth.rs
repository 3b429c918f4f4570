//! Routers that are added while the process runs, beyond the number for which it has reserved
//! address space.

use std::fs;

use anyhow::{Context as _, ensure};
use pointsman_tests::{DEADLINE, Origin, Proxy, Wire, log_field};

use crate::swaps::{GET, deciding, directory, put};
use crate::tunnels::echo_or_www;

/// Numbers of routers. Each exceeds the number for which the step before it reserves address space.
const STEPS: [usize; 5] = [1, 6, 13, 28, 45];
/// Tolerance in bytes: much less than the address space that any of these steps reserves.
const TOLERANCE: u64 = 1 << 40;

/// Returns a configuration with this number of routers: one with the hostile guest, one with an
/// instance for each request, and others.
fn config(routers: usize, more: &str, www: &Origin) -> String {
    let others = (1..routers).map(|number| {
        let isolation = if number == 1 { "request" } else { "instance" };
        format!(
            "[frontend.f{number}]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
             router.plugin = \"host-suffix\"\nrouter.isolation = \"{isolation}\"\n\
             router.config.rules = [{{ suffix = \"x{number}.test\", backend = \"www\" }}]\n"
        )
    });
    format!(
        "workers = 1\nadmin.socket = \"admin.sock\"\nplugin_cache_dir = \"cache\"\n\
         log.access = true\n\
         [frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
         router.plugin = \"./plugin.wasm\"\nrouter.limits.deadline = \"20s\"\n\
         router.config = {{ mode = \"harmless\", spare_probe = true }}\n{}{more}\
         [backend.www]\nserver.www = \"{}\"\n",
        others.collect::<String>(),
        www.address()
    )
}

/// Returns the size of the proxy's address space in bytes.
fn size(proxy: &Proxy) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.id()))?;
    let mut lines = status.lines();
    let size = lines.find_map(|line| line.strip_prefix("VmSize:"));
    let size = size.and_then(|size| size.split_whitespace().next());
    Ok(size.context("no VmSize")?.parse::<u64>()? * 1024)
}

/// Routers can be added repeatedly: each time, the proxy creates a new engine, which reserves
/// address space, and drops the old one.
#[tokio::test]
async fn routers_are_added_again_and_again() -> anyhow::Result<()> {
    let www = echo_or_www().await?;
    let [start, more @ ..] = STEPS;
    let proxy = Proxy::pointsman_in(directory()?, &config(start, "", &www)).await?;
    put(&proxy.directory().join("two.wasm"), "2")?;
    proxy.ctl(&["swap", "http-in", "two.wasm"]).await?;
    for routers in more {
        proxy.configure(&config(routers, "", &www))?;
        proxy.ctl(&["reload"]).await?;
        // The plugin from the manual swap still decides.
        deciding(&proxy).await?;
        let plugins = proxy.ctl(&["plugins"]).await?;
        let first = plugins.find("two.wasm").context("no swap")?;
        ensure!(plugins.find("plugin.wasm") > Some(first), "{plugins}");
    }
    // The process reserves no more address space than a new process with the same number of
    // routers.
    let fresh = Proxy::pointsman_in(directory()?, &config(STEPS[4], "", &www)).await?;
    let most = size(&fresh)? + TOLERANCE;
    // Workers adopt the last change between two requests, so the old engine may still exist for a
    // moment.
    let shrunk = async {
        while size(&proxy)? > most {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    let shrunk = tokio::time::timeout(DEADLINE, shrunk).await;
    shrunk.with_context(|| format!("{:?} of {most}", size(&proxy)))??;
    // A reload that changes the names of backends rebuilds all versions.
    let backend = "[backend.more]\nserver.more = \"127.0.0.1:1\"\n";
    proxy.configure(&config(STEPS[4], backend, &www))?;
    proxy.ctl(&["reload"]).await?;
    deciding(&proxy).await?;
    for frontend in ["f1", "f2"] {
        let mark = format!("listening frontend={frontend} ");
        let line = proxy.line_with(&mark).await?;
        let address = log_field(&line, "address").context("no address")?;
        let mut client = Wire::connect(address.parse()?).await?;
        assert_eq!(client.exchange(GET).await?.body, b"www", "{frontend}");
    }
    // A rollback is still possible.
    proxy.ctl(&["rollback", "http-in"]).await?;
    assert_eq!(deciding(&proxy).await?, "1");
    Ok(())
}
