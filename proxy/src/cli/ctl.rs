//! `pointsman ctl`: queries and controls a running process over its admin socket.

mod render;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;

use self::render::{plugins, servers, status, trials};
use super::{Exit, printable};
use crate::admin::api;
use crate::config;

/// Flags of `pointsman ctl`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    #[command(flatten)]
    process: Process,
    /// Print the response as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// The process to query or control.
#[derive(Debug, Args)]
pub(super) struct Process {
    /// Admin socket; defaults to the one that the configuration names
    #[arg(short, long, value_name = "PATH", global = true)]
    socket: Option<PathBuf>,
    /// Configuration file that the process runs with
    #[arg(
        short,
        long = "config",
        value_name = "FILE",
        default_value = "pointsman.toml",
        global = true
    )]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the state of the process: connections, responses, backends
    Status,
    /// Show every version of every plugin: state, decisions, faults, times, origin
    Plugins,
    /// Show the configuration in force
    Config,
    /// Put a component into service; without FILE, the configured one
    Swap {
        /// FRONTEND, or FRONTEND/STAGE if the frontend has several plugins
        #[arg(value_parser = stage_of)]
        stage: Stage,
        /// File of the component
        file: Option<PathBuf>,
        /// Put it on trial: mirror PERCENT of requests to it and compare its decisions, which have
        /// no effect
        #[arg(long, value_name = "PERCENT", value_parser = percent_of, conflicts_with = "canary")]
        shadow: Option<f64>,
        /// Put it on trial: let it decide for PERCENT of clients
        #[arg(long, value_name = "PERCENT", value_parser = percent_of)]
        canary: Option<f64>,
    },
    /// Show the results of running trials, and of each stage's last trial
    Trials,
    /// Put the version on trial into service
    Promote {
        /// FRONTEND, or FRONTEND/STAGE if the frontend has several plugins
        #[arg(value_parser = stage_of)]
        stage: Stage,
    },
    /// End a trial; the active version stays in service
    Abort {
        /// FRONTEND, or FRONTEND/STAGE if the frontend has several plugins
        #[arg(value_parser = stage_of)]
        stage: Stage,
    },
    /// Go back to an earlier version; without VERSION, to the last good one
    Rollback {
        /// FRONTEND, or FRONTEND/STAGE if the frontend has several plugins
        #[arg(value_parser = stage_of)]
        stage: Stage,
        /// Number of the version
        version: Option<u32>,
    },
    /// Reload the configuration
    Reload,
    /// Start the program again, hand the sockets over to it, and drain this process
    Upgrade,
    /// Show the servers of every backend and their state
    Servers,
    /// Set the state or weight of a server, until its configuration changes
    Server {
        /// BACKEND/SERVER
        #[arg(value_parser = server_of)]
        server: (String, String),
        #[command(subcommand)]
        order: ServerCommand,
    },
    /// Read or change an entry of a table, or save the table to its file
    Table {
        /// Name of the table
        table: String,
        #[command(subcommand)]
        order: TableCommand,
    },
    /// Stop accepting connections, and exit when the last connection has ended
    Drain,
    /// Set the log level, until the next reload
    LogLevel {
        /// error, warn, info, debug or trace
        level: String,
    },
}

/// A stage, as named on the command line.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    frontend: String,
    /// `None` stands for the only stage.
    name: Option<String>,
}

/// A change to a server.
#[derive(Debug, Subcommand)]
enum ServerCommand {
    /// Send it requests, and reset its health
    Ready,
    /// Send it only the requests that belong to its sessions
    Drain,
    /// Send it no requests, and stop checking it
    Maintenance,
    /// Set its share of the requests
    Weight {
        /// 0 to 256
        #[arg(value_parser = clap::value_parser!(u16).range(0..=256))]
        weight: u16,
    },
}

