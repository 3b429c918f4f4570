//! The servers behind the proxies: two nginx backends, an echo for WebSockets, and a sink for
//! bodies.
//!
//! Owns their configuration and the files that they serve. One origin serves all proxies of a
//! workload. Must not depend on a proxy. Called by `session`.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::Context as _;
use tempfile::TempDir;

use super::peers::{self, NODE_BODY, WWW_BODY, free_address, nginx};
use super::process::{Guard, Process};
use super::tools::{self, Tools};
use super::{sink, websocket};

/// Files to download, by path and size.
const FILES: &[(&str, usize)] = &[("64k", 64 << 10), ("10m", 10 << 20)];

/// The running servers.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) www: SocketAddr,
    pub(crate) node: SocketAddr,
    /// The server that replaces `node` when WebSockets are measured.
    pub(crate) echo: SocketAddr,
    /// The server that replaces `node` when bodies are counted or are not read.
    pub(crate) sink: SocketAddr,
    pub(crate) configuration: String,
    process: Process,
    _folder: TempDir,
}

impl Origin {
    /// Starts all servers, and waits until they respond.
    ///
    /// # Errors
    /// nginx does not start: the error contains its output.
    pub(crate) async fn start(tools: &Tools) -> anyhow::Result<Self> {
        let folder = peers::folder()?;
        for (name, size) in FILES {
            fs::write(folder.path().join(name), vec![b'x'; *size])?;
        }
        let (www, node) = (free_address()?, free_address()?);
        let configuration = configuration(folder.path(), www, node);
        let file = folder.path().join("nginx.conf");
        fs::write(&file, &configuration)?;
        let mut command = Command::new(&tools.nginx);
        command.arg("-c").arg(&file);
        let log = folder.path().join("log");
        let mut process = Process::start("nginx, the origin", &command, &log, Guard::On)?;
        for address in [www, node] {
            peers::answers(&mut process, address).await?;
        }
        Ok(Self {
            www,
            node,
            echo: serve("echo", |listener| websocket::serve(listener, NODE_BODY))?,
            sink: serve("sink", |listener| sink::serve(listener, NODE_BODY))?,
            configuration: peers::anonymous(&configuration, folder.path()),
            process,
            _folder: folder,
        })
    }

    /// Checks that nginx is still running.
    ///
    /// # Errors
    /// nginx has ended, so every figure since then is worthless.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        self.process.check()
    }
}

/// Starts a server on a dedicated thread, which ends with the program.
fn serve<F: Future<Output = io::Result<()>>>(
    name: &str,
    serve: impl FnOnce(tokio::net::TcpListener) -> F + Send + 'static,
) -> anyhow::Result<SocketAddr> {
    let listener = socket2::Socket::new(
        socket2::Domain::IPV4,
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    // Thousands of tunnels are opened at a time.
    listener.listen(4096)?;
    listener.set_nonblocking(true)?;
    let listener = std::net::TcpListener::from(listener);
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                serve(listener).await
            })
        })
        .with_context(|| format!("cannot start the {name} server"))?;
    Ok(address)
}

fn configuration(folder: &Path, www: SocketAddr, node: SocketAddr) -> String {
    let mut text = nginx::preamble(folder, nginx::Modules::Lua, tools::cores(), 8192);
    let _ = write!(
        text,
        "http {{\n{}    sendfile on;\n    tcp_nopush on;\n    root {};\n    \
         default_type text/plain;\n    client_max_body_size 0;\n    \
         client_body_buffer_size 11m;\n",
        nginx::common(folder, "off"),
        folder.display()
    );
    for (address, body) in [(www, WWW_BODY), (node, NODE_BODY)] {
        let body = body.trim_end();
        let _ = write!(
            text,
            "    server {{\n        listen {address};\n        \
             location = / {{ return 200 \"{body}\\n\"; }}\n        \
             # `return` alone would answer before the body is there.\n        \
             location = /up {{ content_by_lua_block {{ ngx.req.read_body() ngx.say(\"{body}\") }} }}\n    }}\n"
        );
    }
    text.push_str("}\n");
    text
}
