//! Tests of files with certificates and keys, both valid and invalid.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;
use crate::transport::tls::testing::Authority;

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params
}

#[test]
fn each_mistake_has_its_reason() {
    let authority = Authority::new();
    let (leaf, key) = authority.issue(&["example.com"]);
    let (other, other_key) = authority.issue(&["other.example"]);
    let (nameless, nameless_key) = authority.issue(&[]);
    let (leaf, key) = (leaf.pem(), key.serialize_pem());
    let check = |chain: &str, key: &str, expected: &str| {
        let error = Identity::from_pem(chain.as_bytes(), key.as_bytes(), Role::Server);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nnot {expected}");
    };
    check("", &key, "there is no certificate in it");
    check(&key, &key, "there is no certificate in it");
    check(&leaf, &leaf, "there is no private key in it");
    let broken = leaf.replacen("MII", "M!I", 1);
    check(&broken, &key, "it is not valid PEM: ");
    let cut = leaf.rsplit_once("-----END").unwrap().0;
    check(cut, &key, "it is not valid PEM: missing section end marker");
    let none = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check(none, &key, "certificate 1 of the chain cannot be read");
    let second = format!("{leaf}{none}");
    check(&second, &key, "certificate 2 of the chain cannot be read");
    for encrypted in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    ] {
        check(&leaf, encrypted, "the private key is encrypted");
    }
    let unknown = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    check(&leaf, unknown, "the private key is not of a supported kind");
    let other_key = other_key.serialize_pem();
    check(
        &leaf,
        &other_key,
        "does not belong to the first certificate",
    );
    let nameless_key = nameless_key.serialize_pem();
    check(
        &nameless.pem(),
        &nameless_key,
        "no DNS name and no IP address",
    );
    let ca = authority.certificate.pem();
    check(&ca, &key, "is that of a certificate authority");
    let reversed = format!("{ca}{leaf}");
    check(&reversed, &key, "the server's own must come first");
    let unrelated = format!("{leaf}{}", other.pem());
    check(&unrelated, &key, "certificate 2 of the chain, CN=");
}

#[test]
fn a_chain_is_followed_by_names_and_keys() {
    let authority = || {
        let mut params = named("An Intermediate");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), Issuer::new(params, key))
    };
    let (first_pem, first) = authority();
    // Another authority with the same name but a different key.
    let (second_pem, _) = authority();
    let mut params = named("example.com");
    params.subject_alt_names = vec![rcgen::SanType::DnsName("example.com".try_into().unwrap())];
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &first).unwrap().pem();
    let key = key.serialize_pem();
    let read = |chain: &str| Identity::from_pem(chain.as_bytes(), key.as_bytes(), Role::Server);
    let identity = read(&format!("{leaf}{first_pem}")).unwrap();
    assert_eq!(&*identity.facts().subject, "CN=example.com");
    assert_eq!(identity.key.cert.len(), 2);
    let error = read(&format!("{leaf}{second_pem}")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "certificate 2 of the chain, CN=An Intermediate, does not certify the one before it, which was issued by CN=An Intermediate"
    );
    let all_in_one = format!("{key}{leaf}{first_pem}");
    let all_in_one = all_in_one.as_bytes();
    Identity::from_pem(all_in_one, all_in_one, Role::Server).unwrap();
}

#[test]
fn facts_are_those_of_the_first_certificate() {
    let authority = Authority::new();
    let (first, key) = authority.issue(&["example.com"]);
    let (second, _) = authority.issue(&["example.org"]);
    let text = key.serialize_pem() + &first.pem() + &second.pem();
    let facts = CertificateFacts::from_pem(text.as_bytes()).unwrap();
    assert_eq!(facts.names, [Box::from("example.com")]);
    let error = |text: &str| CertificateFacts::from_pem(text.as_bytes()).unwrap_err();
    assert_eq!(error(""), CertificateError::NoCertificate);
    assert_eq!(error(&key.serialize_pem()), CertificateError::NoCertificate);
    let begin = "-----BEGIN CERTIFICATE-----\n";
    let end = "-----END CERTIFICATE-----\n";
    let malformed = format!("{begin}aGVsbG8=\n{end}");
    assert_eq!(error(&malformed), CertificateError::Malformed(1));
    let broken = format!("{begin}!\n{end}");
    assert!(matches!(error(&broken), CertificateError::Pem(_)));
}

