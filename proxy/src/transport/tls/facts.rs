//! Facts about certificates and sessions, without types of rustls.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use rustls::{Connection, HandshakeKind, ProtocolVersion};
use sha2::{Digest as _, Sha256};
use x509_parser::asn1_rs::ToDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// ALPN protocol of connections that only verify an ACME challenge's certificate.
pub(super) const CHALLENGE_PROTOCOL: &[u8] = b"acme-tls/1";

/// Negotiated properties of a TLS connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// The name that the client requested, in lower case. Set only on the server side.
    pub server_name: Option<Box<str>>,
    /// The protocol negotiated by ALPN, such as `h2`.
    pub alpn: Option<Box<[u8]>>,
    /// The version, such as `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, such as `TLS13_AES_128_GCM_SHA256`.
    pub cipher: Box<str>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The client's verified certificate, also for a resumed session. Set only on the server side.
    pub client_certificate: Option<Box<CertificateFacts>>,
}

/// Contents of a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject in the form of RFC 4514: `CN=example.com,O=Example`.
    pub subject: Box<str>,
    /// The issuer in the same form.
    pub issuer: Box<str>,
    /// DNS names (in lower case), addresses and URIs of `subjectAltName`, in its order.
    pub names: Vec<Box<str>>,
    /// Serial number in lower-case hexadecimal, without leading zeros.
    pub serial: Box<str>,
    /// SHA-256 of the certificate in lower-case hexadecimal.
    pub sha256: Box<str>,
    /// Start of validity, in seconds since 1970.
    pub not_before: i64,
    /// End of validity, in seconds since 1970.
    pub not_after: i64,
}

impl TlsFacts {
    /// Returns whether the connection was made only for an ACME challenge (RFC 8737). The caller
    /// must then close it.
    pub fn is_challenge(&self) -> bool {
        self.alpn.as_deref() == Some(CHALLENGE_PROTOCOL)
    }

    /// Returns the facts of a session whose handshake is complete.
    pub(super) fn of(session: &Connection) -> TlsFacts {
        let (server_name, client_certificate) = match session {
            Connection::Server(session) => (
                session.server_name().map(str::to_ascii_lowercase),
                session.peer_certificates().and_then(<[_]>::first),
            ),
            Connection::Client(_) => (None, None),
        };
        TlsFacts {
            server_name: server_name.map(String::into_boxed_str),
            alpn: session.alpn_protocol().map(Into::into),
            version: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            },
            cipher: session
                .negotiated_cipher_suite()
                .map(|suite| format!("{:?}", suite.suite()))
                .unwrap_or_default()
                .into(),
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            client_certificate: client_certificate
                .and_then(|der| CertificateFacts::from_der(der))
                .map(Box::new),
        }
    }
}

impl CertificateFacts {
    /// Returns the end of validity, in seconds since 1970, or 0 if it is before 1970.
    pub fn not_after(&self) -> u64 {
        self.not_after.try_into().unwrap_or_default()
    }

