//! Logins that a server ties to a connection, as NTLM and Negotiate do. Such a connection serves
//! only the client that logged in.

use anyhow::{Context as _, ensure};
use pointsman_tests::{Head, Origin, Proxy, Setup, Wire};

/// An authentication scheme: the field with the client's credentials, the field with the challenge,
/// and the status that asks for a login.
#[derive(Clone, Copy)]
struct Scheme {
    name: &'static str,
    answer: &'static str,
    challenge: &'static str,
    status: u16,
}

const SCHEMES: &[Scheme] = &[
    Scheme {
        name: "NTLM",
        answer: "Authorization",
        challenge: "WWW-Authenticate",
        status: 401,
    },
    Scheme {
        name: "Negotiate",
        answer: "Authorization",
        challenge: "WWW-Authenticate",
        status: 401,
    },
    Scheme {
        name: "ntlm",
        answer: "Proxy-Authorization",
        challenge: "Proxy-Authenticate",
        status: 407,
    },
];

const NTLM: Scheme = SCHEMES[0];

/// Starts a server that asks for a login, remembers the user for the connection, and names the user
/// in each response. After the response to `/last`, it closes the connection without announcing the
/// close.
async fn login_server(scheme: Scheme) -> anyhow::Result<Origin> {
    Origin::scripted(move |mut wire, _| async move {
        let mut user = None;
        while let Ok(request) = wire.request().await {
            user = credentials(&request.head, scheme).or(user);
            wire.send(page(scheme, user.as_deref())).await?;
            if request.head.start_line.contains("/last") {
                break;
            }
        }
        Ok(())
    })
    .await
}

fn credentials(head: &Head, scheme: Scheme) -> Option<String> {
    let value = head.field(scheme.answer)?;
    let (name, user) = value.split_once(' ')?;
    name.eq_ignore_ascii_case(scheme.name)
        .then(|| user.to_owned())
}

fn page(scheme: Scheme, user: Option<&str>) -> String {
    match user {
        // The response to the first step of a handshake contains the challenge itself.
        None | Some("hello") => format!(
            "HTTP/1.1 {} Login\r\n{}: {} Y2hhbGxlbmdl\r\nContent-Length: 6\r\n\r\nnobody",
            scheme.status, scheme.challenge, scheme.name
        ),
        Some(user) => format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{user}",
            user.len()
        ),
    }
}

/// One client's connection, with the scheme and the host of its requests.
struct Client {
    wire: Wire,
    scheme: Scheme,
    host: &'static str,
}

impl Client {
    async fn new(proxy: &Proxy, scheme: Scheme) -> anyhow::Result<Self> {
        Ok(Self {
            wire: Wire::connect(proxy.address()).await?,
            scheme,
            host: "a",
        })
    }

    async fn ask(&mut self, method: &str, path: &str, field: &str) -> anyhow::Result<String> {
        let host = self.host;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{field}\r\n");
        let response = self.wire.exchange(request).await?;
        let status = response.head.status()?;
        ensure!(
            [200, self.scheme.status].contains(&status),
            "{method} {path}: {response:?}"
        );
        Ok(String::from_utf8(response.body)?)
    }

    /// Returns the user that the server names for a request without credentials.
    async fn whoami(&mut self) -> anyhow::Result<String> {
        self.ask("GET", "/", "").await
    }

