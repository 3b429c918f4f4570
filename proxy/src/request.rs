//! One request, from its head to the head of its response: admit, route, checkout, forward.
//!
//! Called by `connection` for each request that hyper has parsed. Never fails: what goes
//! wrong becomes a response and a line in the log.

pub mod admit;
pub mod error;
mod response;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{CONNECTION, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::config::{self, OnFault};
use crate::downstream::Downstream;
use crate::downstream::transaction::{Stage, Transaction};
use crate::forward::{self, ExchangeError, ResponseBody};
use crate::http::head::Head;
use crate::http::headers::{self, Noted};
use crate::http::replay;
use crate::http::upgrade::Upgrade;
use crate::plugin::{BackendName, Edit};
use crate::router::{Decided, Route, Router};
use crate::telemetry::{AccessRecord, Answers, End};
use crate::upstream::body::{Expectation, RequestBody};
use crate::upstream::{Lease, LocalCluster, Origin, Reuse};
use admit::{Admitted, Framing};
use error::ProxyError;

/// Where clients connect, in one worker; outlives the rules that a reload replaces.
#[derive(Debug)]
pub struct Frontend {
    /// Its name, shared by its connections.
    pub name: Rc<str>,
    /// Numbers the worker's requests.
    pub ids: Rc<Cell<u64>>,
    rules: RefCell<Rc<Rules>>,
}

/// What the requests of one frontend go by. A request ends by those that it began with.
#[derive(Debug)]
pub struct Rules {
    /// As configured.
    pub config: config::Frontend,
    /// Counts what was answered.
    pub answers: Arc<Answers>,
    /// Which worker this is.
    pub worker: usize,
    /// None: everything goes to the default backend.
    pub router: Option<Rc<RefCell<Router>>>,
    /// Where requests go for which the router names no backend.
    pub default_backend: Option<Rc<LocalCluster>>,
    /// Every backend of the configuration, by name.
    pub backends: Rc<HashMap<BackendName, Rc<LocalCluster>>>,
}

impl Frontend {
    /// With the rules to begin with.
    pub fn new(rules: Rules, ids: Rc<Cell<u64>>) -> Frontend {
        Frontend {
            name: Rc::from(rules.config.name.as_str()),
            ids,
            rules: RefCell::new(Rc::new(rules)),
        }
    }

    /// Those in force.
    pub fn rules(&self) -> Rc<Rules> {
        Rc::clone(&self.rules.borrow())
    }

    /// Puts others into force, for requests that begin from now on.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.borrow_mut() = Rc::new(rules);
    }

    /// A number for a request, which no other has.
    pub fn next_id(&self) -> u64 {
        let id = self.ids.get() + 1;
        self.ids.set(id);
        id
    }
}

