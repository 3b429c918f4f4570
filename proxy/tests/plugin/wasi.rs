//! WASI works inside a worker's runtime, grants nothing, and waits no longer than allowed.

use std::time::Duration;

use pointsman::plugin::{Cacheability, Fault, Plugin, Reads, Route, Settings, Source};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{ENGINE, asked, environment, guest, instantiate, logged, plugin, settings};

fn configured(route: &Value) -> Settings {
    settings(json!({"configure": [{"print": "configured\n"}], "route": route}).to_string())
}

/// Runs the steps in a runtime like that of a worker.
fn run_with(settings: &Settings) -> (Result<Route, Fault>, Reads) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let task = async {
            let mut instance = instantiate("guest-wasi", settings).expect("configure succeeds");
            let mut reads = Reads::default();
            let result = instance.route(&mut asked(&[]).request(), &mut reads);
            (result.map(|decision| decision.route), reads)
        };
        task.await
    })
}

fn run(route: &Value) -> (Result<Route, Fault>, Reads) {
    run_with(&configured(route))
}

fn fine(route: &Value) -> Reads {
    let (result, reads) = run(route);
    assert_eq!(result, Ok(Route::Default), "{route}");
    reads
}

#[test]
fn nothing_is_granted() {
    assert!(fine(&json!(["grants", "stdin"])).cacheable);
}

#[test]
fn clocks_and_random_numbers_make_a_decision_uncacheable() {
    // The guest uses all of these while it starts, but that does not count.
    assert!(fine(&json!([])).cacheable);
    for step in impure_steps() {
        assert!(!fine(&json!([step])).cacheable, "{step}");
    }
}

#[test]
fn clocks_and_random_numbers_in_configure_make_every_decision_uncacheable() {
    let cacheability = |steps: Value| {
        let settings = settings(json!({"configure": steps}).to_string());
        instantiate("guest-wasi", &settings).unwrap().cacheability()
    };
    assert_eq!(
        cacheability(json!(["grants", "seed"])),
        Cacheability::Cacheable
    );
    for step in impure_steps() {
        let found = cacheability(json!([step, "grants"]));
        assert_eq!(found, Cacheability::Uncacheable, "{step}");
    }
}

#[test]
fn random_numbers_in_configure_are_logged_once() {
    let source = Source {
        name: "seeded".into(),
        bytes: guest("guest-wasi").into(),
    };
    let plugin = Plugin::load(&ENGINE, &source, None).unwrap();
    let settings = settings(json!({"configure": [{"random": 8}]}).to_string());
    let ((), lines) = logged(|| {
        for _ in 0..3 {
            plugin.instantiate(&settings, &environment(), None).unwrap();
        }
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("decisions are not cached"), "{lines:?}");
}

/// An instance can store numbers that it draws before it is configured, so these numbers are the
/// same for all instances. A decision can draw the seed of a hash table and remains cacheable.
#[test]
fn every_instance_of_a_plugin_starts_alike() {
    let told = |plugin: &Plugin, what: &str| {
        let settings = configured(&json!([what]));
        let instance = plugin.instantiate(&settings, &environment(), None);
        let answer = instance
            .unwrap()
            .route(&mut asked(&[]).request(), &mut Reads::default());
        match answer {
            Err(Fault::Error(text)) => text,
            other => panic!("{other:?}"),
        }
    };
    let load = || {
        let source = Source {
            name: "starting".into(),
            bytes: guest("guest-wasi").into(),
        };
        Plugin::load(&ENGINE, &source, None).unwrap()
    };
    let (plugin, other) = (load(), load());
    let first = told(&plugin, "tell-start");
    assert!(first.starts_with("(1000, 2000) Datetime"), "{first}");
    assert_eq!(told(&plugin, "tell-start"), first);
    let seed = told(&plugin, "tell-seed");
    assert_eq!(told(&plugin, "tell-seed"), seed);
    assert!(fine(&json!(["seed"])).cacheable);
    // A client that knew the seed could choose names that collide in a hash table. Each load of a
    // plugin therefore gets another seed.
    let (_, seeds) = first.split_once("} ").expect("seeds come behind the time");
    assert!(seeds.ends_with(&seed), "{seeds}, {seed}");
    assert!(!told(&other, "tell-start").ends_with(seeds));
    assert_ne!(told(&other, "tell-seed"), seed);
}

fn impure_steps() -> [Value; 4] {
    [
        json!("clock"),
        json!("wall-clock"),
        json!({"random": 8}),
        json!({"sleep": 0}),
    ]
}

#[test]
fn timers_that_have_run_out_are_ready() {
    fine(&json!([{"sleep": 0}, {"poll": [0, 60_000]}]));
}

#[test]
fn configure_may_wait_for_timers() {
    let start = Instant::now();
    let steps = json!([{"sleep": 10}, {"poll": [10, 60_000]}]);
    let settings = settings(json!({"route": [], "configure": steps}).to_string());
    let instance = instantiate("guest-wasi", &settings).expect("configure succeeds");
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(instance.start_time(), Duration::MAX);
}

#[test]
fn nothing_waits_on_a_workers_thread() {
    let steps = json!([{"sleep": 3_600_000}]);
    let settings = Settings {
        configure_deadline: Duration::from_hours(2),
        ..settings(json!({"route": [], "configure": steps}).to_string())
    };
    let created = plugin("guest-wasi").instantiate_on_worker(&settings, &environment(), None);
    assert_eq!(created.err(), Some(Fault::Waits));
}

#[test]
fn a_decision_needs_no_runtime() {
    let mut instance =
        instantiate("guest-wasi", &configured(&json!([{"sleep": 0}, "grants"]))).unwrap();
    let result = instance.route(&mut asked(&[]).request(), &mut Reads::default());
    assert_eq!(result.unwrap().route, Route::Default);
}

/// Each of these decisions would otherwise take an hour.
#[test]
fn a_decision_that_waits_is_a_fault_at_once() {
    for route in [
        json!([{"sleep": 3_600_000}]),
        json!([{"poll": [3_600_000, 3_700_000]}]),
    ] {
        let settings = Settings {
            deadline: Duration::from_hours(2),
            ..configured(&route)
        };
        assert_eq!(run_with(&settings).0, Err(Fault::Waits), "{route}");
    }
}

#[test]
fn a_start_waits_no_longer_than_its_deadline() {
    let settings = Settings {
        configure_deadline: Duration::from_secs(1),
        ..settings(json!({"route": [], "configure": [{"sleep": 3_600_000}]}).to_string())
    };
    let started = instantiate("guest-wasi", &settings);
    assert_eq!(started.err(), Some(Fault::Deadline));
}

#[test]
fn misuse_is_a_trap() {
    for (route, message) in [
        (json!(["poll-nothing"]), "empty poll list"),
        (json!([{"print-zeroes": 1_000_000}]), "too large"),
        (json!(["exit"]), "exited with status 1"),
        (json!([{"random": 1_000_000_000_u64}]), "exceeds limit"),
        (json!([{"subscribe-many": 100_000}]), ""),
        (json!([{"hoard": 257}]), ""),
        (json!([{"poll-again": 257}]), "more than 256 events"),
    ] {
        match run(&route).0 {
            Err(Fault::Trap { message: found, .. }) => assert!(found.contains(message), "{found}"),
            other => panic!("{route}: {other:?}"),
        }
    }
}

#[test]
fn output_is_logged_line_by_line() {
    let (_, lines) = logged(|| {
        fine(&json!([
            {"print": "one\ntw"}, {"print-error": "error\u{1b}\n"}, {"print": "o\nunended"}
        ]))
    });
    let found: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split_once("plugin=guest-wasi"))
        .map(|(_, rest)| rest)
        .collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains("frontend=front")));
    // In this log format, the message precedes the fields, so the whole line is searched.
    let messages = ["configured", "one", "error\\u{1b}", "two", "unended"];
    for (line, message) in lines.iter().zip(messages) {
        assert!(line.contains(message), "{line} has no {message}; {found:?}");
    }
}