    async fn log_in(&mut self, user: &str) -> anyhow::Result<()> {
        for (sent, seen) in [("hello", "nobody"), (user, user)] {
            let field = format!("{}: {} {sent}\r\n", self.scheme.answer, self.scheme.name);
            let page = self.ask("GET", "/", &field).await?;
            ensure!(page == seen, "{page} in answer to {sent}");
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_login_stays_with_its_client() -> anyhow::Result<()> {
    for &scheme in SCHEMES {
        let origin = login_server(scheme).await?;
        let proxy = Setup::before([origin.address()]).start().await?;
        let mut alice = Client::new(&proxy, scheme).await?;
        assert_eq!(alice.whoami().await?, "nobody");
        alice.log_in("alice").await?;
        let mut bob = Client::new(&proxy, scheme).await?;
        assert_eq!(bob.whoami().await?, "nobody", "{}", scheme.name);
        bob.log_in("bob").await?;
        for _ in 0..5 {
            let mut stranger = Client::new(&proxy, scheme).await?;
            assert_eq!(stranger.whoami().await?, "nobody");
            // Further requests carry no credentials: the connection itself is logged in.
            assert_eq!(alice.whoami().await?, "alice");
            assert_eq!(bob.ask("POST", "/", "").await?, "bob");
        }
        // Other clients do not get the connection either, even after its client has left.
        drop(alice);
        for _ in 0..5 {
            let mut stranger = Client::new(&proxy, scheme).await?;
            assert_eq!(stranger.whoami().await?, "nobody");
        }
        assert_eq!(bob.whoami().await?, "bob");
    }
    Ok(())
}

/// A client can send credentials with its first request, over a connection that has served others.
#[tokio::test]
async fn a_login_with_the_first_request() -> anyhow::Result<()> {
    for &scheme in SCHEMES {
        let origin = login_server(scheme).await?;
        let proxy = Setup::before([origin.address()]).start().await?;
        for round in 0..5 {
            let mut user = Client::new(&proxy, scheme).await?;
            let name = format!("user{round}");
            let field = format!("{}: {} {name}\r\n", scheme.answer, scheme.name);
            assert_eq!(user.ask("GET", "/", &field).await?, name);
            let mut stranger = Client::new(&proxy, scheme).await?;
            assert_eq!(stranger.whoami().await?, "nobody", "{}", scheme.name);
        }
    }
    Ok(())
}

/// When the server closes the connection, the client has to log in again.
#[tokio::test]
async fn a_server_that_closes_ends_the_login() -> anyhow::Result<()> {
    let origin = login_server(NTLM).await?;
    let proxy = Setup::before([origin.address()]).start().await?;
    let mut alice = Client::new(&proxy, NTLM).await?;
    for _ in 0..5 {
        alice.log_in("alice").await?;
        assert_eq!(alice.ask("GET", "/last", "").await?, "alice");
        assert_eq!(alice.whoami().await?, "nobody");
    }
    Ok(())
}

#[tokio::test]
async fn each_backend_keeps_its_login() -> anyhow::Result<()> {
    let (one, two) = (login_server(NTLM).await?, login_server(NTLM).await?);
    let proxy = Proxy::pointsman(&format!(
        r#"
        workers = 1
        [frontend.http-in]
        bind = "127.0.0.1:0"
        default_backend = "one"
        router.plugin = "host-suffix"
        router.config.rules = [{{ suffix = "b", backend = "two" }}]
        [backend.one]
        server.s = "{}"
        [backend.two]
        server.s = "{}"
        "#,
        one.address(),
        two.address()
    ))
    .await?;
    let mut alice = Client::new(&proxy, NTLM).await?;
    alice.log_in("alice").await?;
    alice.host = "b";
    assert_eq!(alice.whoami().await?, "nobody");
    alice.log_in("eve").await?;
    for _ in 0..3 {
        for (host, user) in [("a", "alice"), ("b", "eve")] {
            alice.host = host;
            assert_eq!(alice.whoami().await?, user);
            let mut stranger = Client::new(&proxy, NTLM).await?;
            stranger.host = host;
            assert_eq!(stranger.whoami().await?, "nobody");
        }
    }
    Ok(())
}

/// Only requests take slots: a client that is logged in but idle takes none.
#[tokio::test]
async fn an_idle_login_takes_no_slot() -> anyhow::Result<()> {
    let origin = login_server(NTLM).await?;
    let address = origin.address();
    let proxy = Setup::before([])
        .backend(&format!(
            "server.s = {{ address = \"{address}\", max_requests = 1 }}"
        ))
        .backend("timeout.queue = \"100ms\"")
        .start()
        .await?;
    let mut alice = Client::new(&proxy, NTLM).await?;
    alice.log_in("alice").await?;
    let mut bob = Client::new(&proxy, NTLM).await?;
    bob.log_in("bob").await.context("beside an idle login")?;
    assert_eq!(alice.whoami().await?, "alice");
    assert_eq!(bob.whoami().await?, "bob");
    Ok(())
}