#[test]
fn clients_need_no_names() {
    let (nameless, key) = Authority::new().issue(&[]);
    let (chain, key) = (nameless.pem(), key.serialize_pem());
    Identity::from_pem(chain.as_bytes(), key.as_bytes(), Role::Client).unwrap();
}

#[test]
fn a_certificate_is_valid_for_some_time() {
    let mut params = named("example.com");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let (certificate, key) = Authority::new().issue_with(&params);
    let identity = Identity::from_der(certificate.der(), &key.serialize_der()).unwrap();
    let check = |seconds: u64, expected: Option<&str>| {
        let result = identity.check_dates(UNIX_EPOCH + Duration::from_secs(seconds));
        let error = result.err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), expected);
    };
    let early = "the certificate is not valid before Wed, 01 Jan 2020 00:00:00 GMT";
    check(1_577_836_799, Some(early));
    check(1_577_836_800, None);
    check(1_893_456_000, None);
    let late = "the certificate expired on Tue, 01 Jan 2030 00:00:00 GMT";
    check(1_893_456_001, Some(late));
}

/// Encodes a value in DER.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u8::try_from(content.len()).unwrap();
    let mut bytes = vec![tag];
    if length >= 0x80 {
        bytes.push(0x81);
    }
    bytes.push(length);
    bytes.extend_from_slice(&content);
    bytes
}

/// Builds an OCSP response with a single answer. Clients check more of a response than the proxy
/// does.
fn response(version: &[u8], next_update: &[u8]) -> Vec<u8> {
    let time = der(0x18, &[b"20250101000000Z"]);
    let answer = der(
        0x30,
        &[&der(0x30, &[]), &der(0x80, &[]), &time, next_update],
    );
    let responder = der(0xa2, &[&der(0x04, &[b"key"])]);
    let answers = der(0x30, &[&answer]);
    let data = der(0x30, &[version, &responder, &time, &answers]);
    let basic = der(0x30, &[&data, &der(0x30, &[]), &der(0x03, &[&[0]])]);
    let kind = der(0x06, &[&[0x2b, 6, 1, 5, 5, 7, 48, 1, 1]]);
    let bytes = der(0x30, &[&kind, &der(0x04, &[&basic])]);
    der(0x30, &[&der(0x0a, &[&[0]]), &der(0xa0, &[&bytes])])
}

#[test]
fn an_ocsp_response_is_one_and_not_too_old() {
    let (certificate, key) = Authority::new().issue(&["example.com"]);
    let identity = Identity::from_der(certificate.der(), &key.serialize_der()).unwrap();
    let now = UNIX_EPOCH + Duration::from_hours(525_960);
    let check = |bytes: &[u8], expected: Option<&str>| {
        let result = identity.clone().with_ocsp(bytes, now);
        let error = result.as_ref().err().map(ToString::to_string);
        assert_eq!(error.as_deref(), expected, "{bytes:?}");
        if let Ok(identity) = result {
            assert_eq!(identity.key.ocsp.as_deref(), Some(bytes));
        }
    };
    let until = |time: &[u8]| der(0xa0, &[&der(0x18, &[time])]);
    check(&response(&[], &until(b"20300101000000Z")), None);
    let version = der(0xa0, &[&der(0x02, &[&[0]])]);
    check(&response(&version, &until(b"20300101000000Z")), None);
    check(&response(&[], &[]), None);
    check(
        &response(&[], &until(b"20291231235959Z")),
        Some("the OCSP response should have been renewed by Mon, 31 Dec 2029 23:59:59 GMT"),
    );
    let malformed = Some("it is not an OCSP response in DER");
    check(b"", malformed);
    check(certificate.der(), malformed);
    let whole = response(&[], &[]);
    check(&whole[..whole.len() - 1], malformed);
    let later = der(0x30, &[&der(0x0a, &[&[3]])]);
    let status = "the OCSP responder returned error status 3 instead of a response";
    check(&later, Some(status));
}
