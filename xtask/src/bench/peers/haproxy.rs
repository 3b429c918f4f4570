//! HAProxy's configurations: README.md's with its ACL, the same with Lua, and `mode tcp`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::{Access, Addresses, Launch, SUFFIX, Site, Tools, anonymous, free_address, write};

/// The mechanism that chooses the backend.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Routing {
    Acl,
    Lua,
}

pub(super) fn launch(
    tools: &Tools,
    site: &Site,
    folder: &Path,
    routing: Routing,
) -> anyhow::Result<Launch> {
    let address = free_address()?;
    let (load, choice) = match routing {
        Routing::Acl => (
            String::new(),
            format!(
                "    acl websocket hdr_end(host) -i {SUFFIX}\n    use_backend node_backend if websocket\n"
            ),
        ),
        Routing::Lua => (
            format!(
                "    lua-load-per-thread {}\n",
                folder.join("route.lua").display()
            ),
            "    use_backend %[lua.backend]\n".to_owned(),
        ),
    };
    let log = match site.access {
        Access::On => "    log global\n    option httplog\n",
        Access::Off => "",
    };
    let mut text = format!(
        "{}{load}\n{}{log}    # An idle connection to a server serves any client, as nginx's and Pointsman's do.\n    http-reuse always\n\n",
        global(site),
        defaults("http")
    );
    let _ = write!(
        text,
        "frontend http-in\n    bind {address}\n{choice}    default_backend www_backend\n\n\
         backend www_backend\n    server www_test {}\n\n\
         backend node_backend\n    server node_test {}\n",
        site.www, site.node
    );
    write(folder, "haproxy.cfg", &text)?;
    let mut shown = anonymous(&text, folder);
    if routing == Routing::Lua {
        let script = script();
        write(folder, "route.lua", &script)?;
        shown.push_str("\n# route.lua\n");
        shown.push_str(&script);
    }
    Ok(Launch {
        command: command(tools, folder),
        configuration: shown,
        addresses: Addresses {
            www: address,
            node: address,
        },
    })
}

/// Prepares one listener for each backend, because requests are not read.
pub(super) fn launch_tcp(tools: &Tools, site: &Site, folder: &Path) -> anyhow::Result<Launch> {
    let addresses = Addresses {
        www: free_address()?,
        node: free_address()?,
    };
    let text = format!(
        "{}\n{}\nlisten www\n    bind {}\n    server www_test {}\n\n\
         listen node\n    bind {}\n    server node_test {}\n",
        global(site),
        defaults("tcp"),
        addresses.www,
        site.www,
        addresses.node,
        site.node
    );
    write(folder, "haproxy.cfg", &text)?;
    Ok(Launch {
        command: command(tools, folder),
        configuration: anonymous(&text, folder),
        addresses,
    })
}

fn command(tools: &Tools, folder: &Path) -> Command {
    let mut command = Command::new(&tools.haproxy);
    command.args(["-db", "-f"]).arg(folder.join("haproxy.cfg"));
    command
}

fn global(site: &Site) -> String {
    let log = match site.access {
        // Logs to standard output, as under systemd or in a container. Here standard output is a
        // file.
        Access::On => "    log stdout format raw local0\n",
        Access::Off => "",
    };
    format!(
        "global\n    maxconn {}\n    nbthread {}\n{log}",
        site.connections, site.threads
    )
}

fn defaults(mode: &str) -> String {
    format!(
        "defaults\n    mode {mode}\n    timeout client 86400000\n    timeout server 86400000\n    timeout connect 5000\n"
    )
}

fn script() -> String {
    format!(
        "core.register_fetches(\"backend\", function(txn)\n    \
         local host = txn.sf:req_hdr(\"host\")\n    \
         if string.sub(string.lower(host), -{}) == \"{SUFFIX}\" then\n        \
         return \"node_backend\"\n    end\n    return \"www_backend\"\nend)\n",
        SUFFIX.len()
    )
}
