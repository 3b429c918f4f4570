//! Discovery of servers: names whose addresses change, SRV records, and a file with servers.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, ensure};
use pointsman_tests::{Dnsmasq, Origin, Proxy, Record, Setup, Wire, log_field};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn host(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

fn answer(name: &str) -> String {
    let length = name.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}")
}

/// Starts an origin at 127.0.0.1 on any port, and others at 127.0.0.2 and so on, on the same port.
/// Each responds with the last byte of its address.
async fn origins(count: u8) -> anyhow::Result<Vec<Origin>> {
    let first = Origin::answering(answer("1")).await?;
    let port = first.address().port();
    let mut origins = vec![first];
    for last in 2..=count {
        let address = SocketAddr::new(host(last), port);
        origins.push(Origin::answering_at(address, answer(&last.to_string())).await?);
    }
    Ok(origins)
}

/// Returns the records of `www.test.tld` with these addresses.
fn records(hosts: &[u8]) -> Vec<Record> {
    let records = hosts.iter();
    records
        .map(|last| Record::address("www.test.tld", host(*last), 0))
        .collect()
}

/// Returns a setup with one server, whose `address` is a name that is looked up again every tenth
/// of a second.
fn named(address: &str, dns: &Dnsmasq, init: &str) -> Setup {
    let nameserver = dns.nameserver();
    Setup::default()
        .top("admin.socket = \"admin.sock\"")
        .backend(&format!(
            "server.www = \"{address}\"\nbalance = \"round_robin\"\n\
             resolve = {{ nameservers = [\"{nameserver}\"], min_interval = \"100ms\", init = \"{init}\" }}"
        ))
}

/// Sends `count` requests, and returns the names of the origins that respond, or the statuses other
/// than 200.
async fn answers(proxy: &Proxy, count: usize) -> anyhow::Result<BTreeSet<String>> {
    let mut client = Wire::connect(proxy.address()).await?;
    let mut seen = BTreeSet::new();
    for _ in 0..count {
        let answer = client.exchange(GET).await?;
        seen.insert(match answer.head.status()? {
            200 => String::from_utf8(answer.body)?,
            status => status.to_string(),
        });
    }
    Ok(seen)
}

fn set(names: &str) -> BTreeSet<String> {
    names.split_whitespace().map(str::to_owned).collect()
}

/// Waits until `count` lines of the log contain this text.
async fn lines(proxy: &Proxy, text: &str, count: usize) -> anyhow::Result<()> {
    proxy
        .wait_for(text, |lines| {
            let found = lines.iter().filter(|line| line.contains(text));
            (found.count() >= count).then_some(())
        })
        .await
}

#[tokio::test]
async fn every_address_of_a_name_takes_its_share() -> anyhow::Result<()> {
    let origins = origins(3).await?;
    let port = origins[0].address().port();
    let mut dns = Dnsmasq::with(&records(&[1, 2])).await?;
    let proxy = named(&format!("www.test.tld:{port}"), &dns, "required")
        .start()
        .await?;
    assert_eq!(answers(&proxy, 8).await?, set("1 2"));
    // The pool has an idle connection to 127.0.0.1, the address that is removed.
    dns.set_records(&records(&[2, 3])).await?;
    proxy.line_with("the addresses of a name changed").await?;
    lines(&proxy, "the addresses of a name changed", 1).await?;
    assert_eq!(answers(&proxy, 8).await?, set("2 3"));
    let status = proxy.ctl(&["servers"]).await?;
    ensure!(!status.contains("127.0.0.1:"), "{status}");
    ensure!(status.contains("127.0.0.3:"), "{status}");
    Ok(())
}

#[tokio::test]
async fn no_request_fails_while_a_name_moves() -> anyhow::Result<()> {
    let origins = origins(4).await?;
    let port = origins[0].address().port();
    let mut dns = Dnsmasq::with(&records(&[1])).await?;
    let proxy = named(&format!("www.test.tld:{port}"), &dns, "required")
        .start()
        .await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for (moves, last) in [2, 3, 4, 1].into_iter().enumerate() {
        dns.set_records(&records(&[last])).await?;
        let moved = lines(&proxy, "the addresses of a name changed", moves + 1);
        let mut moved = std::pin::pin!(moved);
        loop {
            tokio::select! {
                moved = &mut moved => break moved?,
                answer = client.exchange(GET) => {
                    assert_eq!(answer?.head.status()?, 200);
                }
            }
        }
        assert_eq!(answers(&proxy, 2).await?, set(&last.to_string()));
    }
    Ok(())
}

