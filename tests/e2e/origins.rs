//! The origin of requests: servers, plugins and the log agree on the client's identity.

use anyhow::Context as _;
use pointsman_tests::{Head, Origin, Proxy, Setup, Wire, log_field, pointsman};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Fields by which various servers identify clients.
const CLAIMS: &[&str] = &[
    "CF-Connecting-IP",
    "Client-Cert",
    "Client-IP",
    "Forwarded",
    "True-Client-IP",
    "X-Client-IP",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-User",
    "X-Original-Forwarded-For",
    "X-Real-IP",
];

const LISTED: &str = "router.plugin = \"address-list\"\n\
                      router.config = { default = \"deny\", allow = [\"192.0.2.0/24\"] }";

fn request(lines: &[String]) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n",
        lines.join("\r\n")
    )
}

async fn status(proxy: &Proxy, lines: &[&str]) -> anyhow::Result<u16> {
    let lines: Vec<_> = lines.iter().map(|&line| line.to_owned()).collect();
    let mut client = Wire::connect(proxy.address()).await?;
    client.exchange(request(&lines)).await?.head.status()
}

fn last(origin: &Origin) -> anyhow::Result<Head> {
    Ok(origin.requests().pop().context("a request")?.head)
}

/// A stranger cannot claim another origin: the server receives none of the stranger's claims, in
/// any spelling.
#[tokio::test]
async fn an_untrusted_client_cannot_set_its_origin() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let claims: Vec<_> = CLAIMS
        .iter()
        .flat_map(|name| {
            ["-", "_", "."].map(|dash| format!("{}: 192.0.2.1", name.replace('-', dash)))
        })
        .collect();
    for (line, forwarded_for) in [
        ("", Some("127.0.0.1")),
        ("forwarded.x_forwarded = false", None),
    ] {
        let setup = Setup::before([origin.address()]).frontend(line);
        let proxy = setup.start().await?;
        let mut client = Wire::connect(proxy.address()).await?;
        assert_eq!(client.exchange(request(&claims)).await?.head.status()?, 200);
        let head = last(&origin)?;
        let claimed = head.fields.iter().any(|(_, value)| value == b"192.0.2.1");
        assert!(!claimed, "{line}: {head:?}");
        assert_eq!(head.field("x-forwarded-for").as_deref(), forwarded_for);
    }
    Ok(())
}

/// Behind a trusted proxy, servers, plugins and the log agree on the client. The client connects to
/// the trusted proxy.
#[tokio::test]
async fn behind_a_trusted_proxy_everything_agrees() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let trusting = "forwarded.trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]";
    let inner = Setup::before([origin.address()])
        .frontend(trusting)
        .frontend(LISTED);
    let inner = inner.start().await?;

    // Fields of a trusted peer determine the client's address and scheme.
    let allowed = [
        "X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.1",
        "X-Forwarded-Proto: https",
    ];
    assert_eq!(status(&inner, &allowed).await?, 200);
    let head = last(&origin)?;
    let lists: Vec<_> = head.values("x-forwarded-for").collect();
    assert_eq!(lists, [b"6.6.6.6, 192.0.2.7, 10.0.0.1, 127.0.0.1"]);
    assert_eq!(head.field("x-forwarded-proto").as_deref(), Some("https"));
    let record = inner.line_with(" access: ").await?;
    assert_eq!(log_field(&record, " client"), Some("192.0.2.7"), "{record}");
    let peer = log_field(&record, " peer").context("a peer")?;
    assert!(peer.starts_with("127.0.0.1:"), "{record}");

    for (line, expected) in [
        ("X-Forwarded-For: 192.0.2.7, 198.51.100.1", 403),
        ("X-Forwarded-For: ::ffff:192.0.2.7", 200),
        ("X-Forwarded-For: 192.0.2.7, unknown", 403),
        ("X_Forwarded_For: 192.0.2.7", 403),
        ("Forwarded: for=\"192.0.2.7:80\";proto=https", 200),
        ("Forwarded: for=192.0.2.7, for=198.51.100.1", 403),
        // Proxies remove a field that Connection names. A careless peer must not make this proxy
        // lose its own field that way.
        (
            "X-Forwarded-For: 198.51.100.1\r\nConnection: X-Forwarded-For",
            403,
        ),
    ] {
        assert_eq!(status(&inner, &[line]).await?, expected, "{line}");
    }

    // A Pointsman in front of this one does not trust its own clients, so their claims have no
    // effect.
    let outer = Setup::before([inner.address()]).start().await?;
    for name in CLAIMS {
        let claim = format!("{name}: 192.0.2.7");
        assert_eq!(status(&outer, &[&claim]).await?, 403, "{claim}");
    }
    // A stranger that connects directly cannot claim an address either.
    let strict = Setup::before([origin.address()]).frontend(LISTED);
    assert_eq!(status(&strict.start().await?, &allowed).await?, 403);
    Ok(())
}

/// A peer over a Unix socket has no address, but can still be trusted.
#[tokio::test]
async fn peers_of_unix_sockets() -> anyhow::Result<()> {
    let origin = Origin::with_name("www").await?;
    let directory = tempfile::tempdir()?;
    let socket = |name: &str| directory.path().join(name);
    let frontend = |name: &str, more: &str| {
        format!(
            "[frontend.{name}]\nbind = \"unix:{}\"\ndefault_backend = \"www\"\n{LISTED}\n{more}\n",
            socket(name).display()
        )
    };
    let proxy = Proxy::pointsman(&format!(
        "workers = 1\n[frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
         {}{}[backend.www]\nserver.www = \"{}\"\n",
        frontend("trusting", "forwarded.trusted_proxies = \"unix\""),
        frontend("strict", "forwarded.trusted_proxies = \"127.0.0.0/8\""),
        origin.address()
    ))
    .await?;
    for (name, expected) in [("trusting", "200"), ("strict", "403")] {
        let mut client = UnixStream::connect(socket(name)).await?;
        let lines = ["X-Forwarded-For: 192.0.2.7", "Connection: close"].map(str::to_owned);
        client.write_all(request(&lines).as_bytes()).await?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        assert_eq!(answer.get(9..12), Some(expected), "{name}: {answer}");
    }
    let head = last(&origin)?;
    assert_eq!(head.field("x-forwarded-for").as_deref(), Some("192.0.2.7"));
    let record = proxy.line_with(" frontend=trusting client=").await?;
    assert_eq!(log_field(&record, " client"), Some("192.0.2.7"), "{record}");
    assert_eq!(log_field(&record, " peer"), Some("unix"), "{record}");
    Ok(())
}

/// `pointsman route` evaluates the client's fields as a frontend does.
#[test]
fn the_route_command_has_the_same_client() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("pointsman.toml");
    let config = format!(
        "[frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
         forwarded.trusted_proxies = \"10.0.0.0/8\"\n{LISTED}\n\
         [backend.www]\nserver.www = \"127.0.0.1:1\"\n"
    );
    std::fs::write(&file, config)?;
    for (peer, expected) in [
        ("10.0.0.1", "default-backend"),
        ("::ffff:10.0.0.1", "default-backend"),
        ("127.0.0.1", "respond"),
    ] {
        let output = pointsman()?
            .args(["route", "--json", "--client", peer, "--config"])
            .arg(&file)
            .args(["-H", "X-Forwarded-For: 192.0.2.7"])
            .output()?;
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        assert_eq!(report["decision"], expected, "{peer}: {report:#}");
    }
    Ok(())
}
