//! `[tls.NAME]` and `server.NAME.tls`.

use super::{Reader, check_name};
use crate::config::hints::Section;
use crate::config::reader::{Entry, Table};
use crate::config::{
    Acme, AcmeChallenge, CertificateFiles, ClientCertificates, ServerTls, Tls, TlsVersion, address,
};

const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];

const CHALLENGES: [(&str, AcmeChallenge); 2] = [
    ("http-01", AcmeChallenge::Http01),
    ("tls-alpn-01", AcmeChallenge::TlsAlpn01),
];

/// Whether clients must present a certificate.
const VERIFY: [(&str, bool); 2] = [("required", true), ("optional", false)];

const CERTIFICATE_KEYS: [&str; 3] = ["certificate", "key", "ocsp"];

/// Longest protocol name. Its length is one byte (RFC 7301, section 3.1).
const MAX_PROTOCOL: usize = 255;

impl<'a> Reader<'a> {
    pub(super) fn tls(&self, entry: &Entry<'a>) -> Option<Tls> {
        let mut table = entry.table(Section::Tls)?;
        check_name(entry, "table");
        let several = table.take("certificates");
        let is_one = CERTIFICATE_KEYS.iter().any(|key| table.has(key));
        let mut certificates = Vec::new();
        if let Some(several) = &several {
            table.reject(&CERTIFICATE_KEYS, "belongs in an element of `certificates`");
            certificates.extend(self.certificates(several));
        } else if is_one {
            certificates.extend(self.certificate(&mut table));
        }
        let client_certificates = table.table("client_certificates", Section::ClientCertificates);
        let acme = table.table("acme", Section::Acme);
        if several.is_none() && !is_one && acme.is_none() {
            let example = "`certificate = \"chain.pem\"` and `key = \"key.pem\"`, or `acme`";
            table.missing("certificate", example);
        }
        let tls = Tls {
            name: entry.name.to_owned(),
            certificates,
            strict_sni: table.value_or("strict_sni", false, Entry::boolean),
            versions: table.take("versions").map_or_else(
                || vec![TlsVersion::Tls12, TlsVersion::Tls13],
                |e| versions(&e),
            ),
            alpn: table.take("alpn").map(|e| protocols(&e)),
            client_certificates: client_certificates.and_then(|t| self.client_certificates(t)),
            acme: acme.and_then(|table| self.acme(table)),
        };
        table.finish();
        Some(tls)
    }

    fn certificates(&self, several: &Entry<'a>) -> Vec<CertificateFiles> {
        let elements = several.one_or_many();
        if elements.is_empty() {
            let diagnostic = several.error("has no certificate").label("empty");
            several.push(diagnostic.help("as in `[{ certificate = \"a.pem\", key = \"a.key\" }]`"));
        }
        let read = |element: &Entry<'a>| {
            let mut table = element.table(Section::Certificate)?;
            let files = self.certificate(&mut table);
            table.finish();
            files
        };
        elements.iter().filter_map(read).collect()
    }

    fn certificate(&self, table: &mut Table<'a>) -> Option<CertificateFiles> {
        let certificate = table.require("certificate", "`certificate = \"chain.pem\"`");
        let key = table.require("key", "`key = \"key.pem\"`");
        let ocsp = table.take("ocsp").and_then(|e| self.path(&e));
        Some(CertificateFiles {
            certificate: self.path(&certificate?)?,
            key: self.path(&key?)?,
            ocsp,
        })
    }

    fn client_certificates(&self, mut table: Table<'a>) -> Option<ClientCertificates> {
        let ca = table.require("ca", "`ca = \"clients.pem\"`");
        let is_required = table.value_or("verify", true, |e| e.choice(&VERIFY));
        let crl = table.take("crl").map(|e| e.one_or_many());
        let crl = crl.iter().flatten().filter_map(|e| self.path(e)).collect();
        table.finish();
        Some(ClientCertificates {
            ca: self.path(&ca?)?,
            is_required,
            crl,
        })
    }

    fn acme(&self, mut table: Table<'a>) -> Option<Acme> {
        let names = table.require("names", "`names = \"example.org\"`");
        let names = names.map_or_else(Vec::new, |e| dns_names(&e));
        let contact = table
            .take("contact")
            .map_or_else(Vec::new, |e| contacts(&e));
        let directory = table.require("directory", "the URL of your ACME server's directory");
        let storage = table.require("storage", "`storage = \"/var/lib/pointsman\"`");
        let ca = table.take("ca").and_then(|e| self.path(&e));
        let challenge = table.value_or("challenge", AcmeChallenge::default(), |e| {
            e.choice(&CHALLENGES)
        });
        let accepts = table.require(
            "accept_terms",
            "`accept_terms = true`, if you agree to the terms of the ACME server",
        );
        if let Some(entry) = accepts
            && entry.boolean() == Some(false)
        {
            let diagnostic = entry.error("must be `true`").label("not accepted");
            entry.push(
                diagnostic.help("an ACME server issues certificates only if you accept its terms"),
            );
        }
        table.finish();
        Some(Acme {
            names,
            contact,
            directory: directory.and_then(|e| https_url(&e))?,
            ca,
            storage: self.path(&storage?)?,
            challenge,
        })
    }

    /// Reads a boolean or a table. Returns `None` for `false`, and for a wrong value.
    pub(super) fn server_tls(&self, entry: &Entry<'a>) -> Option<ServerTls> {
        if !entry.is_table() {
            return entry.boolean()?.then(ServerTls::default);
        }
        let mut table = entry.table(Section::ServerTls)?;
        let has_certificate = table.has("certificate") || table.has("key");
        let certificate = has_certificate.then(|| {
            let certificate = table.require("certificate", "`certificate = \"chain.pem\"`");
            let key = table.require("key", "`key = \"key.pem\"`");
            Some(CertificateFiles {
                certificate: self.path(&certificate?)?,
                key: self.path(&key?)?,
                ocsp: None,
            })
        });
        if !has_certificate {
            // Take these keys, so that they are not reported as unknown.
            let _ = (table.take("certificate"), table.take("key"));
        }
        let tls = ServerTls {
            ca: table.take("ca").and_then(|e| self.path(&e)),
            server_name: table.take("server_name").and_then(|e| host_name(&e)),
            certificate: certificate.flatten(),
            danger_accept_invalid: table.value_or("danger_accept_invalid", false, Entry::boolean),
        };
        table.finish();
        Some(tls)
    }
}

