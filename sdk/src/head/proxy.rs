//! A head that lies in the proxy: each method is a call out of the sandbox.

use crate::guest::RequestHead;
use crate::{Client, EditError, Tls};

/// A handle of the proxy's, given back when it is dropped.
pub(crate) struct Head(pub(crate) RequestHead);

impl Head {
    pub(crate) fn method(&self) -> String {
        self.0.method()
    }

    pub(crate) fn scheme(&self) -> String {
        self.0.scheme()
    }

    pub(crate) fn version(&self) -> String {
        self.0.version()
    }

    pub(crate) fn path_with_query(&self) -> String {
        self.0.path_with_query()
    }

    pub(crate) fn header(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.header(name)
    }

    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.0.headers()
    }

    pub(crate) fn client(&self) -> Client {
        let client = self.0.client();
        Client {
            address: client.address,
            port: client.port,
        }
    }

    pub(crate) fn tls(&self) -> Option<Tls> {
        self.0.tls().map(|tls| Tls {
            server_name: tls.server_name,
            alpn: tls.alpn,
        })
    }

    pub(crate) fn client_certificate_subject(&self) -> Option<String> {
        self.0.client_certificate_subject()
    }

    pub(crate) fn client_certificate_issuer(&self) -> Option<String> {
        self.0.client_certificate_issuer()
    }

    pub(crate) fn client_certificate_names(&self) -> Vec<String> {
        self.0.client_certificate_names()
    }

    pub(crate) fn client_certificate_serial(&self) -> Option<String> {
        self.0.client_certificate_serial()
    }

    pub(crate) fn client_certificate_sha256(&self) -> Option<String> {
        self.0.client_certificate_sha256()
    }

    pub(crate) fn client_certificate_not_after(&self) -> Option<u64> {
        self.0.client_certificate_not_after()
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.0.attempt()
    }

    pub(crate) fn set_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        Ok(self.0.set_header(name, value)?)
    }

    pub(crate) fn append_header(&self, name: &str, value: &[u8]) -> Result<(), EditError> {
        Ok(self.0.append_header(name, value)?)
    }

    pub(crate) fn remove_header(&self, name: &str) -> Result<(), EditError> {
        Ok(self.0.remove_header(name)?)
    }

    pub(crate) fn set_path_with_query(&self, value: &str) -> Result<(), EditError> {
        Ok(self.0.set_path_with_query(value)?)
    }
}
