//! Limits on the machine's resources: connections, descriptors, privileges and addresses.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use nix::unistd::{Group, Uid, User};
use pointsman_tests::{DEADLINE, Origin, Proxy, ReservedPort, Wire, pointsman};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::tunnels::{config, echo, open, passes};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: www.test.tld\r\n\r\n";

/// Time after which a client counts as waiting for its response.
const NO_RESPONSE_WAIT: Duration = Duration::from_millis(400);

/// Sends a request, and checks that no response comes yet.
async fn wait_in_line(proxy: SocketAddr) -> anyhow::Result<Wire> {
    let mut client = Wire::connect(proxy).await?.with_deadline(NO_RESPONSE_WAIT);
    client.send(REQUEST).await?;
    let early = client.response("GET").await;
    ensure!(early.is_err(), "beyond the limit, but served: {early:?}");
    Ok(client.with_deadline(DEADLINE))
}

#[tokio::test]
async fn at_the_limit_clients_wait_until_others_end() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    for (limit, workers) in [(1, 1), (1, 2), (3, 2)] {
        let top = format!("max_connections = {limit}\nworkers = {workers}");
        let proxy = Proxy::pointsman(&config(&top, "", "", origin.address())).await?;
        let mut served = Vec::new();
        for _ in 0..limit {
            let mut client = Wire::connect(proxy.address()).await?;
            assert_eq!(client.exchange(REQUEST).await?.body, b"www");
            served.push(client);
        }
        // There are enough clients for some to wait on each worker.
        let mut waiting = Vec::new();
        for _ in 0..4 {
            waiting.push(wait_in_line(proxy.address()).await?);
        }
        // Clients that were already accepted are still served.
        for client in &mut served {
            assert_eq!(client.exchange(REQUEST).await?.body, b"www");
        }
        drop(served);
        // Each client disconnects as soon as it has its response; otherwise the next could wait
        // forever. The kernel decides the order in which they are served.
        let mut answers = tokio::task::JoinSet::new();
        for mut client in waiting {
            answers.spawn(async move { client.response("GET").await.map(|answer| answer.body) });
        }
        while let Some(answer) = answers.join_next().await {
            assert_eq!(answer??, b"www", "limit {limit}, workers {workers}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn tunnels_count_to_their_end() -> anyhow::Result<()> {
    let origin = echo().await?;
    let top = "max_connections = 1\nworkers = 2";
    let proxy = Proxy::pointsman(&config(top, "", "", origin.address())).await?;
    let mut first = open(proxy.address()).await?;
    let mut next = Wire::connect(proxy.address())
        .await?
        .with_deadline(NO_RESPONSE_WAIT);
    next.send(crate::tunnels::handshake("www")).await?;
    assert!(next.response("GET").await.is_err());
    passes(&mut first).await?;
    first.finish().await?;
    assert_eq!(first.rest().await?, b"");
    let mut next = next.with_deadline(DEADLINE);
    assert_eq!(next.response("GET").await?.head.status()?, 101);
    passes(&mut next).await
}

#[tokio::test]
async fn the_limit_holds_over_all_frontends() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let other = "[frontend.other]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"";
    let config = config("max_connections = 1", other, "", origin.address());
    let proxy = Proxy::pointsman(&config).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    assert_eq!(client.exchange(REQUEST).await?.body, b"www");
    let other = proxy.addresses_of("other").next().context("other")?;
    let mut waiting = wait_in_line(other).await?;
    drop(client);
    assert_eq!(waiting.response("GET").await?.body, b"www");
    Ok(())
}

/// A client that was refused, or whose response came early, releases its slot at once, although the
/// proxy continues to read from it.
#[tokio::test]
async fn a_refused_client_returns_its_slot_at_once() -> anyhow::Result<()> {
    let origin = Origin::scripted(|mut wire, _| async move {
        while wire.head().await.is_ok() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nwww")
                .await?;
        }
        Ok(())
    })
    .await?;
    let proxy = Proxy::pointsman(&config(
        "max_connections = 1\nworkers = 1",
        "timeout.request_header = \"300ms\"",
        "",
        origin.address(),
    ))
    .await?;
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("\x16\x03\x01\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: ", 408),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello",
            200,
        ),
    ] {
        let mut refused = Wire::connect(proxy.address()).await?;
        refused.send(request).await?;
        // The next client is accepted once the first client's slot is free.
        let mut next = Wire::connect(proxy.address()).await?;
        next.send(REQUEST).await?;
        let response = refused.response("GET").await?;
        assert_eq!(response.head.status()?, status, "{request:?}");
        let answered = Instant::now();
        assert_eq!(next.response("GET").await?.body, b"www", "{request:?}");
        let took = answered.elapsed();
        ensure!(took < Duration::from_secs(1), "{request:?}: {took:?}");
        refused.rest().await?;
    }
    Ok(())
}

