//! Every way in which the hostile guest misbehaves is a fault that fails only one request.

use std::collections::BTreeSet;
use std::time::Duration;

use pointsman::plugin::{
    Cacheability, Decision, Edits, Fault, Instance, MAX_READS, Reads, Route, Settings, Value,
};
use tokio::time::Instant;

use crate::{asked, environment, instantiate, logged, plugin, route, settings};

/// Defines one test for each mode, and the list of tested modes.
macro_rules! modes {
    ($($test:ident: $mode:literal => $body:expr;)*) => {
        const TESTED: &[&str] = &[$($mode),*];
        $(
            #[test]
            fn $test() {
                let body: fn(&str) = $body;
                body($mode);
            }
        )*
    };
}

fn configured(mode: &str, value: usize) -> Settings {
    settings(format!(r#"{{"mode": "{mode}", "value": {value}}}"#))
}

fn start(mode: &str, value: usize) -> Instance {
    instantiate("guest-hostile", &configured(mode, value)).expect("configure succeeds")
}

/// Deadlines are counted in whole milliseconds, and the first millisecond can have started before
/// the call.
const RESOLUTION: Duration = Duration::from_millis(1);

/// Returns the decision of one call, which must leave the instance usable.
fn decision(mode: &str, value: usize) -> Decision {
    let mut instance = start(mode, value);
    let decision = route(&mut instance).expect("no fault");
    assert!(!instance.is_spent());
    decision
}

/// Returns the fault of one call, which must leave the instance usable.
fn mild_fault(mode: &str, value: usize) -> Fault {
    let mut instance = start(mode, value);
    let fault = route(&mut instance).expect_err("a fault");
    assert!(!instance.is_spent(), "{fault}");
    assert_eq!(route(&mut instance).expect_err("again"), fault);
    fault
}

/// Returns the fault of one call, which must break the instance. A fresh instance must work.
fn grave_fault(mode: &str, value: usize) -> Fault {
    grave_fault_with(&configured(mode, value))
}

fn grave_fault_with(settings: &Settings) -> Fault {
    let mut instance = instantiate("guest-hostile", settings).expect("configure succeeds");
    let fault = route(&mut instance).expect_err("a fault");
    assert!(instance.is_spent(), "{fault}");
    assert!(
        route(&mut instance).is_err(),
        "a broken instance stays broken"
    );
    decision("harmless", 0);
    fault
}

fn trap(mode: &str, value: usize, expected: &str) {
    match grave_fault(mode, value) {
        Fault::Trap { message, backtrace } => {
            assert!(message.contains(expected), "{message}");
            // The innermost frames can belong to the allocator or a shim.
            assert!(backtrace.contains("guest_hostile"), "{backtrace}");
        }
        other => panic!("{other}"),
    }
}

fn configure_fault(settings: &Settings) -> Fault {
    instantiate("guest-hostile", settings).expect_err("a fault")
}

modes! {
    affinity_huge: "affinity-huge" => |mode| {
        for (length, counts) in [(4096, 4096), (100_000, 4096)] {
            let key = decision(mode, length).options.affinity;
            assert!(matches!(key, Some(Value::Fixed(key)) if key.len() == counts), "{length}");
        }
    };
    ask_undefined: "ask-undefined" => |mode| {
        assert_eq!(decision(mode, 0).route, Route::Next);
        trap(mode, 2, "question 2 was not defined");
        trap(mode, u32::MAX as usize, "was not defined");
    };
    ask_number_of_value: "ask-number-of-value" => |mode| {
        trap(mode, 0, "`ask` on question 1, whose answer is a value");
    };
    ask_value_of_number: "ask-value-of-number" => |mode| {
        trap(mode, 0, "question 0, whose answer is a number, where a value is wanted");
    };
    by_number: "by-number" => |mode| trap(mode, 0, "where a value is wanted");
    by_undefined: "by-undefined" => |mode| trap(mode, 0, "question 2 was not defined");
    define_late: "define-late" => |mode| trap(mode, 0, "outside of `configure`");
    tags_many: "tags-many" => |mode| {
        assert_eq!(decision(mode, 16).options.tags.len(), 16);
        trap(mode, 17, "more than 16 tags");
    };
    timeout_zero: "timeout-zero" => |mode| trap(mode, 0, "a timeout of 0 ms");
    tries: "tries" => |mode| {
        assert_eq!(decision(mode, 16).options.tries, Some(16));
        trap(mode, 0, "0 tries");
        trap(mode, 17, "17 tries");
    };
    unknown_server: "unknown-server" => |mode| {
        // A server of this name might have been removed a moment ago, so the name counts as an
        // unusable server rather than as a fault.
        let Route::Server(choice) = decision(mode, 0).route else { panic!("no server") };
        assert_eq!(*choice.server, *"no\nwhere");
    };
    append_header: "append-header" => |mode| {
        assert_eq!(decision(mode, 128).edits.fields.len(), 128);
        trap(mode, 129, "more than 128 edits");
    };
    backends_state: "backends-state" => |mode| {
        let mut instance = start(mode, 0);
        let mut reads = Reads::default();
        let result = instance.route(&mut asked(&[]).request(), &mut reads);
        assert_eq!(result.unwrap().route, Route::Backend("3-2-1".into()));
        assert!(!reads.cacheable);
    };
    configure_error: "configure-error" => |mode| {
        let fault = configure_fault(&configured(mode, 1));
        assert_eq!(fault, Fault::Error("a\\nb".into()));
        assert!(configure_fault(&configured(mode, 100_000)).to_string().len() < 2048);
    };
    configure_grow: "configure-grow" => |mode| {
        let fault = configure_fault(&configured(mode, 0));
        assert_eq!(fault, Fault::OutOfMemory { limit: 64 << 20 });
    };
    configure_spin: "configure-spin" => |mode| {
        let settings = Settings {
            configure_deadline: Duration::from_millis(30),
            ..configured(mode, 0)
        };
        let start = Instant::now();
        assert_eq!(configure_fault(&settings), Fault::Deadline);
        assert!(start.elapsed() + RESOLUTION >= Duration::from_millis(30));
    };
    configure_trap: "configure-trap" => |mode| {
        assert_eq!(configure_fault(&configured(mode, 0)).kind(), "trap");
    };
    edit_forbidden: "edit-forbidden" => |mode| assert_eq!(decision(mode, 0).edits, Edits::default());
    edit_invalid: "edit-invalid" => |mode| assert_eq!(decision(mode, 0).edits, Edits::default());
    error: "error" => |mode| {
        assert_eq!(mild_fault(mode, 1), Fault::Error("no\\u{1b}[2J".into()));
        assert!(mild_fault(mode, 10_000).to_string().len() < 8192);
    };
    grow: "grow" => |mode| {
        let mut settings = configured(mode, 0);
        assert_eq!(grave_fault_with(&settings), Fault::OutOfMemory { limit: 64 << 20 });
        settings.memory = 8 << 20;
        let mut instance = instantiate("guest-hostile", &settings).unwrap();
        assert_eq!(route(&mut instance), Err(Fault::OutOfMemory { limit: 8 << 20 }));
        assert!(instance.memory() > 4 << 20 && instance.memory() <= 8 << 20);
        settings.memory = 64 << 10;
        assert_eq!(configure_fault(&settings), Fault::OutOfMemory { limit: 64 << 10 });
    };
    harmless: "harmless" => |mode| {
        let mut instance = start(mode, 0);
        for _ in 0..1000 {
            assert_eq!(route(&mut instance).unwrap().route, Route::Default);
        }
        assert!(!instance.is_spent());
    };
    invalid_utf8: "invalid-utf8" => |mode| {
        assert_eq!(grave_fault(mode, 0).kind(), "trap");
    };
    keep_handles: "keep-handles" => |mode| {
        let mut instance = start(mode, 0);
        for call in 1..=65 {
            assert!(!instance.is_spent(), "before call {call}");
            route(&mut instance).unwrap();
        }
        assert!(instance.is_spent());
    };
    log_flood: "log-flood" => |mode| {
        // All instances with these settings share one budget.
        let settings = configured(mode, 10_000);
        let begin = Instant::now();
        let (results, lines) = logged(|| [(); 2].map(|()| {
            let mut instance = instantiate("guest-hostile", &settings).unwrap();
            route(&mut instance)
        }));
        let seconds = begin.elapsed().as_secs() + 1;
        assert!(results.iter().all(Result::is_ok));
        let written = lines.iter().filter(|line| line.contains("line ")).count() as u64;
        assert!((100..=100 * seconds).contains(&written), "{written} in {seconds} s");
        assert_eq!(written + settings.lines.dropped(), 20_000);
        assert!(lines.iter().any(|line| line.contains("dropped=")));
        assert!(lines[0].contains("id=4f1c"), "{}", lines[0]);
    };
    log_forged: "log-forged" => |mode| {
        let (_, lines) = logged(|| decision(mode, 0));
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("first"), "{lines:?}");
        let escaped = r"ERROR second\r\u{1b}[31m\u{0}\u{202e}";
        assert!(lines[1].contains(escaped), "{lines:?}");
        // Each line is marked as the plugin's, whatever it contains.
        for line in &lines {
            for part in ["WARN", "plugin:", "frontend=front", "stage=stage", "plugin=guest-hostile"] {
                assert!(line.contains(part), "{lines:?}");
            }
        }
    };
    log_huge: "log-huge" => |mode| {
        let (_, lines) = logged(|| decision(mode, 1 << 20));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].len() < 5000);
        assert_eq!(grave_fault(mode, 8 << 20), Fault::HostMemory { limit: 4 << 20 });
    };
    read_huge: "read-huge" => |mode| {
        assert_eq!(decision(mode, 1 << 20).route, Route::Default);
        assert_eq!(grave_fault(mode, 8 << 20), Fault::HostMemory { limit: 4 << 20 });
    };
    read_many: "read-many" => |mode| {
        let mut instance = start(mode, 10_000);
        let mut reads = Reads::default();
        let result = instance.route(&mut asked(&[]).request(), &mut reads);
        assert!(result.is_ok());
        assert_eq!(reads.reads.len(), MAX_READS);
        assert!(!reads.cacheable);
    };
    respond: "respond" => |mode| {
        for status in [200, 204, 304, 404, 503, 599] {
            match decision(mode, status).route {
                Route::Respond(answer) => assert_eq!(usize::from(answer.status), status),
                other => panic!("{other:?}"),
            }
        }
        for status in [0, 99, 100, 101, 199, 600, 1000, 65535] {
            let fault = mild_fault(mode, usize::from(status));
            assert_eq!(fault, Fault::Status(status));
        }
    };
    respond_body: "respond-body" => |mode| {
        match decision(mode, 403).route {
            Route::Respond(answer) => {
                assert_eq!(answer.body, "hello");
                assert!(answer.values(b"content-type").eq([b"text/plain"]));
            }
            other => panic!("{other:?}"),
        }
        for status in [204, 205, 304] {
            assert_eq!(mild_fault(mode, usize::from(status)), Fault::ResponseBody(status));
        }
    };
    respond_field_forbidden: "respond-field-forbidden" => |mode| {
        for index in 0..14 {
            assert_eq!(mild_fault(mode, index).kind(), "response-header");
        }
    };
    respond_field_name: "respond-field-name" => |mode| {
        assert_eq!(mild_fault(mode, 0).kind(), "response-header");
    };
    respond_field_value: "respond-field-value" => |mode| {
        assert_eq!(mild_fault(mode, 0).kind(), "response-header");
    };
    respond_fields: "respond-fields" => |mode| {
        assert!(matches!(decision(mode, 128).route, Route::Respond(_)));
        assert_eq!(mild_fault(mode, 129).kind(), "response-header");
    };
    respond_huge: "respond-huge" => |mode| {
        assert!(matches!(decision(mode, 1 << 20).route, Route::Respond(_)));
        let (size, limit) = (2 << 20, 1 << 20);
        assert_eq!(mild_fault(mode, size), Fault::ResponseTooLarge { size, limit });
        assert_eq!(grave_fault(mode, 8 << 20), Fault::HostMemory { limit: 4 << 20 });
    };
    respond_then_edit: "respond-then-edit" => |mode| assert_eq!(decision(mode, 0).edits, Edits::default());
    set_header: "set-header" => |mode| {
        let edits = decision(mode, 10_000).edits.fields;
        let [edit] = &edits[..] else { panic!("one edit") };
        assert_eq!(edit.value().map(<[u8]>::len), Some(10_000));
        let fault = mild_fault(mode, 100_000);
        assert!(fault.to_string().contains("have at most 65536 bytes"), "{fault}");
        assert_eq!(grave_fault(mode, 8 << 20), Fault::HostMemory { limit: 4 << 20 });
    };
    spin: "spin" => |mode| {
        let deadline = Duration::from_millis(20);
        let start = Instant::now();
        assert_eq!(grave_fault_with(&Settings { deadline, ..configured(mode, 0) }), Fault::Deadline);
        assert!(start.elapsed() + RESOLUTION >= deadline);
    };
    stale_handle: "stale-handle" => |mode| {
        let mut instance = start(mode, 0);
        route(&mut instance).unwrap();
        let fault = route(&mut instance).unwrap_err();
        assert!(fault.to_string().contains("after route returned"), "{fault}");
        assert!(instance.is_spent());
    };
    stale_handle_edit: "stale-handle-edit" => |mode| {
        let mut instance = start(mode, 0);
        route(&mut instance).unwrap();
        let fault = route(&mut instance).unwrap_err();
        assert!(fault.to_string().contains("after route returned"), "{fault}");
    };
    trap_bounds: "trap-bounds" => |mode| trap(mode, 0, "out of bounds");
    trap_stack: "trap-stack" => |mode| trap(mode, 0, "");
    trap_unreachable: "trap-unreachable" => |mode| trap(mode, 0, "unreachable");
    unknown_backend: "unknown-backend" => |mode| {
        assert_eq!(mild_fault(mode, 1), Fault::UnknownBackend("no\\nwhere".into()));
        assert!(mild_fault(mode, 100_000).to_string().len() < 2048);
    };
    wild_pointer: "wild-pointer" => |mode| {
        assert_eq!(grave_fault(mode, 0).kind(), "trap");
    };
}

