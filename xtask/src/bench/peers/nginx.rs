//! nginx's configurations: `map` or Lua chooses the backend.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::{
    ACCESS_LOG, Access, Addresses, Launch, SUFFIX, Site, Tools, anonymous, free_address, write,
};

/// The mechanism that chooses the backend.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Routing {
    Map,
    Lua,
}

/// The nginx modules that are loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Modules {
    None,
    Lua,
}

pub(super) fn launch(
    tools: &Tools,
    site: &Site,
    folder: &Path,
    routing: Routing,
) -> anyhow::Result<Launch> {
    let address = free_address()?;
    let text = configuration(site, &address.to_string(), folder, routing);
    write(folder, "nginx.conf", &text)?;
    let mut command = Command::new(&tools.nginx);
    command.arg("-c").arg(folder.join("nginx.conf"));
    Ok(Launch {
        command,
        configuration: anonymous(&text, folder),
        addresses: Addresses {
            www: address,
            node: address,
        },
    })
}

fn configuration(site: &Site, listen: &str, folder: &Path, routing: Routing) -> String {
    let Site {
        www,
        node,
        connections,
        threads,
        access,
        beside: _,
    } = site;
    let pattern = SUFFIX.replace('.', "\\.");
    let (modules, map, set) = match routing {
        Routing::Map => (
            Modules::None,
            format!(
                "    map $http_host $backend {{\n        default www_backend;\n        \
                 \"~*{pattern}$\" node_backend;\n    }}\n"
            ),
            String::new(),
        ),
        Routing::Lua => (
            Modules::Lua,
            String::new(),
            format!(
                "            set_by_lua_block $backend {{\n                \
                 local host = ngx.var.http_host or \"\"\n                \
                 if string.sub(string.lower(host), -{}) == \"{SUFFIX}\" then\n                    \
                 return \"node_backend\"\n                end\n                \
                 return \"www_backend\"\n            }}\n",
                SUFFIX.len()
            ),
        ),
    };
    // Each client connection can need another connection to a server, and one worker can have all
    // of them.
    let preamble = preamble(folder, modules, *threads, 2 * connections + 64);
    let access_log = match access {
        // The log has no buffer, which is the default: each line is written with its request.
        Access::On => format!("{} combined", folder.join(ACCESS_LOG).display()),
        Access::Off => "off".to_owned(),
    };
    let common = common(folder, &access_log);
    format!(
        r"{preamble}http {{
{common}    # As any other proxy here, it streams: no body goes to disk.
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
    client_max_body_size 0;
{map}    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' '';
    }}
    upstream www_backend {{
        server {www};
        keepalive 256;
        keepalive_requests 100000000;
    }}
    upstream node_backend {{
        server {node};
        keepalive 256;
        keepalive_requests 100000000;
    }}
    server {{
        listen {listen};
        location / {{
{set}            proxy_pass http://$backend;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_connect_timeout 5s;
            proxy_read_timeout 24h;
            proxy_send_timeout 24h;
        }}
    }}
}}
"
    )
}

/// Returns the part before the block `http`.
pub(crate) fn preamble(
    folder: &Path,
    modules: Modules,
    threads: usize,
    connections: usize,
) -> String {
    let folder = folder.display();
    let modules = match modules {
        Modules::None => "",
        Modules::Lua => {
            "load_module modules/ndk_http_module.so;\nload_module modules/ngx_http_lua_module.so;\n"
        }
    };
    // Without this directive, root's workers would run as another user, who cannot enter the
    // folder.
    let user = if nix::unistd::geteuid().is_root() {
        "user root;\n"
    } else {
        ""
    };
    format!(
        "{modules}{user}daemon off;\nworker_processes {threads};\npid {folder}/pid;\n\
         error_log stderr;\npcre_jit on;\nevents {{\n    worker_connections {connections};\n}}\n"
    )
}

/// Returns the part that is the same in every block `http`.
pub(crate) fn common(folder: &Path, access_log: &str) -> String {
    let folder = folder.display();
    let mut text = format!(
        "    access_log {access_log};\n    tcp_nodelay on;\n    keepalive_requests 100000000;\n",
    );
    for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "    {name}_temp_path {folder}/{name};");
    }
    text
}