#[tokio::test]
async fn the_last_good_answer_stays_while_the_resolver_fails() -> anyhow::Result<()> {
    let origins = origins(2).await?;
    let port = origins[0].address().port();
    let mut dns = Dnsmasq::with(&records(&[1])).await?;
    let proxy = named(&format!("www.test.tld:{port}"), &dns, "last")
        .start()
        .await?;
    assert_eq!(answers(&proxy, 2).await?, set("1"));
    dns.pause()?;
    let line = proxy.line_with("a name cannot be resolved").await?;
    let name = format!("www.test.tld:{port}");
    assert_eq!(log_field(&line, " name"), Some(name.as_str()));
    assert_eq!(answers(&proxy, 4).await?, set("1"));
    // A reload does not look up a name again if its addresses are known.
    proxy.ctl(&["reload"]).await?;
    assert_eq!(answers(&proxy, 4).await?, set("1"));
    dns.set_records(&records(&[2])).await?;
    proxy.line_with("a name can be resolved again").await?;
    proxy.line_with("the addresses of a name changed").await?;
    assert_eq!(answers(&proxy, 4).await?, set("2"));
    Ok(())
}

#[tokio::test]
async fn a_name_without_an_address_at_the_start() -> anyhow::Result<()> {
    let origins = origins(1).await?;
    let port = origins[0].address().port();
    let mut dns = Dnsmasq::start().await?;
    for init in ["last", "none"] {
        dns.set_records(&[]).await?;
        let proxy = named(&format!("www.test.tld:{port}"), &dns, init)
            .start()
            .await?;
        assert_eq!(answers(&proxy, 1).await?, set("503"), "{init}");
        proxy.line_with("end=no-server").await?;
        let servers = proxy.ctl(&["servers"]).await?;
        ensure!(servers.contains("no address"), "{servers}");
        dns.set_records(&records(&[1])).await?;
        proxy.line_with("the addresses of a name changed").await?;
        assert_eq!(answers(&proxy, 2).await?, set("1"), "{init}");
    }
    dns.set_records(&[]).await?;
    let refused = Proxy::refused(&format!(
        "[frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
         [backend.www]\nserver.www = \"www.test.tld:80\"\n\
         resolve = {{ nameservers = [\"{}\"], init = \"required\" }}\n",
        dns.nameserver()
    ))
    .await?;
    ensure!(
        refused.log.contains("server.www") && refused.log.contains("no such name"),
        "{}",
        refused.log
    );
    Ok(())
}

#[tokio::test]
async fn services_have_weights_and_priorities() -> anyhow::Result<()> {
    let origins = origins(3).await?;
    let port = origins[0].address().port();
    let host = |last: u8| Record::address(&format!("h{last}.test.tld"), host(last), 0);
    let service = |last: u8, priority, weight| {
        let target = format!("h{last}.test.tld");
        Record::service("_http._tcp.test.tld", &target, port, priority, weight)
    };
    let mut all = vec![host(1), host(2), host(3)];
    all.extend([service(1, 10, 30), service(2, 10, 10), service(3, 20, 1)]);
    let mut dns = Dnsmasq::with(&all).await?;
    let proxy = named("srv:_http._tcp.test.tld", &dns, "required")
        .start()
        .await?;
    assert_eq!(answers(&proxy, 40).await?, set("1 2"));
    let counts = [0, 1].map(|index| origins[index].requests().len());
    assert_eq!(counts, [30, 10]);
    // Servers of the next priority are used once none of a higher priority is left.
    dns.set_records(&[host(3), service(3, 20, 1)]).await?;
    proxy.line_with("the addresses of a name changed").await?;
    assert_eq!(answers(&proxy, 4).await?, set("3"));
    Ok(())
}

// A file with servers

fn write(directory: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    // Replaces the file by a rename, as other programs should, so that no reader sees half a file.
    let new = directory.join(format!("{name}.new"));
    fs::write(&new, text)?;
    fs::rename(new, directory.join(name)).context("replacing the servers file")
}

