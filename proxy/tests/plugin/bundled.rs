//! The bundled plugins: the committed component and the one just built from source both pass the
//! plugin's own table of cases, with a snapshot and without.

use std::path::Path;

use pointsman::config::BUNDLED_PLUGINS;
use pointsman::plugin_tools::cases::{Table, Verdict};

use super::*;

fn check(name: &str, kind: &str, component: Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let text = std::fs::read_to_string(folder.join(name).join("cases.toml")).unwrap();
    let table = Table::parse(&text).unwrap();
    let source = Source {
        name: name.to_owned(),
        bytes: component.into(),
    };
    let plugin = Plugin::load(&ENGINE, &source, None).expect("it loads");
    let holds = |verdict: Verdict, case: &str| {
        let differences = verdict.differences;
        assert!(
            differences.is_empty(),
            "{name}, {kind}: {case}: {differences:?}"
        );
    };
    let first = table.cases.iter().find(|case| case.is_decided());
    let first = first.expect("something is decided");
    let snapshot = plugin.snapshot(&source, &first.settings(), &table.environment(first), None);
    let snapshot = snapshot.expect("it depends on nothing but its configuration");
    for case in &table.cases {
        holds(table.run(case, &plugin), &case.name);
        // A snapshot is compiled again for each configuration, which is slow. Testing one
        // configuration is enough.
        if case.is_decided() && case.config == first.config {
            holds(table.run(case, &snapshot), &case.name);
        }
    }
}

#[test]
fn the_committed_components_answer_their_cases() {
    for name in BUNDLED_PLUGINS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
        let file = folder.join(name).join(format!("{name}.wasm"));
        check(name, "committed", std::fs::read(file).unwrap());
    }
}

#[test]
fn the_components_built_from_source_answer_their_cases() {
    for name in BUNDLED_PLUGINS {
        check(name, "built", guest(name));
    }
}
