//! The expected result of a case, and its comparison with a plugin's decision.
//!
//! Called by `cases`.

use std::fmt::{self, Display};

use serde::Deserialize;

use super::field::{Octets, check_name};
use crate::plugin::{Decision, Fault, Otherwise, Response, Route};

/// Expected result of a case, as written in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    backend: Option<String>,
    server: Option<String>,
    otherwise: Option<RawOtherwise>,
    next: Option<bool>,
    default: Option<bool>,
    respond: Option<u16>,
    pub(super) refused: Option<String>,
    error: Option<String>,
    edits: Option<Vec<String>>,
    response_edits: Option<Vec<String>>,
    options: Option<Vec<String>>,
    headers: Option<Vec<(String, Octets)>>,
    body: Option<String>,
}

/// Fallback if the chosen server is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawOtherwise {
    AnotherServer,
    AskAgain,
}

/// One difference between the expected and the actual result.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// Expected result.
    pub expected: String,
    /// Actual result.
    pub found: String,
}

/// Reasons why the plugin returned no decision.
pub(super) enum Failure {
    Configure(Fault),
    Route(Fault),
}

impl Expect {
    /// Checks that a plugin could produce the expected result.
    pub(super) fn check(&self, backends: &[String]) -> Result<(), String> {
        let answers = [
            self.backend.is_some(),
            self.next.is_some(),
            self.default.is_some(),
            self.respond.is_some(),
            self.refused.is_some(),
            self.error.is_some(),
        ];
        if answers.iter().filter(|&&given| given).count() != 1 {
            return Err(
                "`expect` must have exactly one of `backend`, `next`, `default`, `respond`, \
                 `refused` and `error`"
                    .to_owned(),
            );
        }
        for (key, value) in [("default", self.default), ("next", self.next)] {
            if value == Some(false) {
                return Err(format!("say what is expected instead of `{key} = false`"));
            }
        }
        if self.server.is_some() && self.backend.is_none() {
            return Err("a `server` belongs to a backend: add `backend`".to_owned());
        }
        if self.otherwise.is_some() && self.server.is_none() {
            return Err("`otherwise` applies only to a server: add `server`".to_owned());
        }
        if let Some(name) = &self.backend
            && !backends.contains(name)
        {
            return Err(format!("{name:?} is not among `backends`"));
        }
        if self.respond.is_none() && (self.headers.is_some() || self.body.is_some()) {
            return Err("`headers` and `body` belong to a response: add `respond`".to_owned());
        }
        let is_sent = self.backend.is_some() || self.default.is_some() || self.next.is_some();
        if self.edits.is_some() && !is_sent {
            return Err("only a request that goes to a backend can have `edits`".to_owned());
        }
        if self.options.is_some() && !is_sent && self.respond.is_none() {
            return Err("only a decision has `options`".to_owned());
        }
        for (name, _) in self.headers.iter().flatten() {
            check_name(name)?;
        }
        Ok(())
    }

    /// Returns the differences between `answer` and the expected result.
    pub(super) fn compare(
        &self,
        answer: &Result<Decision, Failure>,
        name: &dyn Fn(u32) -> String,
    ) -> Vec<Difference> {
        let holds = match (answer, self) {
            (Err(Failure::Configure(Fault::Error(message))), expect) => {
                is_part(expect.refused.as_deref(), message)
            }
            (Err(Failure::Route(Fault::Error(message))), expect) => {
                is_part(expect.error.as_deref(), message)
            }
            (Err(_), _) => false,
            (Ok(decision), expect) => match &decision.route {
                Route::Backend(name) => {
                    expect.backend.as_deref() == Some(&**name) && expect.server.is_none()
                }
                Route::Server(choice) => {
                    let otherwise = expect.otherwise.unwrap_or(RawOtherwise::AnotherServer);
                    let otherwise = match otherwise {
                        RawOtherwise::AnotherServer => Otherwise::AnotherServer,
                        RawOtherwise::AskAgain => Otherwise::AskAgain,
                    };
                    expect.backend.as_deref() == Some(&*choice.backend)
                        && expect.server.as_deref() == Some(&*choice.server)
                        && otherwise == choice.otherwise
                }
                Route::Next => expect.next.is_some(),
                Route::Default => expect.default.is_some(),
                Route::Respond(response) => expect.respond == Some(response.status),
            },
        };
        if !holds {
            return vec![Difference {
                expected: self.to_string(),
                found: found(answer),
            }];
        }
        let mut differences = Vec::new();
        if let Ok(decision) = answer {
            for (kind, expected, found) in [
                ("edits", &self.edits, decision.edits.describe(name)),
                (
                    "response edits",
                    &self.response_edits,
                    decision.describe_response_edits(),
                ),
                ("options", &self.options, decision.options.describe(name)),
            ] {
                compare_lists(kind, expected.as_deref(), &found, &mut differences);
            }
            if let Route::Respond(response) = &decision.route {
                self.compare_response(response, &mut differences);
            }
        }
        differences
    }

