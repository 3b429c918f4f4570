//! Lookup tables: files that are watched, manual changes, and mistakes that are refused.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use pointsman_tests::{Origin, Proxy, Wire, log_field};

use crate::metrics::{Metrics, with_address};
use crate::swaps::Load;

/// Replaces a file by a rename, as other programs should.
fn write(directory: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let new = directory.join(format!("{name}.new"));
    fs::write(&new, text)?;
    fs::rename(new, directory.join(name)).context("replacing the file")
}

/// Returns a configuration with these keys in `[table.t]`, and further lines.
fn config(www: &Origin, table: &str, lines: &str) -> String {
    with_address(&format!(
        "workers = 2\nadmin.socket = \"admin.sock\"\n\
         [frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
         [table.t]\n{table}\n\
         [backend.www]\nserver.a = \"{}\"\n{lines}",
        www.address()
    ))
}

async fn start(table: &str, text: &str, lines: &str) -> anyhow::Result<(Origin, Proxy)> {
    let www = Origin::with_name("www").await?;
    let directory = tempfile::tempdir()?;
    let name = table.split('"').nth(1).context("a file")?;
    write(directory.path(), name, text)?;
    let proxy = Proxy::pointsman_in(directory, &config(&www, table, lines)).await?;
    Ok((www, proxy))
}

/// Waits until `count` lines of the log contain this text.
async fn lines(proxy: &Proxy, text: &str, count: usize) -> anyhow::Result<()> {
    let has = |lines: &[String]| lines.iter().filter(|line| line.contains(text)).count() >= count;
    let what = format!("{count} times {text}");
    proxy
        .wait_for(&what, |lines| has(lines).then_some(()))
        .await
}

async fn table(proxy: &Proxy, order: &[&str]) -> anyhow::Result<String> {
    proxy.ctl(&[&["table", "t"], order].concat()).await
}

async fn refused(proxy: &Proxy, order: &[&str]) -> anyhow::Result<String> {
    match table(proxy, order).await {
        Ok(answer) => anyhow::bail!("{order:?}: {answer}"),
        Err(error) => Ok(error.to_string()),
    }
}

const IN_FORCE: &str = "the table is in force";
const REFUSED: &str = "the new table is refused";

#[tokio::test]
async fn a_file_is_followed() -> anyhow::Result<()> {
    let (_www, proxy) = start("file = \"t.csv\"", "a,1\nb,2\n", "").await?;
    assert_eq!(table(&proxy, &["get", "a"]).await?, "1\n");
    let label = ["table=\"t\""];
    let metrics = Metrics::of(&proxy).await?;
    assert_eq!(metrics.count("pointsman_table_entries", &label)?, 2);
    assert!(metrics.count("pointsman_table_bytes", &label)? > 0);
    let loaded = metrics.count("pointsman_table_last_load", &label)?;
    assert!(loaded > 0);

    let change = |text: &str| write(proxy.directory(), "t.csv", text);
    change("a,3\n")?;
    lines(&proxy, IN_FORCE, 1).await?;
    assert_eq!(table(&proxy, &["get", "a"]).await?, "3\n");
    let missing = refused(&proxy, &["get", "b"]).await?;
    ensure!(missing.contains("table `t` has no key `b`"), "{missing}");

    change("a,4\nb\n")?;
    lines(&proxy, REFUSED, 1).await?;
    let line = proxy.line_with(REFUSED).await?;
    ensure!(line.contains("line 2: there is one column"), "{line}");
    assert_eq!(table(&proxy, &["get", "a"]).await?, "3\n");
    let status = proxy.ctl(&["status"]).await?;
    ensure!(status.contains("not in force: line 2"), "{status}");
    let metrics = Metrics::of(&proxy).await?;
    assert_eq!(metrics.count("pointsman_table_load_failed", &label)?, 1);
    assert_eq!(metrics.count("pointsman_table_entries", &label)?, 1);
    let Err(error) = proxy.ctl(&["reload"]).await else {
        anyhow::bail!("a reload took a table that is wrong");
    };
    let error = error.to_string();
    ensure!(
        error.contains("`table.t.file`: ") && error.contains("line 2"),
        "{error}"
    );

    fs::remove_file(proxy.directory().join("t.csv"))?;
    lines(&proxy, REFUSED, 2).await?;
    assert_eq!(table(&proxy, &["get", "a"]).await?, "3\n");
    change("a,5\n")?;
    lines(&proxy, IN_FORCE, 2).await?;
    assert_eq!(table(&proxy, &["get", "a"]).await?, "5\n");
    let metrics = Metrics::of(&proxy).await?;
    assert_eq!(metrics.count("pointsman_table_load_failed", &label)?, 0);
    Ok(())
}

