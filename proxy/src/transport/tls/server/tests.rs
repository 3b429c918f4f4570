//! Handshakes with the clients of a site.

use std::io::ErrorKind;
use std::time::SystemTime;

use rcgen::{
    CertificateParams, CertificateRevocationListParams, DnType, KeyIdMethod, KeyUsagePurpose,
    RevokedCertParams, SerialNumber,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::transport::io::Io;
use crate::transport::tls::testing::{Authority, read, read_to_end, sockets, tcp_pair, write_all};
use crate::transport::tls::{
    ClientSettings, ClientTls, HandshakeError, PeerName, Role, Roots, TlsFacts, TlsStream,
};

/// A site with certificates of one authority, and clients that trust it.
struct Fixture {
    authority: Authority,
    keys: Arc<TicketKeys>,
    challenges: Arc<Challenges>,
    server: ServerSettings,
    client: ClientSettings,
}

impl Fixture {
    fn new(certificates: &[&[&str]]) -> Fixture {
        let authority = Authority::new();
        let server = ServerSettings {
            name: "site".into(),
            identities: certificates
                .iter()
                .map(|names| identity(&authority, names))
                .collect(),
            min_version: Version::Tls12,
            max_version: Version::Tls13,
            alpn: Vec::new(),
            strict_sni: false,
            clients: ClientPolicy::None,
        };
        let client = ClientSettings {
            roots: Roots::Pem(authority.certificate.pem().into_bytes()),
            identity: None,
            min_version: Version::Tls12,
            max_version: Version::Tls13,
            alpn: Vec::new(),
        };
        Fixture {
            authority,
            keys: TicketKeys::new().unwrap(),
            challenges: Arc::default(),
            server,
            client,
        }
    }

    fn server(&self) -> ServerTls {
        let (keys, challenges) = (Arc::clone(&self.keys), Arc::clone(&self.challenges));
        ServerTls::new(&self.server, keys, challenges).unwrap()
    }

    fn client(&self) -> ClientTls {
        ClientTls::new(&self.client).unwrap()
    }
}

fn identity(authority: &Authority, names: &[&str]) -> Identity {
    let (certificate, key) = authority.issue(names);
    let (chain, key) = (certificate.pem(), key.serialize_pem());
    Identity::from_pem(chain.as_bytes(), key.as_bytes(), Role::Server).unwrap()
}

type Result<T = Box<TlsStream>> = std::result::Result<T, HandshakeError>;

async fn handshake(client: &ClientTls, name: &str, server: &ServerTls) -> (Result, Result) {
    let (near, far) = sockets().await;
    let name = PeerName::parse(name).unwrap();
    tokio::join!(client.connect(near, &name), server.accept(far))
}

/// Exchanges bytes until the client has received its tickets. Returns the server's facts.
async fn talk(client: &ClientTls, name: &str, server: &ServerTls) -> TlsFacts {
    let (client, server) = handshake(client, name, server).await;
    let server = server.unwrap();
    let facts = server.facts();
    let (mut client, mut server) = (Io::tls(client.unwrap()), Io::tls(server));
    for _ in 0..2 {
        write_all(&mut client, b"x").await.unwrap();
        read(&mut server, &mut [0]).await.unwrap();
        write_all(&mut server, b"y").await.unwrap();
        read(&mut client, &mut [0]).await.unwrap();
    }
    facts
}

const VERSIONS: [(Version, &str); 2] = [(Version::Tls12, "TLSv1.2"), (Version::Tls13, "TLSv1.3")];

#[tokio::test]
async fn both_sides_agree_on_a_version_and_a_protocol() {
    for (version, name) in VERSIONS {
        let mut fixture = Fixture::new(&[&["example.com"]]);
        fixture.client.max_version = version;
        fixture.client.min_version = version;
        fixture.client.alpn = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        fixture.server.alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let facts = talk(&fixture.client(), "Example.com", &fixture.server()).await;
        assert_eq!(facts.version, name);
        assert_eq!(facts.server_name.as_deref(), Some("example.com"));
        assert_eq!(facts.alpn.as_deref(), Some(b"h2".as_slice()));
        assert!(facts.cipher.starts_with("TLS"), "{}", facts.cipher);
        assert!(!facts.resumed && !facts.is_challenge());
        assert_eq!(facts.client_certificate, None);
        // There is no protocol in common.
        fixture.server.alpn = vec![b"h3".to_vec()];
        let (client, server) = handshake(&fixture.client(), "example.com", &fixture.server()).await;
        let error = client.unwrap_err().to_string();
        assert!(error.contains("NoApplicationProtocol"), "{error}");
        assert!(server.is_err());
        // The server has no list of protocols.
        fixture.server.alpn.clear();
        let facts = talk(&fixture.client(), "example.com", &fixture.server()).await;
        assert_eq!(facts.alpn, None);
        let other = match version {
            Version::Tls12 => Version::Tls13,
            Version::Tls13 => Version::Tls12,
        };
        (fixture.server.min_version, fixture.server.max_version) = (other, other);
        let (client, server) = handshake(&fixture.client(), "example.com", &fixture.server()).await;
        assert!(
            matches!(client, Err(HandshakeError::Refused(_))),
            "{client:?}"
        );
        assert!(server.is_err());
    }
}

/// Returns the first name of the certificate that a client receives if it requests `name`.
async fn shown(fixture: &Fixture, name: &str) -> Result<String> {
    let mut settings = fixture.client.clone();
    settings.roots = Roots::DangerAcceptInvalid;
    let client = ClientTls::new(&settings).unwrap();
    let (client, server) = handshake(&client, name, &fixture.server()).await;
    server?;
    let certificate = client?.peer_certificate().unwrap();
    Ok(certificate.names[0].clone().into())
}

#[tokio::test]
async fn the_name_chooses_the_certificate() {
    let mut fixture = Fixture::new(&[
        &["first.example", "second.example"],
        &["*.example.com"],
        &["exact.example.com"],
    ]);
    for strict in [false, true] {
        fixture.server.strict_sni = strict;
        for (name, expected) in [
            ("first.example", "first.example"),
            ("SECOND.example", "first.example"),
            ("a.example.com", "*.example.com"),
            ("exact.example.com", "exact.example.com"),
        ] {
            assert_eq!(shown(&fixture, name).await.unwrap(), expected, "{name}");
        }
        // A wildcard stands for one label; an address is not sent as a name.
        for name in [
            "a.b.example.com",
            "example.com",
            "other.example",
            "127.0.0.1",
        ] {
            let shown = shown(&fixture, name).await;
            if !strict {
                assert_eq!(shown.unwrap(), "first.example", "{name}");
                continue;
            }
            let error = shown.unwrap_err().to_string();
            let asked = match name {
                "127.0.0.1" => String::new(),
                name => format!(": \"{name}\""),
            };
            let expected = format!("no certificate has the name that the client requested{asked}");
            assert_eq!(error, expected);
            let (client, _) = handshake(&fixture.client(), name, &fixture.server()).await;
            let error = client.unwrap_err().to_string();
            assert!(error.contains("UnrecognisedName"), "{error}");
        }
    }
}

/// Creates a certificate for a client.
fn client_identity(authority: &Authority, serial: u64) -> Identity {
    let mut params = CertificateParams::new([]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "A Client");
    params.serial_number = Some(SerialNumber::from(serial));
    let uri = "spiffe://example.com/a".try_into().unwrap();
    params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
    let (certificate, key) = authority.issue_with(&params);
    let (chain, key) = (certificate.pem(), key.serialize_pem());
    Identity::from_pem(chain.as_bytes(), key.as_bytes(), Role::Client).unwrap()
}

/// Returns the results of both sides after the client has read. In TLS 1.3, a client learns only
/// when it reads that it was rejected.
async fn ask(fixture: &Fixture) -> (Result<TlsFacts>, std::io::Result<Vec<u8>>) {
    let (client, server) = handshake(&fixture.client(), "example.com", &fixture.server()).await;
    let facts = server.map(|server| {
        let facts = server.facts();
        drop(server);
        facts
    });
    let seen = match client {
        Ok(client) => read_to_end(&mut Io::tls(client)).await,
        Err(error) => Err(std::io::Error::other(error.to_string())),
    };
    (facts, seen)
}

#[tokio::test]
async fn clients_present_certificates_if_required() {
    for (version, _) in VERSIONS {
        let mut fixture = Fixture::new(&[&["example.com"]]);
        fixture.client.max_version = version;
        let authority = ClientAuthority {
            ca: fixture.authority.certificate.pem().into_bytes(),
            crl: None,
        };
        fixture.server.clients = ClientPolicy::Optional(authority.clone());
        let (facts, seen) = ask(&fixture).await;
        assert_eq!(facts.unwrap().client_certificate, None);
        assert_eq!(seen.unwrap(), b"");
        fixture.server.clients = ClientPolicy::Required(authority.clone());
        let (facts, seen) = ask(&fixture).await;
        assert!(
            matches!(facts, Err(HandshakeError::NoCertificate)),
            "{facts:?}"
        );
        assert!(
            seen.unwrap_err().to_string().contains("ertificateRequired")
                || version == Version::Tls12
        );
        fixture.client.identity = Some(client_identity(&fixture.authority, 7));
        for policy in [ClientPolicy::Optional, ClientPolicy::Required] {
            fixture.server.clients = policy(authority.clone());
            let (facts, seen) = ask(&fixture).await;
            let certificate = facts.unwrap().client_certificate.unwrap();
            assert_eq!(seen.unwrap(), b"");
            assert_eq!(&*certificate.subject, "CN=A Client");
            assert_eq!(&*certificate.names[0], "spiffe://example.com/a");
            assert_eq!(&*certificate.serial, "7");
        }
        // A certificate of an untrusted authority.
        fixture.client.identity = Some(client_identity(&Authority::new(), 7));
        let (facts, seen) = ask(&fixture).await;
        let error = facts.unwrap_err().to_string();
        assert!(error.contains("certificate is not accepted"), "{error}");
        assert!(seen.is_err());
    }
}

/// Creates a revocation list with one certificate.
fn revocations(authority: &Authority, serial: u64, year: i32) -> Vec<u8> {
    let list = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(year, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: rcgen::date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&authority.issuer).unwrap();
    list.pem().unwrap().into_bytes()
}

#[tokio::test]
async fn revoked_certificates_are_refused() {
    let mut fixture = Fixture::new(&[&["example.com"]]);
    let mut check = async |serial: u64, year: i32, expected: Option<&str>| {
        fixture.client.identity = Some(client_identity(&fixture.authority, serial));
        fixture.server.clients = ClientPolicy::Required(ClientAuthority {
            ca: fixture.authority.certificate.pem().into_bytes(),
            crl: Some(revocations(&fixture.authority, 7, year)),
        });
        let (facts, _) = ask(&fixture).await;
        let error = facts.err().map(|error| error.to_string());
        let expected =
            expected.map(|reason| format!("the peer's certificate is not accepted: {reason}"));
        assert_eq!(error, expected);
    };
    check(7, 2099, Some("it was revoked")).await;
    check(8, 2099, None).await;
    let old = "the revocation list should have been renewed by Fri, 01 Jan 2021 00:00:00 GMT";
    check(8, 2021, Some(old)).await;
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let check = |change: &dyn Fn(&mut ServerSettings, String), expected: &str| {
        let mut fixture = Fixture::new(&[&["example.com"]]);
        let ca = fixture.authority.certificate.pem();
        change(&mut fixture.server, ca);
        let result = ServerTls::new(&fixture.server, fixture.keys, fixture.challenges);
        let error = result.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    };
    let no_version = |settings: &mut ServerSettings, _| {
        settings.min_version = Version::Tls13;
        settings.max_version = Version::Tls12;
    };
    check(&no_version, "no version of TLS is allowed");
    let authority = |ca: &str, crl: Option<&str>| {
        ClientPolicy::Required(ClientAuthority {
            ca: ca.into(),
            crl: crl.map(Into::into),
        })
    };
    let none = "the certificates of client authorities cannot be read: there is none in it";
    check(&|settings, _| settings.clients = authority("", None), none);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let expected = "the certificates of client authorities cannot be read: certificate 1: ";
    check(
        &|settings, _| settings.clients = authority(broken, None),
        expected,
    );
    let none = "the revocation list cannot be read: there is none in it";
    check(
        &|settings, ca| settings.clients = authority(&ca, Some("")),
        none,
    );
    let broken = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    let expected = "the revocation list cannot be read: ";
    check(
        &|settings, ca| settings.clients = authority(&ca, Some(broken)),
        expected,
    );
}

#[tokio::test]
async fn sessions_resume_only_at_the_same_site() {
    for (version, _) in VERSIONS {
        let mut fixture = Fixture::new(&[&["example.com"]]);
        fixture.client.max_version = version;
        fixture.client.identity = Some(client_identity(&fixture.authority, 7));
        let policy = |crl| ClientAuthority {
            ca: fixture.authority.certificate.pem().into_bytes(),
            crl,
        };
        let (plain, listed) = (
            policy(None),
            policy(Some(revocations(&fixture.authority, 9, 2099))),
        );
        fixture.server.clients = ClientPolicy::Required(plain.clone());
        let (client, server) = (fixture.client(), fixture.server());
        assert!(!talk(&client, "example.com", &server).await.resumed);
        let facts = talk(&client, "example.com", &server).await;
        assert!(facts.resumed, "{version:?}");
        let certificate = facts.client_certificate.unwrap();
        assert_eq!(
            &*certificate.subject, "CN=A Client",
            "of the first handshake"
        );
        // A new `ServerTls` stands for another worker, or for another frontend with the same site.
        assert!(
            talk(&client, "example.com", &fixture.server())
                .await
                .resumed
        );
        // The next process has these keys after an upgrade.
        let exported = fixture.keys.export();
        fixture.keys = TicketKeys::new().unwrap();
        fixture.keys.import(&exported).unwrap();
        assert!(
            talk(&client, "example.com", &fixture.server())
                .await
                .resumed
        );
        // No session is resumed under another policy or at another site.
        for policy in [
            ClientPolicy::Optional(plain.clone()),
            ClientPolicy::Required(listed.clone()),
            ClientPolicy::None,
        ] {
            fixture.server.clients = policy;
            assert!(
                !talk(&client, "example.com", &fixture.server())
                    .await
                    .resumed
            );
            // Replaced settings apply at once.
            server.replace(&fixture.server).unwrap();
            assert!(talk(&client, "example.com", &server).await.resumed);
        }
        fixture.server.name = "other".into();
        assert!(
            !talk(&client, "example.com", &fixture.server())
                .await
                .resumed
        );
        // The last session is resumed with the same keys, but not with the keys of an unrelated
        // process.
        assert!(
            talk(&client, "example.com", &fixture.server())
                .await
                .resumed
        );
        fixture.keys = TicketKeys::new().unwrap();
        assert!(
            !talk(&client, "example.com", &fixture.server())
                .await
                .resumed
        );
    }
}

#[tokio::test]
async fn settings_are_replaced_while_connections_continue() {
    let mut fixture = Fixture::new(&[&["old.example"]]);
    let server = fixture.server();
    let (client, old) = handshake(&fixture.client(), "old.example", &server).await;
    let (mut client, mut old) = (Io::tls(client.unwrap()), Io::tls(old.unwrap()));
    fixture.server.identities = vec![identity(&fixture.authority, &["new.example"])];
    server.replace(&fixture.server).unwrap();
    talk(&fixture.client(), "new.example", &server).await;
    let (refused, _) = handshake(&fixture.client(), "old.example", &server).await;
    let error = refused.unwrap_err().to_string();
    assert!(
        error.contains("it is for new.example, not for old.example"),
        "{error}"
    );
    write_all(&mut client, b"still here").await.unwrap();
    let mut buffer = [0; 20];
    assert_eq!(read(&mut old, &mut buffer).await.unwrap(), 10);
    // Rejected settings change nothing.
    fixture.server.min_version = Version::Tls13;
    fixture.server.max_version = Version::Tls12;
    server.replace(&fixture.server).unwrap_err();
    talk(&fixture.client(), "new.example", &server).await;
    // Without any certificate, every name is rejected.
    fixture.server.max_version = Version::Tls13;
    fixture.server.identities.clear();
    server.replace(&fixture.server).unwrap();
    let (_, refused) = handshake(&fixture.client(), "new.example", &server).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, HandshakeError::UnrecognizedName(_)),
        "{refused}"
    );
}

