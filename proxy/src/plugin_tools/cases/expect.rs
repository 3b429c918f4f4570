//! What is expected of a case, and how a plugin's answer differs from it.
//!
//! Called by `cases`.

use std::fmt::{self, Display};

use serde::Deserialize;

use super::field::{Octets, check_name};
use crate::plugin::{Decision, Fault, Response, Route};

/// What is expected of a case, as it is in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    backend: Option<String>,
    default: Option<bool>,
    respond: Option<u16>,
    pub(super) refused: Option<String>,
    error: Option<String>,
    edits: Option<Vec<String>>,
    headers: Option<Vec<(String, Octets)>>,
    body: Option<String>,
}

/// One thing that is not as expected.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// What should have been.
    pub expected: String,
    /// What is.
    pub found: String,
}

/// Why there is no decision.
pub(super) enum Failure {
    Configure(Fault),
    Route(Fault),
}

impl Expect {
    /// Whether an answer can be like this.
    pub(super) fn check(&self, backends: &[String]) -> Result<(), String> {
        let answers = [
            self.backend.is_some(),
            self.default.is_some(),
            self.respond.is_some(),
            self.refused.is_some(),
            self.error.is_some(),
        ];
        if answers.iter().filter(|&&given| given).count() != 1 {
            return Err(
                "`expect` has to have one of `backend`, `default`, `respond`, `refused` and \
                 `error`"
                    .to_owned(),
            );
        }
        if self.default == Some(false) {
            return Err("say what is expected instead of `default = false`".to_owned());
        }
        if let Some(name) = &self.backend
            && !backends.contains(name)
        {
            return Err(format!("{name:?} is not among `backends`"));
        }
        if self.respond.is_none() && (self.headers.is_some() || self.body.is_some()) {
            return Err("`headers` and `body` are those of a response: add `respond`".to_owned());
        }
        if self.edits.is_some() && self.backend.is_none() && self.default.is_none() {
            return Err("only what goes to a backend has `edits`".to_owned());
        }
        for (name, _) in self.headers.iter().flatten() {
            check_name(name)?;
        }
        Ok(())
    }

    /// What of `answer` differs.
    pub(super) fn compare(&self, answer: &Result<Decision, Failure>) -> Vec<Difference> {
        let holds = match (answer, self) {
            (Err(Failure::Configure(Fault::Error(message))), expect) => {
                is_part(expect.refused.as_deref(), message)
            }
            (Err(Failure::Route(Fault::Error(message))), expect) => {
                is_part(expect.error.as_deref(), message)
            }
            (Err(_), _) => false,
            (Ok(decision), expect) => match &decision.route {
                Route::Backend(name) => expect.backend.as_deref() == Some(&**name),
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
            self.compare_edits(decision, &mut differences);
            if let Route::Respond(response) = &decision.route {
                self.compare_response(response, &mut differences);
            }
        }
        differences
    }

    fn compare_edits(&self, decision: &Decision, differences: &mut Vec<Difference>) {
        let Some(expected) = &self.edits else { return };
        let found = decision.edits.describe();
        if *expected != found {
            let list = |edits: &[String]| match edits {
                [] => "no edits".to_owned(),
                edits => format!("edits: {}", edits.join("; ")),
            };
            differences.push(Difference {
                expected: list(expected),
                found: list(&found),
            });
        }
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

fn is_part(part: Option<&str>, of: &str) -> bool {
    part.is_some_and(|part| of.contains(part))
}

impl Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.backend {
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
