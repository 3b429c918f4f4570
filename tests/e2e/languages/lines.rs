//! Log lines of a plugin in commands that have no log of their own: `check`, `route`, and a failed
//! test.

use std::fs;
use std::process::Output;

use pointsman_tests::guest;

use super::place::Place;

/// Creates a folder with `guest-wasi` and its configuration.
fn place(configure: &str, route: &str) -> anyhow::Result<Place> {
    let place = Place::new()?;
    fs::write(place.work().join("mine.wasm"), guest("guest-wasi")?)?;
    let config = format!(
        "[frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
         router.plugin = \"./mine.wasm\"\nrouter.config.configure = {configure}\n\
         router.config.route = {route}\n\n[backend.www]\nserver.www = \"127.0.0.1:1\"\n"
    );
    fs::write(place.work().join("pointsman.toml"), config)?;
    Ok(place)
}

fn run(place: &Place, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String, String)> {
    let Output {
        status,
        stdout,
        stderr,
    } = place.command("pointsman").args(arguments).output()?;
    Ok((
        status.code(),
        String::from_utf8(stdout)?,
        String::from_utf8(stderr)?,
    ))
}

#[test]
fn lines_of_a_plugin_that_serves() -> anyhow::Result<()> {
    let place = place(
        r#"[{ print = "configured\n" }]"#,
        r#"[{ print = "one\ntwo \u001b[2J\n" }]"#,
    )?;
    let (code, stdout, stderr) = run(&place, &["check"])?;
    assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
    let expected = "http-in: mine: info  configured\nhttp-in: mine: info  one\n\
                    http-in: mine: info  two \\u{1b}[2J\n";
    assert_eq!(stderr, expected);

    let (code, stdout, stderr) = run(&place, &["route"])?;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let expected = "log       info  configured\n          info  one\n          \
                    info  two \\u{1b}[2J\n";
    assert!(stdout.contains(expected), "{stdout}");
    assert!(stdout.contains("cacheable yes"), "{stdout}");

    let (_, stdout, _) = run(&place, &["route", "--json"])?;
    let report: serde_json::Value = serde_json::from_str(&stdout)?;
    assert_eq!(report["log"][1]["text"], "one", "{report:#}");
    assert_eq!(report["log"][1]["level"], "info", "{report:#}");
    Ok(())
}

#[test]
fn lines_of_a_plugin_that_cannot_serve() -> anyhow::Result<()> {
    let place = place(r#"[{ print-error = "the reason\n" }, "exit"]"#, "[]")?;
    for command in ["check", "route"] {
        let (code, stdout, stderr) = run(&place, &[command])?;
        assert_eq!((code, stdout.as_str()), (Some(64), ""), "{command}");
        let line = "http-in: mine: info  the reason\n";
        assert_eq!(stderr.matches(line).count(), 1, "{command}: {stderr}");
        assert!(stderr.contains("pointsman.toml:4"), "{command}: {stderr}");
    }
    Ok(())
}

#[test]
fn the_reason_why_decisions_are_not_cached_is_logged() -> anyhow::Result<()> {
    let place = place("[{ random = 8 }]", "[]")?;
    let (_, stdout, stderr) = run(&place, &["route"])?;
    assert!(stdout.contains("cacheable no"), "{stdout}{stderr}");
    let (_, _, stderr) = run(&place, &["check"])?;
    let reason = "mine: info  `configure` read the time or random numbers: decisions are not \
                  cached\n";
    assert_eq!(stderr, reason);
    Ok(())
}
