//! Clients that are hostile, or that speak another protocol.

use pointsman_tests::{End, Wire};

use super::{NAME, Site, TLS};

/// Header of a handshake record, and the first bytes of the `ClientHello` in it.
const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

#[tokio::test]
async fn anything_but_a_handshake_is_refused() -> anyhow::Result<()> {
    let site = Site::start(TLS).await?;
    let mut failed = 0;
    for (bytes, reason) in [
        (
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            "the peer does not speak TLS",
        ),
        (b"\0\0\0\0\0\0\0\0", "the peer does not speak TLS"),
        (
            b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
            "the TLS handshake failed",
        ),
        // The declared length exceeds that of any record.
        (b"\x16\x03\x01\xff\xff", "the TLS handshake failed"),
        // The first message is a warning alert.
        (b"\x15\x03\x01\x00\x02\x01\x00", "the TLS handshake failed"),
    ] {
        let mut client = Wire::connect(site.proxy.address()).await?;
        client.send(bytes).await?;
        // The client gets an alert, or no bytes at all.
        let _ = client.rest().await;
        let peer = client.local_address()?.to_string();
        let line = site.proxy.line_with(&peer).await?;
        assert!(line.contains(reason), "{}: {line}", bytes.escape_ascii());
        failed += 1;
    }
    for bytes in [&b""[..], HELLO] {
        let mut client = Wire::connect(site.proxy.address()).await?;
        client.send(bytes).await?;
        client.finish().await?;
        assert_eq!(client.end().await?, End::Closed);
        let peer = client.local_address()?.to_string();
        let line = site.proxy.line_with(&peer).await?;
        assert!(
            line.contains("closed the connection during the TLS handshake"),
            "{line}"
        );
        failed += 1;
    }
    assert_eq!(site.handshakes("failed").await?, failed);
    let found = site.client("request", &["--name", NAME]).await?;
    assert_eq!(found[0]["body"], "www");
    Ok(())
}

#[tokio::test]
async fn a_handshake_that_takes_too_long() -> anyhow::Result<()> {
    let site = Site::with("timeout.handshake = \"300ms\"", TLS, |_, _| Ok(())).await?;
    for bytes in [&b""[..], b"\x16", HELLO] {
        let mut client = Wire::connect(site.proxy.address()).await?;
        client.send(bytes).await?;
        client.end().await?;
        let peer = client.local_address()?.to_string();
        let line = site.proxy.line_with(&peer).await?;
        assert!(line.contains("timeout.handshake"), "{line}");
    }
    assert_eq!(site.handshakes("failed").await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_handshake_within_a_session() -> anyhow::Result<()> {
    let site = Site::start(TLS).await?;
    // OpenSSL's client requests a renegotiation on the input `R`.
    let told = site
        .openssl(&["-servername", NAME, "-tls1_2"], "R\n")
        .await?;
    assert!(told.contains("no renegotiation"), "{told}");
    Ok(())
}
