//! Common mistakes of plugin authors, with the command that reports each: the message says what is
//! wrong and what to do.

use std::fs;

use anyhow::ensure;
use pointsman_tests::guest;

use super::place::Place;

/// Returns the message of `pointsman plugin check` about a file that it refuses.
fn refusal(file: &[u8]) -> anyhow::Result<String> {
    let place = Place::new()?;
    fs::write(place.work().join("mine.wasm"), file)?;
    let output = place
        .command("pointsman")
        .args(["plugin", "check", "mine.wasm"])
        .output()?;
    ensure!(output.status.code() == Some(1), "{:?}", output.status);
    let text = String::from_utf8(output.stderr)?;
    ensure!(text.starts_with("error: mine.wasm: "), "{text}");
    Ok(text)
}

/// Returns `file` with every `from` replaced by `to`, which has the same length.
fn replaced(mut file: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<_> = file
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "{from} is not in the file");
    for at in places {
        file[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    file
}

/// Returns a core module that imports `wasi_snapshot_preview1`, as a build for `wasm32-wasip1`
/// does.
fn preview_1() -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0".to_vec();
    let import = [
        &[22][..],
        b"wasi_snapshot_preview1",
        &[9],
        b"proc_exit",
        &[0, 0],
    ]
    .concat();
    module.push(2);
    module.push(u8::try_from(import.len() + 1).unwrap_or_default());
    module.push(1);
    module.extend(import);
    module
}

#[test]
fn each_mistake_says_what_to_do() -> anyhow::Result<()> {
    let good = guest("guest-wasi")?;
    for (file, parts) in [
        (Vec::new(), &["the file is empty"][..]),
        (b"#!/bin/sh\n".to_vec(), &["not WebAssembly", "\\0asm"]),
        (b"(component)".to_vec(), &["text", "assemble it"]),
        (
            good[..good.len() / 2].to_vec(),
            &["does not compile", "out of bounds"],
        ),
        (
            b"\0asm\x01\0\0\0".to_vec(),
            &[
                "without component-type metadata",
                "pointsman plugin build FILE --output PLUGIN",
            ],
        ),
        (
            preview_1(),
            &[
                "imports wasi_snapshot_preview1",
                "wasm32-wasip2",
                "pointsman plugin build FILE --output PLUGIN",
            ],
        ),
        (
            replaced(good.clone(), "@1.0.0", "@2.0.0"),
            &[
                "@2.0.0, this host serves pointsman:router@1.0.0 and every other 1.x",
                "build it against one of those",
            ],
        ),
        (
            replaced(good.clone(), "wasi:random/random", "wasi:random/dice00"),
            &[
                "imports wasi:random/dice00@0.2.",
                "it offers pointsman:router/request@1.0.0",
                "leave out what needs it",
            ],
        ),
        (
            b"\0asm\x0d\0\x01\0".to_vec(),
            &[
                "does not export pointsman:router/plugin@1.0.0",
                "it exports nothing",
                "pointsman_sdk::export!",
            ],
        ),
    ] {
        let text = refusal(&file)?;
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
    Ok(())
}

/// Returns the message of `pointsman check` about a `router.config`, with its location.
fn misconfigured(config: &str) -> anyhow::Result<String> {
    let place = Place::new()?;
    let file = format!(
        "[frontend.http-in]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
         router.plugin = \"host-suffix\"\n{config}\n\n[backend.www]\nserver.www = \"127.0.0.1:1\"\n"
    );
    fs::write(place.work().join("pointsman.toml"), file)?;
    let output = place.command("pointsman").arg("check").output()?;
    ensure!(output.status.code() == Some(64), "{:?}", output.status);
    Ok(String::from_utf8(output.stderr)?)
}

#[test]
fn a_mistake_in_the_configuration_is_shown_where_it_is() -> anyhow::Result<()> {
    for (config, parts) in [
        (
            "router.config.rules = [{ sufix = \"a\", backend = \"www\" }]",
            ["pointsman.toml:5", "unknown field `sufix`, expected one of"],
        ),
        (
            "router.config.rules = [{ suffix = \"a\", backend = \"ww\" }]",
            ["pointsman.toml:5", "there is no backend \"ww\""],
        ),
    ] {
        let text = misconfigured(config)?;
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
    Ok(())
}

#[test]
fn a_backend_that_only_route_names_is_a_fault_that_says_so() -> anyhow::Result<()> {
    let place = Place::new()?;
    fs::write(place.work().join("mine.wasm"), guest("guest-scripted")?)?;
    fs::write(
        place.work().join("cases.toml"),
        "backends = []\nconfig = { cacheable = true, root.backend = \"nowhere\" }\n\
         [[case]]\nname = \"it names a backend\"\nexpect.default = true\n",
    )?;
    let output = place
        .command("pointsman")
        .args(["plugin", "test", "mine.wasm"])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("expected  the default backend"), "{text}");
    assert!(
        text.contains(
            "found     the plugin chose backend \"nowhere\", which is not in the configuration"
        ),
        "{text}"
    );
    Ok(())
}
