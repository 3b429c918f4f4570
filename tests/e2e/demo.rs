//! `pointsman demo` as a visitor uses it: in a real browser, with the plugin swapped while the page
//! is open.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use pointsman_tests::{Process, ReservedPort, pointsman};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::scenario::node;

/// Files of the page.
const PAGE: [&str; 3] = [
    include_str!("../../proxy/src/demo/page.html"),
    include_str!("../../proxy/src/demo/page.css"),
    include_str!("../../proxy/src/demo/page.js"),
];

/// The screenshot in the README. [`STAMP`] contains the page's digest at the time of the
/// screenshot.
const PICTURE: &str = "../docs/start/demo.png";
const STAMP: &str = "../docs/start/demo.png.sources";

#[tokio::test]
async fn a_visitor_swaps_the_plugin_while_the_websocket_stays_open() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let picture = folder.path().join("demo.png");
    let reserved = ReservedPort::new()?;
    // The screenshot must show the default port.
    let is_picture = std::env::var_os("UPDATE_PICTURE").is_some();
    let port = if is_picture {
        8080
    } else {
        reserved.address().port()
    };
    let port = port.to_string();
    let mut demo = pointsman()?;
    demo.args(["demo", "--port", &port])
        .env("TMPDIR", folder.path());
    let demo = Process::start(demo)?;
    demo.line_with("open").await?;

    let mut browser = node("demo.js");
    browser.arg(&port).arg(&picture);
    let mut browser = Process::start(browser)?;
    let report = browser.line_with("{\"before\":").await?;
    ensure!(browser.ended().await?.success(), "the browser failed");
    let seen: Value = serde_json::from_str(&report).context("the browser's report")?;

    assert_eq!(seen["before"], "node_backend", "{seen:#}");
    assert_eq!(seen["after"], "www_backend", "{seen:#}");
    assert_eq!(seen["chat"], "node_backend", "{seen:#}");
    assert_eq!(seen["again"], "node_backend", "{seen:#}");
    assert_eq!(seen["named"], "header-match", "{seen:#}");
    assert_eq!(seen["rule"], "header-match", "{seen:#}");
    let swapped = seen["swapped"].as_str().unwrap_or_default();
    assert!(
        swapped.starts_with("host-suffix v1 was replaced by header-match v2"),
        "{seen:#}"
    );
    assert!(
        swapped.ends_with("No request failed meanwhile, and the WebSocket stayed open."),
        "{seen:#}"
    );
    let back = seen["back"].as_str().unwrap_or_default();
    assert!(
        back.starts_with("header-match v2 was replaced by host-suffix v3"),
        "{seen:#}"
    );
    // The records of a closed tunnel name an earlier version.
    assert_eq!(seen["afterTunnel"], "host-suffix", "{seen:#}");
    assert_eq!(seen["errors"], json!([]), "{seen:#}");
    let url = format!("ws://io.localhost:{port}/");
    assert_eq!(
        seen["webSockets"],
        json!([{ "url": url, "closed": false }]),
        "{seen:#}"
    );
    // On a phone, the page does not scroll sideways, and every control is at least 44 pixels high.
    assert_eq!(seen["phone"]["overflow"], 0, "{seen:#}");
    assert!(seen["phone"]["smallest"].as_u64() >= Some(44), "{seen:#}");
    if is_picture {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::copy(&picture, root.join(PICTURE))?;
        fs::write(root.join(STAMP), format!("{}\n", digest()))?;
    }
    Ok(())
}

/// The README shows the current state of the page.
#[test]
fn the_picture_is_of_this_page() -> anyhow::Result<()> {
    if std::env::var_os("UPDATE_PICTURE").is_some() {
        return Ok(());
    }
    let stamp = Path::new(env!("CARGO_MANIFEST_DIR")).join(STAMP);
    let taken = fs::read_to_string(&stamp).with_context(|| stamp.display().to_string())?;
    ensure!(
        taken.trim() == digest(),
        "the page has changed: take the picture again, with \
         `UPDATE_PICTURE=1 cargo nextest run --workspace -E 'test(/^demo::/)'`"
    );
    Ok(())
}

/// Returns the SHA-256 of the page's files, in lower-case hex.
fn digest() -> String {
    let mut hash = Sha256::new();
    for file in PAGE {
        hash.update(file);
    }
    let octets = hash.finalize();
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a String does not fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}
