//! Concurrent changes: no change waits for the compiler of another, and the latest change stays in
//! force.

use std::fs;

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pointsman_tests::{DEADLINE, Origin, Proxy, guest, log_field};
use serde_json::Value;

use crate::swaps::{BROKEN, deciding, put, release, slow_to_compile, status};
use crate::tunnels::echo_or_www;

/// Number of functions in a component that takes a while to compile.
const HEAVY: usize = 400;

/// Returns a configuration with two frontends, each with its own copy of the hostile guest in its
/// harmless mode.
fn config(www: &Origin) -> String {
    let frontend = |name: &str, file: &str| {
        format!(
            r#"
[frontend.{name}]
bind = "127.0.0.1:0"
default_backend = "www"
router.plugin = "./{file}"
router.config = {{ mode = "harmless", spare_probe = true }}
router.limits.deadline = "20s"
router.max_faults = 3
router.watch = false
"#
        )
    };
    format!(
        "plugin_cache_dir = \"cache\"\nlog.access = true\nlog.level = \"debug\"\n\
         admin.socket = \"admin.sock\"\n{}{}\n[backend.www]\nserver.www = \"{}\"\n",
        frontend("http-in", "plugin.wasm"),
        frontend("other", "other.wasm"),
        www.address()
    )
}

/// Returns the same configuration, with the plugins' files watched.
fn watched(www: &Origin) -> String {
    config(www).replace("router.watch = false", "")
}

async fn start() -> anyhow::Result<(Origin, Proxy)> {
    let www = echo_or_www().await?;
    let config = config(&www);
    start_with(www, &config).await
}

async fn start_with(www: Origin, config: &str) -> anyhow::Result<(Origin, Proxy)> {
    let directory = tempfile::tempdir()?;
    for file in ["plugin.wasm", "other.wasm"] {
        put(&directory.path().join(file), "1")?;
    }
    put(&directory.path().join("two.wasm"), "2")?;
    put(&directory.path().join("three.wasm"), "3")?;
    for (file, functions) in [("heavy.wasm", HEAVY), ("heavier.wasm", HEAVY + 1)] {
        let heavy = slow_to_compile(&guest("guest-hostile")?, functions);
        fs::write(directory.path().join(file), heavy)?;
    }
    let proxy = Proxy::pointsman_in(directory, config).await?;
    Ok((www, proxy))
}

/// A suspended compiler: the change that waits for it takes as long as the test wants.
struct Stopped(Pid);

impl Stopped {
    /// Waits for the next compiler to start, and suspends it.
    async fn next(proxy: &Proxy) -> anyhow::Result<Stopped> {
        let known = proxy.log().len();
        let first = started(proxy, known, "compiling process=").await?;
        let (_, known) = stop(first)?;
        // If a compiler gets no processor time, the proxy replaces it with another one and does not
        // replace that one.
        let line = &proxy.log()[known];
        let bytes = log_field(line, "bytes").context("no size")?;
        let second = started(proxy, known + 1, &format!("bytes={bytes}")).await?;
        let (process, _) = stop(second)?;
        Ok(Stopped(process))
    }

    fn goes_on(self) -> anyhow::Result<()> {
        Ok(kill(self.0, Signal::SIGCONT)?)
    }
}

/// Waits until the log reports a compiler, from line `from` on, and returns that line with its
/// index.
async fn started(proxy: &Proxy, from: usize, mark: &str) -> anyhow::Result<(usize, String)> {
    let is_it = |line: &str| line.contains("compiling process=") && line.contains(mark);
    proxy
        .wait_for("a compiler", |lines| {
            let mut new = lines.iter().enumerate().skip(from);
            let found = new.find(|(_, line)| is_it(line));
            found.map(|(place, line)| (place, line.clone()))
        })
        .await
}

fn stop((place, line): (usize, String)) -> anyhow::Result<(Pid, usize)> {
    let process = log_field(&line, "process").context("no process")?;
    let process = Pid::from_raw(process.parse()?);
    kill(process, Signal::SIGSTOP)?;
    Ok((process, place))
}

