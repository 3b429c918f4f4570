//! Options of single binds: redirects to `https`, and the files of Unix sockets. The module
//! `proxy_protocol` tests the PROXY protocol from clients, and `proxy_sent` the PROXY protocol to
//! servers.

mod proxy_protocol;
mod proxy_sent;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, User};
use pointsman_tests::{Origin, Process, Proxy, Wire};

use crate::limits::assert_answers;

/// Returns a configuration with one worker and one frontend, which has this `bind`.
fn config(bind: &str, frontend: &str, origin: &Origin) -> String {
    format!(
        "workers = 1\nadmin.socket = \"admin.sock\"\n[frontend.http-in]\nbind = {bind}\ndefault_backend = \"www\"\n{frontend}\n\
         [backend.www]\nserver.www = \"{}\"\n",
        origin.address()
    )
}

#[tokio::test]
async fn every_request_is_sent_to_https() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let bind = r#"{ address = "127.0.0.1:0", redirect_to_https = true }"#;
    let frontend = "hsts.max_age = \"1d\"";
    let proxy = Proxy::pointsman(&config(bind, frontend, &origin)).await?;
    let mut client = Wire::connect(proxy.address()).await?;
    for (request, location) in [
        (
            "GET /a?b=c HTTP/1.1\r\nHost: www.test.tld:80\r\n\r\n",
            "https://www.test.tld/a?b=c",
        ),
        (
            "POST / HTTP/1.1\r\nHost: www.test.tld\r\nContent-Length: 4\r\n\r\nbody",
            "https://www.test.tld/",
        ),
        (
            "HEAD http://[::1]/a HTTP/1.1\r\nHost: x\r\n\r\n",
            "https://[::1]/a",
        ),
    ] {
        let answer = client.exchange(request).await?;
        assert_eq!(answer.head.status()?, 308, "{request}");
        assert_eq!(answer.head.field("location").as_deref(), Some(location));
        // RFC 6797, section 7.2.
        assert_eq!(answer.head.field("strict-transport-security"), None);
        assert_eq!(answer.body, b"");
    }
    let line = proxy.line_with("id=1 ").await?;
    assert!(line.contains(" status=308 "), "{line}");
    assert!(line.contains(" end=local-reply "), "{line}");

    let answer = client.exchange("GET / HTTP/1.0\r\n\r\n").await?;
    assert_eq!(answer.head.status()?, 400);
    assert_eq!(origin.connections(), 0);
    Ok(())
}

#[tokio::test]
async fn browsers_are_to_stay_with_https() -> anyhow::Result<()> {
    const OWN: &str = "max-age=1; preload";
    let origin = Origin::answering(format!(
        "HTTP/1.1 200 OK\r\nStrict-Transport-Security: {OWN}\r\nContent-Length: 3\r\n\r\nwww"
    ))
    .await?;
    // A proxy in front of this one terminates TLS. It reports the use of TLS either in a field or
    // in a PROXY header of version 2 with an SSL TLV.
    let bind = r#"{ address = "127.0.0.1:0", proxy_protocol.from = "127.0.0.2" }"#;
    let frontend = "hsts = { max_age = '1d', include_subdomains = true }\n\
                    forwarded.trusted_proxies = '127.0.0.1'\nmax_body = '1B'";
    let proxy = Proxy::pointsman(&config(bind, frontend, &origin)).await?;
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14".to_vec();
    header.extend([192, 0, 2, 7, 192, 0, 2, 1, 19, 136, 1, 187]);
    header.extend([0x20, 0, 5, 1, 0, 0, 0, 0]);
    let mut by_header = Wire::connect_from([127, 0, 0, 2].into(), proxy.address()).await?;
    by_header.send(header).await?;
    let mut by_field = Wire::connect(proxy.address()).await?;
    let ours = Some("max-age=86400; includeSubDomains");
    let get = "GET / HTTP/1.1\r\nHost: www.test.tld\r\n";
    let end = "\r\n";
    let https = "X-Forwarded-Proto: https\r\n\r\n";
    let large = "Content-Length: 2\r\n\r\nxx";
    let field = async |client: &mut Wire, request: String| -> anyhow::Result<_> {
        let head = client.exchange(request).await?.head;
        Ok((head.status()?, head.field("strict-transport-security")))
    };
    let expect = |status, value: Option<&str>| (status, value.map(str::to_owned));
    let seen = field(&mut by_header, format!("{get}{end}")).await?;
    assert_eq!(seen, expect(200, ours));
    let seen = field(&mut by_field, format!("{get}{https}")).await?;
    assert_eq!(seen, expect(200, ours));
    // RFC 6797, section 7.2: the proxy adds no field to a response over plain HTTP.
    let seen = field(&mut by_field, format!("{get}{end}")).await?;
    assert_eq!(seen, expect(200, Some(OWN)));
    // Local replies follow the same rule.
    let seen = field(&mut by_header, format!("{get}{large}")).await?;
    assert_eq!(seen, expect(413, ours));
    let seen = field(&mut by_field, format!("{get}{large}")).await?;
    assert_eq!(seen, expect(413, None));
    Ok(())
}

