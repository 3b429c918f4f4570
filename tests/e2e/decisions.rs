//! Effects of decisions: lists of plugins, choices that fail, servers, keys, tags, and edits of
//! responses. The plugins are the bundled ones, and a scripted guest whose configuration is its
//! script.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, ensure};
use pointsman_tests::{Dnsmasq, Message, Origin, Proxy, Record, Wire, guest, log_field};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Creates a folder with the scripted guest, for the proxy's configuration.
fn directory() -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("scripted.wasm");
    std::fs::write(file, guest("guest-scripted")?)?;
    Ok(directory)
}

/// Returns a stage that runs the scripted guest with this script.
fn scripted(name: &str, questions: &Value, root: &Value) -> String {
    let script = json!({"cacheable": true, "questions": questions, "root": root});
    format!(
        "{{ name = \"{name}\", plugin = \"./scripted.wasm\", limits.deadline = \"20s\", config = {} }}",
        inline(&script)
    )
}

/// Converts JSON to inline TOML.
fn inline(value: &Value) -> String {
    let list = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Object(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(key, value)| format!("{:?} = {}", key, inline(value)));
            format!("{{ {} }}", list(entries.collect()))
        }
        Value::Array(values) => format!("[{}]", list(values.iter().map(inline).collect())),
        other => other.to_string(),
    }
}

/// Returns a frontend with these stages; `more` contains its other keys, and the backends.
fn config(stages: &[String], more: &str) -> String {
    format!(
        "workers = 1\nplugin_cache_dir = \"cache\"\nadmin.socket = \"admin.sock\"\n\
         admin.address = \"127.0.0.1:0\"\n\
         [frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
         router = [{}]\n{more}",
        stages.join(", ")
    )
}

/// Returns a backend with these servers, without retries.
fn backend(name: &str, servers: &[(&str, SocketAddr)]) -> String {
    let servers = servers.iter();
    let servers = servers.map(|(server, address)| format!("server.{server} = \"{address}\"\n"));
    format!(
        "[backend.{name}]\ntimeout.connect = \"2s\"\nretry.attempts = 0\n{}",
        servers.collect::<String>()
    )
}

/// Returns an address where nothing listens.
async fn nobody() -> anyhow::Result<SocketAddr> {
    let origin = Origin::with_name("nobody").await?;
    let address = origin.address();
    origin.stop().await;
    Ok(address)
}

async fn get(proxy: &Proxy, target: &str, fields: &str) -> anyhow::Result<Message> {
    let mut client = Wire::connect(proxy.address()).await?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: www.test.tld\r\n{fields}\r\n");
    client.exchange(request).await
}

fn answer(response: &Message) -> anyhow::Result<(u16, String)> {
    let body = String::from_utf8_lossy(&response.body).into_owned();
    Ok((response.head.status()?, body))
}

/// Field line of a client that is exempt from maintenance.
const STAFF: &str = "X-Staff: 1\r\n";