/// An operation on a table.
#[derive(Debug, Subcommand)]
enum TableCommand {
    /// Print the value of a key
    Get {
        /// Key of the entry
        #[arg(allow_hyphen_values = true)]
        key: String,
    },
    /// Add a key or change its value, until the table's file changes
    Set {
        /// Key of the entry
        #[arg(allow_hyphen_values = true)]
        key: String,
        /// New value of the entry
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Remove a key, until the table's file changes
    Delete {
        /// Key of the entry
        #[arg(allow_hyphen_values = true)]
        key: String,
    },
    /// Write the table to its file
    Save,
}

/// An error of `pointsman ctl`.
#[derive(Debug, Error)]
enum CtlError {
    #[error(
        "{0} names no `admin.socket`: add `[admin]` with `socket = \"admin.sock\"` to it and \
         restart, or say which one with --socket"
    )]
    NoSocket(String),
    #[error("cannot connect to {0}: is the process running, and as which user?")]
    Connect(String, #[source] std::io::Error),
    #[error("no response from {0}")]
    Http(String, #[source] hyper::Error),
    #[error("cannot read the response: is the process of another version?")]
    Answer(#[source] serde_json::Error),
    #[error("{0}")]
    Refused(String),
    #[error("cannot start the asynchronous runtime")]
    Start(#[source] std::io::Error),
    #[error("cannot find {0}")]
    File(String, #[source] std::io::Error),
}

pub(super) fn run(flags: &Flags) -> Exit {
    let done = flags.process.socket().and_then(|socket| {
        let done = execute(&flags.command, &socket, flags.json);
        done.map_err(|error| super::fail(&error))
    });
    match done {
        Ok(text) => {
            super::print(&text);
            Exit::Success
        }
        Err(exit) => exit,
    }
}

/// Puts a component into service and prints the result.
pub(super) fn swap(process: &Process, stage: &Stage, file: &Path) -> Result<(), Exit> {
    let socket = process.socket()?;
    let swap = api::Swap {
        frontend: stage.frontend.clone(),
        stage: stage.name.clone(),
        file: Some(file.to_owned()),
        shadow: None,
        canary: None,
    };
    let text = send(&socket, "/v1/swap", false, &swap).map_err(|error| super::fail(&error))?;
    super::print(&text);
    Ok(())
}

impl Stage {
    fn end_trial(&self) -> api::EndTrial {
        api::EndTrial {
            frontend: self.frontend.clone(),
            stage: self.name.clone(),
        }
    }
}

impl Process {
    fn socket(&self) -> Result<PathBuf, Exit> {
        if let Some(path) = &self.socket {
            return Ok(path.clone());
        }
        let named = config::admin_socket(&self.config).map_err(|errors| {
            super::print_errors(&errors);
            Exit::Config
        })?;
        named.ok_or_else(|| {
            let path = self.config.display().to_string();
            super::fail(&CtlError::NoSocket(path))
        })
    }
}

fn execute(command: &Command, socket: &Path, json: bool) -> Result<String, CtlError> {
    match command {
        Command::Status => ask(socket, "/v1/status", json, status),
        Command::Plugins => ask(socket, "/v1/plugins", json, plugins),
        Command::Config => {
            let answer = exchange(socket, Method::GET, "/v1/config", Bytes::new())?;
            show_text(&answer, json, |config: &api::Config| config.text.clone())
        }
        Command::Trials => ask(socket, "/v1/trials", json, trials),
        Command::Promote { stage } => send(socket, "/v1/promote", json, &stage.end_trial()),
        Command::Abort { stage } => send(socket, "/v1/abort", json, &stage.end_trial()),
        Command::Swap {
            stage,
            file,
            shadow,
            canary,
        } => {
            // The running process can have another working directory.
            let absolute = |file: &PathBuf| {
                file.canonicalize()
                    .map_err(|error| CtlError::File(file.display().to_string(), error))
            };
            let swap = api::Swap {
                frontend: stage.frontend.clone(),
                stage: stage.name.clone(),
                file: file.as_ref().map(absolute).transpose()?,
                shadow: *shadow,
                canary: *canary,
            };
            send(socket, "/v1/swap", json, &swap)
        }
        Command::Rollback { stage, version } => {
            let rollback = api::Rollback {
                frontend: stage.frontend.clone(),
                stage: stage.name.clone(),
                version: *version,
            };
            send(socket, "/v1/rollback", json, &rollback)
        }
        Command::Reload => send(socket, "/v1/reload", json, &()),
        Command::Upgrade => send(socket, "/v1/upgrade", json, &()),
        Command::Servers => ask(socket, "/v1/servers", json, servers),
        Command::Server { server, order } => {
            let (backend, server) = server.clone();
            let state = match order {
                ServerCommand::Ready => Some("ready"),
                ServerCommand::Drain => Some("drain"),
                ServerCommand::Maintenance => Some("maintenance"),
                ServerCommand::Weight { .. } => None,
            };
            let weight = match order {
                ServerCommand::Weight { weight } => Some(*weight),
                _ => None,
            };
            let order = api::ServerOverride {
                backend,
                server,
                state: state.map(str::to_owned),
                weight,
            };
            send(socket, "/v1/server", json, &order)
        }
        Command::Table { table, order } => execute_table(table, order, socket, json),
        Command::Drain => send(socket, "/v1/drain", json, &()),
        Command::LogLevel { level } => {
            let level = api::LogLevel {
                level: level.clone(),
            };
            send(socket, "/v1/log-level", json, &level)
        }
    }
}

fn execute_table(
    table: &str,
    order: &TableCommand,
    socket: &Path,
    json: bool,
) -> Result<String, CtlError> {
    let table = table.to_owned();
    match order {
        TableCommand::Get { key } => {
            let key = key.clone();
            let answer = post(socket, "/v1/table/get", &api::Key { table, key })?;
            show_text(&answer, json, |answer: &api::Value| {
                format!("{}\n", answer.value)
            })
        }
        TableCommand::Set { key, value } => {
            let (key, value) = (key.clone(), value.clone());
            let entry = api::Entry { table, key, value };
            send(socket, "/v1/table/set", json, &entry)
        }
        TableCommand::Delete { key } => {
            let key = key.clone();
            send(socket, "/v1/table/delete", json, &api::Key { table, key })
        }
        TableCommand::Save => send(socket, "/v1/table/save", json, &api::SaveTable { table }),
    }
}

fn ask<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    json: bool,
    render: impl FnOnce(&T) -> String,
) -> Result<String, CtlError> {
    let answer = exchange(socket, Method::GET, path, Bytes::new())?;
    show(&answer, json, render)
}

fn send(socket: &Path, path: &str, json: bool, body: &impl Serialize) -> Result<String, CtlError> {
    let answer = post(socket, path, body)?;
    show_text(&answer, json, |done: &api::Done| {
        format!("{}\n", done.message)
    })
}

fn post(socket: &Path, path: &str, body: &impl Serialize) -> Result<Bytes, CtlError> {
    let body = serde_json::to_vec(body).map_err(CtlError::Answer)?;
    exchange(socket, Method::POST, path, body.into())
}

/// Renders a response in which several values share a line. Some values come from clients, so
/// everything unprintable is escaped, including newlines.
fn show<T: DeserializeOwned>(
    answer: &[u8],
    json: bool,
    render: impl FnOnce(&T) -> String,
) -> Result<String, CtlError> {
    if json {
        return Ok(show_json(answer));
    }
    let mut value = serde_json::from_slice(answer).map_err(CtlError::Answer)?;
    printable::values(&mut value);
    let value = serde_json::from_value(value).map_err(CtlError::Answer)?;
    Ok(render(&value))
}

/// Renders a response that consists of several lines of text.
fn show_text<T: DeserializeOwned>(
    answer: &[u8],
    json: bool,
    text: impl FnOnce(&T) -> String,
) -> Result<String, CtlError> {
    if json {
        return Ok(show_json(answer));
    }
    let value = serde_json::from_slice(answer).map_err(CtlError::Answer)?;
    Ok(printable::lines(&text(&value)))
}

fn show_json(answer: &[u8]) -> String {
    let answer = String::from_utf8_lossy(answer);
    format!("{}\n", printable::json(&answer))
}

/// Sends one request to the admin socket and returns the response's body.
fn exchange(socket: &Path, method: Method, path: &str, body: Bytes) -> Result<Bytes, CtlError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CtlError::Start)?;
    runtime.block_on(async {
        let name = socket.display().to_string();
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| CtlError::Connect(name.clone(), error))?;
        let failed = |error| CtlError::Http(name.clone(), error);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        // This task ends with the response and the runtime.
        tokio::spawn(connection);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_default();
        let fields = request.headers_mut();
        fields.insert(HOST, http::HeaderValue::from_static("localhost"));
        fields.insert(
            CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        );
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(failed)?;
        let body = body.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        let failure: api::Failure = serde_json::from_slice(&body).map_err(CtlError::Answer)?;
        // Configuration errors start with `error: `, and `fail` would print that prefix again.
        let error = failure
            .error
            .strip_prefix("error: ")
            .unwrap_or(&failure.error);
        Err(CtlError::Refused(printable::lines(error)))
    })
}

/// Parses `10` or `10%`.
fn percent_of(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    number
        .parse()
        .map_err(|_| "expected a number, as in 10%".to_owned())
}

/// Parses `FRONTEND` or `FRONTEND/STAGE`.
pub(super) fn stage_of(text: &str) -> Result<Stage, String> {
    let (frontend, name) = match text.split_once('/') {
        Some((frontend, name)) => (frontend, Some(name.to_owned())),
        None => (text, None),
    };
    if frontend.is_empty() || name.as_ref().is_some_and(String::is_empty) {
        return Err(
            "expected a frontend, or a frontend and one of its plugins, as in www/canary"
                .to_owned(),
        );
    }
    Ok(Stage {
        frontend: frontend.to_owned(),
        name,
    })
}

/// Parses `BACKEND/SERVER`.
fn server_of(text: &str) -> Result<(String, String), String> {
    let (backend, server) = text
        .split_once('/')
        .ok_or("expected the names of a backend and a server, as in www/a")?;
    Ok((backend.to_owned(), server.to_owned()))
}
