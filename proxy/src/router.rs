//! A frontend's router in one worker: turns a request head into a decision.
//!
//! Owns the list of plugins, each a `Stage`. Called by `request`. While a request is served, only
//! the router calls `plugin`.

mod breaker;
mod cache;
mod decision;
mod instance_queue;
mod local_version;
mod progress;
mod reports;
pub mod results;
pub mod rollout;
pub mod stage;
pub mod stats;
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
pub use self::instance_queue::{Supplied, Wait};
pub use self::stage::{Change, RolloutEnd};

/// A stage of a new configuration.
#[derive(Debug)]
pub enum StageUpdate {
    /// The version in service is kept, because nothing that the stage depends on has changed.
    Keep(Arc<Version>),
    /// Another version replaces the one in service. Without an instance, the stage creates one as
    /// after a fault.
    Replace(Arc<Version>, Option<Instance>),
}

impl StageUpdate {
    /// Creates a stage without any cached decisions.
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
    /// Stages in order; never empty.
    stages: Vec<Stage>,
    worker: usize,
    /// Whether the router's decisions include what each stage decided.
    explains: bool,
}

impl Router {
    /// Creates the router of `worker` from its stages.
    ///
    /// # Panics
    /// If there is no stage.
    pub fn new(stages: Vec<Stage>, worker: usize) -> Router {
        assert!(!stages.is_empty(), "a router needs a stage");
        Router {
            stages,
            worker,
            explains: false,
        }
    }

    /// Sets whether the router's decisions include what each stage decided.
    pub fn set_explains(&mut self, explains: bool) {
        self.explains = explains;
    }

    /// Creates a new router for `worker` from the stages of a configuration.
    ///
    /// # Panics
    /// If there is no stage.
    pub fn of_updates(updates: Vec<StageUpdate>, worker: usize) -> Router {
        let stages = updates.into_iter().map(|update| update.stage(worker));
        Router::new(stages.collect(), worker)
    }

    /// Replaces the stages with those of another configuration, which has at least one.
    ///
    /// Stages that are kept retain their instances and their cached decisions, even at a new
    /// position. Requests that wait for an instance of a stage that is not kept are routed again.
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

    /// Returns the position of the stage with this name.
    pub fn position(&self, stage: &str) -> Option<usize> {
        self.stages.iter().position(|one| one.name() == stage)
    }

    /// Applies a change to the stage at position `stage`. Does nothing if the position no longer
    /// exists.
    pub fn apply(&mut self, stage: usize, change: Change) {
        if let Some(stage) = self.stages.get_mut(stage) {
            stage.apply(change);
        }
    }

    /// Drops the instances and the cached decisions of all stages.
    pub fn retire(&mut self) {
        self.stages.iter_mut().for_each(Stage::retire);
    }

    /// Stops waiting for instances, because the frontend is gone.
    pub fn close(&mut self) {
        self.stages.iter_mut().for_each(Stage::close);
    }

    /// Returns the stages, in the order of the configuration.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// Returns the stages mutably, so that they can be called one by one.
    pub fn stages_mut(&mut self) -> &mut [Stage] {
        &mut self.stages
    }

    /// Returns the number of the worker in which the router runs.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// Returns the stage that made the final decision about a request.
    pub fn stage(&self, decision: &RouterDecision) -> &Stage {
        &self.stages[decision.stage]
    }

    /// Returns the version that made the final decision about a request.
    pub fn decider(&self, decision: &RouterDecision) -> &Arc<Version> {
        self.stage(decision).decider(decision.by)
    }

    /// Removes the cached decisions for requests like this one. Called if such a decision names
    /// something that no longer exists.
    pub fn forget(&mut self, request: &mut Request<'_>) {
        for stage in &mut self.stages {
            stage.forget(request);
        }
    }

    /// Decides about `request`: calls one stage after another until one returns something other
    /// than `next`.
    ///
    /// `supplied` is the instance that the request has waited for after an earlier call.
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

    /// Returns where to continue with a request. Starts over at the first stage if the version for
    /// which the request waited is gone.
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

/// Adds a stage's decision to the explanation, for example as `canary=next (cached)`.
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
    // Writing to a String cannot fail.
    let _ = write!(explanation, "{}={said}{cached}", stage.name());
}
