//! Orders of an operator: `ctl servers` and `ctl server`.

use anyhow::ensure;
use pointsman_tests::{Behavior, ProgrammableOrigin, Proxy, Setup, Wire, log_field};

use super::{ADMIN, GET, answers, became, count, server, state};
use crate::tunnels::{echo_or_www, handshake, passes};

/// Two servers, the first of which can have further keys.
struct Site {
    a: ProgrammableOrigin,
    b: ProgrammableOrigin,
}

impl Site {
    async fn new() -> anyhow::Result<Self> {
        Ok(Self {
            a: ProgrammableOrigin::with_name("a").await?,
            b: ProgrammableOrigin::with_name("b").await?,
        })
    }

    fn config(&self, keys: &str) -> String {
        let mut setup = Setup::before([])
            .top(ADMIN)
            .backend("balance = \"round_robin\"");
        for (name, origin, keys) in [("a", &self.a, keys), ("b", &self.b, "")] {
            let address = origin.address();
            setup = setup.backend(&format!(
                "server.{name} = {{ address = \"{address}\"{keys} }}"
            ));
        }
        setup.config()
    }

    async fn start(&self) -> anyhow::Result<Proxy> {
        Proxy::pointsman(&self.config("")).await
    }

    async fn reload(&self, proxy: &Proxy, keys: &str) -> anyhow::Result<()> {
        proxy.configure(&self.config(keys))?;
        proxy.ctl(&["reload"]).await?;
        Ok(())
    }
}

#[tokio::test]
async fn the_list_of_servers() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let proxy = site.start().await?;
    site.reload(&proxy, ", weight = 3, backup = true").await?;
    proxy.ctl(&["server", "www/a", "drain"]).await?;
    assert_eq!(answers(proxy.address(), 3).await?, "b b b");
    let list = proxy.ctl(&["servers"]).await?;
    let words: Vec<Vec<_>> = list
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let (a, b) = (site.a.address().to_string(), site.b.address().to_string());
    let expected = [
        vec![
            "BACKEND/SERVER",
            "ADDRESS",
            "STATE",
            "WEIGHT",
            "ACTIVE",
            "REQUESTS",
            "RETRIES",
        ],
        vec!["www/a", &a, "draining", "3", "(backup)", "0", "0", "0"],
        vec!["www/b", &b, "up", "1", "0", "3", "0"],
    ];
    assert_eq!(words, expected, "{list}");
    Ok(())
}

#[tokio::test]
async fn a_server_is_taken_out_of_service_and_put_back() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let proxy = site.start().await?;
    for (order, word) in [("drain", "draining"), ("maintenance", "maintenance")] {
        let done = proxy.ctl(&["server", "www/a", order]).await?;
        assert_eq!(done, format!("server www/a is {word}\n"));
        assert_eq!(state(&proxy, "a").await?, word);
        assert_eq!(answers(proxy.address(), 4).await?, "b b b b");
        let done = proxy.ctl(&["server", "www/a", "ready"]).await?;
        assert_eq!(done, "server www/a is ready\n");
        assert_eq!(state(&proxy, "a").await?, "up");
        assert_eq!(count(&answers(proxy.address(), 4).await?, "a"), 2);
    }
    let changes = proxy.wait_for("four changes", |lines| {
        let changes = lines.iter().filter(|line| line.contains("server changed"));
        let states: Vec<_> = changes
            .filter_map(|line| log_field(line, "state"))
            .collect();
        (states.len() >= 4).then_some(states.join(" "))
    });
    assert_eq!(changes.await?, "draining ready maintenance ready");
    // With both servers out of service, a request fails.
    for name in ["www/a", "www/b"] {
        proxy.ctl(&["server", name, "drain"]).await?;
    }
    assert_eq!(answers(proxy.address(), 1).await?, "503");
    proxy.line_with("end=no-server").await?;
    Ok(())
}

#[tokio::test]
async fn a_weight_changes_the_share() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let proxy = site.start().await?;
    let done = proxy.ctl(&["server", "www/a", "weight", "3"]).await?;
    assert_eq!(done, "server www/a has weight 3\n");
    assert_eq!(count(&answers(proxy.address(), 16).await?, "a"), 12);
    proxy.ctl(&["server", "www/a", "weight", "0"]).await?;
    assert_eq!(answers(proxy.address(), 4).await?, "b b b b");
    proxy.ctl(&["server", "www/a", "weight", "1"]).await?;
    assert_eq!(count(&answers(proxy.address(), 4).await?, "a"), 2);
    Ok(())
}