/// Returns the command `pointsman` with a hard limit on descriptors, which even root cannot raise.
fn with_few_descriptors(limit: usize) -> anyhow::Result<Command> {
    let binary = pointsman()?.get_program().to_owned();
    let mut command = if Uid::effective().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-sys_resource", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command
        .args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")])
        .arg(binary)
        .env_remove("RUST_LOG")
        .env("NO_COLOR", "1");
    Ok(command)
}

#[tokio::test]
async fn too_few_descriptors_are_an_error_with_both_numbers() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let port = ReservedPort::new()?;
    let config = |top: &str| {
        let config = config(top, "", "", origin.address());
        config.replace("127.0.0.1:0", &port.address().to_string())
    };
    let directory = tempfile::tempdir()?;
    for (top, numbers) in [
        ("max_connections = 4096\nworkers = 2", ["4096", "500"]),
        // 160 descriptors for the process, and 87 for each worker including its socket.
        ("workers = 16", ["1552", "500"]),
        ("max_connections = 1\nworkers = 16", ["1552", "500"]),
    ] {
        let command = with_few_descriptors(500)?;
        let refusal = Proxy::refused_by(command, &directory, &config(top)).await?;
        assert_eq!(refusal.code, Some(1), "{}", refusal.log);
        for number in numbers {
            assert!(refusal.log.contains(number), "{number}: {}", refusal.log);
        }
        assert!(Wire::connect(port.address()).await.is_err());
    }
    Ok(())
}

/// With the maximum number of workers and addresses that the descriptors allow, all connections
/// within the limit can be open, and the sockets can still be passed on.
#[tokio::test]
async fn as_many_descriptors_are_reserved_as_are_used() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let binds: Vec<_> = (1..=16)
        .map(|host| format!("\"127.0.0.{host}:0\""))
        .collect();
    let binds = binds.join(", ");
    let top = "max_connections = 50\nworkers = 8\nadmin.socket = \"admin.sock\"";
    let config = config(top, "", "", origin.address());
    let config = config.replace("\"127.0.0.1:0\"", &format!("[{binds}]"));
    let directory = tempfile::tempdir()?;
    // 160 descriptors for the process, 84 for each worker, three for each worker's socket at each
    // address, and two for each of 50 connections.
    let limit = 160 + 8 * (84 + 16 * 3) + 100;
    let command = with_few_descriptors(limit)?;
    let proxy = Proxy::pointsman_by(command, directory, &config).await?;
    proxy.line_with("max_connections=50").await?;
    let open = |process: u64| anyhow::Ok(fs::read_dir(format!("/proc/{process}/fd"))?.count());
    let at_rest = open(proxy.id().into())?;
    assert!(at_rest > 8 * 16 * 2, "{at_rest}");
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = Wire::connect(proxy.address()).await?;
        client.exchange(REQUEST).await?;
        clients.push(client);
    }
    let in_use = open(proxy.id().into())?;
    // The connections use no more descriptors than are reserved for them, and an upgrade still has
    // one for each socket.
    assert!(in_use <= at_rest + 100, "{in_use}, {at_rest} at rest");
    assert!(in_use + 8 * 16 <= limit, "{in_use} of {limit}");
    proxy.ctl(&["upgrade"]).await?;
    // One more address would need more descriptors than the limit allows, because every worker has
    // a socket for each address.
    proxy.configure(&config.replacen(
        "[\"127.0.0.1:0\"",
        "[\"127.0.0.1:0\", \"127.0.0.17:0\"",
        1,
    ))?;
    let refused = proxy.ctl(&["reload"]).await.expect_err("too many");
    for number in ["max_connections = 50", &limit.to_string()] {
        assert!(refused.to_string().contains(number), "{number}: {refused}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_limit_there_are_as_many_as_descriptors_allow() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let config = config("workers = 2", "", "", origin.address());
    let directory = tempfile::tempdir()?;
    let proxy = Proxy::pointsman_by(with_few_descriptors(500)?, directory, &config).await?;
    let line = proxy.line_with("max_connections=").await?;
    let allowed: usize = line
        .split("max_connections=")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .context("no number")?
        .parse()?;
    assert!((1..=150).contains(&allowed), "{line}");
    // All connections are open at once, each with a connection to the server, and the next client
    // waits.
    let mut clients = Vec::new();
    for _ in 0..allowed {
        let mut client = Wire::connect(proxy.address()).await?;
        client.exchange(REQUEST).await?;
        clients.push(client);
    }
    wait_in_line(proxy.address()).await.map(|_| ())
}

/// The proxy accepts connections again after it ran out of descriptors. The test lowers the limit
/// of the running process, because there is no other way to reach this state.
#[tokio::test]
async fn accepting_goes_on_after_descriptors_ran_out() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let proxy = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    let soft_limit = |limit: &str| -> anyhow::Result<()> {
        let status = Command::new("prlimit")
            .args(["--pid", &proxy.id().to_string()])
            .arg(format!("--nofile={limit}:"))
            .status()
            .context("prlimit")?;
        ensure!(status.success(), "prlimit");
        Ok(())
    };
    soft_limit("3")?;
    let mut client = Wire::connect(proxy.address()).await?;
    client.send(REQUEST).await?;
    let line = proxy.line_with("cannot accept").await?;
    assert!(
        line.contains("ERROR") && line.contains("frontend=http-in"),
        "{line}"
    );
    soft_limit("1000")?;
    assert_eq!(client.response("GET").await?.body, b"www");
    Ok(())
}

