//! The choice of a request's destination: calls the router and carries out its decision.

use std::rc::Rc;

use super::client::Client;
use super::context::Context;
use super::error::ProxyError;
use super::gone::unless_gone;
use super::outgoing::Outgoing;
use super::reply::Reply;
use crate::frontend::Frontend;
use crate::http::edit::Edit;
use crate::plugin::{self, Decision, Route};
use crate::router::{Router, RouterDecision, Supplied};
use crate::upstream::LocalCluster;

/// The next step for a request.
pub(super) enum Choice {
    /// Send it to a server.
    Forward(Outgoing),
    /// Send a local reply.
    Answer(Reply),
}

/// The destination of a request or a connection.
pub(super) enum Destination {
    Backend(Rc<LocalCluster>, Option<Rc<Decision>>),
    /// A plugin's decision that names no backend: [`Route::Respond`].
    Plugin(Rc<Decision>),
}

/// Calls the router for a request.
///
/// # Errors
/// If a plugin whose `on_fault` is `reject` fails, if the backend does not exist, or if the client
/// has disconnected.
pub(super) async fn choose<C: Client>(
    cx: &mut Context,
    client: &mut C,
    frontend: &Frontend,
) -> Result<Choice, ProxyError> {
    match destination(cx, client, frontend).await? {
        Destination::Backend(backend, decided) => {
            Ok(Choice::Forward(Outgoing::new(backend, decided)))
        }
        Destination::Plugin(decided) => match &decided.route {
            Route::Respond(answer) => Ok(Choice::Answer(Reply::of_plugin(cx, answer))),
            _ => Err(ProxyError::NoBackend),
        },
    }
}

/// Calls the router and looks up the destination that its decision names.
///
/// # Errors
/// Same as [`choose`].
pub(super) async fn destination<C: Client>(
    cx: &mut Context,
    client: &mut C,
    frontend: &Frontend,
) -> Result<Destination, ProxyError> {
    let mut has_forgotten = false;
    cx.answers.begin_attempt();
    loop {
        let Some(decision) = decide(cx, client, frontend).await? else {
            let backend = cx.rules.default_backend.as_ref();
            let backend = Rc::clone(backend.ok_or(ProxyError::NoBackend)?);
            return Ok(take(cx, backend, None));
        };
        let decided = decision.decision.map_err(|fault| {
            cx.set_response_edits(&[]);
            ProxyError::Plugin(fault)
        })?;
        let rules = &cx.rules;
        let found = match &decided.route {
            Route::Respond(_) => {
                effect(cx, &decided, decision.explanation);
                return Ok(Destination::Plugin(decided));
            }
            Route::Backend(name) => rules.backends.get(name).ok_or(name),
            Route::Server(choice) => rules.backends.get(&choice.backend).ok_or(&choice.backend),
            Route::Default | Route::Next => {
                let Some(backend) = &rules.default_backend else {
                    effect(cx, &decided, decision.explanation);
                    return Err(ProxyError::NoBackend);
                };
                Ok(backend)
            }
        };
        match found {
            Ok(backend) => {
                let backend = Rc::clone(backend);
                effect(cx, &decided, decision.explanation);
                return Ok(take(cx, backend, Some(decided)));
            }
            // A reload has removed the backend since the decision was cached: the router must
            // decide again.
            Err(_) if !has_forgotten => {
                has_forgotten = true;
                forget(cx);
            }
            Err(name) => {
                let error = ProxyError::UnknownBackend(name.to_string());
                effect(cx, &decided, decision.explanation);
                return Err(error);
            }
        }
    }
}

fn take(cx: &mut Context, backend: Rc<LocalCluster>, decided: Option<Rc<Decision>>) -> Destination {
    cx.record.backend = Some(Rc::clone(&backend));
    Destination::Backend(backend, decided)
}

/// Applies the parts of a decision other than the route: response edits, tags and explanation.
fn effect(cx: &mut Context, decided: &Rc<Decision>, explanation: Option<String>) {
    if !decided.response_edits.is_empty() || cx.attempt > 0 {
        cx.set_response_edits(&decided.response_edits);
    }
    cx.record.tag(decided);
    if let Some(explanation) = explanation
        && let Some(name) = &cx.rules.config.routing.explain_header
    {
        let edit = Edit::append(name.as_str().as_bytes(), explanation.as_bytes());
        cx.edit_response(edit.ok());
    }
}

/// Calls the router, if there is one. Waits if a plugin has no instance for this request yet.
async fn decide<C: Client>(
    cx: &mut Context,
    client: &mut C,
    frontend: &Frontend,
) -> Result<Option<RouterDecision>, ProxyError> {
    let mut supplied = None;
    loop {
        let Some(router) = cx.rules.router.clone() else {
            return Ok(None);
        };
        let decision = ask(cx, &mut router.borrow_mut(), supplied.take());
        let Some(wait) = decision.wait else {
            return Ok(Some(decision));
        };
        // Boxed because it is rarely needed, so that it takes no memory in every connection's task.
        let wait = Box::pin(wait.end());
        supplied = unless_gone(cx, client, wait).await?;
        // A reload may have replaced the rules, and may have changed the order of the stages.
        cx.rules = frontend.rules();
    }
}

/// Calls the router once, and records the decision.
fn ask(cx: &mut Context, router: &mut Router, supplied: Option<Supplied>) -> RouterDecision {
    let decision = router.decide(&mut request(cx), supplied);
    if decision.wait.is_none() {
        cx.record
            .decided(router.decider(&decision), decision.cached);
        cx.record.fault = decision.fault;
    }
    decision
}

fn forget(cx: &mut Context) {
    if let Some(router) = cx.rules.router.clone() {
        router.borrow_mut().forget(&mut request(cx));
    }
}

/// Returns the request as plugins see it.
fn request(cx: &mut Context) -> plugin::Request<'_> {
    plugin::Request {
        client: cx.named_client.as_ref().unwrap_or(&cx.facts.peer),
        tls: cx.facts.tls.as_ref(),
        head: &mut cx.head,
        body: cx.body_prefix.as_ref(),
        attempt: cx.attempt,
        answers: &mut cx.answers,
        id: Some(cx.record.id()),
    }
}
