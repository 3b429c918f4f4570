//! Human-readable form of decisions, for `pointsman route`, test cases and trials.

use std::str;

use super::backends::Backends;
use super::decision::{Decision, Edits, Options, Otherwise, Route, Target, Value};
use super::reads::Read;
use super::request::Request;
use crate::http::edit::Edit;
use crate::http::head::CertificateFacts;
use crate::questions::{Answer, Questions, Subject, reads};

impl Route {
    /// Describes the route in a few words.
    pub fn describe(&self) -> String {
        match self {
            Route::Backend(name) => format!("backend {name}"),
            Route::Server(choice) => {
                let otherwise = match choice.otherwise {
                    Otherwise::AnotherServer => "",
                    Otherwise::AskAgain => ", or ask again",
                };
                format!(
                    "server {} of backend {}{otherwise}",
                    choice.server.escape_debug(),
                    choice.backend
                )
            }
            Route::Default => "the default backend".to_owned(),
            Route::Respond(response) => format!("answer {}", response.status),
            Route::Next => "next".to_owned(),
        }
    }
}

impl Edits {
    /// Describes each edit: Host first, the target last. `name` returns the subject of a question.
    pub fn describe(&self, name: impl Fn(u32) -> String) -> Vec<String> {
        let authority = self.authority.as_deref().map(<[u8]>::escape_ascii);
        let authority = authority.map(|host| format!("set host: {host}"));
        let fields = self.fields.iter().enumerate().map(|(index, edit)| {
            let by = self.by.iter().find(|(at, _)| *at == index);
            match by {
                Some((_, question)) => {
                    format!("set {} by {}", edit.name().escape_ascii(), name(*question))
                }
                None => edit.to_string(),
            }
        });
        let target = self.target.as_ref().map(|target| match target {
            Target::Whole(text) => format!("path-with-query {}", text.escape_ascii()),
            Target::Prefix {
                length,
                replacement,
            } => {
                format!(
                    "replace-path-prefix {length} \"{}\"",
                    replacement.escape_ascii()
                )
            }
        });
        authority.into_iter().chain(fields).chain(target).collect()
    }
}

impl Options {
    /// Describes each option that is set. `name` returns the subject of a question.
    pub fn describe(&self, name: impl Fn(u32) -> String) -> Vec<String> {
        let value = |value: &Value| match value {
            Value::Fixed(value) => format!(": {}", shown(value)),
            Value::By(question) => format!(" by {}", name(*question)),
        };
        let affinity = self
            .affinity
            .as_ref()
            .map(|key| format!("affinity{}", value(key)));
        let timeouts = [
            ("queue", self.queue_timeout),
            ("connect", self.connect_timeout),
            ("server", self.server_timeout),
            ("tunnel", self.tunnel_timeout),
        ];
        let timeouts = timeouts.into_iter().filter_map(|(kind, timeout)| {
            let milliseconds = timeout?.as_millis();
            Some(format!("{kind}-timeout: {milliseconds} ms"))
        });
        let tries = self.tries.map(|tries| format!("tries: {tries}"));
        let tags = self.tags.iter();
        let tags = tags.map(|tag| format!("tag {}{}", tag.name, value(&tag.value)));
        affinity
            .into_iter()
            .chain(timeouts)
            .chain(tries)
            .chain(tags)
            .collect()
    }
}

impl Read {
    /// Returns the value that this read has for a request.
    pub fn show(
        &self,
        request: &mut Request<'_>,
        questions: &Questions,
        backends: &dyn Backends,
    ) -> String {
        let mut answers = std::mem::take(request.answers);
        let subject = request.subject();
        let text = match self {
            Read::Question(number) => match answers.answer(questions, *number, subject, backends) {
                Answer::None => NONE.to_owned(),
                Answer::Number(number) => number.to_string(),
                Answer::Value(value) => shown(&value),
            },
            Read::Attempt => request.attempt.to_string(),
            read => show(read, subject),
        };
        *request.answers = answers;
        text
    }
}

/// Text shown for a missing value.
const NONE: &str = "none";