#[tokio::test]
async fn a_challenge_is_answered_if_it_is_all_that_is_asked_for() {
    let mut fixture = Fixture::new(&[&["example.com"]]);
    fixture.server.alpn = vec![b"http/1.1".to_vec()];
    fixture.server.strict_sni = true;
    // The client that requests the challenge has no certificate.
    fixture.server.clients = ClientPolicy::Required(ClientAuthority {
        ca: fixture.authority.certificate.pem().into_bytes(),
        crl: None,
    });
    fixture.client.roots = Roots::DangerAcceptInvalid;
    fixture.client.alpn = vec![b"acme-tls/1".to_vec()];
    let challenge = identity(&fixture.authority, &["new.example"]);
    fixture.challenges.insert("New.example", &challenge);
    let server = fixture.server();
    let (client, accepted) = handshake(&fixture.client(), "new.example", &server).await;
    assert!(accepted.unwrap().facts().is_challenge());
    let shown = client.unwrap().peer_certificate().unwrap();
    assert_eq!(&shown, challenge.facts());
    let (client, accepted) = handshake(&fixture.client(), "example.com", &server).await;
    assert!(client.is_err());
    assert!(matches!(
        accepted,
        Err(HandshakeError::UnrecognizedName(Some(_)))
    ));
    fixture.challenges.remove("new.example");
    let (_, accepted) = handshake(&fixture.client(), "new.example", &server).await;
    assert!(accepted.is_err());
    // If the client also offers other protocols, it is not a challenge.
    fixture.challenges.insert("example.com", &challenge);
    fixture.client.alpn.push(b"http/1.1".to_vec());
    fixture.client.identity = Some(client_identity(&fixture.authority, 1));
    let facts = talk(&fixture.client(), "example.com", &server).await;
    assert_eq!(facts.alpn.as_deref(), Some(b"http/1.1".as_slice()));
}

