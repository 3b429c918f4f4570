//! A frontend's router in one worker: from a head to a decision.
//!
//! Owns the list of plugins, each a `Stage`. Called by `request`; the only caller of `plugin` while
//! a request is served.

mod breaker;
mod cache;
mod decision;
mod local_version;
mod progress;
mod reports;
pub mod results;
pub mod rollout;
pub mod stage;
pub mod stats;
mod supply;
pub mod version;

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::OnFault;
use crate::plugin::{Decision, Fault, Instance, Request, Route};

use self::decision::StageDecision;
use self::progress::Progress;
use self::stage::Stage;
use self::version::Version;

pub use self::decision::RouterDecision;
pub use self::stage::{Change, RolloutEnd};
pub use self::supply::{Supplied, Wait};

/// A stage of another configuration.
#[derive(Debug)]
pub enum StageUpdate {
    /// Nothing that it depends on has changed: it stays, with this version in service.
    Keep(Arc<Version>),
    /// Another version. Without an instance, it gets one as after a fault.
    Replace(Arc<Version>, Option<Instance>),
}

impl StageUpdate {
    /// As a stage that knows nothing yet.
    fn stage(self, worker: usize) -> Stage {
        match self {
            StageUpdate::Keep(version) => Stage::new(version, None, worker),
            StageUpdate::Replace(version, instance) => Stage::new(version, instance, worker),
        }
    }
}

/// The router of a frontend in one worker: its plugins, in the order of the configuration.
#[derive(Debug)]
pub struct Router {
    /// Never empty.
    stages: Vec<Stage>,
    worker: usize,
    /// Whether its decisions say what each stage said.
    explains: bool,
}