fn show(read: &Read, subject: Subject<'_>) -> String {
    let (head, tls) = (subject.head, subject.tls);
    let certificate = tls.and_then(|tls| tls.client_certificate.as_deref());
    let option = |value: Option<&[u8]>| value.map_or_else(|| NONE.to_owned(), shown);
    let text = |part: fn(&CertificateFacts) -> &str| {
        option(certificate.map(|facts| part(facts).as_bytes()))
    };
    match read {
        Read::Method => shown(head.method()),
        Read::Scheme => head.scheme().as_str().to_owned(),
        Read::Version => head.version_text().to_owned(),
        Read::Authority => shown(reads::authority(head)),
        Read::Host => reads::host(head).into_owned(),
        Read::PathWithQuery => shown(head.target()),
        Read::Path => shown(head.path()),
        Read::QueryParameter(name) => {
            option(reads::query_parameter(head, name.as_bytes()).as_deref())
        }
        Read::Header(name) => {
            let lines: Vec<String> = head.fields().values(name.as_bytes()).map(shown).collect();
            if lines.is_empty() {
                NONE.to_owned()
            } else {
                lines.join("; ")
            }
        }
        Read::Headers => format!("{} lines", head.fields().iter().count()),
        Read::Cookie(name) => option(reads::cookie(head, name.as_bytes())),
        Read::ClientAddress => subject.client.address.clone(),
        Read::ClientPort => subject.client.port.to_string(),
        Read::ServerName => option(
            tls.and_then(|tls| tls.server_name.as_deref())
                .map(str::as_bytes),
        ),
        Read::Alpn => option(tls.and_then(|tls| tls.alpn.as_deref())),
        Read::CertificateSubject => text(|facts| &facts.subject),
        Read::CertificateIssuer => text(|facts| &facts.issuer),
        Read::CertificateSerial => text(|facts| &facts.serial),
        Read::CertificateSha256 => text(|facts| &facts.sha256),
        Read::CertificateNames => {
            let names = certificate.map(|facts| facts.names.join(", "));
            option(names.as_deref().map(str::as_bytes))
        }
        Read::CertificateNotAfter => {
            let seconds = certificate.map(CertificateFacts::not_after);
            seconds.map_or_else(|| NONE.to_owned(), |seconds| seconds.to_string())
        }
        // `Read::show` handles these.
        Read::Attempt | Read::Question(_) => NONE.to_owned(),
    }
}

impl Decision {
    /// Describes the edits of the response.
    pub fn describe_response_edits(&self) -> Vec<String> {
        self.response_edits.iter().map(Edit::to_string).collect()
    }
}

/// Returns UTF-8 text with special characters escaped. If `value` is not UTF-8, escapes every octet
/// that is not printable ASCII.
fn shown(value: &[u8]) -> String {
    match str::from_utf8(value) {
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => value.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plugin::run::decision::{ServerChoice, Tag};

    #[test]
    fn edits_are_described_for_people() {
        let edits = Edits {
            fields: vec![
                Edit::remove(b"x-a").unwrap(),
                Edit::set(b"x-b", b"c").unwrap(),
                Edit::remove(b"x-d").unwrap(),
            ],
            by: vec![(2, 5)],
            authority: Some((*b"a:1").into()),
            target: Some(Target::Whole((*b"/d").into())),
        };
        let expected = [
            "set host: a:1",
            "remove x-a",
            "set x-b: c",
            "set x-d by 5",
            "path-with-query /d",
        ];
        assert_eq!(edits.describe(|question| question.to_string()), expected);
        assert!(!edits.is_empty() && Edits::default().is_empty());
        let prefix = Edits {
            target: Some(Target::Prefix {
                length: 4,
                replacement: (*b"/v2").into(),
            }),
            ..Edits::default()
        };
        assert_eq!(
            prefix.describe(|_| String::new()),
            ["replace-path-prefix 4 \"/v2\""]
        );
    }

    #[test]
    fn options_are_described_for_people() {
        let options = Options {
            affinity: Some(Value::By(1)),
            queue_timeout: Some(Duration::ZERO),
            server_timeout: Some(Duration::from_secs(2)),
            tries: Some(3),
            tags: vec![
                Tag {
                    name: "tenant".into(),
                    value: Value::Fixed((*b"a\n").into()),
                },
                Tag {
                    name: "session".into(),
                    value: Value::By(2),
                },
            ],
            ..Options::default()
        };
        let expected = [
            "affinity by question 1",
            "queue-timeout: 0 ms",
            "server-timeout: 2000 ms",
            "tries: 3",
            "tag tenant: a\\n",
            "tag session by question 2",
        ];
        assert_eq!(
            options.describe(|question| format!("question {question}")),
            expected
        );
    }

    #[test]
    fn routes_are_described_for_people() {
        let check = |route: Route, expected: &str| assert_eq!(route.describe(), expected);
        check(Route::Backend("a".into()), "backend a");
        check(Route::Next, "next");
        let server = |otherwise| {
            Route::Server(ServerChoice {
                backend: "a".into(),
                server: "s1".into(),
                otherwise,
            })
        };
        check(server(Otherwise::AnotherServer), "server s1 of backend a");
        check(
            server(Otherwise::AskAgain),
            "server s1 of backend a, or ask again",
        );
    }
}