/// On a worker thread, an instance must be created within the deadline of a decision, even if
/// `configure` may take longer elsewhere.
#[test]
fn a_start_on_a_workers_thread_ends_with_the_deadline_of_a_decision() {
    let settings = Settings {
        deadline: Duration::from_millis(20),
        configure_deadline: Duration::from_hours(2),
        ..configured("configure-spin", 0)
    };
    let created = plugin("guest-hostile").instantiate_on_worker(&settings, &environment(), None);
    assert_eq!(created.err(), Some(Fault::Deadline));
}

#[test]
fn every_mode_of_the_guest_has_a_test() {
    let Fault::Error(modes) = configure_fault(&configured("modes", 0)) else {
        panic!("the guest names its modes");
    };
    let modes: BTreeSet<&str> = modes.split(' ').collect();
    let tested: BTreeSet<&str> = TESTED.iter().copied().collect();
    assert_eq!(modes, tested);
}

#[test]
fn instances_on_many_threads_do_not_disturb_each_other() {
    let deadline = Duration::from_millis(10);
    std::thread::scope(|scope| {
        for mode in ["spin", "harmless", "trap-unreachable", "harmless", "grow"] {
            scope.spawn(move || {
                let mut settings = configured(mode, 0);
                if mode == "spin" {
                    settings.deadline = deadline;
                }
                for _ in 0..10 {
                    let mut instance = instantiate("guest-hostile", &settings).unwrap();
                    assert_eq!(route(&mut instance).is_ok(), mode == "harmless");
                    assert_eq!(instance.is_spent(), mode != "harmless");
                }
            });
        }
    });
}

#[test]
fn the_cacheability_from_configure_is_known() {
    assert_eq!(
        start("harmless", 0).cacheability(),
        Cacheability::Uncacheable
    );
}

#[test]
fn a_plugin_outlives_its_handles() {
    let settings = configured("harmless", 0);
    let mut instance = plugin("guest-hostile")
        .instantiate(&settings, &environment(), None)
        .unwrap();
    drop(settings);
    assert!(route(&mut instance).is_ok());
}
