//! Responses to ACME challenges, kept for as long as an order needs them.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use instant_acme::KeyAuthorization;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};

use super::error::OrderError;
use crate::transport::tls::{Challenges, Identity};

/// Length of the longest token that is served. Servers send about 43 characters.
const MAX_TOKEN: usize = 512;

/// Responses to requests for `/.well-known/acme-challenge/` (RFC 8555, section 8.3).
///
/// Shared by all workers, which read the responses without blocking.
#[derive(Debug, Default)]
pub struct HttpChallenges {
    by_token: ArcSwap<HashMap<Box<str>, Arc<str>>>,
}

impl HttpChallenges {
    /// Prefix of every challenge's path, up to the token.
    pub const PATH: &'static [u8] = b"/.well-known/acme-challenge/";

    /// Returns the response body for the request target `target`, if an order in progress has such
    /// a challenge.
    pub fn answer(&self, target: &[u8]) -> Option<Arc<str>> {
        let token = target.strip_prefix(Self::PATH)?;
        let token = str::from_utf8(token).ok()?;
        self.by_token.load().get(token).cloned()
    }

    fn insert(&self, token: &str, answer: &str) {
        let answer: Arc<str> = answer.into();
        self.by_token.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.insert(token.into(), Arc::clone(&answer));
            known
        });
    }

    fn remove(&self, token: &str) {
        self.by_token.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.remove(token);
            known
        });
    }
}

/// The responders for both kinds of challenge, HTTP and TLS.
#[derive(Debug, Clone, Default)]
pub(super) struct ChallengeResponders {
    pub(super) http: Arc<HttpChallenges>,
    pub(super) tls: Arc<Challenges>,
}

/// A guard that keeps the response to a challenge in place until it is dropped.
#[derive(Debug)]
pub(super) struct ChallengeGuard {
    responders: ChallengeResponders,
    by: By,
}

#[derive(Debug)]
enum By {
    Token(Box<str>),
    Name(Box<str>),
}

impl ChallengeResponders {
    /// Starts answering a challenge over HTTP.
    pub(super) fn http(
        &self,
        token: &str,
        authorization: &KeyAuthorization,
    ) -> Result<ChallengeGuard, OrderError> {
        // RFC 8555, section 8.1: only the characters of base64url are allowed.
        let is_allowed = |c: u8| c.is_ascii_alphanumeric() || b"-_".contains(&c);
        if token.is_empty() || token.len() > MAX_TOKEN || !token.bytes().all(is_allowed) {
            return Err(OrderError::Answer("an invalid token".to_owned()));
        }
        self.http.insert(token, authorization.as_str());
        Ok(self.guard(By::Token(token.into())))
    }

    /// Starts answering a challenge for `name` with a certificate in the TLS handshake (RFC 8737).
    pub(super) fn tls(
        &self,
        name: &str,
        authorization: &KeyAuthorization,
    ) -> Result<ChallengeGuard, OrderError> {
        let identity = identity(name, authorization.digest().as_ref())?;
        self.tls.insert(name, &identity);
        Ok(self.guard(By::Name(name.into())))
    }

    fn guard(&self, by: By) -> ChallengeGuard {
        ChallengeGuard {
            responders: self.clone(),
            by,
        }
    }
}

impl Drop for ChallengeGuard {
    fn drop(&mut self) {
        match &self.by {
            By::Token(token) => self.responders.http.remove(token),
            By::Name(name) => self.responders.tls.remove(name),
        }
    }
}

fn identity(name: &str, digest: &[u8]) -> Result<Identity, OrderError> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Identity::from_der(certificate.der(), &key.serialize_der())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_by_token() {
        let challenges = HttpChallenges::default();
        challenges.insert("abc", "abc.thumb");
        let check = |target: &str, expected| {
            let found = challenges.answer(target.as_bytes());
            assert_eq!(found.as_deref(), expected, "{target}");
        };
        check("/.well-known/acme-challenge/abc", Some("abc.thumb"));
        check("/.well-known/acme-challenge/ab", None);
        check("/.well-known/acme-challenge/abc/", None);
        check("/.well-known/acme-challenge/abc?x", None);
        check("/.well-known/acme-challenge/", None);
        check("/abc", None);
        challenges.remove("abc");
        check("/.well-known/acme-challenge/abc", None);
    }

    #[test]
    fn certificates_for_challenges() {
        let identity = identity("a.example", &[7; 32]).unwrap();
        assert_eq!(&*identity.facts().names, [Box::from("a.example")]);
    }
}
