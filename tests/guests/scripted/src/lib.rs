//! A plugin that reads and decides as its configuration says.
//!
//! The configuration is a tree. An inner node reads something of the request, and its
//! value leads to the next node; a leaf is the decision. What is read depends on what was
//! read before, as in a real policy: the tests of the decision cache generate such trees.
//!
//! ```json
//! {"cacheable": true, "root":
//!   {"read": {"what": "header", "name": "host",
//!             "cases": {"|a.test": {"backend": "a"}}, "otherwise": "default"}}}
//! ```
//!
//! The value of a field is its lines, each with `|` before it: an absent field is empty.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use bindings::exports::pointsman::router::plugin::{
    Cacheability, Decision, Guest, RequestHead, Response,
};
use bindings::pointsman::router::backends;
use bindings::pointsman::router::log::{self, Level};
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
    root: Node,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Node {
    Read {
        what: What,
        /// Of the field, for `header`.
        #[serde(default)]
        name: String,
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
    /// Ask for the load of a backend.
    State {
        name: String,
        then: Box<Node>,
    },
    Log {
        message: String,
        then: Box<Node>,
    },
    Backend(String),
    /// The backend whose name is what was read last, without the first `|`.
    BackendByValue,
    Default,
    Respond {
        status: u16,
        #[serde(default)]
        headers: Vec<(String, String)>,
        #[serde(default)]
        body: String,
    },
    /// 200, with what was read last as the body.
    RespondValue,
    Error(String),
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum What {
    Method,
    Scheme,
    Version,
    PathWithQuery,
    Header,
    Headers,
    Client,
    Tls,
    CertificateSubject,
    CertificateIssuer,
    CertificateNames,
    CertificateSerial,
    CertificateSha256,
    CertificateNotAfter,
    Attempt,
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
    let refused = |error| format!("edit refused: {error:?}");
    let mut node = root;
    let mut value = String::new();
    loop {
        node = match node {
            Node::Read {
                what,
                name,
                cases,
                otherwise,
            } => {
                value = read(request, *what, name);
                cases.get(&value).unwrap_or(otherwise)
            }
            Node::SetHeader { name, value, then } => {
                request
                    .set_header(name, value.as_bytes())
                    .map_err(refused)?;
                then
            }
            Node::AppendHeader { name, value, then } => {
                request
                    .append_header(name, value.as_bytes())
                    .map_err(refused)?;
                then
            }
            Node::RemoveHeader { name, then } => {
                request.remove_header(name).map_err(refused)?;
                then
            }
            Node::SetTarget { value, then } => {
                request.set_path_with_query(value).map_err(refused)?;
                then
            }
            Node::State { name, then } => {
                backends::state(name);
                then
            }
            Node::Log { message, then } => {
                log::write(Level::Info, message);
                then
            }
            Node::Backend(name) => return Ok(Decision::Backend(name.clone())),
            Node::BackendByValue => {
                let name = value.strip_prefix('|').unwrap_or(&value);
                return Ok(Decision::Backend(name.to_owned()));
            }
            Node::Default => return Ok(Decision::DefaultBackend),
            Node::Respond {
                status,
                headers,
                body,
            } => return Ok(respond(*status, headers, body)),
            Node::RespondValue => return Ok(respond(200, &[], &value)),
            Node::Error(message) => return Err(message.clone()),
        };
    }
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

fn read(request: &RequestHead, what: What, name: &str) -> String {
    match what {
        What::Method => request.method(),
        What::Scheme => request.scheme(),
        What::Version => request.version(),
        What::PathWithQuery => request.path_with_query(),
        What::Header => request
            .header(name)
            .iter()
            .fold(String::new(), |lines, line| {
                lines + "|" + &String::from_utf8_lossy(line)
            }),
        What::Headers => {
            let mut lines = String::new();
            for (name, value) in request.headers() {
                // Writing to a String cannot fail.
                let _ = writeln!(lines, "{name}: {}", String::from_utf8_lossy(&value));
            }
            lines
        }
        What::Client => {
            let client = request.client();
            format!("{} {}", client.address, client.port)
        }
        What::Tls => match request.tls() {
            None => "none".to_owned(),
            Some(tls) => {
                let text = |value: Option<String>| value.unwrap_or_default();
                format!("{} {}", text(tls.server_name), text(tls.alpn))
            }
        },
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
    }
}

fn or_none(value: Option<String>) -> String {
    value.unwrap_or_else(|| "none".to_owned())
}
