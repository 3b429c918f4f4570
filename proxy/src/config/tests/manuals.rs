//! Checks that the proxy accepts every example configuration in the book and the README.
//!
//! An example can leave out parts that it does not explain. The test then adds them: backends that
//! are only named, an address for a frontend without one, and a frontend for the settings of a
//! router.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::*;

/// Documents whose TOML is not a configuration of the proxy.
const OTHERS: [&str; 2] = ["plugins/testing.md", "decisions"];

#[test]
fn examples_are_configurations() {
    let (mut found, mut openings) = (0, 0);
    for file in documents() {
        let text = fs::read_to_string(&file).unwrap();
        openings += text.matches("```toml").count();
        for (at, example) in examples(&text).enumerate() {
            found += 1;
            let config = complete(example.parse().unwrap(), &file);
            if let Err(errors) = parse(Path::new("etc/pointsman.toml"), config.clone()) {
                panic!("{}, example {at}:\n{errors}\n{config}", file.display());
            }
        }
    }
    // Fails if a new way of writing the examples hides them from this test.
    assert!(
        found > 0 && found == openings,
        "{found} of {openings} examples"
    );
}

/// Returns the README and the pages of the book, except [`OTHERS`].
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if OTHERS.iter().any(|other| path.ends_with(other)) {
            } else if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// Returns the TOML blocks of a document.
fn examples(text: &str) -> impl Iterator<Item = &str> {
    let blocks = text.split("\n```toml").skip(1);
    blocks.filter_map(|rest| Some(rest.split_once('\n')?.1.split_once("\n```")?.0))
}

/// Adds the parts that an example leaves out.
fn complete(mut example: Table, file: &Path) -> String {
    // Move keys of a frontend that stand at the top of the example into a frontend.
    let mut frontend = Table::new();
    for key in [
        "router",
        "routing",
        "forwarded",
        "hsts",
        "http",
        "bind",
        "mode",
    ] {
        if let Some(value) = example.remove(key) {
            frontend.insert(key.to_owned(), value);
        }
    }
    let is_alone = !example.contains_key("frontend");
    let frontends = table(&mut example, "frontend");
    if !frontend.is_empty() || is_alone {
        frontends.insert("example".to_owned(), Value::Table(frontend));
    }
    for (_, frontend) in frontends.iter_mut() {
        let frontend = frontend.as_table_mut().unwrap();
        let bind = || Value::String("127.0.0.1:80".to_owned());
        frontend.entry("bind").or_insert_with(bind);
        if let Some(Value::Table(router)) = frontend.get_mut("router") {
            // On a page about a plugin, the examples can leave out the plugin's name, which is the
            // page's name.
            let name = file.file_stem().unwrap().to_str().unwrap();
            let plugin = || Value::String(name.to_owned());
            router.entry("plugin").or_insert_with(plugin);
        }
        let backend = || Value::String("default".to_owned());
        frontend.entry("default_backend").or_insert_with(backend);
    }
    let mut named = BTreeSet::new();
    collect_backends(&Value::Table(example.clone()), &mut named);
    let backends = table(&mut example, "backend");
    for name in named {
        let server: Table = "server.a = \"127.0.0.1:81\"".parse().unwrap();
        let backend = backends.entry(name).or_insert(Value::Table(Table::new()));
        let backend = backend.as_table_mut().unwrap();
        if !backend.contains_key("server") && !backend.contains_key("servers_file") {
            backend.extend(server);
        }
    }
    for name in named_tls(&example) {
        let tls: Table = "certificate = \"a.pem\"\nkey = \"a.key\"".parse().unwrap();
        let all = table(&mut example, "tls");
        all.entry(name).or_insert(Value::Table(tls));
    }
    toml::to_string(&example).unwrap()
}

fn table<'a>(parent: &'a mut Table, key: &str) -> &'a mut Table {
    let value = parent.entry(key).or_insert(Value::Table(Table::new()));
    value.as_table_mut().unwrap()
}

/// Collects the names of all backends that the example refers to or defines.
fn collect_backends(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Table(entries) => {
            for (key, value) in entries {
                match value {
                    Value::String(name)
                        if ["backend", "default_backend"].contains(&key.as_str()) =>
                    {
                        found.insert(name.clone());
                    }
                    Value::Table(backends) if key == "backend" => {
                        found.extend(backends.keys().cloned());
                    }
                    value => collect_backends(value, found),
                }
            }
        }
        Value::Array(values) => values
            .iter()
            .for_each(|value| collect_backends(value, found)),
        _ => {}
    }
}

/// Returns the name of each `[tls.NAME]` that a bind refers to.
fn named_tls(example: &Table) -> BTreeSet<String> {
    let frontends = example["frontend"].as_table().unwrap();
    let binds = frontends.values().map(|frontend| &frontend["bind"]);
    let binds = binds.flat_map(|bind| match bind {
        Value::Array(binds) => binds.as_slice(),
        bind => std::slice::from_ref(bind),
    });
    let names = binds.filter_map(|bind| bind.get("tls")?.as_str());
    names.map(str::to_owned).collect()
}
