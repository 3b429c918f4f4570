//! A request again, from the bytes that were sent for it.
//!
//! A connection that has served before may be closed by its server at any moment; what was
//! sent over it and not answered is then sent anew over another. Keeping the bytes for that
//! costs a small copy for each request, cloning its fields several times as much.

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

/// More lines than a request can have: a client's, and the edits of a plugin.
const MAX_LINES: usize = 512;

/// The request whose head is `bytes`, as this proxy has written it; it has no body. None
/// where that is not all of it.
pub fn request(bytes: &[u8]) -> Option<Request<()>> {
    let mut lines = vec![httparse::EMPTY_HEADER; MAX_LINES];
    let mut head = httparse::Request::new(&mut lines);
    if !head.parse(bytes).ok()?.is_complete() {
        return None;
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = Uri::from(PathAndQuery::try_from(head.path?).ok()?);
    let fields = request.headers_mut();
    for line in head.headers {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        fields.append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_back_whole_or_not_at_all() {
        let head = b"DELETE /a?b=%20 HTTP/1.1\r\nhost: a\r\nx-a: 1\r\nx-a: \xff\r\nempty: \r\n\r\n";
        let found = request(head).unwrap();
        assert_eq!(found.method(), Method::DELETE);
        assert_eq!(found.uri(), "/a?b=%20");
        let lines: Vec<(&str, &[u8])> = found
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let expected: [(&str, &[u8]); 4] = [
            ("host", b"a"),
            ("x-a", b"1"),
            ("x-a", b"\xff"),
            ("empty", b""),
        ];
        assert_eq!(lines, expected);
        for end in 0..head.len() {
            assert!(request(&head[..end]).is_none(), "{end} bytes");
        }
        for target in ["*", "//a/b", "/a:80?c"] {
            let head = format!("OPTIONS {target} HTTP/1.1\r\nhost: a\r\n\r\n");
            let found = request(head.as_bytes()).unwrap();
            assert_eq!(found.uri().path_and_query().unwrap(), target);
        }
    }
}
