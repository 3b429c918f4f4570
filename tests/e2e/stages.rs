//! Routers of several plugins: each stage has its own versions, and is addressed by its name.

use std::fs;

use anyhow::{Context as _, ensure};
use pointsman_tests::{Origin, Proxy, Wire, log_field};
use serde_json::Value;

use crate::swaps::{BROKEN, OTHER, directory, put, release, status};
use crate::tunnels::echo_or_www;

/// A stage with the hostile guest, which is harmless in this mode.
const FIRST: &str = r#"{ plugin = "./plugin.wasm",
    limits.deadline = "20s", config = { mode = "harmless", spare_probe = true } }"#;

/// A stage with the same file under another name.
const SECOND: &str = r#"{ name = "second", plugin = "./plugin.wasm",
    limits.deadline = "20s", config = { mode = "harmless", spare_probe = true } }"#;

/// A stage with a bundled plugin that lets all clients pass.
const ALL: &str = r#"{ plugin = "address-list", config.default = "allow" }"#;

fn config(router: &[&str], www: &Origin) -> String {
    format!(
        r#"
plugin_cache_dir = "cache"
workers = 1
admin.address = "127.0.0.1:0"
admin.socket = "admin.sock"

[frontend.http-in]
bind = "127.0.0.1:0"
default_backend = "www"
router = [{}]

[backend.www]
server.www = "{}"
"#,
        router.join(", "),
        www.address()
    )
}

async fn start(router: &[&str]) -> anyhow::Result<(Origin, Proxy)> {
    let www = echo_or_www().await?;
    let proxy = Proxy::pointsman_in(directory()?, &config(router, &www)).await?;
    fs::write(proxy.directory().join("other.wasm"), release(OTHER)?)?;
    Ok((www, proxy))
}

/// Returns the stages of the frontend, each with the version in service.
async fn stages(proxy: &Proxy) -> anyhow::Result<Vec<(String, u64)>> {
    let status: Value = serde_json::from_str(&proxy.ctl(&["status", "--json"]).await?)?;
    let stages = status["frontends"][0]["stages"].as_array();
    let stages = stages.context("no stages")?.iter().map(|stage| {
        let name = stage["name"].as_str().context("no name")?;
        let version = stage["version"].as_u64().context("no version")?;
        Ok((name.to_owned(), version))
    });
    stages.collect()
}

fn named(stages: &[(&str, u64)]) -> Vec<(String, u64)> {
    let stages = stages.iter();
    stages
        .map(|(name, version)| ((*name).to_owned(), *version))
        .collect()
}

/// Returns the message of a command that is refused.
async fn refusal(proxy: &Proxy, arguments: &[&str]) -> anyhow::Result<String> {
    match proxy.ctl(arguments).await {
        Ok(done) => anyhow::bail!("{arguments:?}: {done}"),
        Err(error) => Ok(format!("{error:?}")),
    }
}