/// However slow the machine is, at most 100 lines are written per second, and each lost line is
/// counted.
#[test]
fn output_is_bounded() {
    let settings = configured(&json!([{"print-many": 5000}]));
    let start = Instant::now();
    let (result, lines) = logged(|| run_with(&settings).0);
    let seconds = start.elapsed().as_secs() + 1;
    assert_eq!(result, Ok(Route::Default));
    let (reports, written): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line.contains("dropped="));
    let (reports, written) = (reports.len() as u64, written.len() as u64);
    assert!(
        (100..=100 * seconds).contains(&written),
        "{written} in {seconds} s"
    );
    // One of the lines is from `configure`.
    assert_eq!(written + settings.lines.dropped(), 5001);
    assert!((1..=seconds).contains(&reports), "{reports} in {seconds} s");
}

#[test]
fn long_lines_are_broken() {
    let (_, lines) = logged(|| {
        fine(&json!([
            {"print": "x".repeat(3000)}, {"print": "x".repeat(3000)}, {"print-zeroes": 4096},
            {"print": "last\n"}
        ]))
    });
    let count = |part: &str| -> Vec<usize> {
        let lines = lines.iter().skip(1);
        lines.map(|line| line.matches(part).count()).collect()
    };
    assert_eq!(count("xxxx"), [750, 750, 0, 0]);
    assert_eq!(count(r"\u{0}"), [0, 0, 4096, 0]);
    assert_eq!(count("plugin: last"), [0, 0, 0, 1]);
}

#[test]
fn a_write_beyond_what_is_permitted_is_a_trap() {
    let many = "\n".repeat(1_000_000);
    for step in [json!({"print": many}), json!({"print": "x".repeat(4097)})] {
        let (result, lines) = logged(|| run(&json!([step])).0);
        match result {
            Err(Fault::Trap { message, .. }) => {
                assert!(message.contains("permits 4096"), "{message}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(lines.len(), 1, "that of configure: {lines:?}");
    }
}

#[test]
fn every_patch_version_links() {
    for version in ["0.2.0", "0.2.1", "0.2.9"] {
        let bytes = with_version(version);
        let source = Source {
            name: version.into(),
            bytes: bytes.into(),
        };
        Plugin::load(&ENGINE, &source, None).unwrap_or_else(|error| panic!("{version}: {error}"));
    }
}

#[test]
fn another_minor_version_does_not_link() {
    let source = Source {
        name: "new".into(),
        bytes: with_version("0.3.0").into(),
    };
    let error = Plugin::load(&ENGINE, &source, None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("imports wasi:") && error.contains("@0.3.0"),
        "{error}"
    );
    assert!(
        error.contains("it offers pointsman:router/request@1.0.0"),
        "{error}"
    );
    assert!(error.contains("from WASI 0.2 cli, clocks"), "{error}");
}

/// Returns the guest with the WASI version of every import replaced by `version`, which has the
/// same length.
fn with_version(version: &str) -> Vec<u8> {
    crate::load::replaced(&guest("guest-wasi"), "@0.2.3", &format!("@{version}"))
}
