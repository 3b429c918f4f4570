//! Differences between workers that the access log shows: the worker that serves a connection, and
//! whether its cache has a decision.

use pointsman_tests::{Origin, Proxy, Wire, log_field};

use crate::routing;

const GET: &str = "GET / HTTP/1.1\r\nHost: io.test.tld\r\n\r\n";

async fn start(workers: usize) -> anyhow::Result<(Origin, Proxy)> {
    let origin = Origin::with_name("any").await?;
    let top = format!("workers = {workers}\nlog.access = true");
    let config = routing::pointsman(&top, origin.address(), origin.address());
    let proxy = Proxy::pointsman(&config.replace("[log]\n", "")).await?;
    Ok((origin, proxy))
}

/// Returns a field of the first `count` access log records.
async fn field(proxy: &Proxy, name: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let what = format!("{count} access records");
    proxy
        .wait_for(&what, |lines| {
            let records = lines.iter().filter(|line| line.contains(" access: "));
            let found: Vec<String> = records
                .filter_map(|line| log_field(line, name))
                .map(str::to_owned)
                .collect();
            (found.len() >= count).then_some(found)
        })
        .await
}

/// Even a few connections are spread over all workers. With the kernel's hash of addresses alone, a
/// given worker would get none of eight connections in one run of ten.
#[tokio::test]
async fn few_connections_are_spread_over_all_workers() -> anyhow::Result<()> {
    const WORKERS: usize = 4;
    let (_origin, proxy) = start(WORKERS).await?;
    let mut clients = Vec::new();
    for _ in 0..2 * WORKERS {
        let mut client = Wire::connect(proxy.address()).await?;
        client.exchange(GET).await?;
        clients.push(client);
    }
    let mut served = [0; WORKERS];
    for id in field(&proxy, "id", clients.len()).await? {
        // The upper bits of a request's ID identify its worker.
        let worker = usize::try_from(u64::from_str_radix(&id, 16)? >> 48)?;
        served[worker] += 1;
    }
    assert_eq!(served, [2; WORKERS]);
    Ok(())
}

#[tokio::test]
async fn a_decision_made_before_is_called_cached() -> anyhow::Result<()> {
    let (_origin, proxy) = start(1).await?;
    let shouted = "GET /other HTTP/1.1\r\nHost: IO.TEST.TLD\r\n\r\n";
    let other = "GET / HTTP/1.1\r\nHost: www.test.tld\r\n\r\n";
    for request in [GET, GET, shouted, other] {
        let mut client = Wire::connect(proxy.address()).await?;
        client.exchange(request).await?;
    }
    // The decision depends only on the suffix that matches the host, ignoring case, so the third
    // one is cached.
    assert_eq!(
        field(&proxy, "cached", 4).await?,
        ["false", "true", "true", "false"]
    );
    Ok(())
}