/// Returns the number, state and cause of each version of a frontend, the active one first.
async fn versions(proxy: &Proxy, frontend: &str) -> anyhow::Result<Vec<(u64, String, String)>> {
    let plugins: Value = serde_json::from_str(&proxy.ctl(&["plugins", "--json"]).await?)?;
    let versions = plugins["versions"].as_array().context("versions")?.iter();
    let of_frontend = versions.filter(|version| version["frontend"] == frontend);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let described = of_frontend.map(|version| {
        let number = version["number"].as_u64().unwrap_or_default();
        (number, text(&version["state"]), text(&version["cause"]))
    });
    Ok(described.collect())
}

async fn active(proxy: &Proxy, frontend: &str) -> anyhow::Result<u64> {
    let versions = versions(proxy, frontend).await?;
    Ok(versions.first().context("no version")?.0)
}

/// Sends requests until an automatic rollback has returned to the version before.
async fn fails(proxy: &Proxy) -> anyhow::Result<()> {
    let back = async {
        while status(proxy).await? == 503 {}
        Ok::<_, anyhow::Error>(())
    };
    tokio::time::timeout(DEADLINE, back).await??;
    proxy
        .line_with("rolled back to the previous version")
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_rollback_waits_for_no_compiler() -> anyhow::Result<()> {
    let (_www, mut proxy) = start().await?;
    fs::write(proxy.directory().join("broken.wasm"), release(BROKEN)?)?;
    proxy.ctl(&["swap", "http-in", "broken.wasm"]).await?;
    // Two compilers are at work: one for the other frontend, and one for this frontend.
    let (other, meanwhile) = tokio::join!(proxy.ctl(&["swap", "other", "heavy.wasm"]), async {
        let other = Stopped::next(&proxy).await?;
        let (own, meanwhile) =
            tokio::join!(proxy.ctl(&["swap", "http-in", "heavier.wasm"]), async {
                let own = Stopped::next(&proxy).await?;
                all_but_compiling(&proxy).await?;
                own.goes_on()
            });
        meanwhile?;
        other.goes_on()?;
        anyhow::Ok(own)
    });
    // Both swaps were requested before the changes that `all_but_compiling` made, so they have no
    // effect.
    for late in [other, meanwhile?] {
        let late = format!("{:?}", late.err());
        assert!(late.contains("a later change of `"), "{late}");
    }
    assert_eq!(active(&proxy, "http-in").await?, 1);
    assert_eq!(active(&proxy, "other").await?, 2);
    // A drain does not wait for a compiler either.
    let heaviest = slow_to_compile(&guest("guest-hostile")?, HEAVY + 2);
    fs::write(proxy.directory().join("heaviest.wasm"), heaviest)?;
    let (stopped, drained) = tokio::join!(proxy.ctl(&["swap", "other", "heaviest.wasm"]), async {
        let compiler = Stopped::next(&proxy).await?;
        proxy.ctl(&["drain"]).await?;
        anyhow::Ok(compiler)
    });
    drained?;
    assert!(stopped.is_err());
    assert_eq!(proxy.ended().await?.code(), Some(0));
    Ok(())
}

/// Makes every kind of change while both frontends have a compiler at work.
async fn all_but_compiling(proxy: &Proxy) -> anyhow::Result<()> {
    // Automatic rollback.
    fails(proxy).await?;
    assert_eq!(active(proxy, "http-in").await?, 1);
    // Manual rollback.
    for number in ["2", "1"] {
        proxy.ctl(&["rollback", "http-in", number]).await?;
    }
    for arguments in [
        &["swap", "other", "two.wasm"][..],
        &["swap", "other", "three.wasm", "--shadow", "10"],
        &["abort", "other"],
        &["trials"],
        &["reload"],
        &["status"],
    ] {
        proxy.ctl(arguments).await?;
    }
    assert_eq!(deciding(proxy).await?, "1");
    Ok(())
}

#[tokio::test]
async fn a_reload_keeps_later_changes() -> anyhow::Result<()> {
    let (www, proxy) = start().await?;
    // This configuration would give each frontend another version.
    let heavy = config(&www)
        .replace("other.wasm", "heavy.wasm")
        .replace("router.max_faults = 3", "router.max_faults = 4");
    proxy.configure(&heavy)?;
    let (reloaded, done) = tokio::join!(proxy.ctl(&["reload"]), async {
        let compiler = Stopped::next(&proxy).await?;
        proxy.ctl(&["swap", "http-in", "two.wasm"]).await?;
        proxy
            .ctl(&["swap", "http-in", "three.wasm", "--canary", "0.01"])
            .await?;
        compiler.goes_on()
    });
    done?;
    reloaded?;
    // The reload changes `other`, but does not undo the later changes to `http-in`.
    assert_eq!(versions(&proxy, "other").await?[0].2, "reload");
    let now = versions(&proxy, "http-in").await?;
    assert_eq!(now[0], (2, "active".into(), "swap".into()), "{now:?}");
    assert_eq!(now[1], (3, "canary".into(), "trial".into()), "{now:?}");

    // A reload that a later one overtakes has no effect, and the command reports this.
    proxy.configure(&config(&www).replace("other.wasm", "heavier.wasm"))?;
    let (reloaded, done) = tokio::join!(proxy.ctl(&["reload"]), async {
        let compiler = Stopped::next(&proxy).await?;
        proxy.configure(&config(&www))?;
        proxy.ctl(&["reload"]).await?;
        compiler.goes_on()
    });
    done?;
    let late = format!("{:?}", reloaded.err());
    assert!(late.contains("a later reload"), "{late}");
    let source = proxy.ctl(&["plugins"]).await?;
    assert!(
        source.contains("other.wasm") && !source.contains("heavier.wasm"),
        "{source}"
    );
    Ok(())
}

/// A swap during a reload keeps the reload's version of that stage out of service. The next reload
/// then applies the configured settings, even though the configuration has not changed since.
#[tokio::test]
async fn settings_that_a_swap_overrides_come_with_the_next_reload() -> anyhow::Result<()> {
    for is_rolled_back in [false, true] {
        let (www, proxy) = start().await?;
        let changed = config(&www)
            .replace("other.wasm", "heavy.wasm")
            .replace("mode = \"harmless\"", "mode = \"respond\", value = 404");
        proxy.configure(&changed)?;
        let (reloaded, done) = tokio::join!(proxy.ctl(&["reload"]), async {
            let compiler = Stopped::next(&proxy).await?;
            proxy.ctl(&["swap", "http-in", "two.wasm"]).await?;
            compiler.goes_on()
        });
        done?;
        reloaded?;
        assert_eq!(versions(&proxy, "other").await?[0].2, "reload");
        // The swap was requested after the reload, so its version stays in service, with the
        // previous settings.
        assert_eq!(deciding(&proxy).await?, "2");
        if is_rolled_back {
            proxy.ctl(&["rollback", "http-in"]).await?;
            assert_eq!(deciding(&proxy).await?, "1");
        }
        for _ in 0..2 {
            proxy.ctl(&["reload"]).await?;
            assert_eq!(status(&proxy).await?, 404, "{is_rolled_back}");
            // A second reload adds no further version.
            let now = versions(&proxy, "http-in").await?;
            assert_eq!(now[0], (3, "active".into(), "reload".into()), "{now:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_trial_is_aborted_before_it_begins() -> anyhow::Result<()> {
    let (_www, proxy) = start().await?;
    let canary = ["swap", "http-in", "heavy.wasm", "--canary", "100"];
    let (started, done) = tokio::join!(proxy.ctl(&canary), async {
        let compiler = Stopped::next(&proxy).await?;
        let aborted = proxy.ctl(&["abort", "http-in"]).await?;
        ensure!(aborted.contains("will not go on trial"), "{aborted}");
        compiler.goes_on()
    });
    done?;
    let refused = format!("{:?}", started.err());
    assert!(refused.contains("aborted before it began"), "{refused}");
    let trials = proxy.ctl(&["trials"]).await?;
    assert!(trials.contains("no version is on trial"), "{trials}");
    Ok(())
}

#[tokio::test]
async fn rollback_goes_on_to_the_last_good_version() -> anyhow::Result<()> {
    let (_www, proxy) = start().await?;
    fs::write(proxy.directory().join("broken.wasm"), release(BROKEN)?)?;
    for file in ["two.wasm", "broken.wasm"] {
        proxy.ctl(&["swap", "http-in", file]).await?;
    }
    fails(&proxy).await?;
    proxy.ctl(&["swap", "http-in", "three.wasm"]).await?;
    let known = [
        (4, "active", "swap"),
        (2, "replaced", "faults"),
        (3, "failed", "swap"),
        (1, "replaced", "start"),
    ];
    let check = async |known: &[(u64, &str, &str)]| {
        let found = versions(&proxy, "http-in").await?;
        let known = known
            .iter()
            .map(|&(number, state, cause)| (number, state.to_owned(), cause.to_owned()));
        assert_eq!(found, known.collect::<Vec<_>>());
        anyhow::Ok(())
    };
    check(&known).await?;
    for good in ["2", "1"] {
        proxy.ctl(&["rollback", "http-in"]).await?;
        assert_eq!(deciding(&proxy).await?, good);
    }
    check(&[
        (1, "active", "rollback"),
        (2, "rolled-back", "rollback"),
        (4, "rolled-back", "swap"),
        (3, "failed", "swap"),
    ])
    .await?;
    let refused = proxy.ctl(&["rollback", "http-in"]).await;
    let refused = format!("{:?}", refused.err());
    assert!(refused.contains("no good version before"), "{refused}");
    // A rollback to the active version changes nothing.
    let told = proxy.ctl(&["rollback", "http-in", "1"]).await?;
    assert!(told.contains("version 1 "), "{told}");
    let refused = proxy.ctl(&["rollback", "http-in", "9"]).await;
    let refused = format!("{:?}", refused.err());
    assert!(
        refused.contains("no version 9 to roll back to"),
        "{refused}"
    );
    // Swapping in the same file again adds a version, which can also be rolled back.
    proxy.ctl(&["swap", "http-in", "plugin.wasm"]).await?;
    assert_eq!(deciding(&proxy).await?, "5");
    proxy.ctl(&["rollback", "http-in"]).await?;
    assert_eq!(deciding(&proxy).await?, "1");
    let plugins = proxy.ctl(&["plugins"]).await?;
    assert!(
        plugins.contains("GMT, by rollback, with {") && plugins.contains(r#""mode":"harmless""#),
        "{plugins}"
    );
    Ok(())
}

#[tokio::test]
async fn a_rollback_skips_a_version_that_cannot_start() -> anyhow::Result<()> {
    let (www, proxy) = start().await?;
    fs::write(proxy.directory().join("broken.wasm"), release(BROKEN)?)?;
    // Version 2 names a backend that is removed by the time version 3 is loaded.
    let more = format!("[backend.more]\nserver.more = \"{}\"\n", www.address());
    let by_host = "router.plugin = \"host-suffix\"\n\
                   router.config.rules = [{ suffix = \"more.tld\", backend = \"more\" }]\n";
    let config = config(&www);
    let harmless = "router.plugin = \"./plugin.wasm\"\n\
                    router.config = { mode = \"harmless\", spare_probe = true }\n";
    assert!(config.contains(harmless));
    proxy.configure(&(config.replace(harmless, by_host) + &more))?;
    proxy.ctl(&["reload"]).await?;
    proxy.configure(&config.replace("./plugin.wasm", "./broken.wasm"))?;
    proxy.ctl(&["reload"]).await?;
    fails(&proxy).await?;
    proxy.line_with("cannot be started again").await?;
    assert_eq!(deciding(&proxy).await?, "1");
    // A rollback to version 2 by its number is refused, with the reason.
    let refused = proxy.ctl(&["rollback", "http-in", "2"]).await;
    let refused = format!("{:?}", refused.err());
    assert!(
        refused.contains("version 2: ") && refused.contains("more"),
        "{refused}"
    );
    assert_eq!(deciding(&proxy).await?, "1");
    Ok(())
}

#[tokio::test]
async fn check_and_reload_agree() -> anyhow::Result<()> {
    let www = echo_or_www().await?;
    let watched = watched(&www);
    let (_www, proxy) = start_with(www, &watched).await?;
    let plugin = proxy.directory().join("other.wasm");
    let good = fs::read(&plugin)?;
    // A reload refuses a file that the watcher has refused, and names the key that refers to it.
    fs::write(&plugin, "no component")?;
    proxy.line_with("the new plugin is refused").await?;
    // The file of the other frontend is valid.
    put(&proxy.directory().join("next.wasm"), "next")?;
    proxy.configure(&watched.replace("plugin.wasm", "next.wasm"))?;
    let mut check = pointsman_tests::pointsman()?;
    check.current_dir(proxy.directory()).arg("check");
    let checked = tokio::task::spawn_blocking(move || check.output()).await??;
    assert_eq!(checked.status.code(), Some(64));
    let checked = String::from_utf8(checked.stderr)?;
    let reloaded = format!("{:#}", proxy.ctl(&["reload"]).await.expect_err("a mistake"));
    for told in [checked, reloaded] {
        assert!(told.contains("not WebAssembly"), "{told}");
        assert!(told.contains("frontend.other.router.plugin"), "{told}");
        assert!(!told.contains("frontend.http-in"), "{told}");
    }
    for frontend in ["http-in", "other"] {
        assert_eq!(active(&proxy, frontend).await?, 1, "{frontend}");
    }
    fs::write(&plugin, good)?;
    proxy.ctl(&["reload"]).await?;
    assert_eq!(active(&proxy, "http-in").await?, 2);
    Ok(())
}

/// After a manual swap, the watcher finds the same plugin at the configured path and adds no
/// version.
#[tokio::test]
async fn a_file_whose_plugin_is_in_service_is_no_other_version() -> anyhow::Result<()> {
    let www = echo_or_www().await?;
    let watched = watched(&www);
    let (_www, proxy) = start_with(www, &watched).await?;
    proxy.ctl(&["swap", "http-in", "two.wasm"]).await?;
    put(&proxy.directory().join("plugin.wasm"), "2")?;
    proxy.line_with("is in service already").await?;
    assert_eq!(deciding(&proxy).await?, "2");
    // A rollback therefore returns to a different plugin, and a reload does not undo the rollback.
    proxy.ctl(&["rollback", "http-in"]).await?;
    assert_eq!(deciding(&proxy).await?, "1");
    proxy.ctl(&["reload"]).await?;
    assert_eq!(deciding(&proxy).await?, "1");
    Ok(())
}

/// If a compiler is killed, for example because memory ran out, its file is not at fault, so the
/// proxy tries it again.
#[tokio::test]
async fn a_file_whose_compiler_was_killed_is_tried_again() -> anyhow::Result<()> {
    let www = echo_or_www().await?;
    let watched = watched(&www);
    let (_www, proxy) = start_with(www, &watched).await?;
    let directory = proxy.directory();
    fs::rename(directory.join("heavy.wasm"), directory.join("plugin.wasm"))?;
    let compiler = Stopped::next(&proxy).await?;
    kill(compiler.0, Signal::SIGKILL)?;
    proxy.line_with("will be tried again").await?;
    let again = |lines: &[String]| {
        let mark =
            |line: &&String| line.contains("plugin in service") && line.contains("version=2 ");
        lines.iter().find(mark).map(|_| ())
    };
    proxy.wait_for("version 2", again).await?;
    assert_eq!(deciding(&proxy).await?, "2");
    Ok(())
}

#[tokio::test]
async fn a_change_that_was_already_made_succeeds() -> anyhow::Result<()> {
    let (_www, proxy) = start().await?;
    let swap = ["swap", "http-in", "heavy.wasm"];
    let (slow, quick) = tokio::join!(proxy.ctl(&swap), async {
        let compiler = Stopped::next(&proxy).await?;
        let quick = proxy.ctl(&swap).await?;
        compiler.goes_on()?;
        anyhow::Ok(quick)
    });
    assert_eq!(slow?, quick?);
    assert_eq!(active(&proxy, "http-in").await?, 2);
    Ok(())
}
