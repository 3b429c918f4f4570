//! Reasons why no certificate was obtained.

use std::fmt;

use instant_acme::Problem;
use thiserror::Error;

use super::http::HttpError;
use super::storage::StorageError;
use crate::config::AcmeChallenge;
use crate::transport::tls::CertificateError;

/// Maximum length of a server's message that is copied to the log.
const MAX_TEXT: usize = 1024;

/// Reason why an order failed.
#[derive(Debug, Error)]
pub enum OrderError {
    /// The server returned a problem document (RFC 8555, section 6.7).
    #[error("the ACME server refused: {0}")]
    Refused(Refusal),
    /// The server did not find the expected response to a challenge for a name.
    #[error("the challenge for `{name}` failed: {refusal}")]
    Challenge {
        /// The name in the certificate.
        name: String,
        /// The server's reason.
        refusal: Refusal,
    },
    /// The server does not offer the configured challenge for this name.
    #[error("the ACME server offers no challenge {} for `{name}`", challenge_name(*.challenge))]
    NoChallenge {
        /// The configured challenge.
        challenge: AcmeChallenge,
        /// The name in the certificate.
        name: String,
    },
    /// The server did not complete the order in time.
    #[error("the ACME server did not finish the order in time")]
    Timeout,
    /// The server could not be reached, or sent no usable response.
    #[error("the request to the ACME server failed")]
    Http(#[from] HttpError),
    /// The server's response violates RFC 8555, or contradicts the order.
    #[error("the ACME server sent {0}")]
    Answer(String),
    /// The issued certificate cannot be used.
    #[error("the issued certificate cannot be used")]
    Certificate(#[from] CertificateError),
    /// The certificate lacks this name.
    #[error("the issued certificate lacks the name `{0}`")]
    MissingName(String),
    /// The new certificate is already due for renewal.
    #[error("the issued certificate is already due for renewal: check the clock of this machine")]
    DueAlready,
    /// A key or a certificate signing request cannot be created.
    #[error("cannot create a key or a certificate request")]
    Request(#[from] rcgen::Error),
    /// The account's key on disk cannot be read.
    #[error(
        "the key of the ACME account cannot be read; remove `account.json` to register a new account"
    )]
    AccountKey,
    /// The state on disk cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A server's reason for refusing a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Type of the problem, such as `urn:ietf:params:acme:error:rateLimited`.
    pub kind: String,
    /// Human-readable description.
    pub detail: String,
}

impl Refusal {
    pub(super) fn new(problem: &Problem) -> Refusal {
        let mut detail = problem.detail.clone().unwrap_or_default();
        for part in &problem.subproblems {
            detail.push_str("; ");
            detail.push_str(&part.to_string());
        }
        Refusal {
            kind: limited(problem.r#type.as_deref().unwrap_or("about:blank")),
            detail: limited(&detail),
        }
    }

    /// Returns whether the same request can succeed later.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(
            self.error(),
            Some("badNonce" | "rateLimited" | "serverInternal")
        )
    }

    /// Returns whether the same request can succeed immediately.
    pub(super) fn is_bad_nonce(&self) -> bool {
        self.error() == Some("badNonce")
    }

    /// Returns whether the server has rejected the account as unknown.
    pub(super) fn is_unknown_account(&self) -> bool {
        self.error() == Some("accountDoesNotExist")
    }

    fn error(&self) -> Option<&str> {
        self.kind.strip_prefix("urn:ietf:params:acme:error:")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            return f.write_str(&self.kind);
        }
        write!(f, "{} ({})", self.detail, self.kind)
    }
}

impl From<instant_acme::Error> for OrderError {
    fn from(error: instant_acme::Error) -> OrderError {
        use instant_acme::Error;
        match error {
            Error::Api(problem) => OrderError::Refused(Refusal::new(&problem)),
            Error::Timeout(_) => OrderError::Timeout,
            Error::Json(error) => OrderError::Answer(format!("invalid JSON: {error}")),
            Error::Other(error) => match error.downcast::<HttpError>() {
                Ok(error) => OrderError::Http(*error),
                Err(error) => OrderError::Answer(limited(&error.to_string())),
            },
            other => OrderError::Answer(limited(&format!("something unexpected: {other}"))),
        }
    }
}

fn challenge_name(challenge: AcmeChallenge) -> &'static str {
    match challenge {
        AcmeChallenge::Http01 => "http-01",
        AcmeChallenge::TlsAlpn01 => "tls-alpn-01",
    }
}

fn limited(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_of_the_server() {
        let check = |json: &str, expected: &str| {
            let problem: Problem = serde_json::from_str(json).unwrap();
            let error = OrderError::from(instant_acme::Error::Api(problem));
            assert_eq!(error.to_string(), expected);
        };
        check(
            r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many orders"}"#,
            "the ACME server refused: too many orders (urn:ietf:params:acme:error:rateLimited)",
        );
        check("{}", "the ACME server refused: about:blank");
        check(
            r#"{"detail": "no", "subproblems": [{"type": "t", "detail": "d",
                "identifier": {"type": "dns", "value": "a.example"}}]}"#,
            "the ACME server refused: no; for \"a.example\": d (t) (about:blank)",
        );
        let long = format!(r#"{{"detail": "{}"}}"#, "ä".repeat(4000));
        let problem = serde_json::from_str(&long).unwrap();
        assert!(Refusal::new(&problem).to_string().len() < 1100);
    }
}
