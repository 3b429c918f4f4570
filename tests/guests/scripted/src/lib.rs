//! A plugin that reads values and decides as its configuration says.
//!
//! The configuration is a tree. An inner node reads a part of the request, and the value selects
//! the next node. A leaf is the decision. The next read depends on the values read before it, as in
//! a real policy. The tests of the decision cache generate such trees.
//!
//! ```json
//! {"cacheable": true, "root":
//!   {"read": {"what": "header", "name": "host",
//!             "cases": {"|a.test": {"backend": "a"}}, "otherwise": "default"}}}
//! ```
//!
//! The value of a field is its lines, each with `|` before it; the value of an absent field is
//! empty. The value of a question is the number or text of its answer, or `none` if it has no
//! answer. `configure` defines the questions in the order of `questions`, and a node refers to a
//! question by its position in that list.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use bindings::exports::pointsman::router::plugin::{
    Cacheability, Decision, Fallback, Guest, RequestHead, Response, ServerChoice,
};
use bindings::pointsman::router::log::{self, Level};
use bindings::pointsman::router::{backends, questions};
use serde::Deserialize;

mod bindings {
    #![allow(unsafe_code, missing_docs, reason = "generated")]
    #![allow(
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]
    wit_bindgen::generate!({ path: "../../../wit", world: "pointsman:router/router" });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    cacheable: bool,
    #[serde(default)]
    questions: Vec<Question>,
    root: Node,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Question {
    Exact(Matcher),
    Prefix(Matcher),
    PathPrefix(Matcher),
    Suffix(Matcher),
    FirstSuffix(Matcher),
    Domain(Matcher),
    Network(Matcher),
    Regex(Matcher),
    Share {
        over: String,
        #[serde(default)]
        salt: String,
        per_million: u32,
    },
    LookUp {
        table: String,
        over: String,
    },
    Value {
        over: String,
    },
    Usable {
        backend: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Matcher {
    over: String,
    #[serde(default)]
    ignore_case: bool,
    entries: Vec<(String, u32)>,
}

impl Question {
    fn define(&self) -> Result<u32, String> {
        match self {
            Question::Exact(Matcher {
                over,
                ignore_case,
                entries,
            }) => questions::define_exact(over, *ignore_case, entries),
            Question::Prefix(Matcher {
                over,
                ignore_case,
                entries,
            }) => questions::define_prefix(over, *ignore_case, entries),
            Question::PathPrefix(Matcher {
                over,
                ignore_case,
                entries,
            }) => questions::define_path_prefix(over, *ignore_case, entries),
            Question::Suffix(Matcher {
                over,
                ignore_case,
                entries,
            }) => questions::define_suffix(over, *ignore_case, entries),
            Question::FirstSuffix(Matcher {
                over,
                ignore_case,
                entries,
            }) => questions::define_first_suffix(over, *ignore_case, entries),
            Question::Domain(Matcher { over, entries, .. }) => {
                questions::define_domain(over, entries)
            }
            Question::Network(Matcher { over, entries, .. }) => {
                questions::define_network(over, entries)
            }
            Question::Regex(Matcher { over, entries, .. }) => {
                questions::define_regex(over, entries)
            }
            Question::Share {
                over,
                salt,
                per_million,
            } => questions::define_share(over, salt, *per_million),
            Question::LookUp { table, over } => questions::define_look_up(table, over),
            Question::Value { over } => questions::define_value(over),
            Question::Usable { backend } => questions::define_usable(backend),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Node {
    Read {
        what: What,
        /// Name of the field, cookie or parameter.
        #[serde(default)]
        name: String,
        /// Position of the question in `questions`.
        #[serde(default)]
        question: u32,
        #[serde(default)]
        cases: BTreeMap<String, Node>,
        otherwise: Box<Node>,
    },
    SetHeader {
        name: String,
        value: String,
        then: Box<Node>,
    },
    AppendHeader {
        name: String,
        value: String,
        then: Box<Node>,
    },
    RemoveHeader {
        name: String,
        then: Box<Node>,
    },
    SetTarget {
        value: String,
        then: Box<Node>,
    },
    SetHeaderBy {
        name: String,
        question: u32,
        then: Box<Node>,
    },
    SetAuthority {
        value: String,
        then: Box<Node>,
    },
    ReplacePathPrefix {
        length: u32,
        value: String,
        then: Box<Node>,
    },
    SetResponseHeader {
        name: String,
        value: String,
        then: Box<Node>,
    },
    AppendResponseHeader {
        name: String,
        value: String,
        then: Box<Node>,
    },
    RemoveResponseHeader {
        name: String,
        then: Box<Node>,
    },
    SetAffinity {
        value: String,
        then: Box<Node>,
    },
    SetAffinityBy {
        question: u32,
        then: Box<Node>,
    },
    /// Sets a timeout: `queue`, `connect`, `server` or `tunnel`.
    SetTimeout {
        name: String,
        milliseconds: u32,
        then: Box<Node>,
    },
    SetTries {
        tries: u32,
        then: Box<Node>,
    },
    Tag {
        name: String,
        value: String,
        then: Box<Node>,
    },
    TagBy {
        name: String,
        question: u32,
        then: Box<Node>,
    },
    /// Defines a question in `route`, which is too late.
    Define {
        then: Box<Node>,
    },
    /// Queries the servers of a backend.
    Servers {
        name: String,
        then: Box<Node>,
    },
    /// Queries the load of a backend.
    State {
        name: String,
        then: Box<Node>,
    },
    Log {
        message: String,
        then: Box<Node>,
    },
    Backend(String),
    /// Backend whose name is the last value that was read, without the first `|`.
    BackendByValue,
    Server {
        backend: String,
        server: String,
        #[serde(default)]
        ask_again: bool,
    },
    Default,
    Next,
    Respond {
        status: u16,
        #[serde(default)]
        headers: Vec<(String, String)>,
        #[serde(default)]
        body: String,
    },
    /// Response with 200, whose body is the last value that was read.
    RespondValue,
    Error(String),
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum What {
    Method,
    Scheme,
    Version,
    Authority,
    Host,
    PathWithQuery,
    Path,
    QueryParameter,
    Header,
    Headers,
    Cookie,
    ClientAddress,
    ClientPort,
    ServerName,
    Alpn,
    CertificateSubject,
    CertificateIssuer,
    CertificateNames,
    CertificateSerial,
    CertificateSha256,
    CertificateNotAfter,
    Attempt,
    BodyPrefix,
    BodyIsComplete,
    Ask,
    AskValue,
}

thread_local! {
    static SCRIPT: RefCell<Option<Script>> = const { RefCell::new(None) };
}

struct Scripted;

mod export {
    #![expect(unsafe_code, reason = "generated")]
    use super::Scripted;
    super::bindings::export!(Scripted with_types_in super::bindings);
}

impl Guest for Scripted {
    fn configure(config: String) -> Result<Cacheability, String> {
        let script: Script = serde_json::from_str(&config).map_err(|error| error.to_string())?;
        for question in &script.questions {
            question.define()?;
        }
        let cacheability = if script.cacheable {
            Cacheability::Cacheable
        } else {
            Cacheability::Uncacheable
        };
        SCRIPT.set(Some(script));
        Ok(cacheability)
    }

    fn route(request: RequestHead) -> Result<Decision, String> {
        SCRIPT.with_borrow(|script| {
            let script = script.as_ref().ok_or("not configured")?;
            follow(&script.root, &request)
        })
    }
}

fn follow(root: &Node, request: &RequestHead) -> Result<Decision, String> {
    let mut node = root;
    let mut value = String::new();
    loop {
        node = match node {
            Node::Read {
                what,
                name,
                question,
                cases,
                otherwise,
            } => {
                value = read(request, *what, name, *question);
                cases.get(&value).unwrap_or(otherwise)
            }
            Node::State { name, then } => {
                backends::state(name);
                then
            }
            Node::Servers { name, then } => {
                let servers = backends::servers(name).unwrap_or_default();
                value = String::new();
                for server in servers {
                    // Writing to a String cannot fail.
                    let _ = write!(value, "|{server:?}");
                }
                then
            }
            Node::Log { message, then } => {
                log::write(Level::Info, message);
                then
            }
            Node::Define { then } => {
                questions::define_value("host")?;
                then
            }
            Node::Backend(name) => return Ok(Decision::Backend(name.clone())),
            Node::BackendByValue => {
                let name = value.strip_prefix('|').unwrap_or(&value);
                return Ok(Decision::Backend(name.to_owned()));
            }
            Node::Server {
                backend,
                server,
                ask_again,
            } => {
                return Ok(Decision::Server(ServerChoice {
                    backend: backend.clone(),
                    server: server.clone(),
                    otherwise: if *ask_again {
                        Fallback::AskAgain
                    } else {
                        Fallback::AnotherServer
                    },
                }));
            }
            Node::Default => return Ok(Decision::DefaultBackend),
            Node::Next => return Ok(Decision::Next),
            Node::Respond {
                status,
                headers,
                body,
            } => {
                return Ok(respond(*status, headers, body));
            }
            Node::RespondValue => return Ok(respond(200, &[], &value)),
            Node::Error(message) => return Err(message.clone()),
            change => apply(change, request)?,
        };
    }
}

/// Makes an edit or sets an option, and returns the node that follows.
fn apply<'a>(change: &'a Node, request: &RequestHead) -> Result<&'a Node, String> {
    let (result, then) = match change {
        Node::SetHeader { name, value, then } => (request.set_header(name, value.as_bytes()), then),
        Node::AppendHeader { name, value, then } => {
            (request.append_header(name, value.as_bytes()), then)
        }
        Node::RemoveHeader { name, then } => (request.remove_header(name), then),
        Node::SetTarget { value, then } => (request.set_path_with_query(value), then),
        Node::SetHeaderBy {
            name,
            question,
            then,
        } => (request.set_header_by(name, *question), then),
        Node::SetAuthority { value, then } => (request.set_authority(value.as_bytes()), then),
        Node::ReplacePathPrefix {
            length,
            value,
            then,
        } => (request.replace_path_prefix(*length, value), then),
        Node::SetResponseHeader { name, value, then } => {
            (request.set_response_header(name, value.as_bytes()), then)
        }
        Node::AppendResponseHeader { name, value, then } => {
            (request.append_response_header(name, value.as_bytes()), then)
        }
        Node::RemoveResponseHeader { name, then } => (request.remove_response_header(name), then),
        option => return set(option, request),
    };
    result.map_err(|error| format!("edit refused: {error}"))?;
    Ok(then)
}

fn set<'a>(option: &'a Node, request: &RequestHead) -> Result<&'a Node, String> {
    let then = match option {
        Node::SetAffinity { value, then } => {
            request.set_affinity(value.as_bytes());
            then
        }
        Node::SetAffinityBy { question, then } => {
            request.set_affinity_by(*question);
            then
        }
        Node::SetTimeout {
            name,
            milliseconds,
            then,
        } => {
            match name.as_str() {
                "queue" => request.set_queue_timeout(*milliseconds),
                "connect" => request.set_connect_timeout(*milliseconds),
                "server" => request.set_server_timeout(*milliseconds),
                _ => request.set_tunnel_timeout(*milliseconds),
            }
            then
        }
        Node::SetTries { tries, then } => {
            request.set_tries(*tries);
            then
        }
        Node::Tag { name, value, then } => {
            request.tag(name, value);
            then
        }
        Node::TagBy {
            name,
            question,
            then,
        } => {
            request.tag_by(name, *question);
            then
        }
        _ => return Err("neither an edit nor an option".to_owned()),
    };
    Ok(then)
}

fn respond(status: u16, headers: &[(String, String)], body: &str) -> Decision {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
        .collect();
    let body = body.as_bytes().to_vec();
    Decision::Respond(Response {
        status,
        headers,
        body,
    })
}

fn read(request: &RequestHead, what: What, name: &str, question: u32) -> String {
    match what {
        What::Method => request.method(),
        What::Scheme => request.scheme(),
        What::Version => or_none(request.version()),
        What::Authority => lossy(&request.authority()),
        What::Host => request.host(),
        What::PathWithQuery => request.path_with_query(),
        What::Path => request.path(),
        What::QueryParameter => or_none(request.query_parameter(name).map(|value| lossy(&value))),
        What::Header => {
            let lines = request.header(name);
            let mut value = String::new();
            for line in &lines {
                value.extend(["|", &lossy(line)]);
            }
            value
        }
        What::Headers => {
            let mut lines = String::new();
            for (name, value) in request.headers() {
                // Writing to a String cannot fail.
                let _ = writeln!(lines, "{name}: {}", lossy(&value));
            }
            lines
        }
        What::Cookie => or_none(request.cookie(name).map(|value| lossy(&value))),
        What::ClientAddress => request.client_address(),
        What::ClientPort => request.client_port().to_string(),
        What::ServerName => or_none(request.server_name()),
        What::Alpn => or_none(request.alpn()),
        What::CertificateSubject => or_none(request.client_certificate_subject()),
        What::CertificateIssuer => or_none(request.client_certificate_issuer()),
        What::CertificateNames => request.client_certificate_names().join(" "),
        What::CertificateSerial => or_none(request.client_certificate_serial()),
        What::CertificateSha256 => or_none(request.client_certificate_sha256()),
        What::CertificateNotAfter => or_none(
            request
                .client_certificate_not_after()
                .map(|at| at.to_string()),
        ),
        What::Attempt => request.attempt().to_string(),
        What::BodyPrefix => or_none(request.body_prefix().map(|body| lossy(&body))),
        What::BodyIsComplete => request.body_is_complete().to_string(),
        What::Ask => or_none(request.ask(question).map(|answer| answer.to_string())),
        What::AskValue => or_none(request.ask_value(question).map(|answer| lossy(&answer))),
    }
}

fn lossy(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn or_none(value: Option<String>) -> String {
    value.unwrap_or_else(|| "none".to_owned())
}