#[tokio::test]
async fn anything_but_a_client_hello_is_refused() {
    let fixture = Fixture::new(&[&["example.com"]]);
    let server = fixture.server();
    let check = async |bytes: &[u8], expected: &str| {
        let (mut client, accepted) = tcp_pair().await;
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let error = server.accept(Socket::Tcp(accepted)).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        let mut alert = Vec::new();
        match client.read_to_end(&mut alert).await {
            Ok(_) => {}
            // The server closed its socket with unread bytes in it.
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        alert
    };
    let closed = "the peer closed the connection during the TLS handshake";
    check(b"", closed).await;
    check(b"\x16\x03\x01\x02\x00\x01\x00", closed).await;
    let alert = check(b"GET / HTTP/1.1\r\n\r\n", "the peer does not speak TLS").await;
    assert_eq!(alert.first(), Some(&21));
    // A record that is larger than allowed.
    let (mut client, accepted) = tcp_pair().await;
    client.write_all(b"\x16\x03\x01\xff\xff").await.unwrap();
    let error = server.accept(Socket::Tcp(accepted)).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Failed(_)), "{error}");
    // A message that is larger than allowed, in small records.
    let (mut client, accepted) = tcp_pair().await;
    let endless = async {
        let mut record = b"\x16\x03\x01\x10\x00".to_vec();
        record.extend_from_slice(b"\x01\xff\xff\xff");
        record.resize(5 + 0x1000, 0);
        while client.write_all(&record).await.is_ok() {}
    };
    let accept = async {
        let result = server.accept(Socket::Tcp(accepted)).await;
        result.unwrap_err()
    };
    tokio::join!(endless, accept);
}

#[tokio::test]
async fn both_kinds_of_keys_may_serve_one_name() {
    let mut fixture = Fixture::new(&[&["example.com"]]);
    let authority = &fixture.authority;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = CertificateParams::new(["example.com".to_owned()]).unwrap();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let chain = certificate.pem();
    let edwards = Identity::from_pem(
        chain.as_bytes(),
        key.serialize_pem().as_bytes(),
        Role::Server,
    )
    .unwrap();
    edwards.check_dates(SystemTime::now()).unwrap();
    fixture.server.identities.push(edwards);
    talk(&fixture.client(), "example.com", &fixture.server()).await;
    fixture.server.identities.reverse();
    talk(&fixture.client(), "example.com", &fixture.server()).await;
}
