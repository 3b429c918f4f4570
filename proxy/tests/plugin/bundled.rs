//! The bundled plugins: the committed component and the one just built from source answer
//! the plugin's own table of cases alike.

use std::collections::HashMap;
use std::path::Path;

use pointsman::plugin::Decision;
use serde::Deserialize;

use super::*;

/// `cases.toml`; its head says what is in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    backends: Vec<String>,
    config: serde_json::Value,
    #[serde(rename = "case")]
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    config: Option<serde_json::Value>,
    method: Option<String>,
    target: Option<String>,
    #[serde(default)]
    headers: Vec<(String, Value)>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Octets(Vec<u8>),
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Backend(String),
    Default(bool),
    Respond(u16),
}

#[derive(Debug)]
struct Named(Vec<String>);

impl Backends for Named {
    fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| known == name)
    }

    fn state(&self, _: usize) -> BackendState {
        BackendState {
            usable_servers: 1,
            active: 0,
            queued: 0,
        }
    }

    fn servers(&self, _index: usize) -> u32 {
        1
    }
}

impl Case {
    fn head(&self) -> Head {
        let fields: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| match value {
                Value::Text(text) => (name.as_str(), text.as_bytes()),
                Value::Octets(octets) => (name.as_str(), octets.as_slice()),
            })
            .collect();
        let mut head = head(&fields);
        if let Some(method) = &self.method {
            head.method = method.parse().unwrap();
        }
        head.path_and_query = self.target.as_deref().unwrap_or("/").parse().unwrap();
        head
    }
}

fn check(file: &str, component: Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/host-suffix");
    let text = std::fs::read_to_string(folder.join("cases.toml")).unwrap();
    let table: Table = toml::from_str(&text).unwrap();
    let source = Source {
        name: file.to_owned(),
        bytes: component.into(),
    };
    let plugin = Plugin::load(&ENGINE, &source, None).expect("it loads");
    assert!(!table.cases.is_empty());
    let mut presets = HashMap::new();
    for case in &table.cases {
        let config = case.config.as_ref().unwrap_or(&table.config).to_string();
        let settings = settings(config);
        let backends: Arc<dyn Backends> = Arc::new(Named(table.backends.clone()));
        let preset = presets.entry(settings.config.clone()).or_insert_with(|| {
            let preset = plugin.preset(&source, &settings, &backends, None);
            preset.expect("it depends on nothing but its configuration")
        });
        for plugin in [&plugin, preset] {
            let made = plugin.instantiate(&settings, Arc::clone(&backends));
            let (_, outcome) = made.unwrap().route(case.head(), 0, &mut Reads::default());
            let found = match outcome.unwrap().decision {
                Decision::Backend(index) => Expect::Backend(table.backends[index].clone()),
                Decision::Default => Expect::Default(true),
                Decision::Respond(response) => Expect::Respond(response.status.as_u16()),
            };
            assert_eq!(found, case.expect, "{file}: {}", case.name);
        }
    }
}

#[test]
fn the_committed_component_answers_its_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/host-suffix");
    let component = std::fs::read(folder.join("host-suffix.wasm")).unwrap();
    check("committed", component);
}

#[test]
fn the_component_built_from_source_answers_its_cases() {
    check("built", guest("host-suffix"));
}