    /// Parses a certificate. Returns `None` if `der` is not one.
    pub fn from_der(der: &[u8]) -> Option<CertificateFacts> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(CertificateFacts::new(der, &certificate))
    }

    pub(super) fn new(der: &[u8], certificate: &X509Certificate<'_>) -> CertificateFacts {
        let validity = certificate.validity();
        let serial = hex(certificate.raw_serial());
        let serial = serial.trim_start_matches('0');
        CertificateFacts {
            subject: rfc4514(certificate.subject()).into(),
            issuer: rfc4514(certificate.issuer()).into(),
            names: names(certificate),
            serial: if serial.is_empty() { "0" } else { serial }.into(),
            sha256: hex(&Sha256::digest(der)).into(),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn names(certificate: &X509Certificate<'_>) -> Vec<Box<str>> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = &extension.value.general_names;
    names.iter().filter_map(name).collect()
}

fn name(name: &GeneralName<'_>) -> Option<Box<str>> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into()),
        GeneralName::URI(uri) => Some((*uri).into()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string().into()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// Formats a distinguished name in the form of RFC 4514, with the last part first.
pub(super) fn rfc4514(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type();
    match (short_name(oid), attribute.as_str()) {
        (Some(short), Ok(value)) => format!("{short}={}", escaped(value)),
        // RFC 4514, section 2.4: in hexadecimal, with its DER header.
        _ => format!("{oid}=#{}", hex(&with_header(attribute))),
    }
}

/// Returns the keyword of an attribute: one of RFC 4514, section 3, or the well-known one for email
/// addresses.
fn short_name(oid: &Oid<'_>) -> Option<&'static str> {
    Some(match oid.to_id_string().as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.6" => "C",
        "2.5.4.9" => "STREET",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

fn with_header(attribute: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    attribute.attr_value().to_der_vec_raw().unwrap_or_default()
}

/// Escapes a value (RFC 4514, section 2.4). Also escapes control characters, because the name goes
/// into header fields and logs.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
            '#' if at == 0 => text.push_str("\\#"),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            c if c.is_control() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(text, "\\{byte:02x}");
                }
            }
            c => text.push(c),
        }
    }
    text
}

/// Formats a time in seconds since 1970 in human-readable form.
pub fn date(seconds: i64) -> String {
    // Latest time that HTTP can express. Certificates that never expire have a later `not_after`.
    const LATEST: u64 = 253_402_300_799;
    let seconds = u64::try_from(seconds).unwrap_or_default().min(LATEST);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType, SerialNumber};

    use super::*;

    fn facts(change: impl FnOnce(&mut CertificateParams)) -> CertificateFacts {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        CertificateFacts::from_der(certificate.der()).unwrap()
    }

    #[test]
    fn names_are_written_as_rfc_4514_has_it() {
        let check = |parts: &[(DnType, &str)], expected: &str| {
            let facts = facts(|params| {
                for (kind, value) in parts {
                    let value = DnValue::Utf8String((*value).into());
                    params.distinguished_name.push(kind.clone(), value);
                }
            });
            assert_eq!(&*facts.subject, expected);
            assert_eq!(facts.subject, facts.issuer);
        };
        let unit = || DnType::OrganizationalUnitName;
        check(&[], "");
        check(
            &[
                (DnType::CountryName, "DE"),
                (DnType::OrganizationName, "Müller, Söhne + Co."),
                (DnType::CommonName, "router"),
            ],
            r"CN=router,O=Müller\, Söhne \+ Co.,C=DE",
        );
        check(&[(unit(), " # ")], r"OU=\ #\ ");
        check(&[(unit(), "#1\\\"<>;")], r#"OU=\#1\\\"\<\>\;"#);
        check(&[(unit(), "a\r\nb\0")], r"OU=a\0d\0ab\00");
        let other = DnType::CustomDnType(vec![1, 2, 3, 4]);
        check(&[(other, "x")], "1.2.3.4=#0c0178");
    }

    #[test]
    fn alternative_names_and_numbers() {
        let facts = facts(|params| {
            let text = |text: &str| Ia5String::try_from(text).unwrap();
            params.subject_alt_names = vec![
                SanType::DnsName(text("Example.COM")),
                SanType::DnsName(text("*.example.com")),
                SanType::Rfc822Name(text("nobody@example.com")),
                SanType::IpAddress([192, 0, 2, 1].into()),
                SanType::URI(text("spiffe://example.com/Router")),
            ];
            params.serial_number = Some(SerialNumber::from(vec![0x0a, 0xbc]));
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        });
        let names: Vec<&str> = facts.names.iter().map(|name| &**name).collect();
        let expected = ["example.com", "*.example.com", "192.0.2.1"];
        assert_eq!(names[..3], expected);
        assert_eq!(names[3..], ["spiffe://example.com/Router"]);
        assert_eq!(&*facts.serial, "abc");
        assert_eq!(facts.sha256.len(), 64);
        let valid = (facts.not_before, facts.not_after);
        assert_eq!(valid, (1_577_836_800, 1_893_456_000));
        assert_eq!(CertificateFacts::from_der(b"no certificate"), None);
    }
}
