//! The admin interface, and notifications to the service manager.

use std::fs;
use std::process::Command;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use pointsman_tests::{DEADLINE, Origin, Proxy, Wire, guest, log_field, pointsman};
use tokio::task::JoinSet;

use crate::swaps::{config, deciding, directory, put};
use crate::tunnels::{echo, echo_or_www};

#[tokio::test]
async fn a_service_manager_is_told() -> anyhow::Result<()> {
    let www = Origin::with_name("www").await?;
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

/// `systemd-analyze` accepts the units in the manual. Systemd 252 and later support every directive
/// in them.
#[tokio::test]
async fn the_units_of_the_manual_are_right() -> anyhow::Result<()> {
    let manual = fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/run/operating.md"
    ))?;
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
        // The program must exist on this machine.
        let unit = unit.replace("/usr/local/bin/pointsman", "/bin/true");
        fs::write(directory.path().join(name), unit)?;
        command.arg(format!("./{name}"));
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await?;
    let output = output.context("systemd-analyze")?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    // The exit status is not enough: `systemd-analyze` only prints a message for an unknown
    // directive.
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
    let line = proxy.line_with("admin interface, read-only").await?;
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
        // Changes cannot be made by just any local user, nor by a page in a browser.
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
    let line = "pointsman_plugin_active{frontend=\"http-in\",stage=\"plugin\",plugin=\"plugin\",version=\"1\"";
    assert!(metrics.contains(line), "{metrics}");
    for (arguments, words) in [
        (&["swap", "nowhere"][..], "no frontend `nowhere`"),
        (
            &["swap", "http-in", "absent.wasm"],
            "cannot find absent.wasm",
        ),
        (&["swap", "http-in", "pointsman.toml"], "not WebAssembly"),
        (&["log-level", "loud"], "is not a level: use error"),
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

/// A rollback does not wait for pending changes, however many there are.
#[tokio::test]
async fn changes_that_may_take_long_are_limited() -> anyhow::Result<()> {
    /// Maximum number of pending changes.
    const MOST: usize = 16;
    let www = echo_or_www().await?;
    let config = |start: &str| {
        let slow = format!(
            "[frontend.slow]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
             router.plugin = \"./slow.wasm\"\nrouter.config = {{ configure = [{start}] }}\n\
             router.limits.configure_deadline = \"10m\"\n"
        );
        config("harmless", "", &www) + &slow
    };
    let directory = directory()?;
    fs::write(directory.path().join("slow.wasm"), guest("guest-wasi")?)?;
    put(&directory.path().join("two.wasm"), "2")?;
    let proxy = Proxy::pointsman_in(directory, &config("")).await?;
    proxy.ctl(&["swap", "http-in", "two.wasm"]).await?;
    // The plugin of the frontend `slow` sleeps for five minutes in `configure`.
    proxy.configure(&config("{ sleep = 300000 }"))?;
    let mut reloads = JoinSet::new();
    for _ in 0..=MOST {
        let mut command = pointsman()?;
        command
            .current_dir(proxy.directory())
            .args(["ctl", "reload"]);
        reloads.spawn_blocking(move || command.output());
    }
    let first = tokio::time::timeout(DEADLINE, reloads.join_next()).await;
    let first = first.context("none is refused")?.context("none")???;
    let refused = String::from_utf8(first.stderr)?;
    assert!(
        refused.contains("16 swaps, reloads and upgrades"),
        "{refused}"
    );
    // The other reloads are still pending.
    let refused = proxy.ctl(&["swap", "http-in"]).await.expect_err("no room");
    assert!(refused.to_string().contains("try again"), "{refused}");
    proxy.ctl(&["rollback", "http-in"]).await?;
    assert_eq!(deciding(&proxy).await?, "1");
    proxy.ctl(&["status"]).await?;
    // Ends all pending reloads.
    drop(proxy);
    while let Some(reload) = reloads.join_next().await {
        assert!(!reload??.status.success());
    }
    Ok(())
}