#[tokio::test]
async fn bundled_plugins_work_in_one_list() -> anyhow::Result<()> {
    let (www, node, next) = (
        Origin::with_name("www").await?,
        Origin::with_name("node").await?,
        Origin::with_name("next").await?,
    );
    let api = Origin::scripted(|mut wire, _| async move {
        loop {
            let request = wire.request().await?;
            let target = request.head.start_line.clone();
            let response = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}",
                target.len()
            );
            wire.send(response).await?;
        }
    })
    .await?;
    let stages = [
        r#"{ plugin = "address-list", config = { default = "allow", deny = ["192.0.2.0/24"] } }"#,
        r#"{ plugin = "maintenance", config.bypass = { header = "x-staff", value = "1" } }"#,
        r#"{ plugin = "canary", config = { backend = "next", percent = 0, by.cookie = "s", override_header = "x-canary" } }"#,
        r#"{ plugin = "path-prefix", config.rules = [{ prefix = "/api", backend = "api", strip = true }] }"#,
        r#"{ plugin = "host-suffix", config.rules = [{ suffix = "io.test.tld", backend = "node" }] }"#,
    ]
    .map(str::to_owned);
    let backends = [
        ("www", &www),
        ("node", &node),
        ("next", &next),
        ("api", &api),
    ]
    .map(|(name, origin)| backend(name, &[(name, origin.address())]));
    let config = config(&stages, &backends.concat());
    let proxy = Proxy::pointsman(&config).await?;
    for _ in 0..2 {
        let check = async |host: &str, target: &str, fields: &str| {
            let mut client = Wire::connect(proxy.address()).await?;
            let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
            answer(&client.exchange(request).await?)
        };
        let ok = |body: &str| (200, body.to_owned());
        assert_eq!(check("www.test.tld", "/", STAFF).await?, ok("www"));
        assert_eq!(check("io.test.tld", "/", STAFF).await?, ok("node"));
        assert_eq!(
            check("io.test.tld", "/api/a?b", STAFF).await?,
            ok("GET /a?b HTTP/1.1")
        );
        assert_eq!(
            check(
                "io.test.tld",
                "/api/a",
                &format!("{STAFF}X-Canary: always\r\n")
            )
            .await?,
            ok("next")
        );
        assert_eq!(check("io.test.tld", "/api", "").await?.0, 503);
    }
    Ok(())
}

#[tokio::test]
async fn edits_add_up_and_the_last_decision_counts() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let first = scripted(
        "first",
        &json!([{"value": {"over": "cookie:s"}}]),
        &json!({"set-header-by": {"name": "x-session", "question": 0, "then":
            {"append-header": {"name": "x-both", "value": "1", "then":
            {"append-response-header": {"name": "set-cookie", "value": "a=b", "then":
            {"tag-by": {"name": "session", "question": 0, "then": "next"}}}}}}}}),
    );
    let second = scripted(
        "second",
        &json!([]),
        &json!({"read": {"what": "header", "name": "x-both",
            "cases": {"": {"append-header": {"name": "x-both", "value": "2", "then":
                {"append-response-header": {"name": "set-cookie", "value": "c=d", "then":
                {"tag": {"name": "who", "value": "second", "then": {"backend": "www"}}}}}}}},
            "otherwise": {"error": "an earlier edit is seen"}}}),
    );
    let more = format!(
        "routing.explain_header = \"x-explained\"\n{}",
        backend("www", &[("www", www.address())])
    );
    let config = config(&[first, second], &more);
    let proxy = Proxy::pointsman_in(directory()?, &config).await?;
    for (session, cached) in [("1", ""), ("2", " (cached)")] {
        let response = get(&proxy, "/", &format!("Cookie: s={session}\r\n")).await?;
        assert_eq!(answer(&response)?, (200, "www".to_owned()));
        let cookies: Vec<&[u8]> = response.head.values("set-cookie").collect();
        assert_eq!(cookies, [b"a=b", b"c=d"]);
        let explained = format!("first=next{cached}; second=backend www{cached}");
        assert_eq!(response.head.field("x-explained"), Some(explained));
        let line = proxy.line_with(&format!("tag.session={session}")).await?;
        assert_eq!(log_field(&line, "tag.who"), Some("second"), "{line}");
        assert_eq!(log_field(&line, "stage"), Some("second"), "{line}");
    }
    let requests = www.requests();
    let seen = requests
        .iter()
        .map(|request| request.head.field("x-session"));
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [Some("1".into()), Some("2".into())]
    );
    let both: Vec<&[u8]> = requests[0].head.values("x-both").collect();
    assert_eq!(both, [b"1", b"2"]);
    Ok(())
}