fn versions(entry: &Entry<'_>) -> Vec<TlsVersion> {
    let elements = entry.one_or_many();
    if elements.is_empty() {
        let diagnostic = entry.error("has no version").label("empty");
        entry.push(diagnostic.help("as in `[\"1.2\", \"1.3\"]`"));
    }
    let mut versions: Vec<_> = elements
        .iter()
        .filter_map(|element| element.choice(&VERSIONS))
        .collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

fn protocols(entry: &Entry<'_>) -> Vec<String> {
    let read = |element: &Entry<'_>| {
        let text = element.text("h2")?;
        if text.is_empty() || text.len() > MAX_PROTOCOL {
            let diagnostic = element.error("is not an ALPN protocol name");
            element.push(diagnostic.label("1 to 255 bytes").help("as in `\"h2\"`"));
            return None;
        }
        Some(text.to_owned())
    };
    entry.one_or_many().iter().filter_map(read).collect()
}

fn host_name(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text("example.org")?;
    match address::host(text) {
        Ok(host) => Some(host),
        Err(error) => {
            let diagnostic = entry.error("is not a name").label(error.label);
            entry.push(diagnostic.help(error.help));
            None
        }
    }
}

fn dns_names(entry: &Entry<'_>) -> Vec<String> {
    let elements = entry.one_or_many();
    if elements.is_empty() {
        let diagnostic = entry.error("has no name").label("empty");
        entry.push(diagnostic.help("as in `[\"example.org\", \"www.example.org\"]`"));
    }
    let read = |element: &Entry<'_>| {
        let text = element.text("example.org")?;
        if text.starts_with("*.") {
            let diagnostic = element.error("is a wildcard").label("a wildcard");
            let help =
                "wildcards need ACME's DNS challenge, which is not supported: list each name";
            element.push(diagnostic.help(help));
            return None;
        }
        let name = host_name(element)?;
        if name.parse::<std::net::IpAddr>().is_ok() {
            let diagnostic = element.error("is an address").label("not a name");
            element.push(diagnostic.help("as in `\"example.org\"`"));
            return None;
        }
        Some(name)
    };
    elements.iter().filter_map(read).collect()
}

/// Reads contact URLs. If the scheme is missing, `mailto:` is assumed.
fn contacts(entry: &Entry<'_>) -> Vec<String> {
    let read = |element: &Entry<'_>| {
        let text = element.text("admin@example.org")?;
        match text.split_once(':') {
            Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                Some(text.to_owned())
            }
            None if text.contains('@') => Some(format!("mailto:{text}")),
            _ => {
                let diagnostic = element.error("is neither an email address nor a URL");
                let diagnostic = diagnostic.label("not a contact");
                element.push(diagnostic.help("as in `\"admin@example.org\"`"));
                None
            }
        }
    };
    entry.one_or_many().iter().filter_map(read).collect()
}

fn https_url(entry: &Entry<'_>) -> Option<String> {
    const EXAMPLE: &str = "https://acme.example.org/directory";
    let text = entry.text(EXAMPLE)?;
    let uri = text.parse::<http::Uri>().ok();
    let is_https = |uri: &http::Uri| uri.scheme_str() == Some("https") && uri.host().is_some();
    if !uri.as_ref().is_some_and(is_https) {
        let diagnostic = entry
            .error("is not an `https` URL")
            .label("not of the form `https://HOST/...`");
        entry.push(diagnostic.help(format!("as in `\"{EXAMPLE}\"`")));
        return None;
    }
    Some(text.to_owned())
}