#[tokio::test]
async fn overrides_survive_reloads_until_the_configuration_changes() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let proxy = site.start().await?;
    let is = async |word: &str, weight: u64| {
        assert_eq!(state(&proxy, "a").await?, word);
        assert_eq!(server(&proxy, "a").await?["weight"], weight);
        anyhow::Ok(())
    };
    proxy.ctl(&["server", "www/a", "drain"]).await?;
    proxy.ctl(&["server", "www/a", "weight", "7"]).await?;
    is("draining", 7).await?;
    // Changes to other keys keep both orders.
    site.reload(&proxy, ", max_requests = 9").await?;
    is("draining", 7).await?;
    // A change to a key in the configuration undoes the order for that key, but not for other keys.
    site.reload(&proxy, ", weight = 2").await?;
    is("draining", 2).await?;
    site.reload(&proxy, ", weight = 2, state = \"maintenance\"")
        .await?;
    is("maintenance", 2).await?;
    // An order also overrides a state from the configuration.
    proxy.ctl(&["server", "www/a", "ready"]).await?;
    site.reload(&proxy, ", weight = 2, state = \"maintenance\"")
        .await?;
    is("up", 2).await?;
    site.reload(&proxy, ", weight = 2, state = \"drain\"")
        .await?;
    is("draining", 2).await?;
    Ok(())
}

#[tokio::test]
async fn commands_for_unknown_servers_are_refused() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let proxy = site.start().await?;
    for (arguments, expected) in [
        (
            &["www/c", "drain"][..],
            "there is no server `www/c`; `servers` lists them",
        ),
        (
            &["other/a", "drain"],
            "there is no server `other/a`; `servers` lists them",
        ),
        (
            &["a", "drain"],
            "the names of a backend and a server, as in www/a",
        ),
        (&["www/a", "weight", "257"], "257 is not in 0..=256"),
        (&["www/a", "off"], "unexpected argument 'off' found"),
    ] {
        let arguments: Vec<_> = ["server"].iter().chain(arguments).copied().collect();
        let error = proxy
            .ctl(&arguments)
            .await
            .expect_err("an error")
            .to_string();
        ensure!(error.contains(expected), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_put_back_is_no_longer_ejected() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let config = site.config("")
        + "outlier = { consecutive = 1, on = \"5xx\", ejection = \"1h\", max_ejection = \"1h\" }\n";
    let proxy = Proxy::pointsman(&config).await?;
    site.a.set(Behavior::Answers(500));
    assert_eq!(count(&answers(proxy.address(), 4).await?, "500"), 1);
    became(&proxy, "a", "ejected", 1).await?;
    site.a.set(Behavior::Answers(200));
    proxy.ctl(&["server", "www/a", "ready"]).await?;
    assert_eq!(state(&proxy, "a").await?, "up");
    assert_eq!(count(&answers(proxy.address(), 4).await?, "a"), 2);
    Ok(())
}

#[tokio::test]
async fn a_server_in_maintenance_is_not_checked() -> anyhow::Result<()> {
    let site = Site::new().await?;
    let config = site.config("") + "check = { path = \"/health\", interval = \"20ms\" }\n";
    let proxy = Proxy::pointsman(&config).await?;
    site.a.checked(2).await?;
    proxy.ctl(&["server", "www/a", "maintenance"]).await?;
    // One check may still be in progress. After that, the server is not checked while the other
    // server is checked many times.
    let others = site.b.checks().len();
    site.b.checked(others + 3).await?;
    let before = site.a.checks().len();
    site.b.checked(others + 13).await?;
    assert_eq!(site.a.checks().len(), before);
    proxy.ctl(&["server", "www/a", "ready"]).await?;
    site.a.checked(before + 2).await?;
    Ok(())
}

#[tokio::test]
async fn requests_and_tunnels_in_progress_continue() -> anyhow::Result<()> {
    let origin = echo_or_www().await?;
    let other = ProgrammableOrigin::with_name("other").await?;
    let proxy = Setup::before([])
        .top(ADMIN)
        .backend(&format!("server.a = \"{}\"", origin.address()))
        .backend(&format!(
            "server.b = {{ address = \"{}\", backup = true }}",
            other.address()
        ))
        .start()
        .await?;
    let mut tunnel = Wire::connect(proxy.address()).await?;
    assert_eq!(tunnel.exchange(handshake("www")).await?.head.status()?, 101);
    for order in ["drain", "maintenance"] {
        proxy.ctl(&["server", "www/a", order]).await?;
        assert_eq!(server(&proxy, "a").await?["endpoints"][0]["active"], 1);
        assert_eq!(answers(proxy.address(), 2).await?, "other other");
        passes(&mut tunnel).await?;
        proxy.ctl(&["reload"]).await?;
        passes(&mut tunnel).await?;
    }
    // A request in progress gets its response.
    other.set(Behavior::Holds);
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(GET).await?;
    other.reached(5).await?;
    proxy.ctl(&["server", "www/b", "maintenance"]).await?;
    other.set(Behavior::Answers(200));
    assert_eq!(client.response("GET").await?.body, b"other");
    Ok(())
}