/// Answers one request. Its record begins with the call, not with the first poll: hyper
/// drops the future unpolled where the client has left already.
///
/// # Errors
/// None: the type is hyper's.
///
/// # Cancel safety
/// Dropping it closes the connection to the server and logs the request as left by the
/// client.
pub fn handle(
    frontend: &Frontend,
    downstream: Rc<Downstream>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> + use<> {
    let (parts, incoming) = request.into_parts();
    let id = begin(frontend, &downstream, &parts);
    let rules = frontend.rules();
    downstream.upload.begin(&incoming);
    async move {
        let response = match respond(&rules, &downstream, parts, incoming).await {
            Ok(response) => response,
            Err(error) => response::refuse(&downstream, id, &error),
        };
        rules.answers.count(rules.worker, response.status());
        downstream.note(|transaction| transaction.status = Some(response.status()));
        Ok(response)
    }
}

/// Starts the request's record.
fn begin(frontend: &Frontend, downstream: &Downstream, parts: &http::request::Parts) -> u64 {
    // A pipelined request can arrive in the very poll that ended the one before.
    downstream.log(End::Ok);
    downstream.requests.set(downstream.requests.get() + 1);
    let id = frontend.next_id();
    let now = Instant::now();
    let started = downstream.head_since.take().unwrap_or(now);
    let mut transaction = Transaction::new(id, started, now);
    if AccessRecord::enabled() {
        transaction.asked(&parts.method, &parts.uri, &parts.headers);
    }
    *downstream.transaction.borrow_mut() = Some(transaction);
    downstream.interim.reset(parts.version);
    id
}

async fn respond(
    rules: &Rules,
    downstream: &Rc<Downstream>,
    parts: http::request::Parts,
    incoming: Incoming,
) -> Result<Response<ResponseBody>, ProxyError> {
    let mut admitted = admit::admit(parts, &incoming, &downstream.client)?;
    let decided = route(rules, downstream, &mut admitted.head)?;
    let (target, edits) = match &decided {
        Some(decided) => (&decided.route, &decided.edits[..]),
        None => (&Route::Default, &[][..]),
    };
    let backend = match target {
        Route::Respond(answer) => return Ok(response::answer_of_plugin(downstream, answer)),
        Route::Backend(name) => rules.backends.get(name),
        Route::Default => rules.default_backend.as_ref(),
    };
    let backend = backend.ok_or(ProxyError::NoBackend)?;
    downstream.note(|transaction| transaction.backend = Some(Rc::clone(backend)));
    let upgrade = admitted.upgrade.take();
    let (lease, response) = exchange(
        rules,
        downstream,
        backend,
        admitted,
        edits,
        incoming,
        upgrade.as_ref(),
    )
    .await?;
    downstream.note(|transaction| transaction.passed(Stage::Response));
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response::switch(downstream, lease, response, upgrade);
    }
    response::relay(downstream, lease, response).await
}

/// Asks the router; a fault goes by the frontend's policy. None: to the default backend.
fn route(
    rules: &Rules,
    downstream: &Downstream,
    head: &mut Head,
) -> Result<Option<Rc<Decided>>, ProxyError> {
    let Some(router) = &rules.router else {
        return Ok(None);
    };
    let mut router = router.borrow_mut();
    let verdict = router.decide(head);
    downstream.note(|transaction| {
        transaction.decided(router.decider(&verdict), verdict.cached);
    });
    let fault = match verdict.decided {
        Ok(decided) => return Ok(Some(decided)),
        Err(fault) => fault,
    };
    match router.on_fault() {
        OnFault::DefaultBackend => Ok(None),
        OnFault::Reject => Err(ProxyError::Plugin(fault)),
    }
}

/// Sends the request to a server of `backend` and waits for its answer.
async fn exchange(
    rules: &Rules,
    downstream: &Downstream,
    backend: &Rc<LocalCluster>,
    admitted: Admitted,
    edits: &[Edit],
    incoming: Incoming,
    upgrade: Option<&Upgrade>,
) -> Result<(Lease, Response<Incoming>), ProxyError> {
    let framing = admitted.framing;
    let mut request = outgoing(rules, downstream, admitted, edits, incoming, upgrade);
    // RFC 9110, section 9.2.2.
    let is_replayable = framing == Framing::Empty && request.method().is_idempotent();
    let is_first = downstream.requests.get() == 1;
    let mut reuse = if is_replayable || !is_first {
        Reuse::Safe
    } else {
        Reuse::Risky
    };
    loop {
        let mut lease = backend
            .checkout(reuse)
            .await
            .map_err(ProxyError::Checkout)?;
        downstream.note(|transaction| {
            transaction.endpoint = Some(Rc::clone(lease.endpoint()));
            transaction.passed(Stage::Connect);
        });
        // Only what cannot have been acted on is sent twice.
        let is_repeatable = lease.origin == Origin::Pooled && is_replayable;
        if is_repeatable {
            lease.link.meter().record();
        }
        let limit = lease.timeouts().server;
        let error = match forward::exchange(&mut lease, request, downstream, limit).await {
            Ok(response) => {
                lease.link.meter().stop_recording();
                return Ok((lease, response));
            }
            Err(error) => error,
        };
        request = match error {
            ExchangeError::Unsent(request, _) if lease.origin == Origin::Pooled => *request,
            ExchangeError::Closed(error) if is_repeatable => {
                let sent = replay::request(&lease.link.meter().take_record());
                let Some(sent) = sent else {
                    return Err(ProxyError::ServerClosed(error));
                };
                sent.map(|()| RequestBody::empty(Rc::clone(&downstream.upload)))
            }
            error => return Err(refusal(error)),
        };
        reuse = Reuse::Fresh;
    }
}

