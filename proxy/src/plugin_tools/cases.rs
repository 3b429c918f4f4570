//! `cases.toml`: requests, each with the decision that is expected from a plugin.
//!
//! Owns the file format, which `docs/plugins/testing.md` describes; `expect` compares results. Each
//! case gets a separate instance, so that no case depends on earlier ones. Called by `pointsman
//! plugin test` and by the tests of the bundled plugins.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use tokio::time::Instant;

use crate::config::StageId;
use crate::http::field::FieldKind;
use crate::http::fields::Forwarding;
use crate::http::head::{Client, TlsFacts};
use crate::http::message::{RequestHead, Scheme};
use crate::http::syntax;
use crate::plugin::{Answers, BodyPrefix, Environment, Plugin, Read, Reads, Request, Settings};
use crate::tables::Mistake;
use connection::{RawScheme, RawTls, RawVersion};
use expect::{Expect, Failure};
use field::Octets;
use world::{RawTables, World};

pub use expect::Difference;

mod connection;
mod expect;
mod field;
mod world;

/// Longest time for one decision: many times the proxy's default, to allow for busy machines.
const DEADLINE: Duration = Duration::from_secs(5);

/// Maximum number of field lines, and of octets of a value, that are shown of the request when a
/// case fails.
const SHOWN_LINES: usize = 20;
const SHOWN_OCTETS: usize = 200;

/// Reasons why a file of cases cannot be used.
#[derive(Debug, Error)]
pub enum CasesError {
    /// The file is not TOML, or is not in the format of `cases.toml`.
    #[error("{0}")]
    Format(#[from] toml::de::Error),
    /// An operator's table has an invalid entry.
    #[error("tables: {0}")]
    Table(#[from] Mistake),
    /// A case is invalid.
    #[error("case {case:?}: {message}")]
    Case {
        /// Name of the case.
        case: String,
        /// Description of the mistake and how to correct it.
        message: String,
    },
    /// The file contains no cases, so nothing would be tested.
    #[error("it contains no [[case]]")]
    Empty,
}

/// The contents of a `cases.toml`.
#[derive(Debug)]
pub struct Table {
    /// The cases, in the order of the file.
    pub cases: Vec<Case>,
    world: World,
}

/// A request and the expected result.
#[derive(Debug)]
pub struct Case {
    /// Name of the case, which says what behavior the case checks.
    pub name: String,
    /// `router.config` as JSON.
    pub config: String,
    request: RawCase,
    head: RequestHead,
    client: Arc<Client>,
    tls: Option<Arc<TlsFacts>>,
    body: Option<BodyPrefix>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTable {
    backends: Vec<String>,
    #[serde(default)]
    servers: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    tables: RawTables,
    #[serde(default)]
    config: serde_json::Map<String, serde_json::Value>,
    #[serde(default, rename = "case")]
    cases: Vec<RawCase>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: String,
    config: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    target: Target,
    #[serde(default)]
    version: RawVersion,
    scheme: Option<RawScheme>,
    tls: Option<RawTls>,
    #[serde(default = "loopback")]
    client: String,
    #[serde(default)]
    attempt: u32,
    body: Option<RawBody>,
    /// Backends without a usable server.
    #[serde(default)]
    unusable: Vec<String>,
    #[serde(default)]
    headers: Vec<Line>,
    expect: Expect,
}

/// The start of a body: the part that the proxy has waited for.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected the whole body as a text, or { prefix = TEXT, complete = BOOLEAN }"
)]
enum RawBody {
    Whole(String),
    Prefix { prefix: String, complete: bool },
}

impl RawBody {
    fn prefix(&self) -> BodyPrefix {
        let (text, is_complete) = match self {
            RawBody::Whole(text) => (text, true),
            RawBody::Prefix { prefix, complete } => (prefix, *complete),
        };
        BodyPrefix {
            bytes: text.clone().into(),
            is_complete,
        }
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn loopback() -> String {
    "127.0.0.1".to_owned()
}

/// A target, given as a string, or as a prefix followed by a repeated string.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text or { prefix = TEXT, repeat = TEXT, times = NUMBER }"
)]
enum Target {
    Text(String),
    Long {
        prefix: String,
        repeat: String,
        times: u16,
    },
}

impl Default for Target {
    fn default() -> Target {
        Target::Text("/".to_owned())
    }
}

impl Target {
    fn text(&self) -> String {
        match self {
            Target::Text(text) => text.clone(),
            Target::Long {
                prefix,
                repeat,
                times,
            } => format!("{prefix}{}", repeat.repeat(usize::from(*times))),
        }
    }
}

/// A field line, or several identical ones.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected [name, value] or [name, value, how many lines of it]; a value is a text, \
                 a list of octets, or { repeat = TEXT, times = NUMBER }"
)]
enum Line {
    Once(String, Octets),
    Times(String, Octets, u16),
}

