//! Corner cases of HTTP/1.1 on the wire: messages that are refused, repaired or passed on.

mod early;
mod fields;
mod interim;
mod limits;
mod requests;
mod responses;
mod strays;
mod streams;
mod targets;
mod trailers;

/// Returns a GET of `target`. Most of these tests send this request.
fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}
