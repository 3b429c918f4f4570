//! Load balancing by a part of the request: `balance = { hash = KEY }`.

use std::collections::BTreeMap;

use anyhow::ensure;
use pointsman_tests::{Behavior, ProgrammableOrigin, Proxy, Wire, guest};

use super::balancing::{balanced, held, origins};
use super::{GET, answer, get_with, set_all};

#[tokio::test]
async fn a_key_goes_to_the_same_server() -> anyhow::Result<()> {
    let servers: [ProgrammableOrigin; 4] = origins().await?;
    for (hash, target, line) in [
        ("header:x-user", "/", "X-User: KEY\r\n"),
        ("cookie:session", "/", "Cookie: other=1; session=KEY\r\n"),
        ("query:id", "/?other=1&id=KEY", ""),
    ] {
        let balance = format!("{{ hash = \"{hash}\" }}");
        let setup = |count| balanced(&balance, servers[..count].iter().map(|server| (server, "")));
        let proxy = setup(4).workers(2).start().await?;
        let places = async || {
            let mut places = BTreeMap::new();
            for number in 0..40 {
                // The connection can go to either worker.
                let mut client = Wire::connect(proxy.address()).await?;
                let key = format!("k{number}");
                let request = get_with(&target.replace("KEY", &key), &line.replace("KEY", &key));
                let server = answer(&mut client, &request).await?;
                assert_eq!(answer(&mut client, &request).await?, server, "{hash}");
                places.insert(number, server);
            }
            anyhow::Ok(places)
        };
        let before = places().await?;
        for server in ["a", "b", "c", "d"] {
            ensure!(
                before.values().any(|place| place == server),
                "{hash}: {before:?}"
            );
        }
        proxy.configure(&setup(3).workers(2).config())?;
        proxy.ctl(&["reload"]).await?;
        let after = places().await?;
        for (key, place) in &before {
            ensure!(
                place == "d" || after[key] == *place,
                "{hash}: {before:?} {after:?}"
            );
        }
        ensure!(after.values().all(|place| place != "d"), "{after:?}");
        // When the server returns, it gets the same keys again.
        proxy.configure(&setup(4).workers(2).config())?;
        proxy.ctl(&["reload"]).await?;
        assert_eq!(places().await?, before, "{hash}");
    }
    Ok(())
}

#[tokio::test]
async fn requests_beyond_max_load_go_elsewhere() -> anyhow::Result<()> {
    let servers: [ProgrammableOrigin; 2] = origins().await?;
    set_all(&servers, Behavior::Holds);
    for (max_load, expected) in [("", [0, 0, 0, 0]), (", max_load = \"125%\"", [0, 0, 1, 0])] {
        let balance = format!("{{ hash = \"client\"{max_load} }}");
        let proxy = balanced(&balance, servers.iter().map(|server| (server, "")))
            .start()
            .await?;
        let mut clients = Vec::new();
        for _ in expected {
            clients.push(held(&proxy, &servers, GET).await?);
        }
        // The hash determines which server is preferred, so the test takes it from the first
        // request.
        let first = clients[0].1;
        let seen: Vec<_> = clients
            .iter()
            .map(|(_, server)| usize::from(*server != first))
            .collect();
        assert_eq!(seen, expected, "{max_load}");
    }
    Ok(())
}

#[tokio::test]
async fn a_plugin_chooses_the_key() -> anyhow::Result<()> {
    let servers: [ProgrammableOrigin; 4] = origins().await?;
    let balance = "{ hash = \"header:x-key\" }";
    let setup = balanced(balance, servers.iter().map(|server| (server, "")));
    // Without a plugin, the key comes from the client. This finds the server for each key.
    let plain = setup.start().await?;
    let mut client = Wire::connect(plain.address()).await?;
    let mut cases = serde_json::Map::new();
    let mut expected = Vec::new();
    for key in ["k0", "k1", "k2", "k3", "k4", "k5"] {
        let request = get_with("/", &format!("X-Key: {key}\r\n"));
        expected.push((format!("/{key}"), answer(&mut client, &request).await?));
        let then = serde_json::json!({"backend": "www"});
        let set = serde_json::json!({"set-affinity": {"value": key, "then": then}});
        cases.insert(format!("/{key}"), set);
    }
    let read = serde_json::json!({"read": {
        "what": "path-with-query", "cases": cases, "otherwise": {"backend": "www"},
    }});
    let script = serde_json::json!({"cacheable": true, "root": read});
    let directory = tempfile::tempdir()?;
    std::fs::write(
        directory.path().join("plugin.wasm"),
        guest("guest-scripted")?,
    )?;
    let script: toml::Value = serde_json::from_value(script)?;
    let router = format!("router.plugin = \"plugin.wasm\"\nrouter.config = {script}");
    let config = setup.frontend(&router).config();
    let proxy = Proxy::pointsman_in(directory, &config).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for (target, server) in expected {
        // The plugin's key determines the server, whatever key the client sends.
        for line in ["", "X-Key: k5\r\n", "X-Key: other\r\n"] {
            let found = answer(&mut client, &get_with(&target, line)).await?;
            assert_eq!(found, server, "{target} {line}");
        }
    }
    Ok(())
}
