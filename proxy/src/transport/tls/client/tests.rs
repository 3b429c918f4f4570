//! Handshakes with servers: those that a client accepts, and the errors for the others.

use rcgen::CertificateParams;

use super::*;
use crate::transport::tls::testing::{Authority, sockets};
use crate::transport::tls::{
    Challenges, ClientPolicy, Role, ServerSettings, ServerTls, TicketKeys,
};

fn settings(roots: Roots) -> ClientSettings {
    ClientSettings {
        roots,
        identity: None,
        min_version: Version::Tls12,
        max_version: Version::Tls13,
        alpn: Vec::new(),
    }
}

/// Returns the error, if any, of a client with `roots` that connects to a server with such a
/// certificate.
async fn said(authority: &Authority, params: &CertificateParams, roots: Roots) -> Option<String> {
    let (certificate, key) = authority.issue_with(params);
    let (chain, key) = (certificate.pem(), key.serialize_pem());
    let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes(), Role::Server).unwrap();
    let server = ServerSettings {
        name: String::new(),
        identities: vec![identity],
        min_version: Version::Tls12,
        max_version: Version::Tls13,
        alpn: Vec::new(),
        strict_sni: false,
        clients: ClientPolicy::None,
    };
    let challenges = Arc::<Challenges>::default();
    let server = ServerTls::new(&server, TicketKeys::new().unwrap(), challenges).unwrap();
    let client = ClientTls::new(&settings(roots)).unwrap();
    let (near, far) = sockets().await;
    let name = PeerName::parse("example.com").unwrap();
    let (client, _) = tokio::join!(client.connect(near, &name), server.accept(far));
    client.err().map(|error| error.to_string())
}

#[tokio::test]
async fn servers_are_accepted_or_there_is_a_reason() {
    let authority = Authority::new();
    let ours = || Roots::Pem(authority.certificate.pem().into_bytes());
    let check = async |change: &dyn Fn(&mut CertificateParams), roots: Roots, expected: &str| {
        let mut params = CertificateParams::new(["example.com".to_owned()]).unwrap();
        change(&mut params);
        let said = said(&authority, &params, roots).await.unwrap_or_default();
        let said = said.trim_start_matches("the peer's certificate is not accepted: ");
        assert_eq!(said, expected);
    };
    check(&|_| {}, ours(), "").await;
    let others = Roots::Pem(Authority::new().certificate.pem().into_bytes());
    // Another authority with the same name but a different key.
    check(&|_| {}, others, "its signature is wrong").await;
    check(&|_| {}, Roots::DangerAcceptInvalid, "").await;
    let expired = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    };
    let text = "it expired on Fri, 01 Jan 2021 00:00:00 GMT";
    check(&expired, ours(), text).await;
    check(&expired, Roots::DangerAcceptInvalid, "").await;
    let early = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2090, 1, 1);
        params.not_after = rcgen::date_time_ymd(2091, 1, 1);
    };
    let text = "it is not valid before Sun, 01 Jan 2090 00:00:00 GMT";
    check(&early, ours(), text).await;
    let other_names = |params: &mut CertificateParams| {
        let names = ["a.example".to_owned(), "*.b.example".to_owned()];
        params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
    };
    let text = "it is for a.example, *.b.example, not for example.com";
    check(&other_names, ours(), text).await;
}

#[test]
fn settings_and_names_are_checked() {
    let roots = |pem: &str| settings(Roots::Pem(pem.into()));
    let error = |settings: &ClientSettings| ClientTls::new(settings).unwrap_err().to_string();
    assert_eq!(
        error(&roots("")),
        "the certificates of authorities cannot be read: there is none in it"
    );
    let none = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let expected = "the certificates of authorities cannot be read: certificate 1: ";
    assert!(error(&roots(none)).starts_with(expected));
    for (name, is_valid) in [
        ("example.com", true),
        ("127.0.0.1", true),
        ("::1", true),
        ("", false),
        ("a b", false),
        ("*.example.com", false),
        ("[::1]", false),
    ] {
        assert_eq!(PeerName::parse(name).is_ok(), is_valid, "{name}");
    }
}
