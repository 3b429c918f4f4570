//! Tests that add, change and remove certificates.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::config::Config;
use crate::transport::tls::Role;
use crate::transport::tls::testing::Authority;

/// A directory with a certificate, and sites that use it.
struct Fixture {
    folder: TempDir,
    authority: Authority,
    sites: Arc<Sites>,
}

impl Fixture {
    fn new() -> Fixture {
        let fixture = Fixture {
            folder: tempfile::tempdir().unwrap(),
            authority: Authority::new(),
            sites: Sites::try_new().unwrap(),
        };
        fixture.issue("site", "one.test.tld");
        fixture
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn issue(&self, file: &str, name: &str) {
        let (certificate, key) = self.authority.issue(&[name]);
        self.write(&format!("{file}.pem"), &certificate.pem());
        self.write(&format!("{file}.key"), &key.serialize_pem());
    }

    /// Returns a configuration with this table, and with these elements of `bind`.
    fn config(&self, tls: &str, binds: &str) -> Config {
        let text = format!(
            "[frontend.www]\nbind = [{binds}]\ndefault_backend = \"www\"\n\
             [backend.www]\nserver.www = \"127.0.0.1:9\"\n{tls}"
        );
        let path = self.path("pointsman.toml");
        config::parse(Path::new(&path), text).unwrap().0
    }

    fn site(&self) -> Config {
        self.config(SITE, BIND)
    }

    fn commit(&self, config: &Config) -> Committed {
        let prepared = self.sites.prepare(config, SystemTime::now()).unwrap();
        self.sites.commit(prepared)
    }

    fn refresh(&self) -> Refreshed {
        self.sites.refresh("site", SystemTime::now()).unwrap()
    }

    /// Returns the first name of each certificate in force.
    fn names(&self) -> Vec<String> {
        let sites = self.sites.states();
        let certificates = sites.iter().flat_map(|site| &site.certificates);
        certificates
            .map(|certificate| certificate.facts.names[0].to_string())
            .collect()
    }
}

const SITE: &str = "[tls.site]\ncertificate = \"site.pem\"\nkey = \"site.key\"\n";
const BIND: &str = "{ address = \"*:443\", tls = \"site\" }";

#[test]
fn changed_files_are_adopted_once_they_match() {
    let fixture = Fixture::new();
    assert_eq!(fixture.commit(&fixture.site()), Committed::InForce);
    let server = fixture.sites.server("site", Mode::Http).unwrap();
    assert_eq!(fixture.refresh(), Refreshed::Unchanged);
    // The new chain replaces the old one before its key does.
    fixture.issue("next", "two.test.tld");
    fs::rename(fixture.path("next.pem"), fixture.path("site.pem")).unwrap();
    for expected in [true, false] {
        let Refreshed::Refused {
            reason,
            is_news,
            is_transient,
        } = fixture.refresh()
        else {
            panic!("it does not fit");
        };
        assert!(reason.contains("does not belong"), "{reason}");
        assert_eq!((is_news, is_transient), (expected, false));
    }
    assert_eq!(fixture.names(), ["one.test.tld"]);
    fs::rename(fixture.path("next.key"), fixture.path("site.key")).unwrap();
    assert_eq!(fixture.refresh(), Refreshed::Replaced);
    assert_eq!(fixture.names(), ["two.test.tld"]);
    let same = fixture.sites.server("site", Mode::Http).unwrap();
    assert!(Arc::ptr_eq(&server, &same));
    fs::remove_file(fixture.path("site.key")).unwrap();
    let refused = fixture.refresh();
    let is_transient = matches!(
        refused,
        Refreshed::Refused {
            is_transient: true,
            ..
        }
    );
    assert!(is_transient, "{refused:?}");
}

#[test]
fn a_reload_keeps_what_it_can_and_is_stale_after_a_change() {
    let fixture = Fixture::new();
    fixture.commit(&fixture.site());
    let before = fixture.sites.server("site", Mode::Http).unwrap();
    let strict = fixture.config(&format!("{SITE}strict_sni = true\n"), BIND);
    let early = fixture.sites.prepare(&strict, SystemTime::now()).unwrap();
    fixture.issue("site", "two.test.tld");
    assert_eq!(fixture.refresh(), Refreshed::Replaced);
    assert_eq!(fixture.sites.commit(early), Committed::Stale);
    assert_eq!(fixture.commit(&strict), Committed::InForce);
    let after = fixture.sites.server("site", Mode::Http).unwrap();
    assert!(Arc::ptr_eq(&before, &after));
    let none = fixture.config(SITE, "\"*:80\"");
    fixture.commit(&none);
    assert!(fixture.sites.states().is_empty());
    assert!(fixture.sites.server("site", Mode::Http).is_none());
    let unknown = fixture.sites.refresh("site", SystemTime::now());
    assert_eq!(unknown, Err(UnknownSite("site".to_owned())));
}

#[test]
fn an_issued_certificate_stays_while_acme_is_unchanged() {
    let fixture = Fixture::new();
    let acme = "[tls.site]\nacme = { names = \"a.test.tld\", directory = \
                \"https://acme.test.tld/\", storage = \"acme\", accept_terms = true }\n";
    let config = fixture.config(acme, BIND);
    fixture.commit(&config);
    assert!(fixture.names().is_empty());
    let (certificate, key) = fixture.authority.issue(&["a.test.tld"]);
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes(), Role::Server);
    let identity = identity.unwrap();
    fixture.sites.put("site", identity.clone()).unwrap();
    assert_eq!(fixture.names(), ["a.test.tld"]);
    fixture.commit(&config);
    assert_eq!(fixture.names(), ["a.test.tld"]);
    let other = fixture.config(&acme.replace("a.test.tld", "b.test.tld"), BIND);
    fixture.commit(&other);
    assert!(fixture.names().is_empty());
    let unknown = fixture.sites.put("other", identity);
    assert_eq!(unknown, Err(UnknownSite("other".to_owned())));
}