impl Router {
    /// The router of `worker`, of at least one stage.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(stages: Vec<Stage>, worker: usize) -> Router {
        assert!(!stages.is_empty(), "a router has a stage");
        Router {
            stages,
            worker,
            explains: false,
        }
    }

    /// Whether its decisions say what each stage said.
    pub fn set_explains(&mut self, explains: bool) {
        self.explains = explains;
    }

    /// Makes it anew for `worker` from what the configuration has.
    ///
    /// # Panics
    /// If there is no stage.
    pub fn of_updates(updates: Vec<StageUpdate>, worker: usize) -> Router {
        let stages = updates.into_iter().map(|update| update.stage(worker));
        Router::new(stages.collect(), worker)
    }

    /// Takes the stages of another configuration, of which there is at least one. Those that are
    /// kept go on with their instances and their cached decisions, at whatever place they have now;
    /// requests that wait for an instance of another ask anew.
    pub fn update(&mut self, updates: Vec<StageUpdate>) {
        let mut old = std::mem::take(&mut self.stages);
        let stages = updates.into_iter().map(|update| {
            let kept = match &update {
                StageUpdate::Keep(version) => {
                    let name = &version.stage().name;
                    old.iter().position(|stage| stage.name() == name)
                }
                StageUpdate::Replace(..) => None,
            };
            match kept {
                Some(position) => old.swap_remove(position),
                None => update.stage(self.worker),
            }
        });
        self.stages = stages.collect();
        old.iter_mut().for_each(Stage::retire);
    }

    /// The position of the stage of this name.
    pub fn position(&self, stage: &str) -> Option<usize> {
        self.stages.iter().position(|one| one.name() == stage)
    }

    /// Applies a change to one stage; there may be none of that number any more.
    pub fn apply(&mut self, stage: usize, change: Change) {
        if let Some(stage) = self.stages.get_mut(stage) {
            stage.apply(change);
        }
    }

    /// Drops its instances and its cached decisions.
    pub fn retire(&mut self) {
        self.stages.iter_mut().for_each(Stage::retire);
    }

    /// No instance comes from elsewhere any more: its frontend is gone.
    pub fn close(&mut self) {
        self.stages.iter_mut().for_each(Stage::close);
    }

    /// Its plugins, in the order of the configuration.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The same, to ask one by one.
    pub fn stages_mut(&mut self) -> &mut [Stage] {
        &mut self.stages
    }

    /// The number of the worker that it is in.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// The stage that had the last word on a request.
    pub fn stage(&self, decision: &RouterDecision) -> &Stage {
        &self.stages[decision.stage]
    }

    /// The version that had the last word on a request.
    pub fn decider(&self, decision: &RouterDecision) -> &Arc<Version> {
        self.stage(decision).decider(decision.by)
    }

    /// Forgets the decisions about requests like this one: they name what is not there any more.
    pub fn forget(&mut self, request: &mut Request<'_>) {
        for stage in &mut self.stages {
            stage.forget(request);
        }
    }

    /// Decides about `request`: asks stage by stage until one does not answer `next`.
    ///
    /// `supplied` is what the request has waited for after an earlier call.
    pub fn decide(
        &mut self,
        request: &mut Request<'_>,
        supplied: Option<Supplied>,
    ) -> RouterDecision {
        let (mut supplied, mut progress) = self.resume(supplied);
        loop {
            let at = progress.stage;
            let is_last = at + 1 == self.stages.len();
            let stage = &mut self.stages[at];
            let StageDecision {
                decision,
                cached,
                wait,
                by,
            } = stage.decide(request, supplied.take());
            if let Some(mut wait) = wait {
                *wait.progress = progress;
                return RouterDecision {
                    decision,
                    cached: false,
                    fault: None,
                    wait: Some(wait),
                    explanation: None,
                    stage: at,
                    by,
                };
            }
            progress.cached &= cached;
            if let Some(explanation) = &mut progress.explanation {
                explain(explanation, stage, &decision, cached);
            }
            let version = stage.decider(by);
            let outcome = match decision {
                Ok(decision) => {
                    let is_next = decision.route == Route::Next;
                    let (questions, backends) = (version.questions(), version.backends());
                    progress
                        .resolver
                        .add(&decision, questions, request, backends);
                    if is_next && !is_last {
                        progress.stage += 1;
                        continue;
                    }
                    Ok(progress.resolver.end().unwrap_or(decision))
                }
                Err(fault) => {
                    progress.fault = Some(fault.kind());
                    match stage.on_fault() {
                        OnFault::Reject => Err(fault),
                        OnFault::Next if !is_last => {
                            progress.stage += 1;
                            continue;
                        }
                        OnFault::Next | OnFault::DefaultBackend => {
                            Ok(progress.resolver.end_by(Route::Default))
                        }
                    }
                }
            };
            return RouterDecision {
                decision: outcome,
                cached: progress.cached,
                fault: progress.fault,
                wait: None,
                explanation: progress.explanation,
                stage: at,
                by,
            };
        }
    }

    /// Where to go on with a request; from the first stage if the one that it waited for has gone.
    fn resume(&self, supplied: Option<Supplied>) -> (Option<Supplied>, Progress) {
        let beginning = || Progress {
            explanation: self.explains.then(String::new),
            ..Progress::default()
        };
        let Some(mut supplied) = supplied else {
            return (None, beginning());
        };
        let progress = std::mem::take(&mut *supplied.progress);
        let stage = self.stages.get(progress.stage);
        if stage.is_some_and(|stage| stage.has(&supplied.version)) {
            (Some(supplied), progress)
        } else {
            (None, beginning())
        }
    }
}

/// Adds what a stage said, as in `canary=next (cached)`.
fn explain(
    explanation: &mut String,
    stage: &Stage,
    decision: &Result<Rc<Decision>, Fault>,
    cached: bool,
) {
    if !explanation.is_empty() {
        explanation.push_str("; ");
    }
    let said = match decision {
        Ok(decision) => decision.route.describe(),
        Err(fault) => format!("fault {}", fault.kind()),
    };
    let cached = if cached { " (cached)" } else { "" };
    // Writing to a text cannot fail.
    let _ = write!(explanation, "{}={said}{cached}", stage.name());
}