fn refusal(error: ExchangeError) -> ProxyError {
    match error {
        ExchangeError::Unsent(_, error)
        | ExchangeError::Closed(error)
        | ExchangeError::Incomplete(error) => ProxyError::ServerClosed(error),
        ExchangeError::Ended => ProxyError::ServerEnded,
        ExchangeError::Invalid(error) => ProxyError::ServerInvalid(error),
        ExchangeError::Interim => ProxyError::ServerInterim,
        ExchangeError::ServerTimeout => ProxyError::ServerTimeout,
        ExchangeError::ClientTimeout => ProxyError::ClientTimeout,
        ExchangeError::ClientBroken => ProxyError::ClientBody,
    }
}

/// The request as the server gets it.
fn outgoing(
    rules: &Rules,
    downstream: &Downstream,
    admitted: Admitted,
    edits: &[Edit],
    incoming: Incoming,
    upgrade: Option<&Upgrade>,
) -> Request<RequestBody> {
    let Admitted {
        head,
        version,
        framing,
        noted,
        ..
    } = admitted;
    let expectation = expectation(&head.headers, version, framing);
    let mut fields = head.headers;
    headers::remove_hop_by_hop(&mut fields, noted);
    if version == Version::HTTP_10 && noted.has(Noted::EXPECT) {
        // Not a field that HTTP/1.0 has (RFC 9110, section 10.1.1).
        fields.remove(EXPECT);
    }
    let forwarded = &rules.config.forwarded;
    if forwarded.x_forwarded {
        headers::set_forwarded(
            &mut fields,
            noted,
            downstream.forwarded_for.as_ref(),
            head.scheme.as_str(),
            downstream.trust,
        );
    }
    if forwarded.via {
        headers::append_via(&mut fields, version);
    }
    if let Some(upgrade) = upgrade {
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(UPGRADE, upgrade.protocols.clone());
    }
    if framing == Framing::Chunked {
        // Said here because hyper would leave out the body of a GET of unknown length.
        fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let mut target = head.path_and_query;
    for edit in edits {
        match edit {
            Edit::Set(name, value) => {
                fields.insert(name, value.clone());
            }
            Edit::Append(name, value) => {
                fields.append(name, value.clone());
            }
            Edit::Remove(name) => {
                fields.remove(name);
            }
            Edit::Target(path_and_query) => target = path_and_query.clone(),
        }
    }
    if !fields.contains_key(HOST) {
        // An HTTP/1.0 client need not send it; we must (RFC 9112, section 3.2).
        fields.insert(HOST, HeaderValue::from_static(""));
    }
    let body = RequestBody::new(
        incoming,
        expectation,
        Rc::clone(&downstream.upload),
        rules.config.timeouts.client,
    );
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = fields;
    request
}

fn expectation(headers: &HeaderMap, version: Version, framing: Framing) -> Expectation {
    let expects = version == Version::HTTP_11
        && framing != Framing::Empty
        && headers
            .get(EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if expects {
        Expectation::Continue
    } else {
        Expectation::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations() {
        let check = |value: &'static str, version, framing, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(EXPECT, HeaderValue::from_static(value));
            assert_eq!(
                expectation(&headers, version, framing),
                expected,
                "{value} {version:?} {framing:?}"
            );
        };
        check(
            "100-Continue",
            Version::HTTP_11,
            Framing::Sized,
            Expectation::Continue,
        );
        check(
            "100-continue",
            Version::HTTP_11,
            Framing::Empty,
            Expectation::None,
        );
        check(
            "100-continue",
            Version::HTTP_10,
            Framing::Sized,
            Expectation::None,
        );
        check(
            "other",
            Version::HTTP_11,
            Framing::Chunked,
            Expectation::None,
        );
    }
}
