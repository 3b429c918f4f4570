//! Pointsman's configuration: that of README.md, with its access log in a file or off.

use std::path::Path;
use std::process::Command;

use super::{
    ACCESS_LOG, Access, Addresses, Guest, Launch, SUFFIX, Site, Tools, anonymous, free_address,
    guest_file, write,
};

/// Name of the frontend, and of the admin socket next to the configuration.
pub(crate) const FRONTEND: &str = "http-in";
pub(crate) const SOCKET: &str = "admin.sock";
/// Name of a hostile plugin's frontend.
pub(crate) const HOSTILE: &str = "hostile";
pub(crate) const HOSTILE_SOCKET: &str = "hostile.sock";

/// Whether requests get the header fields that name the client, as they do by default.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarded {
    Added,
    Off,
}

pub(super) fn launch(
    tools: &Tools,
    site: &Site,
    folder: &Path,
    forwarded: Forwarded,
) -> anyhow::Result<Launch> {
    let address = free_address()?;
    let mut text = configuration(
        site,
        &address.to_string(),
        forwarded,
        // All starts share this cache, so that only the first one compiles the plugin.
        &tools.cache.display().to_string(),
        &folder.join(ACCESS_LOG).display().to_string(),
    );
    if let Some(guest) = site.beside {
        text += &hostile(guest)?;
    }
    write(folder, "pointsman.toml", &text)?;
    let mut command = Command::new(&tools.pointsman);
    command
        .args(["run", "-c"])
        .arg(folder.join("pointsman.toml"));
    Ok(Launch {
        command,
        configuration: anonymous(&anonymous(&text, &tools.cache), folder),
        addresses: Addresses {
            www: address,
            node: address,
        },
    })
}

fn configuration(
    site: &Site,
    bind: &str,
    forwarded: Forwarded,
    cache: &str,
    access_log: &str,
) -> String {
    let Site {
        www,
        node,
        connections,
        threads,
        access,
        beside: _,
    } = site;
    let log = match access {
        Access::On => format!("access = true\ntarget = \"{access_log}\""),
        Access::Off => "access = false".to_owned(),
    };
    let forwarded = match forwarded {
        Forwarded::Added => "",
        Forwarded::Off => "forwarded.x_forwarded = false\nforwarded.via = false\n",
    };
    // The admin socket is next to the configuration file; only the workload that replaces plugins
    // uses it.
    let socket = SOCKET;
    format!(
        r#"max_connections = {connections}
workers = {threads}
plugin_cache_dir = "{cache}"
timeout.drain = "0s"

[log]
{log}

[admin]
socket = "{socket}"

[frontend.http-in]
bind = "{bind}"
timeout.client = "24h"
default_backend = "www_backend"
router.plugin = "host-suffix"
router.config.rules = [{{ suffix = "{SUFFIX}", backend = "node_backend" }}]
{forwarded}
[backend.www_backend]
timeout.server = "24h"
timeout.connect = "5s"
server.www_test = "{www}"

[backend.node_backend]
timeout.server = "24h"
timeout.connect = "5s"
server.node_test = "{node}"
"#
    )
}

/// Returns a frontend for a hostile plugin, with the default limits unless the guest has others.
fn hostile(guest: &Guest) -> anyhow::Result<String> {
    let plugin = guest_file(guest.plugin)?;
    let (plugin, Guest { config, keys, .. }) = (plugin.display(), guest);
    Ok(format!(
        r#"
[compile]
time = "10s"

[frontend.{HOSTILE}]
bind = "./{HOSTILE_SOCKET}"
default_backend = "www_backend"
router.plugin = "{plugin}"
router.config = {config}
{keys}
"#
    ))
}
