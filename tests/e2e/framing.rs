//! HTTP/1.1 on the wire, at its edges: what is refused, what is repaired, and what passes.

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

/// Most requests of these tests, to the target `target`.
fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}
