//! A head in memory, for tests of plugins: no proxy, no sandbox.
//!
//! Made by `testing::RequestBuilder`. Answers as the proxy does; of the proxy's checks on
//! edits it lacks those of a new `host`.

use std::cell::RefCell;

use crate::testing::{ClientCertificate, Edit};
use crate::{Client, EditError, Tls, syntax};

/// Longest target that a plugin may set, as in the proxy.
const MAX_TARGET: usize = 8 * 1024;

/// A request head, and the edits made to it.
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) scheme: String,
    pub(crate) version: String,
    pub(crate) path_with_query: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) client: Client,
    pub(crate) tls: Option<Tls>,
    pub(crate) client_certificate: Option<ClientCertificate>,
    pub(crate) attempt: u32,
    pub(crate) edits: RefCell<Vec<Edit>>,
}

impl Head {
    pub(crate) fn method(&self) -> String {
        self.method.clone()
    }

    pub(crate) fn scheme(&self) -> String {
        self.scheme.clone()
    }

    pub(crate) fn version(&self) -> String {
        self.version.clone()
    }

    pub(crate) fn path_with_query(&self) -> String {
        self.path_with_query.clone()
    }

    pub(crate) fn header(&self, name: &str) -> Vec<Vec<u8>> {
        self.headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.clone())
            .collect()
    }

    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.headers.clone()
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }

    fn of_certificate<T>(&self, part: impl FnOnce(&ClientCertificate) -> T) -> Option<T> {
        self.client_certificate.as_ref().map(part)
    }

    pub(crate) fn client_certificate_subject(&self) -> Option<String> {
        self.of_certificate(|certificate| certificate.subject.clone())
    }

    pub(crate) fn client_certificate_issuer(&self) -> Option<String> {
        self.of_certificate(|certificate| certificate.issuer.clone())
    }

    pub(crate) fn client_certificate_names(&self) -> Vec<String> {
        self.of_certificate(|certificate| certificate.names.clone())
            .unwrap_or_default()
    }

    pub(crate) fn client_certificate_serial(&self) -> Option<String> {
        self.of_certificate(|certificate| certificate.serial.clone())
    }

    pub(crate) fn client_certificate_sha256(&self) -> Option<String> {
        self.of_certificate(|certificate| certificate.sha256.clone())
    }

    pub(crate) fn client_certificate_not_after(&self) -> Option<u64> {
        self.of_certificate(|certificate| certificate.not_after)
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(crate) fn set_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        let (name, value) = (checked_name(name)?, checked_value(value)?);
        self.edit(Edit::SetHeader(name, value))
    }

    pub(crate) fn append_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        let (name, value) = (not_host(checked_name(name)?)?, checked_value(value)?);
        self.edit(Edit::AppendHeader(name, value))
    }

    pub(crate) fn remove_header(&self, name: &str) -> Result<(), EditError> {
        let name = not_host(checked_name(name)?)?;
        self.edit(Edit::RemoveHeader(name))
    }

    pub(crate) fn set_path_with_query(&self, value: &str) -> Result<(), EditError> {
        let allowed = |octet: u8| octet.is_ascii_graphic() && octet != b'#';
        let is_target = value.starts_with('/') && value.len() <= MAX_TARGET;
        if !is_target || !value.bytes().all(allowed) {
            return Err(EditError::InvalidSyntax);
        }
        self.edit(Edit::SetPathWithQuery(value.to_owned()))
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "the end of each edit above, which may fail"
    )]
    fn edit(&self, edit: Edit) -> Result<(), EditError> {
        self.edits.borrow_mut().push(edit);
        Ok(())
    }
}

/// A field name, in lower case, that is a token (RFC 9110, section 5.6.2) and not the proxy's.
fn checked_name(name: &str) -> Result<String, EditError> {
    if !syntax::is_token(name) {
        return Err(EditError::InvalidSyntax);
    }
    if syntax::is_reserved(name) {
        return Err(EditError::Forbidden);
    }
    Ok(name.to_ascii_lowercase())
}

/// Refuses to add or remove a `host`: a request has exactly one (RFC 9112, section 3.2).
fn not_host(name: String) -> Result<String, EditError> {
    if name == "host" {
        return Err(EditError::Forbidden);
    }
    Ok(name)
}

/// A field value without controls (RFC 9110, section 5.5).
fn checked_value(value: &[u8]) -> Result<Vec<u8>, EditError> {
    let control = |octet: &u8| octet.is_ascii_control() && *octet != b'\t';
    if value.iter().any(control) {
        return Err(EditError::InvalidSyntax);
    }
    Ok(value.to_vec())
}