/// Result of a case.
#[derive(Debug)]
pub struct Verdict {
    /// Differences from the expected result; empty if the case passes.
    pub differences: Vec<Difference>,
    /// Reads that the plugin made, as the contract names them.
    pub reads: Vec<String>,
    /// Time that the case took, including creation of the instance.
    pub time: Duration,
}

impl Table {
    /// Parses the text of a `cases.toml`.
    ///
    /// # Errors
    /// [`CasesError`], which names the position in the file or the case.
    pub fn parse(text: &str) -> Result<Table, CasesError> {
        let raw: RawTable = toml::from_str(text)?;
        if raw.cases.is_empty() {
            return Err(CasesError::Empty);
        }
        let mut cases: Vec<Case> = Vec::with_capacity(raw.cases.len());
        for case in raw.cases {
            let name = case.name.clone();
            let failed = |message| CasesError::Case {
                case: name.clone(),
                message,
            };
            if cases.iter().any(|known| known.name == name) {
                return Err(failed("another case has this name".to_owned()));
            }
            cases.push(Case::check(case, &raw.config, &raw.backends).map_err(failed)?);
        }
        Ok(Table {
            cases,
            world: World::new(&raw.backends, raw.servers, &raw.tables)?,
        })
    }

    /// Returns the parts of the proxy that the plugin can query in a case.
    pub fn environment(&self, case: &Case) -> Environment {
        self.world.environment(&case.request.unusable)
    }

    /// Runs the case's request through a separate instance of `plugin` and compares the result.
    pub fn run(&self, case: &Case, plugin: &Plugin) -> Verdict {
        let start = Instant::now();
        let mut reads = Reads::default();
        let mut names = None;
        let answer = plugin
            .instantiate(&case.settings(), &self.environment(case), None)
            .map_err(Failure::Configure)
            .and_then(|mut instance| {
                let mut request = Request {
                    head: &mut case.head(),
                    client: case.client(),
                    tls: case.tls(),
                    body: case.body(),
                    attempt: case.request.attempt,
                    answers: &mut Answers::default(),
                    id: None,
                };
                let outcome = instance.route(&mut request, &mut reads);
                names = Some(Arc::clone(instance.questions()));
                outcome.map_err(Failure::Route)
            });
        let name = |question: u32| match &names {
            Some(questions) => questions.describe(question).to_string(),
            None => format!("question {question}"),
        };
        Verdict {
            time: start.elapsed(),
            differences: case.request.expect.compare(&answer, &name),
            reads: reads
                .reads
                .iter()
                .map(|read| describe(read, &name))
                .collect(),
        }
    }
}

/// Describes a read for display. For a question, gives its subject.
fn describe(read: &Read, name: &dyn Fn(u32) -> String) -> String {
    match read {
        Read::Question(number) => name(*number),
        read => read.to_string(),
    }
}

impl Case {
    fn check(
        request: RawCase,
        config: &serde_json::Map<String, serde_json::Value>,
        backends: &[String],
    ) -> Result<Case, String> {
        let head = head(&request)?;
        request.expect.check(backends)?;
        if let Some(name) = request
            .unusable
            .iter()
            .find(|name| !backends.contains(name))
        {
            return Err(format!("{name:?} is not among `backends`"));
        }
        let config = request.config.as_ref().unwrap_or(config);
        Ok(Case {
            name: request.name.clone(),
            config: serde_json::to_string(config).map_err(|error| error.to_string())?,
            head,
            client: Arc::new(client(&request.client)),
            tls: request.tls.as_ref().map(RawTls::facts),
            body: request.body.as_ref().map(RawBody::prefix),
            request,
        })
    }

    /// Returns the settings of the case's instance: the proxy's default limits, except for a longer
    /// deadline.
    pub fn settings(&self) -> Settings {
        Settings {
            config: self.config.clone(),
            deadline: DEADLINE,
            stage: StageId::new(&self.name, ""),
            ..Settings::default()
        }
    }

