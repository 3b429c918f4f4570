//! The admin interface: HTTP and JSON on a Unix socket, and read-only on a loopback address. See
//! docs/run/operating.md.
//!
//! Runs outside the worker threads. `control` applies the changes. Requests that involve the
//! process itself are sent to it as a [`ProcessRequest`].

pub mod api;
mod metrics;
mod view;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::config::{MAX_WEIGHT, PluginSource, ServerState, StageId};
use crate::control::{Aborted, ChangeError, Control, PrepareError};
use crate::rollout::RolloutError;
use crate::router::rollout::{Mode, Share};
use crate::router::version::Version;
use crate::tables::{self, SaveError};
use crate::telemetry::chain;
use crate::upstream::ServerOverride;
use crate::upstream::server::state_word;

/// Longest request body, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// Longest wait for a request's head, and for its body.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Maximum lifetime of a TCP connection, including the time that a response stays unread.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(30);
/// Maximum number of open connections per listener.
const MAX_CONNECTIONS: usize = 32;
/// Maximum number of changes that can run the compiler, both in progress and waiting. A change
/// counts until it is done, even if its client has disconnected. The limit keeps the other
/// connections free for requests that need no compiler: rollbacks, queries, a drain.
const MAX_SLOW_CHANGES: usize = MAX_CONNECTIONS / 2;
/// Pause after a failed `accept`.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Paths that accept GET.
const GET_PATHS: [&str; 6] = [
    "/v1/status",
    "/v1/plugins",
    "/v1/trials",
    "/v1/config",
    "/v1/servers",
    "/metrics",
];
/// Paths that accept POST.
const POST_PATHS: [&str; 13] = [
    "/v1/swap",
    "/v1/promote",
    "/v1/abort",
    "/v1/rollback",
    "/v1/reload",
    "/v1/upgrade",
    "/v1/server",
    TABLE_GET,
    "/v1/table/set",
    "/v1/table/delete",
    "/v1/table/save",
    "/v1/drain",
    "/v1/log-level",
];

/// Path of a query that uses POST although it changes nothing: the value can be secret, and the key
/// can be too long for a URL.
const TABLE_GET: &str = "/v1/table/get";

/// Paths of the changes that can run the compiler.
const SLOW_CHANGES: [&str; 3] = ["/v1/swap", "/v1/reload", "/v1/upgrade"];

/// Capacity of the queue of [`ProcessRequest`]s. While it is full, further admin requests wait.
pub const MAX_PROCESS_REQUESTS: usize = 8;

/// A listening socket of the interface.
#[derive(Debug)]
pub enum Listener {
    /// Accepts queries and changes.
    Unix(UnixListener),
    /// Accepts queries only.
    Tcp(TcpListener),
}

/// A change that involves the process itself: its sockets, its service manager.
#[derive(Debug)]
pub enum ProcessRequest {
    /// Reload the configuration. Replies with the changed keys that need a restart.
    Reload(oneshot::Sender<Result<Vec<&'static str>, ChangeError>>),
    /// Start a successor. Replies with its process ID.
    Upgrade(oneshot::Sender<Result<u32, ChangeError>>),
}

/// Handles to everything that the interface acts on. Clones share the same handles.
#[derive(Debug, Clone)]
pub struct Admin {
    control: Control,
    process: mpsc::Sender<ProcessRequest>,
    slow_changes: Arc<Semaphore>,
}

impl Admin {
    /// Creates the handles. `process` receives the requests that involve the process itself.
    pub fn new(control: Control, process: mpsc::Sender<ProcessRequest>) -> Admin {
        Admin {
            control,
            process,
            slow_changes: Arc::new(Semaphore::new(MAX_SLOW_CHANGES)),
        }
    }

    /// Acquires a permit for this change, if it is one of [`SLOW_CHANGES`].
    fn permit(&self, path: &str) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        if !SLOW_CHANGES.contains(&path) {
            return Ok(None);
        }
        let permit = Arc::clone(&self.slow_changes).try_acquire_owned();
        permit.map(Some).map_err(|_| {
            let text = format!(
                "{MAX_SLOW_CHANGES} swaps, reloads and upgrades are already in preparation: try \
                 again when one of them is done"
            );
            Refusal(StatusCode::CONFLICT, text)
        })
    }