#[tokio::test]
async fn unknown_users_and_groups_are_errors() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    for (key, name) in [
        ("user", "nobody-of-that-name"),
        ("group", "no-group-of-that-name"),
    ] {
        let top = format!("{key} = \"{name}\"");
        let refusal = Proxy::refused(&config(&top, "", "", origin.address())).await?;
        assert_eq!(refusal.code, Some(64), "{}", refusal.log);
        assert!(refusal.log.contains(&top), "{}", refusal.log);
    }
    Ok(())
}

/// The proxy binds its sockets before it drops root's privileges. If another user starts it, a
/// different `user` in the configuration is an error.
#[tokio::test]
async fn the_sockets_are_bound_before_rights_are_given_up() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let group = ["nogroup", "nobody"]
        .into_iter()
        .find(|name| matches!(Group::from_name(name), Ok(Some(_))))
        .context("neither nogroup nor nobody is a group")?;
    let config = config(
        &format!("user = \"nobody\"\ngroup = \"{group}\""),
        "",
        "",
        origin.address(),
    );
    if !Uid::effective().is_root() {
        let refusal = Proxy::refused(&config).await?;
        assert_eq!(refusal.code, Some(1), "{}", refusal.log);
        return Ok(());
    }
    // A free port that only root can bind. The kernel never assigns ports of this range
    // automatically.
    let port = (512..1024)
        .rev()
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("every port below 1024 is taken")?;
    let config = config.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let binary = pointsman()?.get_program().to_owned();
    let mut command = Command::new("setpriv");
    command.args(["--groups", "0,1,2"]).arg(binary);
    let directory = tempfile::tempdir()?;
    // After startup, `nobody` reads the configuration.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let proxy = Proxy::pointsman_by(command, directory, &config).await?;
    assert_eq!(proxy.address().port(), port);
    let mut client = Wire::connect(proxy.address()).await?;
    assert_eq!(client.exchange(REQUEST).await?.body, b"www");

    let user = User::from_name("nobody")?
        .context("nobody")?
        .uid
        .to_string();
    let group = Group::from_name(group)?.context("group")?.gid.to_string();
    let mut workers = 0;
    for task in fs::read_dir(format!("/proc/{}/task", proxy.id()))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let numbers = |name: &str| -> Vec<String> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.into_iter()
                .flat_map(str::split_whitespace)
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(numbers("Uid:"), [user.as_str(); 4], "{status}");
        assert_eq!(numbers("Gid:"), [group.as_str(); 4], "{status}");
        assert_eq!(numbers("Groups:"), [group.as_str()], "{status}");
        // The main thread can still bind ports below 1024 for a reload. So can the thread that
        // watches files, which may not have its name yet. Threads that serve clients cannot.
        let is_main = numbers("Pid:") == [proxy.id().to_string()];
        let name = numbers("Name:").concat();
        if is_main {
            assert_eq!(numbers("CapPrm:"), ["0000000000000400"], "{status}");
        } else if name != "pointsman" && !name.starts_with("notify") {
            assert_eq!(numbers("CapPrm:"), ["0000000000000000"], "{status}");
        }
        workers += usize::from(name.starts_with("worker-"));
    }
    assert!(workers > 0, "no workers?");
    Ok(())
}

