//! `pointsman plugin watch` builds and tests the project after each save, and puts the component
//! into service if the tests pass.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use pointsman_tests::{Process, Proxy, guest};
use serde_json::Value;

use super::place::{Place, output};

const CONFIG: &str = "[admin]\nsocket = \"admin.sock\"\n[frontend.http-in]\n\
                      bind = \"127.0.0.1:0\"\ndefault_backend = \"www\"\n\
                      router.plugin = \"./mine/mine.wasm\"\nrouter.watch = false\n\
                      router.config.rules = []\n[backend.www]\nserver.www = \"127.0.0.1:1\"\n";

/// Returns a component with an additional section, so that each `mark` gives a different file.
fn component(mark: u8) -> anyhow::Result<Vec<u8>> {
    let mut bytes = guest("host-suffix")?;
    // A custom section `producers`: the build keeps it, but strips most other custom sections.
    bytes.extend([0, 11, 9]);
    bytes.extend(b"producers");
    bytes.push(0);
    // A custom section `name` with the mark, which makes the components different. The build keeps
    // it, too.
    bytes.extend([0, 6, 4, b'n', b'a', b'm', b'e', mark]);
    Ok(bytes)
}

/// Creates a project in `mine`. Its build copies the source file to the component.
fn project(directory: &Path) -> anyhow::Result<PathBuf> {
    let project = directory.join("mine");
    fs::create_dir(&project)?;
    // Copying the file takes the place of a toolchain here.
    fs::write(
        project.join("plugin.toml"),
        "name = \"mine\"\nbuild = [\"cp\", \"source.wasm\", \"raw.wasm.tmp\"]\nmodule = \"raw.wasm.tmp\"\n",
    )?;
    fs::write(
        project.join("cases.toml"),
        "backends = [\"www\"]\nconfig.rules = []\n[[case]]\nname = \"all\"\nexpect.next = true\n",
    )?;
    Ok(project)
}

#[tokio::test]
async fn only_builds_that_pass_go_into_service() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let project = project(directory.path())?;
    let save = |bytes: Vec<u8>| -> anyhow::Result<()> {
        fs::write(directory.path().join("saved"), bytes)?;
        // Editors also rename the saved file into place.
        fs::rename(directory.path().join("saved"), project.join("source.wasm"))?;
        Ok(())
    };
    save(component(1)?)?;
    let place = Place::new()?;
    let plugin = |command: &str| {
        let mut program = place.command("pointsman");
        program.args(["plugin", command]).arg(&project);
        program
    };
    output(&mut plugin("build"))?;
    let proxy = Proxy::pointsman_in(directory, CONFIG).await?;

    let mut command = plugin("watch");
    command.args(["--frontend", "http-in", "--socket"]);
    command.arg(proxy.directory().join("admin.sock"));
    let watch = Process::start(command)?;
    let turns = |count: usize| {
        watch.wait_for("a turn", move |lines| {
            let told = lines.iter().filter(|line| line.ends_with("mine.wasm"));
            (told.count() >= count).then_some(())
        })
    };
    watch.line_with("1 case passed").await?;
    turns(1).await?;

    // A plugin that does not accept this configuration is reported, and not put into service.
    let project = proxy.directory().join("mine");
    let saved = proxy.directory().join("saved");
    fs::write(&saved, guest("guest-scripted")?)?;
    fs::rename(&saved, project.join("source.wasm"))?;
    watch.line_with("1 of 1 cases failed").await?;

    fs::write(&saved, component(2)?)?;
    fs::rename(&saved, project.join("source.wasm"))?;
    turns(2).await?;
    watch
        .wait_for("the second swap", |lines| {
            let told = lines.iter().filter(|line| line.contains("http-in"));
            (told.count() >= 2).then_some(())
        })
        .await?;

    let sha256 = sha256(&place, &project)?;
    let plugins: Value = serde_json::from_str(&proxy.ctl(&["plugins", "--json"]).await?)?;
    let versions = plugins["versions"].as_array().context("versions")?;
    let active: Vec<_> = versions
        .iter()
        .filter(|version| version["state"] == "active")
        .collect();
    ensure!(active.len() == 1, "{plugins:#}");
    assert_eq!(active[0]["sha256"], sha256, "{plugins:#}");
    Ok(())
}

/// A proxy can write its log to the project's folder: the log line about a swap does not cause
/// another swap.
#[tokio::test]
async fn a_log_in_the_folder_leads_to_no_swap() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let project = project(directory.path())?;
    fs::write(project.join("source.wasm"), component(1)?)?;
    let place = Place::new()?;
    output(
        place
            .command("pointsman")
            .args(["plugin", "build"])
            .arg(&project),
    )?;
    let proxy = Proxy::pointsman_in(directory, CONFIG).await?;
    let project = proxy.directory().join("mine");
    let mut command = place.command("pointsman");
    command.args(["plugin", "watch", "--frontend", "http-in", "--socket"]);
    command
        .arg(proxy.directory().join("admin.sock"))
        .arg(&project);
    let watch = Process::start(command)?;
    let count =
        |lines: &[String], text: &str| lines.iter().filter(|line| line.contains(text)).count();
    let wait = async |text: &str, wanted: usize| {
        watch
            .wait_for(text, |lines| (count(lines, text) >= wanted).then_some(()))
            .await
    };
    // The first component is in service.
    wait(&active_after(&place, &project)?, 1).await?;
    for mark in [2, 3] {
        // A file whose name does not look like a log causes a build, but no swap.
        let turns = count(&watch.log(), "mine.wasm");
        fs::write(project.join("lines"), format!("plugin in service {mark}"))?;
        wait("mine.wasm", turns + 1).await?;
        // A file with the name of a log does not even cause a build.
        fs::write(
            project.join("proxy.log"),
            format!("plugin in service {mark}"),
        )?;
        let saved = proxy.directory().join("saved");
        fs::write(&saved, component(mark)?)?;
        fs::rename(&saved, project.join("source.wasm"))?;
        wait("mine.wasm", turns + 2).await?;
        wait(&active_after(&place, &project)?, 1).await?;
    }
    let plugins: Value = serde_json::from_str(&proxy.ctl(&["plugins", "--json"]).await?)?;
    // Startup has added one version, and each component another one.
    assert_eq!(plugins["versions"][0]["number"], 4, "{plugins:#}");
    Ok(())
}

/// Returns the line that `plugin watch` prints once the built component is in service.
fn active_after(place: &Place, project: &Path) -> anyhow::Result<String> {
    Ok(format!(
        "is now active (sha256 {})",
        sha256(place, project)?
    ))
}

fn sha256(place: &Place, project: &Path) -> anyhow::Result<String> {
    let mut check = place.command("pointsman");
    check
        .args(["plugin", "check"])
        .arg(project.join("mine.wasm"));
    let file = output(&mut check)?;
    let mut lines = file.lines();
    let sha256 = lines.find_map(|line| line.strip_prefix("sha256"));
    Ok(sha256.context("its digest")?.trim().to_owned())
}