#[tokio::test]
async fn changes_by_hand() -> anyhow::Result<()> {
    let spare = "[backend.spare]\nserver.a = \"127.0.0.1:1\"\n";
    let keys = "file = \"t.json\"\nvalues = \"backends\"";
    let (www, proxy) = start(keys, "{\"a\": \"www\"}", spare).await?;
    table(&proxy, &["set", "b", "spare"]).await?;
    table(&proxy, &["set", "-x", "www"]).await?;
    table(&proxy, &["delete", "a"]).await?;
    assert_eq!(table(&proxy, &["get", "b"]).await?, "spare\n");
    let error = refused(&proxy, &["set", "b", "w3"]).await?;
    ensure!(
        error.contains("`w3` of the key `b` is not a backend"),
        "{error}"
    );
    let error = refused(&proxy, &["delete", "a"]).await?;
    ensure!(error.contains("table `t` has no key `a`"), "{error}");
    // Manual changes survive a reload. A reload is refused if it removes a backend that one of them
    // names.
    proxy.ctl(&["reload"]).await?;
    assert_eq!(table(&proxy, &["get", "b"]).await?, "spare\n");
    proxy.configure(&config(&www, keys, ""))?;
    let Err(error) = proxy.ctl(&["reload"]).await else {
        anyhow::bail!("a reload took away a backend that a table names");
    };
    let error = error.to_string();
    ensure!(
        error.contains("`table.t.file`: ") && error.contains("`spare`"),
        "{error}"
    );
    proxy.configure(&config(&www, keys, spare))?;

    let metrics = Metrics::of(&proxy).await?;
    let label = ["table=\"t\""];
    assert_eq!(metrics.count("pointsman_table_unsaved_changes", &label)?, 3);
    table(&proxy, &["save"]).await?;
    let file = proxy.directory().join("t.json");
    let saved = fs::read_to_string(&file)?;
    assert_eq!(saved, "{\n  \"-x\": \"www\",\n  \"b\": \"spare\"\n}\n");
    let metrics = Metrics::of(&proxy).await?;
    assert_eq!(metrics.count("pointsman_table_unsaved_changes", &label)?, 0);
    table(&proxy, &["set", "d", "www"]).await?;
    // The watcher may see the saved file, whose content the proxy already has, or only this one.
    write(proxy.directory(), "t.json", "{\"e\": \"www\"}")?;
    lines(&proxy, IN_FORCE, 1).await?;
    lines(&proxy, "lost: a new file was loaded", 1).await?;
    let log = proxy.log();
    let loads = log.iter().filter(|line| line.contains(IN_FORCE));
    assert_eq!(loads.count(), 1);
    assert_eq!(table(&proxy, &["get", "e"]).await?, "www\n");
    refused(&proxy, &["get", "d"]).await?;
    Ok(())
}

#[tokio::test]
async fn changes_that_end_with_a_reload() -> anyhow::Result<()> {
    let (www, proxy) = start("file = \"t.csv\"", "a,1\n", "").await?;
    write(proxy.directory(), "u.csv", "a,2\nb,3\n")?;
    table(&proxy, &["set", "a", "4"]).await?;
    table(&proxy, &["set", "c", "5"]).await?;
    proxy.ctl(&["reload"]).await?;
    assert_eq!(table(&proxy, &["get", "a"]).await?, "4\n");
    proxy.configure(&config(&www, "file = \"u.csv\"", ""))?;
    proxy.ctl(&["reload"]).await?;
    assert_eq!(table(&proxy, &["get", "a"]).await?, "2\n");
    let line = proxy.line_with(IN_FORCE).await?;
    ensure!(
        line.contains("u.csv") && log_field(&line, "entries") == Some("2"),
        "{line}"
    );
    let line = proxy.line_with("lost: a new file was loaded").await?;
    assert_eq!(log_field(&line, "changes"), Some("2"), "{line}");
    table(&proxy, &["set", "a", "6"]).await?;
    let without = config(&www, "file = \"u.csv\"", "").replace("[table.t]", "[table.u]");
    proxy.configure(&without)?;
    proxy.ctl(&["reload"]).await?;
    let line = proxy
        .line_with("lost: the table is no longer configured")
        .await?;
    assert_eq!(log_field(&line, "changes"), Some("1"), "{line}");
    Ok(())
}

#[tokio::test]
async fn tables_are_accessible_only_over_the_unix_socket() -> anyhow::Result<()> {
    let (_www, proxy) = start("file = \"t.csv\"", "a,secret\n", "").await?;
    let line = proxy.line_with("admin interface, read-only").await?;
    let address = log_field(&line, "address").context("address")?;
    let address: std::net::SocketAddr = address.parse()?;
    let key = "{\"table\":\"t\",\"key\":\"a\"}";
    for path in ["get", "set", "delete", "save"] {
        let request = format!(
            "POST /v1/table/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{key}",
            key.len()
        );
        let answer = Wire::connect(address).await?.exchange(&request).await?;
        assert_eq!(answer.head.status()?, 403, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_start_with_a_wrong_table() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
    let refusal = Proxy::refused(&config(&www, "file = \"absent.csv\"", "")).await?;
    assert_eq!(refusal.code, Some(64));
    let errors = refusal.log;
    ensure!(
        errors.contains("`table.t.file`: ") && errors.contains("absent.csv"),
        "{errors}"
    );
    Ok(())
}

const TENANTS: usize = 1_000_000;

fn tenants(generation: usize) -> String {
    let mut text = String::new();
    for number in 0..TENANTS {
        let _ = writeln!(text, "tenant-{number},backend-{}-{generation}", number % 10);
    }
    text
}

#[tokio::test]
async fn a_million_entries_are_replaced_under_load() -> anyhow::Result<()> {
    let quiet = "[log]\naccess = false\n";
    let (_www, proxy) = start("file = \"t.csv\"", &tenants(0), quiet).await?;
    let first = Metrics::of(&proxy).await?;
    let bytes = first.sum("pointsman_table_bytes", &[]);
    let load = Load::start(proxy.address());
    let mut most: f64 = 0.0;
    for generation in 1..=3 {
        write(proxy.directory(), "t.csv", &tenants(generation))?;
        lines(&proxy, IN_FORCE, generation).await?;
        let value = table(&proxy, &["get", "tenant-999999"]).await?;
        assert_eq!(value, format!("backend-9-{generation}\n"));
        let metrics = Metrics::of(&proxy).await?;
        most = most.max(metrics.sum("process_resident_memory_bytes", &[]));
    }
    load.stop().await?;
    // The proxy frees the memory of a table that was replaced, and of its file.
    let before = first.sum("process_resident_memory_bytes", &[]);
    ensure!(
        most < before + 1.5 * bytes,
        "{before} and {most} with tables of {bytes}"
    );
    Ok(())
}
