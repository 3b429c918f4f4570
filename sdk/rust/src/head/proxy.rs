//! A head in the proxy: each method is a call out of the sandbox.

use crate::bindings::pointsman::router::request::RequestHead;

/// A handle to the proxy's head, which is released on drop.
pub struct Head(pub(crate) RequestHead);

/// Defines methods that pass their arguments on unchanged.
macro_rules! pass_on {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        impl Head {
            $(pub(crate) fn $name(&self, $($argument: $type),*) $(-> $result)? {
                self.0.$name($($argument),*)
            })*
        }
    };
}

pass_on! {
    method() -> String;
    scheme() -> String;
    version() -> Option<String>;
    authority() -> Vec<u8>;
    host() -> String;
    path_with_query() -> String;
    path() -> String;
    query_parameter(name: &str) -> Option<Vec<u8>>;
    header(name: &str) -> Vec<Vec<u8>>;
    headers() -> Vec<(String, Vec<u8>)>;
    cookie(name: &str) -> Option<Vec<u8>>;
    client_address() -> String;
    client_port() -> u16;
    server_name() -> Option<String>;
    alpn() -> Option<String>;
    client_certificate_subject() -> Option<String>;
    client_certificate_issuer() -> Option<String>;
    client_certificate_names() -> Vec<String>;
    client_certificate_serial() -> Option<String>;
    client_certificate_sha256() -> Option<String>;
    client_certificate_not_after() -> Option<u64>;
    attempt() -> u32;
    body_prefix() -> Option<Vec<u8>>;
    body_is_complete() -> bool;

    ask(question: u32) -> Option<u32>;
    ask_value(question: u32) -> Option<Vec<u8>>;

    set_header(name: &str, value: &[u8]) -> Result<(), String>;
    set_header_by(name: &str, question: u32) -> Result<(), String>;
    append_header(name: &str, value: &[u8]) -> Result<(), String>;
    remove_header(name: &str) -> Result<(), String>;
    set_authority(value: &[u8]) -> Result<(), String>;
    set_path_with_query(value: &str) -> Result<(), String>;
    replace_path_prefix(length: u32, replacement: &str) -> Result<(), String>;
    set_response_header(name: &str, value: &[u8]) -> Result<(), String>;
    append_response_header(name: &str, value: &[u8]) -> Result<(), String>;
    remove_response_header(name: &str) -> Result<(), String>;

    set_affinity(key: &[u8]);
    set_affinity_by(question: u32);
    set_queue_timeout(milliseconds: u32);
    set_connect_timeout(milliseconds: u32);
    set_server_timeout(milliseconds: u32);
    set_tunnel_timeout(milliseconds: u32);
    set_tries(tries: u32);
    tag(name: &str, value: &str);
    tag_by(name: &str, question: u32);
}