    /// Returns a copy of the request's head.
    pub fn head(&self) -> RequestHead {
        self.head.clone()
    }

    /// Returns the client that sends the request.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Returns the facts about the TLS connection on which the request arrived; None without TLS.
    pub fn tls(&self) -> Option<&Arc<TlsFacts>> {
        self.tls.as_ref()
    }

    /// Returns the start of the request's body.
    pub fn body(&self) -> Option<&BodyPrefix> {
        self.body.as_ref()
    }

    /// Returns whether the case expects a decision rather than a rejected configuration.
    pub fn is_decided(&self) -> bool {
        self.request.expect.refused.is_none()
    }
}

impl Display for Case {
    /// Formats the request for display.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |octets: &[u8]| {
            let shown = octets.get(..SHOWN_OCTETS).unwrap_or(octets);
            let rest = if shown.len() < octets.len() {
                "…"
            } else {
                ""
            };
            format!("{}{rest}", shown.escape_ascii())
        };
        write!(f, "{} {}", self.request.method, shown(self.head.target()))?;
        if self.request.client != loopback() {
            write!(f, " from {}", self.request.client)?;
        }
        let fields = self.head.fields();
        for line in fields.received().iter().take(SHOWN_LINES) {
            let (name, value) = (fields.text(line.name()), fields.text(line.value()));
            write!(f, "\n{}: {}", name.escape_ascii(), shown(value))?;
        }
        if fields.len() > SHOWN_LINES {
            write!(f, "\n({} field lines in all)", fields.len())?;
        }
        Ok(())
    }
}

/// Port of clients whose address is an IP address.
const CLIENT_PORT: u16 = 49152;

/// Returns the client at this address. An IP address is formatted as the proxy does; any other text
/// is used unchanged.
fn client(address: &str) -> Client {
    match address.parse::<IpAddr>() {
        Ok(ip) => Client::from(SocketAddr::new(ip, CLIENT_PORT)),
        Err(_) => Client {
            address: address.to_owned(),
            port: 0,
        },
    }
}

