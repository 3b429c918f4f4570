//! The promises of `limits.md` about clocks, random numbers, output and files, checked in every
//! language.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::place::{Place, output};

/// A plugin whose response depends on the request's path.
struct Plugin {
    /// Name of the language in `plugin new`.
    language: &'static str,
    /// Path of the source file in the project.
    file: &'static str,
    text: &'static str,
    /// Paths for which the plugin logs the line `printed`.
    print: &'static [&'static str],
    /// Paths whose response is the time, in seconds.
    clock: &'static [&'static str],
    /// Paths whose response is a random number.
    random: &'static [&'static str],
    /// Paths whose response is `none`, because the plugin has no access to files.
    open: &'static [&'static str],
}

struct Built(Place);

impl Built {
    fn new(plugin: &Plugin) -> anyhow::Result<Built> {
        let place = Place::new()?;
        let run = |arguments: &[&str]| {
            let mut command = place.command("pointsman");
            output(command.arg("plugin").args(arguments))
        };
        run(&["new", "--lang", plugin.language, "mine"])?;
        fs::write(place.work().join("mine").join(plugin.file), plugin.text)?;
        run(&["build", "mine"])?;
        let config = "[frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
                      router.plugin = \"mine/mine.wasm\"\n\n[backend.www]\n\
                      server.www = \"127.0.0.1:1\"\n";
        fs::write(place.work().join("pointsman.toml"), config)?;
        Ok(Built(place))
    }

    /// Returns what `route` reports about one request to a new instance, and the response's body.
    fn ask(&self, path: &str) -> anyhow::Result<(Value, String)> {
        let mut command = self.0.command("pointsman");
        let text = output(command.args(["route", "--json", "GET", path]))?;
        let report: Value = serde_json::from_str(&text)?;
        let body = report["response"]["body"].as_str();
        let body = body.with_context(|| format!("{path}: {report:#}"))?;
        Ok((report.clone(), body.to_owned()))
    }

    /// Does the same as [`Built::ask`], and checks that the decision is cached.
    fn ask_pure(&self, path: &str) -> anyhow::Result<(Value, String)> {
        let (report, body) = self.ask(path)?;
        let is_cached = report["cacheable"] == true && report["cached_ns"].is_number();
        ensure!(is_cached, "{path} is not cached: {report:#}");
        Ok((report, body))
    }

    /// Returns the body, after checking that the decision is not cached.
    fn ask_impure(&self, path: &str) -> anyhow::Result<String> {
        let (report, body) = self.ask(path)?;
        let is_asked = report["cacheable"] == false && report["cached_ns"].is_null();
        ensure!(is_asked, "{path} is cached: {report:#}");
        Ok(body)
    }
}

fn check(plugin: &Plugin) -> anyhow::Result<()> {
    let built = Built::new(plugin)?;
    assert_eq!(built.ask_pure("/")?.1, "");
    for path in plugin.print {
        let (report, _) = built.ask_pure(path)?;
        let line = serde_json::json!([{"level": "info", "text": "printed"}]);
        assert_eq!(report["log"], line, "{path}: {report:#}");
    }
    for path in plugin.open {
        assert_eq!(built.ask_pure(path)?.1, "none", "{path}");
    }
    for path in plugin.clock {
        let earliest = SystemTime::now() - Duration::from_secs(1);
        let seconds = built.ask_impure(path)?.parse()?;
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        ensure!(
            earliest < time && time <= SystemTime::now(),
            "{path}: {seconds}"
        );
    }
    for path in plugin.random {
        let (one, other) = (built.ask_impure(path)?, built.ask_impure(path)?);
        ensure!(one != other, "{path}: two instances have {one}");
    }
    Ok(())
}

#[test]
fn rust() -> anyhow::Result<()> {
    let built = Plugin {
        language: "rust",
        file: "src/lib.rs",
        text: include_str!("platform/plugin.rs"),
        print: &["/log"],
        clock: &["/clock"],
        random: &["/random"],
        open: &[],
    };
    check(&built)
}

#[test]
fn python() -> anyhow::Result<()> {
    check(&Plugin {
        language: "python",
        file: "plugin.py",
        text: include_str!("platform/plugin.py"),
        print: &["/print"],
        clock: &["/clock", "/date"],
        random: &["/random", "/named", "/below", "/gauss", "/uuid", "/octets"],
        open: &["/open"],
    })
}

#[test]
fn go() -> anyhow::Result<()> {
    check(&Plugin {
        language: "go",
        file: "plugin.go",
        text: include_str!("platform/plugin.go"),
        print: &["/print"],
        clock: &["/clock"],
        random: &["/random", "/v2", "/below", "/octets", "/crypto"],
        open: &["/open"],
    })
}

#[test]
fn javascript() -> anyhow::Result<()> {
    check(&Plugin {
        language: "javascript",
        file: "src/plugin.js",
        text: include_str!("platform/plugin.js"),
        print: &["/print"],
        clock: &["/clock"],
        random: &["/random"],
        open: &[],
    })
}

#[test]
fn typescript() -> anyhow::Result<()> {
    check(&Plugin {
        language: "typescript",
        file: "src/plugin.ts",
        text: include_str!("platform/plugin.js"),
        print: &["/print"],
        clock: &["/clock"],
        random: &["/random"],
        open: &[],
    })
}

#[test]
fn c() -> anyhow::Result<()> {
    check(&Plugin {
        language: "c",
        file: "plugin.c",
        text: include_str!("platform/plugin.c"),
        print: &["/print"],
        clock: &["/clock"],
        random: &["/random"],
        open: &["/open"],
    })
}

#[test]
fn cpp() -> anyhow::Result<()> {
    check(&Plugin {
        language: "cpp",
        file: "plugin.cpp",
        text: include_str!("platform/plugin.cpp"),
        print: &["/print"],
        clock: &["/clock"],
        random: &["/random"],
        open: &["/open"],
    })
}

#[test]
fn zig() -> anyhow::Result<()> {
    check(&Plugin {
        language: "zig",
        file: "plugin.zig",
        text: include_str!("platform/plugin.zig"),
        print: &["/print"],
        clock: &["/clock"],
        random: &["/random"],
        open: &[],
    })
}
