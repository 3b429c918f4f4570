//! TLS with clients: curl, OpenSSL and Python as clients of the real program.

mod certificates;
mod clients;
mod hostile;
mod mistakes;
mod sessions;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use pointsman_tests::{Authority, Origin, Process, Proxy, python};
use serde_json::Value;
use tempfile::TempDir;

/// The server name in most clients' requests.
const NAME: &str = "www.test.tld";

/// A proxy with a certificate for [`NAME`], and the authority that the proxy's clients trust.
struct Site {
    www: Origin,
    authority: Authority,
    proxy: Proxy,
}

/// Usual keys of `[tls.site]`.
const TLS: &str = "certificate = \"site.pem\"\nkey = \"site.key\"";

impl Site {
    async fn start(tls: &str) -> anyhow::Result<Site> {
        Site::with("", tls, |_, _| Ok(())).await
    }

    /// Starts a site with these lines in the frontend and in `[tls.site]`. `prepare` can add files
    /// to the folder.
    async fn with(
        frontend: &str,
        tls: &str,
        prepare: impl FnOnce(&Path, &Authority) -> anyhow::Result<()>,
    ) -> anyhow::Result<Site> {
        let www = Origin::with_name("www").await?;
        let (directory, authority) = folder()?;
        prepare(directory.path(), &authority)?;
        let config = config(www.address(), frontend, tls);
        let proxy = Proxy::pointsman_in(directory, &config).await?;
        Ok(Site {
            www,
            authority,
            proxy,
        })
    }

    fn folder(&self) -> &Path {
        self.proxy.directory()
    }

    /// Runs the Python client, and returns what it prints.
    async fn client(&self, command: &str, arguments: &[&str]) -> anyhow::Result<Value> {
        let mut client = self.client_command(command, arguments)?;
        let output = tokio::task::spawn_blocking(move || client.output()).await??;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Starts a Python client that receives further input while it runs.
    fn start_client(
        &self,
        command: &str,
        arguments: &[&str],
    ) -> anyhow::Result<std::process::Child> {
        let mut client = self.client_command(command, arguments)?;
        Ok(client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?)
    }

    fn client_command(&self, command: &str, arguments: &[&str]) -> anyhow::Result<Command> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("e2e/tls/client.py");
        let mut client = Command::new(python()?);
        client
            .current_dir(self.folder())
            .arg(script)
            .args([command, "--ca", "ca.pem", "--port"])
            .arg(self.proxy.address().port().to_string())
            .args(arguments);
        Ok(client)
    }

    /// Runs an OpenSSL client with `input`, and returns what it prints, including standard error.
    async fn openssl(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let mut command = Command::new("openssl");
        command
            .current_dir(self.folder())
            .args(["s_client", "-connect"])
            .arg(self.proxy.address().to_string())
            .args(["-CAfile", "ca.pem"])
            .args(arguments);
        run(command, input).await
    }

    /// Returns what curl prints for a request to [`NAME`].
    async fn curl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let port = self.proxy.address().port();
        let mut command = Command::new("curl");
        command
            .current_dir(self.folder())
            .args([
                "--silent",
                "--show-error",
                "--cacert",
                "ca.pem",
                "--resolve",
            ])
            .arg(format!("{NAME}:{port}:127.0.0.1"))
            .args(arguments)
            .arg(format!("https://{NAME}:{port}/"));
        run(command, "").await
    }

    /// Returns the number of handshakes with this outcome.
    async fn handshakes(&self, outcome: &str) -> anyhow::Result<u64> {
        let metrics = self.metrics().await?;
        let name =
            format!("pointsman_handshakes_total{{frontend=\"http-in\",outcome=\"{outcome}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&name));
        Ok(count.context(metrics.clone())?.parse()?)
    }

    async fn metrics(&self) -> anyhow::Result<String> {
        let mut command = Command::new("curl");
        command
            .current_dir(self.folder())
            .args(["--silent", "--unix-socket", "admin.sock"])
            .arg("http://localhost/metrics");
        run(command, "").await
    }

    /// Reloads with other lines in the frontend and in `[tls.site]`.
    async fn reload(&self, frontend: &str, tls: &str) -> anyhow::Result<()> {
        let config = config(self.www.address(), frontend, tls);
        self.proxy.configure(&config)?;
        self.proxy.ctl(&["reload"]).await?;
        Ok(())
    }
}

/// Creates a folder with `ca.pem` and a certificate for [`NAME`].
fn folder() -> anyhow::Result<(TempDir, Authority)> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::new("Test authority")?;
    fs::write(directory.path().join("ca.pem"), authority.pem())?;
    authority.issue(directory.path(), "site", &[NAME])?;
    Ok((directory, authority))
}

fn config(www: SocketAddr, frontend: &str, tls: &str) -> String {
    format!(
        "workers = 2\nlog.level = \"debug\"\nadmin.socket = \"admin.sock\"\n\
         [frontend.http-in]\nbind = {{ address = \"127.0.0.1:0\", tls = \"site\" }}\n\
         default_backend = \"www\"\n{frontend}\n\
         [tls.site]\n{tls}\n\
         [backend.www]\nserver.www = \"{www}\"\n"
    )
}

async fn run(mut command: Command, input: &str) -> anyhow::Result<String> {
    let input = input.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take();
        if let Some(stdin) = &mut stdin {
            // A client that has already ended does not read its input.
            let _ = std::io::Write::write_all(stdin, input.as_bytes());
        }
        drop(stdin);
        child.wait_with_output()
    });
    let output = output.await??;
    let text = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Closes a client's input, waits until the client ends, and returns the last line that it printed.
async fn end_of(mut client: std::process::Child) -> anyhow::Result<Value> {
    drop(client.stdin.take());
    let output = tokio::task::spawn_blocking(move || client.wait_with_output()).await??;
    let text = String::from_utf8(output.stdout)?;
    Ok(serde_json::from_str(
        text.lines().last().context("nothing")?,
    )?)
}

/// Counts the lines of a process's output that contain this text.
fn lines(process: &Process, text: &str) -> usize {
    let log = process.log();
    log.iter().filter(|line| line.contains(text)).count()
}
