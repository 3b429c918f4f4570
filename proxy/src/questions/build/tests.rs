//! Tests limits, errors, and the comparison of instances.

use super::*;
use crate::config::TableValues;

fn builder(limit: usize) -> Builder {
    let tables = Tables::from_entries([("tenants", TableValues::Any, [])]);
    let tables = tables.expect("it has no entries");
    Builder::new(limit, Arc::new(tables), Box::new(|name| name == "www"))
}

fn exact(builder: &mut Builder, over: &str, entries: &[(&str, u32)]) -> Result<u32, DefineError> {
    let mut matcher = builder.matcher(MatchKind::Exact, over, Case::Sensitive);
    for (entry, number) in entries {
        matcher.push(entry, *number);
    }
    matcher.finish()
}

#[test]
fn questions_are_numbered_in_order() {
    let mut builder = builder(1 << 20);
    assert_eq!(exact(&mut builder, "host", &[("a", 1)]), Ok(0));
    assert_eq!(builder.value("path"), Ok(1));
    assert!(builder.value("nothing").is_err());
    assert_eq!(builder.share("random", "", 1), Ok(2));
    assert_eq!(builder.look_up("tenants", "host"), Ok(3));
    assert_eq!(builder.usable("www"), Ok(4));
    let questions = builder.build().unwrap();
    assert_eq!((questions.len(), questions.is_empty()), (5, false));
}

#[test]
fn errors() {
    let mut builder = builder(1 << 20);
    let text = |outcome: Result<u32, DefineError>| outcome.unwrap_err().to_string();
    let check = |outcome, expected: &str| {
        let error = text(outcome);
        assert!(error.starts_with(expected), "{error}");
    };
    check(builder.value("x"), "\"x\" is not a part of a request");
    check(
        builder.value("random"),
        "\"random\" can be used only for shares",
    );
    check(
        exact(&mut builder, "x", &[]),
        "\"x\" is not a part of a request",
    );
    check(
        builder.share("host", "", 1_000_001),
        "a share is 0 to 1000000 per million, not 1000001",
    );
    check(
        builder.look_up("x", "host"),
        "there is no table \"x\" in the configuration",
    );
    check(
        builder.usable("x"),
        "there is no backend \"x\" in the configuration",
    );
    assert!(builder.build().unwrap().is_empty());
}

#[test]
fn the_number_of_questions_is_bounded() {
    let mut first = builder(1 << 20);
    for number in 0..1024 {
        assert_eq!(first.value("host"), Ok(number));
    }
    let expected = "a plugin can define at most 1024 questions";
    assert_eq!(first.value("host").unwrap_err().to_string(), expected);
    let questions = first.build().unwrap();
    let mut other = Builder::verifying(Arc::clone(&questions));
    for number in 0..1024 {
        assert_eq!(other.value("host"), Ok(number));
    }
    assert_eq!(other.value("host"), Err(DefineError::TooMany));
    assert!(Arc::ptr_eq(&other.build().unwrap(), &questions));
}

#[test]
fn failures_are_bounded() {
    let mut builder = builder(1 << 20);
    for _ in 0..MAX_FAILED {
        assert!(matches!(builder.value("x"), Err(DefineError::Part(_))));
    }
    assert_eq!(builder.value("host"), Err(DefineError::TooMany));
    assert_eq!(builder.build().unwrap().definitions.len(), MAX_FAILED);
}

#[test]
fn memory_is_bounded() {
    const LIMIT: usize = 64 * 1024;
    let entries: Vec<String> = (0..10_000)
        .map(|number| format!("entry-{number}"))
        .collect();
    let mut large = builder(LIMIT);
    let mut matcher = large.matcher(MatchKind::Prefix, "path", Case::Sensitive);
    for entry in &entries {
        matcher.push(entry, 1);
    }
    let Err(DefineError::Memory { needed, limit }) = matcher.finish() else {
        panic!("there is a limit");
    };
    assert_eq!(limit, LIMIT);
    assert!(needed > 80_000, "{needed}");
    let error = DefineError::Memory {
        needed: 2,
        limit: 1,
    }
    .to_string();
    assert_eq!(
        error,
        "the questions take 2 bytes; limits.questions allows 1"
    );
    // A failed definition does not use up the limit.
    assert_eq!(exact(&mut large, "host", &[("a", 1)]), Ok(0));
    let mut count = 1;
    while exact(&mut large, "host", &[(&"a".repeat(4096), 1)]).is_ok() {
        count += 1;
    }
    assert!((10..16).contains(&count), "{count}");
    let questions = large.build().unwrap();
    assert!((count * 4096..LIMIT).contains(&questions.memory()));
}

