//! Tests of an instance in its proxy: questions, tables, backends, log.

use super::*;
use crate::backends;
use crate::questions::{self, LookUp, Matcher, Share, Usable, Value};
use crate::{Error, NoConfig};

struct Everything {
    site: Matcher<&'static str>,
    nothing: Matcher<()>,
    canary: Share,
    everyone: Share,
    tenant: LookUp,
    session: Value,
    up: Usable,
}

impl Router for Everything {
    type Config = NoConfig;

    fn configure(_: NoConfig) -> Result<Self, Error> {
        let sites = [("a.test", "a"), ("b.test", "b"), ("c.test", "a")];
        Ok(Self {
            site: questions::exact("host").ignore_case().entries(sites)?,
            nothing: questions::regex("path").entries([] as [(&str, ()); 0])?,
            canary: questions::share("cookie:s", "canary", 50_000)?,
            everyone: questions::share("cookie:s", "all", 1_000_000)?,
            tenant: questions::look_up("tenants", "header:x-tenant")?,
            session: questions::value("cookie:s")?,
            up: questions::usable("a")?,
        })
    }

    fn route(&self, request: &Request) -> Result<Decision, Error> {
        crate::info!("{}", request.ask(&self.canary));
        assert_eq!(request.ask(&self.nothing), None);
        request.set_affinity_by(&self.session);
        request.tag_by("tenant", &self.tenant);
        request.set_header_by("x-tenant", &self.tenant)?;
        if let Some(site) = request.ask(&self.site) {
            return Ok(Decision::backend(*site));
        }
        let tenant = request.ask(&self.tenant).unwrap_or_default();
        request.tag(
            "session",
            if request.ask(&self.everyone) {
                "yes"
            } else {
                "no"
            },
        );
        if !request.ask(&self.up) {
            return Err(Error::new("down"));
        }
        Ok(Decision::backend(String::from_utf8_lossy(&tenant)))
    }
}

crate::export!(Everything);

fn instance() -> Instance<Everything> {
    let proxy = Proxy::new(&["a", "b"]).table("tenants", &[("acme", "b")]);
    proxy.configure("{}").unwrap()
}

#[test]
fn questions_are_answered() {
    let router = instance();
    // Equal values share a number.
    assert_eq!(router.router().site.values(), ["a", "b"]);
    let request = RequestBuilder::get("/").header("host", "C.test:80").build();
    assert_eq!(router.route(&request), Ok(Decision::backend("a")));
    assert_eq!(options(&request), Options::default());
    assert_eq!(edits(&request), [Edit::RemoveHeader("x-tenant".into())]);

    // An answer that HTTP does not allow in a field counts as no answer.
    router.set_table("tenants", &[("odd", "b\nc"), ("acme", "b")]);
    let request = RequestBuilder::get("/").header("x-tenant", "odd").build();
    assert!(router.route(&request).is_ok());
    assert_eq!(edits(&request), [Edit::RemoveHeader("x-tenant".into())]);
    router.take_log();

    let request = RequestBuilder::get("/")
        .header("x-tenant", "acme")
        .header("cookie", "s=1")
        .in_share("canary")
        .build();
    assert_eq!(router.route(&request), Ok(Decision::backend("b")));
    let expected = Options {
        affinity: Some(b"1".into()),
        tags: vec![
            ("tenant".into(), b"b".into()),
            ("session".into(), b"yes".into()),
        ],
        ..Options::default()
    };
    assert_eq!(options(&request), expected);
    assert_eq!(
        edits(&request),
        [Edit::SetHeader("x-tenant".into(), b"b".into())]
    );
    assert_eq!(router.take_log(), [(Level::Info, "true".to_owned())]);
}

#[test]
fn tables_and_backends_change_under_an_instance() {
    let (router, other) = (instance(), instance());
    router.set_table("tenants", &[("acme", "a")]);
    let request = RequestBuilder::get("/").header("x-tenant", "acme").build();
    assert_eq!(router.route(&request), Ok(Decision::backend("a")));
    assert_eq!(other.route(&request), Ok(Decision::backend("b")));
    router.set_backend("a", State::default());
    assert_eq!(router.route(&request), Err("down".to_owned()));
    let server = Server {
        name: "s1".to_owned(),
        usable: true,
        ..Server::default()
    };
    router.set_servers("a", vec![server.clone()]);
    assert_eq!(router.route(&request), Ok(Decision::backend("a")));
    assert_eq!(backends::servers("a"), Some(vec![server]));
    assert_eq!(backends::names(), ["a", "b"]);
    assert_eq!(backends::servers("c"), None);
}

#[test]
fn a_share_needs_its_part() {
    let router = instance();
    let request = RequestBuilder::get("/").in_share("canary").build();
    assert!(router.route(&request).is_ok());
    assert_eq!(router.take_log(), [(Level::Info, "false".to_owned())]);
    let tags = options(&request).tags;
    assert_eq!(tags, [("session".to_owned(), b"no".to_vec())]);
}

#[test]
fn missing_tables_and_backends_are_an_error_of_configure() {
    for (proxy, expected) in [
        (Proxy::new(&["a"]), "there is no table \"tenants\""),
        (
            Proxy::new(&["b"]).table("tenants", &[]),
            "there is no backend \"a\"",
        ),
    ] {
        let error = proxy.configure::<Everything>("{}").err();
        assert_eq!(error.as_deref(), Some(expected));
    }
}
