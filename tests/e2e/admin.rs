//! The admin interface, and what a service manager is told.

use std::fs;
use std::process::Command;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use pointsman_tests::{Origin, Proxy, Wire, log_field, pointsman};

use crate::swaps::{config, directory};
use crate::tunnels::echo;

#[tokio::test]
async fn a_service_manager_is_told() -> anyhow::Result<()> {
    let www = Origin::naming("www").await?;
    let directory = directory()?;
    let manager = tokio::net::UnixDatagram::bind(directory.path().join("notify"))?;
    let mut command = pointsman()?;
    command.env("NOTIFY_SOCKET", directory.path().join("notify"));
    let configuration = config("harmless", "", &www);
    let proxy = Proxy::pointsman_by(command, directory, &configuration).await?;
    let told = async || {
        let mut message = [0; 200];
        let length = manager.recv(&mut message).await?;
        anyhow::Ok(String::from_utf8_lossy(&message[..length]).into_owned())
    };
    assert_eq!(told().await?, "READY=1");
    proxy.signal(Signal::SIGHUP)?;
    assert!(told().await?.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(told().await?, "READY=1");
    proxy.signal(Signal::SIGTERM)?;
    assert_eq!(told().await?, "STOPPING=1");
    Ok(())
}

/// Any systemd from 252 on knows every line of them.
#[tokio::test]
async fn the_units_of_the_manual_are_right() -> anyhow::Result<()> {
    let manual = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/admin.md"))?;
    let directory = tempfile::tempdir()?;
    let mut command = Command::new("systemd-analyze");
    command
        .args(["verify", "--man=no"])
        .current_dir(directory.path());
    for (section, name) in [("[Service]", "p.service"), ("[Socket]", "p.socket")] {
        let mut blocks = manual
            .split("```ini\n")
            .skip(1)
            .filter_map(|block| block.split("```").next());
        let unit = blocks
            .find(|block| block.contains(section))
            .context(section)?;
        // A program that is there.
        let unit = unit.replace("/usr/local/bin/pointsman", "/bin/true");
        fs::write(directory.path().join(name), unit)?;
        command.arg(format!("./{name}"));
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await?;
    let output = output.context("systemd-analyze")?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    // What it does not know it only says.
    assert!(
        output.status.success() && complaints.is_empty(),
        "{complaints}"
    );
    Ok(())
}

#[tokio::test]
async fn the_admin_socket_is_its_users_alone() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let www = echo().await?;
    let config = config("harmless", "", &www);
    let config = config.replace(
        "admin.socket = \"admin.sock\"",
        "admin.socket = \"admin.sock\"\nadmin.address = \"127.0.0.1:0\"",
    );
    let mut proxy = Proxy::pointsman_in(directory()?, &config).await?;
    let socket = proxy.directory().join("admin.sock");
    assert_eq!(fs::metadata(&socket)?.permissions().mode() & 0o777, 0o600);
    let line = proxy.line_with("for questions").await?;
    let address: std::net::SocketAddr = log_field(&line, "address").context("address")?.parse()?;
    let ask = async |request: &str| -> anyhow::Result<_> {
        Wire::connect(address).await?.exchange(request).await
    };
    let host = "Host: localhost\r\n\r\n";
    for (request, status) in [
        (format!("GET /v1/status HTTP/1.1\r\n{host}"), 200),
        (format!("GET /metrics HTTP/1.1\r\n{host}"), 200),
        (format!("GET /v1/nothing HTTP/1.1\r\n{host}"), 404),
        (format!("GET /v1/config HTTP/1.1\r\n{host}"), 403),
        (format!("GET /v1/trials HTTP/1.1\r\n{host}"), 403),
        (
            format!("POST /v1/status HTTP/1.1\r\nContent-Length: 0\r\n{host}"),
            405,
        ),
        // Changes are not for everybody on the machine, nor for a page in a browser.
        (
            format!("POST /v1/drain HTTP/1.1\r\nContent-Length: 0\r\n{host}"),
            403,
        ),
        (
            "GET /v1/status HTTP/1.1\r\nHost: evil.test\r\n\r\n".to_owned(),
            403,
        ),
        (
            format!("GET /v1/status HTTP/1.1\r\nOrigin: http://evil.test\r\n{host}"),
            403,
        ),
    ] {
        let found = ask(&request).await?.head.status()?;
        assert_eq!(found, status, "{request}");
    }
    let metrics = ask(&format!("GET /metrics HTTP/1.1\r\n{host}")).await?;
    let metrics = String::from_utf8(metrics.body)?;
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    let line = "pointsman_plugin_active{frontend=\"http-in\",plugin=\"plugin\",version=\"1\"";
    assert!(metrics.contains(line), "{metrics}");
    for (arguments, words) in [
        (&["swap", "nowhere"][..], "no frontend `nowhere`"),
        (
            &["swap", "http-in", "absent.wasm"],
            "cannot find absent.wasm",
        ),
        (&["swap", "http-in", "pointsman.toml"], "not WebAssembly"),
        (&["log-level", "loud"], "none of error"),
    ] {
        let refused = proxy.ctl(arguments).await.expect_err("a mistake");
        assert!(
            refused.to_string().contains(words),
            "{arguments:?}: {refused}"
        );
    }
    proxy.ctl(&["log-level", "warn"]).await?;
    assert!(proxy.ctl(&["status"]).await?.contains("serving"));
    assert!(proxy.ctl(&["config"]).await?.contains("[frontend.http-in]"));
    proxy.ctl(&["drain"]).await?;
    assert_eq!(proxy.ended().await?.code(), Some(0));
    assert!(!socket.exists());
    Ok(())
}