    fn compare_response(&self, response: &Response, differences: &mut Vec<Difference>) {
        let shown = |value: &[u8]| value.escape_ascii().to_string();
        for (name, value) in self.headers.iter().flatten() {
            let mut lines = response.values(name.as_bytes());
            if lines.any(|line| line == &*value.bytes()) {
                continue;
            }
            let lines: Vec<String> = response.values(name.as_bytes()).map(shown).collect();
            differences.push(Difference {
                expected: format!("{name}: {}", shown(&value.bytes())),
                found: match lines.as_slice() {
                    [] => format!("no {name}"),
                    lines => format!("{name}: {}", lines.join(", ")),
                },
            });
        }
        if let Some(body) = &self.body
            && body.as_bytes() != response.body
        {
            differences.push(Difference {
                expected: format!("body: {}", shown(body.as_bytes())),
                found: format!("body: {}", shown(&response.body)),
            });
        }
    }
}

fn compare_lists(
    kind: &str,
    expected: Option<&[String]>,
    found: &[String],
    differences: &mut Vec<Difference>,
) {
    let Some(expected) = expected else { return };
    if *expected != *found {
        let list = |list: &[String]| match list {
            [] => format!("no {kind}"),
            list => format!("{kind}: {}", list.join("; ")),
        };
        differences.push(Difference {
            expected: list(expected),
            found: list(found),
        });
    }
}

fn is_part(part: Option<&str>, of: &str) -> bool {
    part.is_some_and(|part| of.contains(part))
}

impl Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(server), Some(name)) = (&self.server, &self.backend) {
            write!(f, "server {server} of backend {name}")?;
            match self.otherwise {
                Some(RawOtherwise::AskAgain) => f.write_str(", or ask again"),
                _ => Ok(()),
            }
        } else if self.next.is_some() {
            f.write_str("next")
        } else if let Some(name) = &self.backend {
            write!(f, "backend {name}")
        } else if let Some(status) = self.respond {
            write!(f, "a response with status {status}")
        } else if let Some(part) = &self.refused {
            write!(f, "the configuration is refused: … {part} …")
        } else if let Some(part) = &self.error {
            write!(f, "an error: … {part} …")
        } else {
            f.write_str("the default backend")
        }
    }
}

fn found(answer: &Result<Decision, Failure>) -> String {
    match answer {
        Ok(decision) => match &decision.route {
            Route::Backend(name) => format!("backend {name}"),
            Route::Default => "the default backend".to_owned(),
            route @ (Route::Server(_) | Route::Next) => route.describe(),
            Route::Respond(response) => {
                format!("a response with status {}", response.status)
            }
        },
        Err(Failure::Configure(Fault::Error(message))) => {
            format!("the configuration is refused: {message}")
        }
        Err(Failure::Configure(fault)) => format!("failed while it was configured: {fault}"),
        Err(Failure::Route(Fault::Trap { message, backtrace })) => {
            format!("trapped: {message}\n{backtrace}")
        }
        Err(Failure::Route(fault)) => fault.to_string(),
    }
}