#[tokio::test]
async fn a_redirect_to_another_port_begins_with_a_reload() -> anyhow::Result<()> {
    const GET: &str = "GET /x HTTP/1.1\r\nHost: www.test.tld\r\n\r\n";
    let origin = Origin::with_name("www").await?;
    let plain = config(r#""127.0.0.1:0""#, "", &origin);
    let proxy = Proxy::pointsman(&plain).await?;
    let mut before = Wire::connect(proxy.address()).await?;
    assert_eq!(before.exchange(GET).await?.body, b"www");
    let bind = r#"{ address = "127.0.0.1:0", redirect_to_https = 8443 }"#;
    proxy.configure(&config(bind, "", &origin))?;
    proxy.ctl(&["reload"]).await?;
    // The reload keeps the socket. A connection keeps the options with which it was accepted.
    let mut after = Wire::connect(proxy.address()).await?;
    let answer = after.exchange(GET).await?;
    let location = answer.head.field("location");
    assert_eq!(location.as_deref(), Some("https://www.test.tld:8443/x"));
    assert_eq!(before.exchange(GET).await?.body, b"www");
    Ok(())
}

#[tokio::test]
async fn h2c_is_for_clients_that_begin_with_it() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let bind = r#"{ address = "127.0.0.1:0", h2c = true, proxy_protocol.from = "127.0.0.2" }"#;
    let proxy = Proxy::pointsman(&config(bind, "", &origin)).await?;
    for (arguments, expected) in [
        ("", "www 1.1 200"),
        ("--http2-prior-knowledge", "www 2 200"),
        (
            "--http2-prior-knowledge --haproxy-protocol --interface 127.0.0.2",
            "www 2 200",
        ),
    ] {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error"])
            .args(["--write-out", " %{http_version} %{http_code}\n"])
            .args(arguments.split_whitespace())
            .arg(format!("http://{}/", proxy.address()));
        let curl = Process::start(curl)?;
        assert_eq!(curl.line_with(" ").await?, expected, "{arguments}");
    }
    Ok(())
}

fn permissions(path: &Path) -> anyhow::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

#[tokio::test]
async fn the_file_of_a_unix_socket_is_for_whom_the_bind_says() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("p.sock");
    let bind = |more: &str| format!("{{ address = '{}'{more} }}", path.display());
    let own = User::from_uid(Uid::effective())?.map_or("root".to_owned(), |user| user.name);
    let more = format!(", mode = '0600', user = '{own}'");
    let proxy = Proxy::pointsman(&config(&bind(&more), "", &origin)).await?;
    assert_eq!(permissions(&path)?, 0o600);
    assert_answers(&path).await?;

    // A reload also applies a new mode to the file of a socket that stays open.
    let inode = fs::metadata(&path)?.ino();
    proxy.configure(&config(&bind(", mode = '0666'"), "", &origin))?;
    proxy.ctl(&["reload"]).await?;
    assert_eq!(permissions(&path)?, 0o666);
    assert_eq!(fs::metadata(&path)?.ino(), inode);
    assert_answers(&path).await?;

    // A reload that fails changes nothing.
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let binds = format!("[{}, '{}']", bind(", mode = '0600'"), taken.local_addr()?);
    proxy.configure(&config(&binds, "", &origin))?;
    let refused = proxy.ctl(&["reload"]).await.expect_err("a taken address");
    assert!(refused.to_string().contains("in use"), "{refused}");
    assert_eq!(permissions(&path)?, 0o666);
    let nobody = bind(", group = 'no-group-of-this-name'");
    proxy.configure(&config(&nobody, "", &origin))?;
    let refused = proxy.ctl(&["reload"]).await.expect_err("no such group");
    let expected = "no group `no-group-of-this-name`";
    assert!(refused.to_string().contains(expected), "{refused}");
    assert_answers(&path).await
}

#[tokio::test]
async fn an_unknown_user_of_a_socket_is_reported_at_its_key() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let bind = "['127.0.0.1:0', { address = 'p.sock', user = 'nobody-of-this-name' }]";
    let refusal = Proxy::refused(&config(bind, "", &origin)).await?;
    assert_eq!(refusal.code, Some(64), "{}", refusal.log);
    let expected = "`frontend.http-in.bind[1].user`: there is no user `nobody-of-this-name`";
    assert!(refusal.log.contains(expected), "{}", refusal.log);
    // The error names the line of the value.
    assert!(refusal.log.contains("pointsman.toml:4:"), "{}", refusal.log);
    Ok(())
}