    /// Sends a request to the process and waits for its reply.
    async fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, ChangeError>>) -> ProcessRequest,
    ) -> Result<T, ChangeError> {
        let (reply, replied) = oneshot::channel();
        let sent = self.process.send(request(reply)).await;
        sent.map_err(|_| ChangeError::Stopping)?;
        replied.await.map_err(|_| ChangeError::Stopping)?
    }
}

/// The rights of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Query everything that is not secret.
    Query,
    /// Query and change everything.
    Control,
}

/// Serves one listener until the process ends or another process has replaced this one.
pub async fn serve(listener: Listener, admin: Admin) {
    tokio::select! {
        () = admin.control.handed_over() => {}
        () = accept(listener, &admin) => {}
    }
}

async fn accept(listener: Listener, admin: &Admin) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            // The semaphore is never closed.
            return;
        };
        let admin = admin.clone();
        let accepted = match &listener {
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(async move {
                    let _permit = permit;
                    connection(stream, admin, Access::Control).await;
                });
            }),
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(async move {
                    let _permit = permit;
                    connection(stream, admin, Access::Query).await;
                });
            }),
        };
        if let Err(error) = accepted {
            tracing::debug!(%error, "admin interface: accept failed");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// Serves the requests of one connection.
pub async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, admin: Admin, access: Access) {
    let service = service_fn(|request| {
        let admin = admin.clone();
        async move { Ok::<_, Infallible>(answer(&admin, access, request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(MAX_WAIT);
    let served = http.serve_connection(TokioIo::new(stream), service);
    // Errors are ignored: a client that has disconnected needs no response. A client that can only
    // query is cut off after `MAX_CONNECTION_AGE`, so that it cannot occupy a connection forever.
    match access {
        Access::Control => drop(served.await),
        Access::Query => drop(tokio::time::timeout(MAX_CONNECTION_AGE, served).await),
    }
}

type Answer = Response<Full<Bytes>>;

/// The refusal of a request: the response's status and its error text.
struct Refusal(StatusCode, String);

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Refusal {
        let status = match error {
            ChangeError::NoRouter(_)
            | ChangeError::NoStage(..)
            | ChangeError::NoServer(..)
            | ChangeError::NoVersion(..)
            | ChangeError::NothingBefore(_)
            | ChangeError::Rollout(RolloutError::None(_))
            | ChangeError::Table(
                tables::ChangeError::NoTable(_) | tables::ChangeError::NoKey { .. },
            )
            | ChangeError::Save(SaveError::NoTable(_)) => StatusCode::NOT_FOUND,
            ChangeError::Stopping
            | ChangeError::Overtaken { .. }
            | ChangeError::OvertakenByReload
            | ChangeError::Aborted(_)
            | ChangeError::Busy
            | ChangeError::Prepare(PrepareError::OnTrial { .. })
            | ChangeError::Save(SaveError::Changed(_)) => StatusCode::CONFLICT,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Refusal(status, chain(&error))
    }
}

async fn answer(admin: &Admin, access: Access, request: Request<Incoming>) -> Answer {
    let result = match check(request.headers(), access) {
        Ok(()) => dispatch(admin, access, request).await,
        Err(refusal) => Err(refusal),
    };
    result.unwrap_or_else(|Refusal(status, error)| {
        let mut answer = json(&api::Failure { error });
        *answer.status_mut() = status;
        if status == StatusCode::METHOD_NOT_ALLOWED {
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, POST"));
        }
        answer
    })
}

/// Rejects requests from web pages in a browser, whichever name they use for this machine.
fn check(headers: &HeaderMap, access: Access) -> Result<(), Refusal> {
    let refuse = |why: &str| Err(Refusal(StatusCode::FORBIDDEN, why.to_owned()));
    if headers.contains_key(ORIGIN) {
        return refuse("the request has an Origin field: web pages have no access");
    }
    if access == Access::Control {
        return Ok(());
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
    let is_loopback = host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || name
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    });
    if is_loopback {
        Ok(())
    } else {
        refuse("Host must be a loopback address or `localhost`")
    }
}

async fn dispatch(
    admin: &Admin,
    access: Access,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let is_change = POST_PATHS.contains(&path);
    let wanted = if is_change { Method::POST } else { Method::GET };
    if is_change && access == Access::Query {
        let text = "changes are possible only over the Unix socket: set `admin.socket`";
        return Err(Refusal(StatusCode::FORBIDDEN, text.to_owned()));
    }
    if parts.method != wanted && (is_change || GET_PATHS.contains(&path)) {
        let text = format!("{path} needs the method {wanted}");
        return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, text));
    }
    if !is_change {
        return query(&admin.control, path, &parts.headers, access);
    }
    let body = read(body).await?;
    if path == TABLE_GET {
        let api::Key { table, key } = parse(&body)?;
        let value = admin.control.get_entry(&table, &key)?;
        return Ok(json(&api::Value { value }));
    }
    let permit = admin.permit(path)?;
    let (admin, path) = (admin.clone(), path.to_owned());
    // A change that has started runs to completion, even if the client disconnects.
    let applied = tokio::spawn(async move {
        let _permit = permit;
        apply(&admin, &path, &body).await
    });
    let applied = applied.await;
    let message = applied.unwrap_or_else(|error| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Err(Refusal(status, error.to_string()))
    })?;
    Ok(json(&api::Done { message }))
}

fn query(
    control: &Control,
    path: &str,
    headers: &HeaderMap,
    access: Access,
) -> Result<Answer, Refusal> {
    match path {
        // These responses contain other clients' requests, or secrets of the configuration.
        "/v1/trials" | "/v1/config" if access == Access::Query => {
            let text = format!("{path} is available only over the Unix socket: set `admin.socket`");
            Err(Refusal(StatusCode::FORBIDDEN, text))
        }
        "/v1/status" => Ok(json(&view::status(control, access))),
        "/v1/plugins" => Ok(json(&view::plugins(control, access))),
        "/v1/trials" => Ok(json(&view::trials(control))),
        "/v1/config" => Ok(json(&view::config(control))),
        "/v1/servers" => Ok(json(&view::servers(control))),
        "/metrics" => {
            let accept = headers.get_all(ACCEPT).iter();
            let accept = accept.filter_map(|accept| accept.to_str().ok());
            let format = metrics::Format::of(accept);
            let text = metrics::render(control, format)
                .map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
            let mut answer = Response::new(Full::from(text));
            let content = HeaderValue::from_static(format.content_type());
            answer.headers_mut().insert(CONTENT_TYPE, content);
            Ok(answer)
        }
        _ => {
            let paths = [&GET_PATHS[..], &POST_PATHS[..]].concat().join(", ");
            Err(Refusal(
                StatusCode::NOT_FOUND,
                format!("unknown path; known paths are {paths}"),
            ))
        }
    }
}

/// Applies a change and returns a message about the result.
async fn apply(admin: &Admin, path: &str, body: &[u8]) -> Result<String, Refusal> {
    let control = &admin.control;
    match path {
        "/v1/swap" => swap(control, parse(body)?).await,
        "/v1/promote" => {
            let api::EndTrial { frontend, stage } = parse(body)?;
            let stage = control.find_stage(&frontend, stage.as_deref())?;
            let version = control.promote(&stage)?;
            Ok(in_service(&stage, &version))
        }
        "/v1/abort" => {
            let api::EndTrial { frontend, stage } = parse(body)?;
            let stage = control.find_stage(&frontend, stage.as_deref())?;
            let ended = match control.abort(&stage)? {
                Aborted::Trial(version) => {
                    format!("version {} is no longer on trial", version.number())
                }
                Aborted::Pending => "the version being loaded will not go on trial".to_owned(),
            };
            Ok(format!("{stage}: {ended}"))
        }
        "/v1/rollback" => {
            let api::Rollback {
                frontend,
                stage,
                version,
            } = parse(body)?;
            let stage = control.find_stage(&frontend, stage.as_deref())?;
            let version = control.rollback(&stage, version).await?;
            Ok(in_service(&stage, &version))
        }
        "/v1/server" => server(control, parse(body)?),
        "/v1/table/set" => {
            let api::Entry { table, key, value } = parse(body)?;
            control.change_entry(&table, &key, Some(&value)).await?;
            Ok(format!(
                "table {table} changed; the change lasts until its file changes"
            ))
        }
        "/v1/table/delete" => {
            let api::Key { table, key } = parse(body)?;
            control.change_entry(&table, &key, None).await?;
            Ok(format!(
                "table {table} changed; the change lasts until its file changes"
            ))
        }
        "/v1/table/save" => {
            let api::SaveTable { table } = parse(body)?;
            let file = control.save_table(&table).await?;
            Ok(format!("table {table} is saved to {}", file.display()))
        }
        "/v1/log-level" => {
            let api::LogLevel { level } = parse(body)?;
            let known: tracing::Level = level.parse().map_err(|_| {
                let text =
                    format!("`{level}` is not a level: use error, warn, info, debug or trace");
                Refusal(StatusCode::BAD_REQUEST, text)
            })?;
            control.telemetry().set_level(known);
            Ok(format!("the log level is {level} until the next reload"))
        }
        "/v1/reload" => {
            let kept = admin.request(ProcessRequest::Reload).await?;
            Ok(in_force(&kept))
        }
        "/v1/upgrade" => {
            let successor = admin.request(ProcessRequest::Upgrade).await?;
            Ok(format!(
                "process {successor} has taken over; this one drains and accepts no new connections"
            ))
        }
        // `/v1/drain`, the only path of `POST_PATHS` that is left.
        _ => {
            control.drain();
            Ok("draining: the process accepts no new connections".to_owned())
        }
    }
}

fn server(control: &Control, new: api::ServerOverride) -> Result<String, Refusal> {
    let refuse = |text: &str| Err(Refusal(StatusCode::BAD_REQUEST, text.to_owned()));
    let api::ServerOverride {
        backend,
        server,
        state,
        weight,
    } = new;
    let state = match state.as_deref() {
        None => None,
        Some("ready") => Some(ServerState::Ready),
        Some("drain") => Some(ServerState::Drain),
        Some("maintenance") => Some(ServerState::Maintenance),
        Some(_) => return refuse("`state` must be ready, drain or maintenance"),
    };
    if weight.is_some_and(|weight| weight > MAX_WEIGHT) {
        return refuse("`weight` is more than 256");
    }
    if state.is_none() && weight.is_none() {
        return refuse("neither `state` nor `weight` is given");
    }
    control.override_server(&backend, &server, ServerOverride { state, weight })?;
    let mut words = Vec::new();
    words.extend(state.map(|state| format!("is {}", state_word(state))));
    words.extend(weight.map(|weight| format!("has weight {weight}")));
    Ok(format!("server {backend}/{server} {}", words.join(" and ")))
}

async fn swap(control: &Control, swap: api::Swap) -> Result<String, Refusal> {
    let refuse = |text: String| Err(Refusal(StatusCode::BAD_REQUEST, text));
    let api::Swap {
        frontend,
        stage,
        file,
        shadow,
        canary,
    } = swap;
    if let Some(file) = file.as_ref().filter(|file| !file.is_absolute()) {
        return refuse(format!("{} is not an absolute path", file.display()));
    }
    let stage = control.find_stage(&frontend, stage.as_deref())?;
    let plugin = file.map(PluginSource::File);
    let (mode, percent) = match (shadow, canary) {
        (None, None) => {
            let version = control.swap(&stage, plugin).await?;
            return Ok(in_service(&stage, &version));
        }
        (Some(percent), None) => (Mode::Mirror, percent),
        (None, Some(percent)) => (Mode::Canary, percent),
        (Some(_), Some(_)) => {
            return refuse("a version is a shadow or a canary, not both".to_owned());
        }
    };
    let Some(share) = Share::of_percent(percent) else {
        return refuse(format!("{percent} % is not between 0.01 and 100"));
    };
    let version = control.start_rollout(&stage, plugin, mode, share).await?;
    Ok(format!(
        "{stage}: version {} of {} is on trial; `trials` shows the results",
        version.number(),
        version.plugin_name()
    ))
}

/// Reads the body of a request.
async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    let limited = Limited::new(body, MAX_BODY).collect();
    let collected = tokio::time::timeout(MAX_WAIT, limited).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let text = format!("the body is longer than {MAX_BODY} bytes");
            Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Ok(Err(_)) | Err(_) => {
            let text = "the body did not arrive".to_owned();
            Err(Refusal(StatusCode::REQUEST_TIMEOUT, text))
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let text = format!("the body is invalid: {error}");
        Refusal(StatusCode::BAD_REQUEST, text)
    })
}

fn json(value: &impl Serialize) -> Answer {
    // Serialization cannot fail: the values contain nothing that JSON cannot represent.
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut answer = Response::new(Full::from(text));
    let content = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, content);
    answer
}

fn in_force(kept: &[&str]) -> String {
    let text = "the configuration is in force".to_owned();
    if kept.is_empty() {
        return text;
    }
    text + "; these keys keep their values until a restart: " + &kept.join(", ")
}

fn in_service(stage: &StageId, version: &Version) -> String {
    format!(
        "{stage}: version {} of {} is now active (sha256 {})",
        version.number(),
        version.plugin_name(),
        version.sha256()
    )
}
