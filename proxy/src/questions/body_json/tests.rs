//! Test cases, and a comparison with `serde_json`.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn find(pointer: &str, body: &str) -> Option<String> {
    let found = Pointer::parse(pointer).unwrap();
    let found = found.find(body.as_bytes())?;
    Some(String::from_utf8(found.into_owned()).unwrap())
}

#[test]
fn members() {
    for (pointer, body, expected) in [
        ("/model", r#"{"model":"a"}"#, Some("a")),
        (
            "/model",
            " {\t\"x\" : [1,{}] , \"model\"\n:\r\"a\" } ",
            Some("a"),
        ),
        ("/a/b", r#"{"a":{"b":1}}"#, Some("1")),
        ("/a/0", r#"{"a":[true,false]}"#, Some("true")),
        ("/a/1", r#"{"a":[true,false]}"#, Some("false")),
        ("/a/01", r#"{"a":[true,false]}"#, None),
        ("/a/-", r#"{"a":[true,false]}"#, None),
        ("/a/2", r#"{"a":[true,false]}"#, None),
        ("/a/0", r#"{"a":{"0":"key"}}"#, Some("key")),
        ("", r#""whole""#, Some("whole")),
        ("", "1.50", Some("1.50")),
        ("/", r#"{"":"empty"}"#, Some("empty")),
        ("/a~1b/~0~01", r#"{"a/b":{"~~1":"x"}}"#, Some("x")),
        ("/n", r#"{"n":-0.0e+1}"#, Some("-0.0e+1")),
        ("/n", r#"{"n":1e999}"#, Some("1e999")),
        (
            "/n",
            r#"{"n":123456789012345678901234567890}"#,
            Some("123456789012345678901234567890"),
        ),
        (
            "/s",
            r#"{"s":"a\u00e4\n\"\ud83d\ude00"}"#,
            Some("a\u{e4}\n\"\u{1f600}"),
        ),
        ("/\u{e4}", r#"{"\u00e4":"key"}"#, Some("key")),
        ("/s", r#"{"s":""}"#, Some("")),
        // The member is not a string, number or boolean.
        ("/a", r#"{"a":null}"#, None),
        ("/a", r#"{"a":{}}"#, None),
        ("/a", r#"{"a":[1]}"#, None),
        ("/a/b", r#"{"a":"b"}"#, None),
        ("/a", "[]", None),
        ("", "null", None),
        // A member along the path occurs twice, however it is escaped.
        ("/a", r#"{"a":1,"a":1}"#, None),
        ("/a", r#"{"a":1,"\u0061":2}"#, None),
        ("/a/b", r#"{"a":{"b":1},"a":{}}"#, None),
        ("/a/b", r#"{"a":{"b":1,"c":2,"b":3}}"#, None),
        (
            "/a/b",
            r#"{"a":{"b":1,"c":2,"c":3},"d":0,"d":0}"#,
            Some("1"),
        ),
        ("/b", r#"{"a":{"b":1},"b":2}"#, Some("2")),
        // Half a surrogate pair is not a character.
        ("/s", r#"{"s":"\ud83d"}"#, None),
        ("/s", r#"{"s":"x","t":"\ud83d"}"#, Some("x")),
    ] {
        assert_eq!(find(pointer, body).as_deref(), expected, "{pointer} {body}");
    }
}

#[test]
fn texts_that_are_not_json() {
    for body in [
        "",
        "{",
        r#"{"a":1"#,
        r#"{"a":1}x"#,
        r#"{"a":1}{}"#,
        r#"{"a":1,}"#,
        r#"{"a":1,,"b":2}"#,
        r#"{,"a":1}"#,
        r#"{"a":1 "b":2}"#,
        r#"{"a" 1}"#,
        "{a:1}",
        "{'a':1}",
        r#"{"a":1,"b":01}"#,
        r#"{"a":1,"b":1.}"#,
        r#"{"a":1,"b":.5}"#,
        r#"{"a":1,"b":+5}"#,
        r#"{"a":1,"b":1e}"#,
        r#"{"a":1,"b":-}"#,
        r#"{"a":1,"b":tru}"#,
        r#"{"a":1,"b":True}"#,
        r#"{"a":1,"b":NaN}"#,
        r#"{"a":1,"b":"\x"}"#,
        r#"{"a":1,"b":"\u12g4"}"#,
        "{\"a\":1,\"b\":\"\n\"}",
        "{\"a\":1,\"b\":\"",
        "{\"a\":1,\"b\":\"\\",
        r#"{"a":1,"b":[1,]}"#,
        r#"{"a":1,"b":[}"#,
        "\u{feff}{\"a\":1}",
        r#"{"a":1}/**/"#,
    ] {
        assert_eq!(find("/a", body), None, "{body}");
    }
    let pointer = Pointer::parse("/a").unwrap();
    assert_eq!(pointer.find(b"{\"a\":1,\"b\":\"\xff\"}"), None);
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"a":1,"b":{open}{close}}}"#)
    };
    assert_eq!(find("/a", &nested(MAX_DEPTH - 1)).as_deref(), Some("1"));
    assert_eq!(find("/a", &nested(MAX_DEPTH)), None);
    assert_eq!(find("/a", &"[".repeat(1_000_000)), None);
    assert!(Pointer::parse(&"/a".repeat(MAX_DEPTH)).is_some());
    assert!(Pointer::parse(&"/a".repeat(MAX_DEPTH + 1)).is_none());
}

/// Generates any value, with keys that the generated pointers are likely to match.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ab\"\\\\\u{e4}\n]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[ab]|0", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn values_are_those_of_serde_json(value in value(), pointer in "(/([ab0]|1)){0,4}") {
        let expected = value.pointer(&pointer).and_then(|found| match found {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(found.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        });
        prop_assert_eq!(find(&pointer, &value.to_string()), expected.clone());
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(find(&pointer, &pretty), expected);
    }

    /// The scanner accepts the same input as `serde_json`.
    #[test]
    fn texts_are_those_of_serde_json(body in r#"[\[\]{},:"\\a0-9.eE+\- tu]{0,12}|(\[|\{"a":|1|"a"|,|\]|\}|true| ){0,9}"#) {
        let mut scanner = Scanner { rest: body.as_bytes() };
        let is_json = scanner.value(None, 0).is_some() && {
            scanner.skip_blanks();
            scanner.rest.is_empty()
        };
        let expected = serde_json::from_str::<serde::de::IgnoredAny>(&body).is_ok();
        prop_assert_eq!(is_json, expected, "{}", body);
    }

    #[test]
    fn nothing_panics(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let pointer = Pointer::parse("/a").unwrap();
        let _ = pointer.find(&body);
    }
}