#[tokio::test]
async fn a_choice_that_fails_is_made_anew() -> anyhow::Result<()> {
    let (www, dead) = (Origin::with_name("www").await?, nobody().await?);
    let by_attempt = json!({"append-response-header": {"name": "x-tried", "value": "1", "then":
        {"read": {"what": "attempt", "cases": {"0": {"backend": "dead"}},
            "otherwise": {"backend": "www"}}}}});
    let always = json!({"append-response-header": {"name": "x-dead", "value": "1", "then":
        {"backend": "dead"}}});
    let root = json!({"read": {"what": "path", "cases": {"/": by_attempt}, "otherwise": always}});
    let more = backend("www", &[("www", www.address())]) + &backend("dead", &[("dead", dead)]);
    let config = config(&[scripted("failover", &json!([]), &root)], &more);
    let proxy = Proxy::pointsman_in(directory()?, &config).await?;
    for _ in 0..2 {
        let response = get(&proxy, "/", "").await?;
        assert_eq!(answer(&response)?, (200, "www".to_owned()));
        // The request carries none of the edits of the choice that failed.
        assert_eq!(response.head.values("x-tried").count(), 1);
        let response = get(&proxy, "/same", "").await?;
        assert_eq!(response.head.status()?, 503);
        assert_eq!(
            response.head.values("x-dead").count(),
            1,
            "on the proxy's own error, too"
        );
        proxy.line_with("end=connect-refused").await?;
    }
    assert_eq!(www.requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_plugin_names_a_server() -> anyhow::Result<()> {
    let (one, two, dead) = (
        Origin::with_name("one").await?,
        Origin::with_name("two").await?,
        nobody().await?,
    );
    let server = |server: &str, ask_again: bool| json!({"server": {"backend": "www", "server": server, "ask_again": ask_again}});
    let root = json!({"read": {"what": "path", "cases": {
            "/one": server("one", true),
            "/two": server("two", false),
            "/dead": server("dead", false),
            "/again": {"read": {"what": "attempt", "cases": {"0": server("dead", true)},
                "otherwise": server("two", true)}},
            "/only": server("dead", true),
            "/unknown": server("none", true),
        }, "otherwise": "default"}});
    let servers = [
        ("one", one.address()),
        ("two", two.address()),
        ("dead", dead),
    ];
    let config = config(
        &[scripted("server", &json!([]), &root)],
        &backend("www", &servers),
    );
    let proxy = Proxy::pointsman_in(directory()?, &config).await?;
    for _ in 0..3 {
        for (target, expected) in [("/one", "one"), ("/two", "two"), ("/again", "two")] {
            let response = get(&proxy, target, "").await?;
            assert_eq!(answer(&response)?, (200, expected.to_owned()), "{target}");
        }
        assert_eq!(
            get(&proxy, "/dead", "").await?.head.status()?,
            200,
            "another one"
        );
        assert_eq!(get(&proxy, "/only", "").await?.head.status()?, 503);
        assert_eq!(
            get(&proxy, "/unknown", "").await?.head.status()?,
            503,
            "a fault"
        );
    }
    Ok(())
}

/// A server with several addresses is tried at each of them before `otherwise` applies.
#[tokio::test]
async fn a_named_server_is_tried_at_each_of_its_addresses() -> anyhow::Result<()> {
    let first = |ask_again: bool| {
        let server = json!({"backend": "www", "server": "one", "ask_again": ask_again});
        json!({"read": {"what": "attempt", "cases": {"0": {"server": server}},
            "otherwise": {"server": {"backend": "www", "server": "two"}}}})
    };
    let root = json!({"read": {"what": "path", "cases": {"/again": first(true)},
        "otherwise": first(false)}});
    let stages = [scripted("server", &json!([]), &root)];
    let two = Origin::with_name("two").await?;
    // Loopback addresses that no other test uses.
    let hosts = [1, 2, 3, 4].map(|last| Ipv4Addr::new(127, 0, 71, last));
    let dns = hosts.map(|host| Record::address("one.test.tld", host, 60));
    let dns = Dnsmasq::with(&dns).await?;
    // The server listens on one of its four addresses, so the address that is tried first usually
    // refuses.
    for host in &hosts[..2] {
        let one = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none";
        let one = Origin::answering_at((*host, 0).into(), one).await?;
        let more = format!(
            "{}server.one = \"one.test.tld:{}\"\n\
             resolve = {{ nameservers = [\"{}\"], init = \"required\" }}\n",
            backend("www", &[("two", two.address())]),
            one.address().port(),
            dns.nameserver()
        );
        for target in ["/again", "/another"] {
            // A new proxy does not know yet which addresses refuse.
            let proxy = Proxy::pointsman_in(directory()?, &config(&stages, &more)).await?;
            for _ in 0..2 {
                let response = get(&proxy, target, "").await?;
                assert_eq!(
                    answer(&response)?,
                    (200, "one".to_owned()),
                    "{host} {target}"
                );
            }
        }
    }
    assert_eq!(two.connections(), 0);
    Ok(())
}

/// With `ask-again`, a request that its server has received stays with that server: `retry` repeats
/// it there, and the router is not called again. If the server cannot be reached, it has received
/// nothing, so the router is called again at once.
#[tokio::test]
async fn ask_again_and_retry() -> anyhow::Result<()> {
    let root = json!({"read": {"what": "attempt",
        "cases": {"0": {"server": {"backend": "www", "server": "one", "ask_again": true}}},
        "otherwise": {"server": {"backend": "www", "server": "two", "ask_again": true}}}});
    // Status and number of the first server's failures before it responds with 200; maximum number
    // of retries; the response; the number of requests that the first server gets.
    for (status, failures, attempts, expected, received) in [
        (503, 1, 2, (200, "one"), 2),
        (503, 2, 2, (200, "one"), 3),
        (503, 3, 2, (503, ""), 3),
        (503, 1, 0, (503, ""), 1),
        // A status of 0: the server closes the connection without a response.
        (0, 1, 2, (200, "one"), 2),
        (0, 3, 2, (502, ""), 3),
    ] {
        let two = Origin::with_name("two").await?;
        // Each attempt gets a new connection, so connections are counted.
        let one = Origin::scripted(move |mut wire, connection| async move {
            wire.request().await?;
            let response = match status {
                _ if connection >= failures => "200 OK\r\nContent-Length: 3\r\n\r\none",
                503 => "503 No\r\nContent-Length: 0\r\n\r\n",
                _ => return Ok(()),
            };
            wire.send(format!("HTTP/1.1 {response}")).await
        })
        .await?;
        let servers = [("one", one.address()), ("two", two.address())];
        let more = backend("www", &servers).replace(
            "retry.attempts = 0",
            &format!(
                "retry = {{ on = [\"503\", \"reset\"], attempts = {attempts}, pause = \"1ms\" }}"
            ),
        );
        let config = config(&[scripted("server", &json!([]), &root)], &more);
        let proxy = Proxy::pointsman_in(directory()?, &config).await?;
        let case = format!("{failures} times {status}, {attempts} retries");
        let (found, body) = answer(&get(&proxy, "/", "").await?)?;
        assert_eq!(found, expected.0, "{case}: {body}");
        ensure!(body.starts_with(expected.1), "{case}: {body}");
        assert_eq!(one.connections(), received, "{case}");
        assert_eq!(two.connections(), 0, "{case}");
    }
    let (dead, two) = (nobody().await?, Origin::with_name("two").await?);
    let servers = [("one", dead), ("two", two.address())];
    let more = backend("www", &servers).replace(
        "retry.attempts = 0",
        // The test would time out during this pause.
        "retry = { on = [\"connect\", \"503\"], attempts = 3, pause = \"1h\" }",
    );
    let config = config(&[scripted("server", &json!([]), &root)], &more);
    let proxy = Proxy::pointsman_in(directory()?, &config).await?;
    for _ in 0..2 {
        let response = get(&proxy, "/", "").await?;
        assert_eq!(answer(&response)?, (200, "two".to_owned()));
    }
    Ok(())
}

/// A connection can belong to one client because of the PROXY protocol or because of a login. The
/// client's requests do not use it if their key belongs to another server.
#[tokio::test]
async fn a_clients_own_connection_is_not_used_for_a_key_of_another_server() -> anyhow::Result<()> {
    // Starts a server that responds with its own name and the user who has logged in to the
    // connection.
    let server = async |name: &'static str, reads_header: bool| {
        Origin::scripted(move |mut wire, _| async move {
            if reads_header {
                wire.until(b"\r\n").await?;
            }
            let mut user = "nobody".to_owned();
            while let Ok(request) = wire.request().await {
                if let Some(login) = request.head.field("authorization") {
                    user = login.replace("NTLM ", "");
                }
                let body = format!("{name} {user}");
                let length = body.len();
                wire.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
                ))
                .await?;
            }
            Ok(())
        })
        .await
    };
    let root = json!({"set-affinity-by": {"question": 0, "then": {"backend": "www"}}});
    let stage = scripted("sticky", &json!([{"value": {"over": "cookie:s"}}]), &root);
    for (option, has_proxy_protocol) in [("", false), (", proxy_protocol = \"v1\"", true)] {
        let (a, b) = (
            server("a", has_proxy_protocol).await?,
            server("b", has_proxy_protocol).await?,
        );
        let more = format!(
            "[backend.www]\nserver.a = {{ address = \"{}\" {option} }}\n\
             server.b = {{ address = \"{}\" {option} }}\n",
            a.address(),
            b.address()
        );
        let config = config(std::slice::from_ref(&stage), &more);
        let proxy = Proxy::pointsman_in(directory()?, &config).await?;
        let cookie = |key: usize| format!("Cookie: s={key}\r\n");
        let mut homes = Vec::new();
        for key in 0..24 {
            homes.push(answer(&get(&proxy, "/", &cookie(key)).await?)?.1);
        }
        ensure!(homes.iter().any(|home| *home != homes[0]), "{homes:?}");
        let mut client = Wire::connect(proxy.address()).await?;
        let mut ask = async |key: usize, field: &str| {
            let fields = cookie(key) + field;
            let request = format!("GET / HTTP/1.1\r\nHost: www.test.tld\r\n{fields}\r\n");
            anyhow::Ok(answer(&client.exchange(request).await?)?.1)
        };
        let logged_in = homes[0].replace("nobody", "alice");
        if !has_proxy_protocol {
            assert_eq!(ask(0, "Authorization: NTLM alice\r\n").await?, logged_in);
        }
        for (key, home) in homes.iter().enumerate() {
            let expected = if !has_proxy_protocol && *home == homes[0] {
                &logged_in
            } else {
                home
            };
            assert_eq!(ask(key, "").await?, *expected, "{option} {key}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_key_stays_with_its_server() -> anyhow::Result<()> {
    let names = ["a", "b", "c", "d"];
    let mut origins = Vec::new();
    for name in names {
        origins.push(Origin::with_name(name).await?);
    }
    let servers: Vec<_> = names.iter().copied().zip(&origins).collect();
    let servers: Vec<_> = servers
        .iter()
        .map(|(name, origin)| (*name, origin.address()))
        .collect();
    let root = json!({"set-affinity-by": {"question": 0, "then": {"backend": "www"}}});
    let stage = scripted("sticky", &json!([{"value": {"over": "cookie:s"}}]), &root);
    let config = config(&[stage], &backend("www", &servers));
    let proxy = Proxy::pointsman_in(directory()?, &config).await?;
    let mut used = std::collections::BTreeSet::new();
    for session in 0..24 {
        let fields = format!("Cookie: s={session}\r\n");
        let (_, first) = answer(&get(&proxy, "/", &fields).await?)?;
        for _ in 0..2 {
            let (_, again) = answer(&get(&proxy, "/", &fields).await?)?;
            assert_eq!(again, first, "session {session}");
        }
        used.insert(first);
    }
    ensure!(used.len() > 2, "keys spread over servers: {used:?}");
    let status: Value = serde_json::from_str(&proxy.ctl(&["status", "--json"]).await?)?;
    let asked = &status["frontends"][0]["stages"][0];
    ensure!(asked.is_object(), "{status}");
    Ok(())
}

#[tokio::test]
async fn a_chosen_server_that_a_reload_removes_may_come_back() -> anyhow::Result<()> {
    let (www, other) = (
        Origin::with_name("www").await?,
        Origin::with_name("other").await?,
    );
    let root = json!({"server": {"backend": "www", "server": "gone"}});
    let stage = scripted("server", &json!([]), &root);
    let with = |server: (&str, SocketAddr)| {
        let servers = [server, ("other", other.address())];
        config(std::slice::from_ref(&stage), &backend("www", &servers))
    };
    let proxy = Proxy::pointsman_in(directory()?, &with(("gone", www.address()))).await?;
    for _ in 0..2 {
        assert_eq!(
            answer(&get(&proxy, "/", "").await?)?,
            (200, "www".to_owned())
        );
    }
    proxy.configure(&with(("here", www.address())))?;
    proxy
        .ctl(&["reload"])
        .await
        .context("a plugin does not name its servers before")?;
    // A server that does not exist counts as one that is not usable.
    assert_eq!(get(&proxy, "/", "").await?.head.status()?, 200);
    proxy.configure(&with(("gone", www.address())))?;
    proxy.ctl(&["reload"]).await?;
    assert_eq!(
        answer(&get(&proxy, "/", "").await?)?,
        (200, "www".to_owned())
    );
    Ok(())
}

#[tokio::test]
async fn a_typing_error_in_a_table_is_no_fault() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let directory = directory()?;
    std::fs::write(
        directory.path().join("tenants.csv"),
        "acme,www\ninitech,wwww\n",
    )?;
    let stage =
        r#"{ plugin = "table-route", config = { table = "tenants", key = "header:x-tenant" } }"#;
    let more = format!(
        "[table.tenants]\nfile = \"tenants.csv\"\n{}",
        backend("www", &[("www", www.address())])
    );
    let proxy = Proxy::pointsman_in(directory, &config(&[stage.to_owned()], &more)).await?;
    for _ in 0..2 {
        let response = get(&proxy, "/", "X-Tenant: acme\r\n").await?;
        assert_eq!(answer(&response)?, (200, "www".to_owned()));
        let response = get(&proxy, "/", "X-Tenant: initech\r\n").await?;
        assert_eq!(response.head.status()?, 503);
        let line = proxy.line_with("end=no-route").await?;
        assert_eq!(log_field(&line, "fault"), None, "{line}");
    }
    proxy
        .ctl(&["table", "tenants", "set", "initech", "www"])
        .await?;
    let response = get(&proxy, "/", "X-Tenant: initech\r\n").await?;
    assert_eq!(answer(&response)?, (200, "www".to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_member_of_the_body_chooses_the_backend() -> anyhow::Result<()> {
    let (www, big) = (
        Origin::with_name("www").await?,
        Origin::with_name("big").await?,
    );
    let stage = r#"{ plugin = "json-route", config = { member = "/model", backends = { "gpt-4" = "big" } } }"#;
    let more = format!(
        "routing.body = {{ size = \"64B\" }}\n{}{}",
        backend("www", &[("www", www.address())]),
        backend("big", &[("big", big.address())])
    );
    let proxy = Proxy::pointsman(&config(&[stage.to_owned()], &more)).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for _ in 0..2 {
        for (body, expected) in [
            (r#"{"model": "gpt-4", "n": 1}"#, "big"),
            (r#"{"model": "gpt-3"}"#, "www"),
            (r#"{"model": "gpt-4", "model": "gpt-4"}"#, "www"),
            (r#"{"model": "gpt-4""#, "www"),
        ] {
            let request = format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let response = client.exchange(request).await?;
            assert_eq!(answer(&response)?, (200, expected.to_owned()), "{body}");
        }
    }
    let whole = big.requests();
    assert_eq!(whole[0].body, br#"{"model": "gpt-4", "n": 1}"#);
    Ok(())
}