#[tokio::test]
async fn every_kind_of_address_is_served() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let directory = tempfile::tempdir()?;
    let unix = directory.path().join("p.sock");
    let port = ReservedPort::new()?;
    // The wildcard addresses of IPv4 and IPv6 are separate sockets, which can have the same port.
    let binds = format!(
        "bind = [\"127.0.0.1:0\", \"[::1]:0\", \"*:{port}\", \"[::]:{port}\", \"unix:{}\"]",
        unix.display(),
        port = port.address().port(),
    );
    let config = config("", "", "", origin.address()).replace("bind = \"127.0.0.1:0\"", &binds);
    let mut proxy = Proxy::pointsman_in(directory, &config).await?;
    let addresses: Vec<_> = proxy.addresses_of("http-in").collect();
    let ips: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    assert_eq!(
        ips,
        [
            Ipv4Addr::LOCALHOST.into(),
            std::net::IpAddr::from(Ipv6Addr::LOCALHOST),
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv6Addr::UNSPECIFIED.into(),
        ]
    );
    for address in &addresses {
        let loopback: std::net::IpAddr = if address.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        };
        let mut client = Wire::connect(SocketAddr::new(loopback, address.port())).await?;
        assert_eq!(client.exchange(REQUEST).await?.body, b"www", "{address}");
    }
    for _ in 0..10 {
        assert_answers(&unix).await?;
    }
    proxy.signal(Signal::SIGTERM)?;
    assert_eq!(proxy.ended().await?.code(), Some(0));
    assert!(!unix.exists(), "its socket is left behind");
    Ok(())
}

/// Sends one request over a Unix socket, and checks the response.
pub(crate) async fn assert_answers(path: &Path) -> anyhow::Result<()> {
    let ask = async {
        let mut client = UnixStream::connect(path).await?;
        let request = REQUEST.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        ensure!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("www"),
            "{answer}"
        );
        Ok(())
    };
    tokio::time::timeout(DEADLINE, ask)
        .await
        .context("no answer")?
}

#[tokio::test]
async fn a_unix_socket_is_replaced_where_nobody_listens() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("p.sock");
    let config = config("", "", "", origin.address())
        .replace("127.0.0.1:0", &format!("unix:{}", path.display()));
    // Leaves the socket file of a process that has ended.
    drop(std::os::unix::net::UnixListener::bind(&path)?);
    assert!(fs::metadata(&path)?.file_type().is_socket());
    let proxy = Proxy::pointsman_in(tempfile::tempdir()?, &config).await?;
    assert_answers(&path).await?;

    // Another proxy listens on the socket, so its file is not replaced.
    let refusal = Proxy::refused(&config).await?;
    assert_eq!(refusal.code, Some(1), "{}", refusal.log);
    assert!(refusal.log.contains("in use"), "{}", refusal.log);
    assert_answers(&path).await?;
    drop(proxy);

    // A file that is not a socket is not removed.
    fs::remove_file(&path)?;
    fs::write(&path, "precious")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let refusal = Proxy::refused(&config).await?;
    assert_eq!(refusal.code, Some(1), "{}", refusal.log);
    assert_eq!(fs::read(&path)?, b"precious");
    Ok(())
}

#[tokio::test]
async fn an_address_in_use_is_an_error() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let first = Proxy::pointsman(&config("", "", "", origin.address())).await?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    for taken in [first.address(), listener.local_addr()?] {
        let free = ReservedPort::new()?;
        let unix = tempfile::tempdir()?;
        let unix = unix.path().join("p.sock");
        let binds = format!(
            "bind = [\"unix:{}\", \"{}\", \"{taken}\"]",
            unix.display(),
            free.address()
        );
        let config = config("", "", "", origin.address()).replace("bind = \"127.0.0.1:0\"", &binds);
        let refusal = Proxy::refused(&config).await?;
        assert_eq!(refusal.code, Some(1), "{}", refusal.log);
        for part in [taken.to_string().as_str(), "http-in", "in use"] {
            assert!(refusal.log.contains(part), "{part}: {}", refusal.log);
        }
        assert!(!unix.exists(), "a socket is left behind");
    }
    let mut client = Wire::connect(first.address()).await?;
    assert_eq!(client.exchange(REQUEST).await?.body, b"www");
    Ok(())
}