/// Makes the definitions of a plugin, one of which fails.
fn define(builder: &mut Builder) {
    let _ = exact(builder, "host", &[("a", 1), ("b", 2)]);
    let _ = builder.value("nothing");
    let _ = builder.share("cookie:s", "salt", 5);
    let _ = exact(builder, "host", &[("a", 1), ("a", 2)]);
    let _ = builder.usable("www");
}

#[test]
fn instances_define_the_same() {
    let mut first = builder(1 << 20);
    define(&mut first);
    let questions = first.build().unwrap();
    assert_eq!(questions.len(), 3);
    let mut other = Builder::verifying(Arc::clone(&questions));
    assert_eq!(exact(&mut other, "host", &[("a", 1), ("b", 2)]), Ok(0));
    assert!(matches!(other.value("nothing"), Err(DefineError::Part(_))));
    assert_eq!(other.share("cookie:s", "salt", 5), Ok(1));
    let repeated = exact(&mut other, "host", &[("a", 1), ("a", 2)]);
    assert!(matches!(repeated, Err(DefineError::Repeated { .. })));
    assert_eq!(other.usable("www"), Ok(2));
    assert!(Arc::ptr_eq(&other.build().unwrap(), &questions));
}

type Define = fn(&mut Builder) -> Result<u32, DefineError>;

#[test]
fn differences_are_faults() {
    let first: Define = |builder| exact(builder, "host", &[("ab", 1), ("c", 2)]);
    for other in [
        (|builder| exact(builder, "path", &[("ab", 1), ("c", 2)])) as Define,
        |builder| exact(builder, "host", &[("ab", 1), ("c", 3)]),
        |builder| exact(builder, "host", &[("a", 1), ("bc", 2)]),
        |builder| exact(builder, "host", &[("c", 2), ("ab", 1)]),
        |builder| exact(builder, "host", &[("ab", 1)]),
        |builder| exact(builder, "host", &[("ab", 1), ("c", 2), ("d", 1)]),
        |builder| {
            let mut matcher = builder.matcher(MatchKind::Prefix, "host", Case::Sensitive);
            matcher.push("ab", 1);
            matcher.push("c", 2);
            matcher.finish()
        },
        |builder| {
            let mut matcher = builder.matcher(MatchKind::Exact, "host", Case::Ignored);
            matcher.push("ab", 1);
            matcher.push("c", 2);
            matcher.finish()
        },
        |builder| builder.value("host"),
        |builder| builder.usable("www"),
    ] {
        let mut building = builder(1 << 20);
        building.value("path").unwrap();
        first(&mut building).unwrap();
        let questions = building.build().unwrap();
        let mut verifying = Builder::verifying(questions);
        verifying.value("path").unwrap();
        let error = other(&mut verifying).unwrap_err();
        assert_eq!(error, DefineError::Differs(1));
        assert!(error.is_fault());
        // The build fails even if the plugin ignores the error.
        assert_eq!(verifying.build().unwrap_err(), DefineError::Differs(1));
    }
}

#[test]
fn fewer_and_more_definitions_are_faults() {
    let mut building = builder(1 << 20);
    building.value("path").unwrap();
    building.value("host").unwrap();
    let questions = building.build().unwrap();
    let mut fewer = Builder::verifying(Arc::clone(&questions));
    fewer.value("path").unwrap();
    assert_eq!(fewer.build().unwrap_err(), DefineError::Differs(1));
    let mut more = Builder::verifying(questions);
    more.value("path").unwrap();
    more.value("host").unwrap();
    assert_eq!(more.value("method"), Err(DefineError::Differs(2)));
    assert_eq!(more.build().unwrap_err(), DefineError::Differs(2));
    let none = builder(1).build().unwrap();
    assert!(Builder::verifying(none).build().unwrap().is_empty());
}