#[tokio::test]
async fn stages_are_swapped_and_rolled_back_one_by_one() -> anyhow::Result<()> {
    let (_www, proxy) = start(&[FIRST, SECOND]).await?;
    assert_eq!(
        stages(&proxy).await?,
        named(&[("plugin", 1), ("second", 1)])
    );
    let done = proxy.ctl(&["swap", "http-in/second", "other.wasm"]).await?;
    assert!(
        done.starts_with("http-in/second: version 2 of other is now active"),
        "{done}"
    );
    assert_eq!(
        stages(&proxy).await?,
        named(&[("plugin", 1), ("second", 2)])
    );
    proxy.ctl(&["swap", "http-in/plugin"]).await?;
    proxy.ctl(&["swap", "http-in/plugin"]).await?;
    assert_eq!(
        stages(&proxy).await?,
        named(&[("plugin", 3), ("second", 2)])
    );
    proxy.ctl(&["rollback", "http-in/second"]).await?;
    assert_eq!(
        stages(&proxy).await?,
        named(&[("plugin", 3), ("second", 1)])
    );
    proxy.ctl(&["rollback", "http-in/plugin", "1"]).await?;
    assert_eq!(
        stages(&proxy).await?,
        named(&[("plugin", 1), ("second", 1)])
    );
    let refused = refusal(&proxy, &["rollback", "http-in/second"]).await?;
    assert!(
        refused.contains("`http-in/second` has no good version"),
        "{refused}"
    );
    assert_eq!(status(&proxy).await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_stage_is_addressed_by_its_name() -> anyhow::Result<()> {
    let (www, proxy) = start(&[FIRST, SECOND]).await?;
    let check = async |arguments: &[&str], part: &str| {
        let refused = refusal(&proxy, arguments).await?;
        ensure!(refused.contains(part), "{arguments:?}: {refused}");
        anyhow::Ok(())
    };
    let which = "frontend `http-in` has several plugins: name `http-in/plugin` or `http-in/second`";
    for command in ["swap", "rollback", "promote", "abort"] {
        check(&[command, "http-in"], which).await?;
        let none = "frontend `http-in` has no `third` in its router; it has `plugin`, `second`";
        check(&[command, "http-in/third"], none).await?;
        check(
            &[command, "www/plugin"],
            "there is no frontend `www` with a router",
        )
        .await?;
        check(&[command, "/plugin"], "a frontend and one of its plugins").await?;
    }
    // If a router has only one plugin, commands do not need the stage's name.
    proxy.configure(&config(&[SECOND], &www))?;
    proxy.ctl(&["reload"]).await?;
    proxy.ctl(&["swap", "http-in"]).await?;
    proxy.ctl(&["swap", "http-in/second"]).await?;
    assert_eq!(stages(&proxy).await?, named(&[("second", 3)]));
    check(&["swap", "http-in/plugin"], "has no `plugin`").await
}

#[tokio::test]
async fn a_reload_knows_stages_by_their_names() -> anyhow::Result<()> {
    let (www, proxy) = start(&[FIRST, SECOND]).await?;
    proxy.ctl(&["swap", "http-in/second", "other.wasm"]).await?;
    let reload = async |router: &[&str], expected: &[(&str, u64)]| {
        proxy.configure(&config(router, &www))?;
        proxy.ctl(&["reload"]).await?;
        let found = stages(&proxy).await?;
        ensure!(found == named(expected), "{router:?}: {found:?}");
        anyhow::Ok(())
    };
    reload(
        &[ALL, FIRST, SECOND],
        &[("address-list", 1), ("plugin", 1), ("second", 2)],
    )
    .await?;
    // The status shows the order: `second` responds with 404 once it comes before `plugin`.
    assert_eq!(status(&proxy).await?, 200);
    reload(
        &[SECOND, ALL, FIRST],
        &[("second", 2), ("address-list", 1), ("plugin", 1)],
    )
    .await?;
    assert_eq!(status(&proxy).await?, 404);
    reload(&[FIRST, SECOND], &[("plugin", 1), ("second", 2)]).await?;
    assert_eq!(status(&proxy).await?, 200);
    // A change to a stage's configuration restarts only that stage.
    let changed = SECOND.replace("\"harmless\"", "\"harmless\", value = 1");
    reload(&[FIRST, &changed], &[("plugin", 1), ("second", 3)]).await?;
    reload(&[SECOND], &[("second", 4)]).await?;
    // A stage that was removed and then added again is a new stage.
    reload(&[FIRST, SECOND], &[("plugin", 1), ("second", 4)]).await?;
    // If one plugin is invalid, the reload loads none of them.
    let wrong = "{ name = \"wrong\", plugin = \"address-list\" }";
    proxy.configure(&config(&[FIRST, &changed, wrong], &www))?;
    let refused = refusal(&proxy, &["reload"]).await?;
    assert!(refused.contains("`frontend.http-in.router[2]"), "{refused}");
    assert_eq!(
        stages(&proxy).await?,
        named(&[("plugin", 1), ("second", 4)])
    );
    proxy.configure(&config(&[], &www).replace("router = []", ""))?;
    proxy.ctl(&["reload"]).await?;
    assert_eq!(stages(&proxy).await?, []);
    assert_eq!(status(&proxy).await?, 200);
    Ok(())
}

/// If the configuration replaces the file of a router's only plugin, the numbers of its versions
/// continue, although the stage's name changes.
#[tokio::test]
async fn the_only_plugin_is_followed_by_another() -> anyhow::Result<()> {
    let (www, proxy) = start(&[FIRST]).await?;
    let other = FIRST.replace("plugin.wasm", "other.wasm");
    proxy.configure(&config(&[&other], &www))?;
    proxy.ctl(&["reload"]).await?;
    assert_eq!(stages(&proxy).await?, named(&[("other", 2)]));
    assert_eq!(status(&proxy).await?, 404);
    // A rollback returns to the plugin with the previous name.
    proxy.ctl(&["rollback", "http-in/other"]).await?;
    assert_eq!(stages(&proxy).await?, named(&[("other", 1)]));
    assert_eq!(status(&proxy).await?, 200);
    // Later changes apply to the version that the rollback has restored.
    let trial = ["swap", "http-in", "other.wasm", "--canary", "100"];
    proxy.ctl(&trial).await?;
    assert_eq!(status(&proxy).await?, 404);
    proxy.ctl(&["abort", "http-in/other"]).await?;
    assert_eq!(status(&proxy).await?, 200);
    let decisions = proxy.ctl(&["plugins"]).await?;
    assert!(!decisions.contains("http-in/plugin"), "{decisions}");
    Ok(())
}

/// If a stage changes its place in the list, its cached decisions stay.
#[tokio::test]
async fn a_stage_that_moves_keeps_its_cached_decisions() -> anyhow::Result<()> {
    let cacheable = r#"{ name = "second", plugin = "host-suffix", config.rules = [] }"#;
    let (www, proxy) = start(&[cacheable]).await?;
    let cached = async || {
        let plugins: Value = serde_json::from_str(&proxy.ctl(&["plugins", "--json"]).await?)?;
        let versions = plugins["versions"].as_array().context("no versions")?;
        let second = versions.iter().find(|one| one["stage"] == "second");
        let second = second.context("no `second`")?;
        anyhow::Ok((second["decisions"].as_u64(), second["cached"].as_u64()))
    };
    assert_eq!(status(&proxy).await?, 200);
    proxy.configure(&config(&[cacheable, FIRST], &www))?;
    proxy.ctl(&["reload"]).await?;
    let (before, hits) = cached().await?;
    assert_eq!(status(&proxy).await?, 200);
    assert_eq!(
        cached().await?,
        (before.map(|n| n + 1), hits.map(|n| n + 1))
    );
    Ok(())
}

#[tokio::test]
async fn each_stage_has_its_own_trial() -> anyhow::Result<()> {
    let (www, proxy) = start(&[FIRST, SECOND]).await?;
    proxy
        .ctl(&["swap", "http-in/second", "other.wasm", "--canary", "100"])
        .await?;
    let refused = refusal(&proxy, &["promote", "http-in/plugin"]).await?;
    assert!(
        refused.contains("`http-in/plugin` has no version on trial"),
        "{refused}"
    );
    proxy
        .ctl(&["swap", "http-in/plugin", "other.wasm", "--shadow", "100"])
        .await?;
    assert_eq!(status(&proxy).await?, 200);
    let trials = async || {
        let trials: Value = serde_json::from_str(&proxy.ctl(&["trials", "--json"]).await?)?;
        let trials = trials["trials"].as_array().context("no trials")?.clone();
        let shown = ["frontend", "stage", "mode", "state", "asked"];
        let trials = trials
            .iter()
            .map(|trial| shown.map(|key| trial[key].to_string()).join(" "));
        anyhow::Ok(trials.collect::<Vec<_>>())
    };
    let both = [
        r#""http-in" "plugin" "shadow" "running" 1"#,
        r#""http-in" "second" "canary" "running" 0"#,
    ];
    assert_eq!(trials().await?, both);
    let text = proxy.ctl(&["trials"]).await?;
    assert!(
        text.contains("http-in/second: version 2 as a canary"),
        "{text}"
    );
    // Both trials continue when a reload adds a stage and changes the order.
    proxy.configure(&config(&[ALL, SECOND, FIRST], &www))?;
    proxy.ctl(&["reload"]).await?;
    assert_eq!(trials().await?, [both[1], both[0]]);
    proxy.ctl(&["promote", "http-in/second"]).await?;
    proxy.ctl(&["abort", "http-in/plugin"]).await?;
    let expected = named(&[("address-list", 1), ("second", 2), ("plugin", 1)]);
    assert_eq!(stages(&proxy).await?, expected);
    assert_eq!(
        trials().await?,
        [
            r#""http-in" "second" "canary" "promoted" 0"#,
            r#""http-in" "plugin" "shadow" "aborted" 1"#,
        ]
    );
    Ok(())
}

#[tokio::test]
async fn faults_end_one_stage_alone() -> anyhow::Result<()> {
    let faulty = FIRST.replace("{ plugin", "{ max_faults = 1, plugin");
    let (_www, proxy) = start(&[&faulty, SECOND]).await?;
    proxy.ctl(&["swap", "http-in/second", "other.wasm"]).await?;
    fs::write(proxy.directory().join("broken.wasm"), release(BROKEN)?)?;
    proxy
        .ctl(&["swap", "http-in/plugin", "broken.wasm"])
        .await?;
    assert_eq!(status(&proxy).await?, 503);
    let back = proxy
        .line_with("rolled back to the previous version")
        .await?;
    assert!(
        back.contains("frontend=http-in") && back.contains("stage=plugin"),
        "{back}"
    );
    assert_eq!(
        stages(&proxy).await?,
        named(&[("plugin", 1), ("second", 2)])
    );
    Ok(())
}

/// Each stage that watches a file adopts a change to that file.
#[tokio::test]
async fn a_file_of_two_stages_is_watched_for_both() -> anyhow::Result<()> {
    let unwatched = FIRST.replace("{ plugin", "{ name = \"third\", watch = false, plugin");
    let (_www, proxy) = start(&[FIRST, SECOND, &unwatched]).await?;
    put(&proxy.directory().join("plugin.wasm"), "2")?;
    for stage in ["plugin", "second"] {
        let mark = format!("stage={stage} plugin=plugin version=2 ");
        proxy
            .wait_for(&mark, |lines| {
                let mut lines = lines.iter();
                let found = lines.find(|line| line.contains("in service") && line.contains(&mark));
                found.map(|_| ())
            })
            .await?;
    }
    let expected = named(&[("plugin", 2), ("second", 2), ("third", 1)]);
    assert_eq!(stages(&proxy).await?, expected);
    Ok(())
}

#[tokio::test]
async fn metrics_tell_stages_apart() -> anyhow::Result<()> {
    let (_www, proxy) = start(&[FIRST, SECOND]).await?;
    assert_eq!(status(&proxy).await?, 200);
    let line = proxy.line_with("admin interface, read-only").await?;
    let address = log_field(&line, "address").context("address")?.parse()?;
    let metrics = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let metrics = Wire::connect(address).await?.exchange(metrics).await?;
    let text = String::from_utf8(metrics.body)?;
    for line in [
        "pointsman_plugin_active{frontend=\"http-in\",stage=\"plugin\",plugin=\"plugin\",version=\"1\",",
        "pointsman_plugin_active{frontend=\"http-in\",stage=\"second\",plugin=\"plugin\",version=\"1\",",
        "pointsman_decisions_total{frontend=\"http-in\",stage=\"plugin\",source=\"plugin\"} 1",
        "pointsman_decisions_total{frontend=\"http-in\",stage=\"second\",source=\"plugin\"} 0",
        "pointsman_plugin_faults_total{frontend=\"http-in\",stage=\"second\",kind=\"trap\"} 0",
        "pointsman_decision_seconds_count{frontend=\"http-in\",stage=\"plugin\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    Ok(())
}

/// The log warns about an `on_fault` policy that lets clients in if a plugin that is meant to keep
/// them out fails.
#[tokio::test]
async fn a_policy_that_defeats_its_plugin_is_warned_of() -> anyhow::Result<()> {
    let open = ALL.replace("{ plugin", "{ on_fault = \"next\", plugin");
    let (www, proxy) = start(&[&open, FIRST]).await?;
    let line = proxy.line_with("every client is let in").await?;
    for part in ["WARN", "stage=address-list", "on_fault=next"] {
        assert!(line.contains(part), "{line}");
    }
    let open = open.replace("\"next\"", "\"default-backend\"");
    proxy.configure(&config(&[&open, FIRST], &www))?;
    proxy.ctl(&["reload"]).await?;
    proxy.line_with("on_fault=default-backend").await?;
    Ok(())
}