fn json(servers: &[(&str, SocketAddr)]) -> String {
    let servers = servers
        .iter()
        .map(|(name, address)| format!("\"{name}\": \"{address}\""));
    format!(
        "{{\"server\": {{{}}}}}",
        servers.collect::<Vec<_>>().join(", ")
    )
}

fn with_file(file: &str, keys: &str) -> String {
    format!(
        "workers = 2\nadmin.socket = \"admin.sock\"\n\
         [frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
         [backend.www]\nservers_file = \"{file}\"\nbalance = \"round_robin\"\n{keys}"
    )
}

#[tokio::test]
async fn a_file_of_servers_is_followed() -> anyhow::Result<()> {
    let origins = origins(3).await?;
    let [one, two, three] = [0, 1, 2].map(|index| origins[index].address());
    let directory = tempfile::tempdir()?;
    write(
        directory.path(),
        "servers.json",
        &json(&[("a", one), ("b", two)]),
    )?;
    let config = with_file("servers.json", "");
    let proxy = Proxy::pointsman_in(directory, &config).await?;
    assert_eq!(answers(&proxy, 8).await?, set("1 2"));
    let change = |text: &str| write(proxy.directory(), "servers.json", text);
    change(&json(&[("b", two), ("c", three)]))?;
    lines(&proxy, "the servers file is in force", 1).await?;
    assert_eq!(answers(&proxy, 8).await?, set("2 3"));
    // Invalid contents of the file change nothing.
    for (round, (wrong, reason)) in [
        ("{\"server\": {\"a\": \"nonsense\"}}", "is not an address"),
        ("{\"server\": {\"a\"", "servers.json"),
        (
            "{\"server\": {\"a\": \"h:1\", \"a\": \"h:2\"}}",
            "servers.json",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        change(wrong)?;
        lines(&proxy, "the new servers are refused", round + 1).await?;
        let log = proxy.log().join("\n");
        let refusals = log.split("the new servers are refused").skip(round + 1);
        let refusal = refusals.last().unwrap_or_default();
        ensure!(refusal.contains(reason), "{reason}: {refusal}");
        assert_eq!(answers(&proxy, 8).await?, set("2 3"), "{wrong}");
    }
    change("{\"server\": {}}")?;
    lines(&proxy, "the servers file is in force", 2).await?;
    assert_eq!(answers(&proxy, 1).await?, set("503"));
    change(&json(&[("a", one)]))?;
    lines(&proxy, "the servers file is in force", 3).await?;
    assert_eq!(answers(&proxy, 8).await?, set("1"));
    Ok(())
}

#[tokio::test]
async fn servers_of_both_kinds_and_a_reload() -> anyhow::Result<()> {
    let origins = origins(3).await?;
    let [one, two, three] = [0, 1, 2].map(|index| origins[index].address());
    let directory = tempfile::tempdir()?;
    let toml = format!("server.b = {{ address = \"{two}\", weight = 2 }}\n");
    write(directory.path(), "servers.toml", &toml)?;
    let config = with_file("servers.toml", &format!("server.a = \"{one}\"\n"));
    let proxy = Proxy::pointsman_in(directory, &config).await?;
    assert_eq!(answers(&proxy, 9).await?, set("1 2"));
    proxy.ctl(&["server", "www/b", "maintenance"]).await?;
    assert_eq!(answers(&proxy, 4).await?, set("1"));
    // Neither a change to the file nor a reload undoes the operator's order.
    let toml = format!("{toml}server.c = \"{three}\"\n");
    write(proxy.directory(), "servers.toml", &toml)?;
    lines(&proxy, "the servers file is in force", 1).await?;
    assert_eq!(answers(&proxy, 8).await?, set("1 3"));
    proxy.ctl(&["reload"]).await?;
    assert_eq!(answers(&proxy, 8).await?, set("1 3"));
    // A name that occurs twice is a mistake.
    write(
        proxy.directory(),
        "servers.toml",
        "server.a = \"127.0.0.1:1\"\n",
    )?;
    let line = proxy.line_with("the new servers are refused").await?;
    ensure!(line.contains("`a`"), "{line}");
    let Err(error) = proxy.ctl(&["reload"]).await else {
        anyhow::bail!("a reload took a file that is wrong");
    };
    ensure!(error.to_string().contains("servers_file"), "{error}");
    assert_eq!(answers(&proxy, 8).await?, set("1 3"));
    Ok(())
}
