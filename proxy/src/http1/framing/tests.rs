//! The framing that the fields declare.

use super::*;

fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in lines {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    fields
}

fn by_lengths(values: &[&str], lists: LengthLists) -> Result<BodyLength, FramingError> {
    let lines: Vec<_> = values
        .iter()
        .map(|value| ("Content-Length", *value))
        .collect();
    declared(&mut fields(&lines), Version::Http11, lists).map(|declared| declared.length)
}

#[test]
fn lengths() {
    use FramingError::{ConflictingLengths, InvalidLength};
    let check = |values: &[&str], request, response| {
        assert_eq!(
            by_lengths(values, LengthLists::Refused),
            request,
            "{values:?}"
        );
        assert_eq!(
            by_lengths(values, LengthLists::Accepted),
            response,
            "{values:?}"
        );
    };
    let known = |length| Ok(BodyLength::Known(length));
    let invalid = Err(InvalidLength);
    let conflict = Err(ConflictingLengths);
    check(&["0"], known(0), known(0));
    check(&["005"], known(5), known(5));
    check(&["5", "5"], known(5), known(5));
    check(
        &["9223372036854775807"],
        known(MAX_LENGTH),
        known(MAX_LENGTH),
    );
    check(&["5", "6"], conflict, conflict);
    check(&["5, 5"], invalid, known(5));
    check(&["5, 6"], invalid, conflict);
    check(&["5,", "5"], invalid, invalid);
    for value in [
        "",
        ",",
        "+5",
        "-5",
        "0x5",
        "5.0",
        "5 5",
        "5_",
        "\"5\"",
        "\u{665}",
        "5\u{b}",
        "9223372036854775808",
        "18446744073709551616",
        "18446744073709551621",
    ] {
        check(&[value], invalid, invalid);
    }
}

#[test]
fn codings() {
    use FramingError::{NotChunked, UnknownCoding};
    let check = |values: &[&str], expected: Result<(), FramingError>| {
        let lines: Vec<_> = values
            .iter()
            .map(|value| ("Transfer-Encoding", *value))
            .collect();
        let found = declared(&mut fields(&lines), Version::Http11, LengthLists::Refused);
        let expected = expected.map(|()| Declared {
            length: BodyLength::Chunked,
            is_contradictory: false,
        });
        assert_eq!(found, expected, "{values:?}");
    };
    check(&["chunked"], Ok(()));
    check(&["Chunked"], Ok(()));
    for value in [
        "",
        ",",
        "gzip",
        "chunked, gzip",
        "identity",
        "xchunked",
        "\"chunked\"",
        "chunked;q=1",
        ",chunked",
        "chunked,",
        " ,\tchunked",
        "\u{b}chunked",
        "chunked\u{b}",
        "chunked\u{c}",
        "chunked chunked",
        "chu\u{212a}ed",
    ] {
        check(&[value], Err(NotChunked));
    }
    check(&["gzip, chunked"], Err(UnknownCoding));
    check(&["chunked, chunked"], Err(UnknownCoding));
    check(&["chunked", "chunked"], Err(UnknownCoding));
    check(&["identity", "chunked"], Err(UnknownCoding));
    check(&["chunked", "identity"], Err(NotChunked));
    check(&["chunked", ""], Err(NotChunked));
}

#[test]
fn both() {
    let lines = [("Content-Length", "3"), ("Transfer-Encoding", "chunked")];
    let mut both = fields(&lines);
    let found = declared(&mut both, Version::Http11, LengthLists::Refused).unwrap();
    assert_eq!(
        (found.length, found.is_contradictory),
        (BodyLength::Chunked, true)
    );
    assert_eq!(both.values(b"content-length").count(), 0);
    let found = declared(&mut fields(&lines), Version::Http10, LengthLists::Refused);
    assert_eq!(found, Err(FramingError::CodingInHttp10));
    let invalid = [("Content-Length", "x"), ("Transfer-Encoding", "chunked")];
    let found = declared(
        &mut fields(&invalid),
        Version::Http11,
        LengthLists::Accepted,
    );
    assert_eq!(found, Err(FramingError::InvalidLength));
}

#[test]
fn response_bodies() {
    let check = |declared, method: &[u8], status, expected| {
        let found = response_body(declared, MethodKind::of(method), status);
        assert_eq!(found, expected, "{declared:?} {method:?} {status}");
    };
    let five = BodyLength::Known(5);
    check(five, b"GET", 200, five);
    check(BodyLength::Chunked, b"GET", 200, BodyLength::Chunked);
    check(BodyLength::None, b"GET", 200, BodyLength::UntilClose);
    for status in [100, 101, 103, 204, 304] {
        check(five, b"GET", status, BodyLength::None);
        check(BodyLength::Chunked, b"GET", status, BodyLength::None);
    }
    check(BodyLength::None, b"HEAD", 404, BodyLength::None);
    check(five, b"CONNECT", 200, BodyLength::None);
    check(five, b"CONNECT", 403, five);
}