#[test]
fn a_certificate_that_expires_in_force_stays() {
    let fixture = Fixture::new();
    let config = fixture.site();
    fixture.commit(&config);
    let mut params = CertificateParams::new(["old.test.tld".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &fixture.authority.issuer).unwrap();
    let in_2019 = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 50);
    fixture.write("site.pem", &certificate.pem());
    fixture.write("site.key", &key.serialize_pem());
    // A new certificate that has expired is refused, both by a reload and by a refresh.
    let mistakes = fixture.sites.prepare(&config, SystemTime::now());
    let mistakes = mistakes.expect_err("it has expired");
    assert_eq!(mistakes[0].place, Place::Certificate(0));
    assert!(matches!(fixture.refresh(), Refreshed::Refused { .. }));
    // A certificate that came into force before it expired stays in force.
    let refreshed = fixture.sites.refresh("site", in_2019);
    assert_eq!(refreshed, Ok(Refreshed::Replaced));
    assert_eq!(fixture.refresh(), Refreshed::Unchanged);
    assert_eq!(fixture.commit(&config), Committed::InForce);
    assert_eq!(fixture.names(), ["old.test.tld"]);
}

#[test]
fn each_mode_has_its_protocols() {
    let fixture = Fixture::new();
    let raw = format!(
        "[frontend.raw]\nmode = \"tcp\"\nbind = [{}]\ndefault_backend = \"www\"\n{SITE}",
        BIND.replace("443", "444")
    );
    let config = fixture.config(&raw, BIND);
    fixture.commit(&config);
    let http = fixture.sites.server("site", Mode::Http).unwrap();
    let tcp = fixture.sites.server("site", Mode::Tcp).unwrap();
    assert!(!Arc::ptr_eq(&http, &tcp));
    let alpn = |mode| {
        let state = fixture.sites.state();
        let site = &state.by_name["site"];
        settings(&site.config, mode, &site.material, None).alpn
    };
    assert_eq!(alpn(Mode::Http), [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert!(alpn(Mode::Tcp).is_empty());
}