/// Returns the head of a case's request. The plugin sees all of its fields.
fn head(request: &RawCase) -> Result<RequestHead, String> {
    let mut head = RequestHead::default();
    head.set_scheme(match (request.scheme, &request.tls) {
        (Some(scheme), _) => scheme.into(),
        (None, Some(_)) => Scheme::Https,
        (None, None) => Scheme::Http,
    });
    if !syntax::is_name(request.method.as_bytes()) {
        return Err(format!("{:?} is not a method", request.method));
    }
    let target = request.target.text();
    let is_plain =
        |character: char| !character.is_whitespace() && !character.is_control() && character != '#';
    if target != "*" && !target.starts_with('/') || !target.chars().all(is_plain) {
        return Err(format!(
            "{target:?} is not a target: a path with its query, as in /a?b=c, or *"
        ));
    }
    head.start(
        request.method.as_bytes(),
        target.as_bytes(),
        request.version.into(),
    );
    let fields = head.fields_mut();
    for line in &request.headers {
        let (name, value, times) = match line {
            Line::Once(name, value) => (name, value, 1),
            Line::Times(name, value, times) => (name, value, *times),
        };
        field::check_name(name)?;
        let value = value.bytes();
        // Leading and trailing whitespace is not part of the value (RFC 9110, section 5.5).
        let value = syntax::trimmed(&value);
        let is_allowed = |octet: &u8| *octet == b'\t' || !octet.is_ascii_control();
        if !value.iter().all(is_allowed) {
            return Err(format!(
                "no request can have this value of the field `{name}`"
            ));
        }
        for _ in 0..times {
            fields.push(name.as_bytes(), value);
        }
    }
    for &kind in FieldKind::NAMED {
        fields.set_forwarding(kind, Forwarding::Forward);
    }
    Ok(head)
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::Version;

    fn error(case: &str) -> String {
        let text = format!("backends = [\"www\"]\n[[case]]\nname = \"a\"\n{case}");
        Table::parse(&text).unwrap_err().to_string()
    }

    #[test]
    fn a_case_that_cannot_be_played_is_refused() {
        for (case, expected) in [
            ("expect.backend = \"w\"", "\"w\" is not among `backends`"),
            ("expect = {}", "must have exactly one of"),
            (
                "expect = { default = true, backend = \"www\" }",
                "must have exactly one of",
            ),
            ("expect.default = false", "instead of `default = false`"),
            ("expect = { default = true, body = \"\" }", "add `respond`"),
            (
                "expect = { respond = 200, edits = [] }",
                "only a request that goes to a backend",
            ),
            (
                "headers = [[\"a b\", \"c\"]]\nexpect.default = true",
                "\"a b\" is not the name of a field",
            ),
            (
                "headers = [[\"a\", \"b\\n\"]]\nexpect.default = true",
                "this value of the field `a`",
            ),
            (
                "headers = [[\"a\", 5]]\nexpect.default = true",
                "expected [name, value] or [name, value, how many lines of it]",
            ),
            ("method = \"G T\"\nexpect.default = true", "not a method"),
            (
                "version = \"3\"\nexpect.default = true",
                "unknown variant `3`",
            ),
            (
                "tls.sni = \"a\"\nexpect.default = true",
                "unknown field `sni`",
            ),
            (
                "tls.client_certificate.cn = \"a\"\nexpect.default = true",
                "unknown field `cn`",
            ),
            ("target = \"a b\"\nexpect.default = true", "not a target"),
            ("expects.default = true", "unknown field `expects`"),
            (
                "expect.default = true\n[[case]]\nname = \"a\"\nexpect.default = true",
                "another case has this name",
            ),
        ] {
            let found = error(case);
            assert!(found.contains(expected), "{case}: {found}");
        }
        assert!(matches!(
            Table::parse("backends = []"),
            Err(CasesError::Empty)
        ));
    }

    #[test]
    fn how_a_request_came() {
        let table = Table::parse(
            "backends = []\n[[case]]\nname = \"x\"\nexpect.default = true\n\
             [[case]]\nname = \"y\"\nversion = \"2\"\nexpect.default = true\n\
             tls = { server_name = \"A.test\", alpn = \"h2\", client_certificate = \
             { subject = \"CN=a\", names = [\"a.test\"], not_after = 7 } }\n\
             [[case]]\nname = \"z\"\nscheme = \"http\"\ntls = {}\nexpect.default = true",
        )
        .unwrap();
        let came = |case: &Case| (case.head.version(), case.head.scheme());
        let [plain, session, bare] = &table.cases[..] else {
            panic!("three cases");
        };
        assert_eq!(came(plain), (Version::Http11, Scheme::Http));
        assert_eq!(plain.tls(), None);
        assert_eq!(came(session), (Version::Http2, Scheme::Https));
        let facts = session.tls().unwrap();
        assert_eq!(facts.server_name.as_deref(), Some("a.test"));
        assert_eq!(facts.alpn.as_deref(), Some(&b"h2"[..]));
        let certificate = facts.client_certificate.as_ref().unwrap();
        assert_eq!(&*certificate.subject, "CN=a");
        assert_eq!(certificate.names, [Box::from("a.test")]);
        assert_eq!(certificate.not_after(), 7);
        assert_eq!(came(bare), (Version::Http11, Scheme::Http));
        assert_eq!(bare.tls(), Some(&Arc::default()));
    }

    #[test]
    fn a_case_has_the_tables_configuration_or_its_own() {
        let table = Table::parse(
            "backends = []\n[config]\na = 1\n[[case]]\nname = \"x\"\nexpect.default = true\n\
             [[case]]\nname = \"y\"\nconfig.b = [2]\nexpect.refused = \"b\"",
        )
        .unwrap();
        let configs: Vec<_> = table
            .cases
            .iter()
            .map(|case| case.config.as_str())
            .collect();
        assert_eq!(configs, ["{\"a\":1}", "{\"b\":[2]}"]);
        let long = Table::parse(
            "backends = []\n[[case]]\nname = \"x\"\nexpect.default = true\n\
             headers = [[\"a\", \"b\", 3], [\"c\", { repeat = \"de\", times = 200 }]]",
        )
        .unwrap();
        let head = long.cases[0].head();
        assert_eq!(head.fields().values(b"a").count(), 3);
        assert_eq!(
            head.fields().values(b"c").map(<[u8]>::len).sum::<usize>(),
            400
        );
        let shown = long.cases[0].to_string();
        assert!(shown.ends_with("dede…"), "{shown}");
        assert!(table.cases[0].is_decided());
        assert!(!table.cases[1].is_decided());
    }
}
