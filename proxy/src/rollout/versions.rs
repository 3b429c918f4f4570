//! Which versions each stage has: in service, under rollout, retired.
//!
//! Plain state, changed under the lock of `control`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use super::loader::Loader;
use super::ticket::Ticket;
use crate::config::{self, StageId};
use crate::router::results::Results;
use crate::router::rollout::{Mode, Rollout, Share};
use crate::router::version::Version;

/// Retired versions that are kept for each stage.
const MAX_RETIRED: usize = 4;

/// The versions of every stage of every router.
#[derive(Debug, Clone, Default)]
pub struct Versions {
    published: HashMap<StageId, Published>,
    /// The latest first.
    retired: HashMap<StageId, VecDeque<RetiredVersion>>,
}

/// The version in service of one stage.
#[derive(Debug, Clone)]
pub struct Published {
    /// In service.
    pub active: Arc<Version>,
    /// Its configuration.
    pub stage: config::Stage,
    /// Why it came.
    pub cause: Cause,
    /// The next version's number.
    pub next: u32,
    /// The latest request that has put a version into service or on trial. An earlier request
    /// that is done later must not undo it.
    pub order: Ticket,
    /// The configured file when it was last read.
    pub file: ConfiguredFile,
    /// The configuration in force asks for other settings, and a later request was preferred to it:
    /// the next reload applies them.
    pub is_behind: bool,
    /// The rollout beside the active version, with the configuration of its version.
    pub rollout: Option<(Arc<Rollout>, config::Stage)>,
    /// The rollout that ended last.
    pub ended: Option<EndedTrial>,
}

/// The known contents of the file that the configuration names, as SHA-256.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfiguredFile {
    /// Those that were last put into service, or that a later request was preferred to. The
    /// active version may come from another file: it stays as long as neither the file nor the
    /// configuration changes.
    pub accepted: String,
    /// Those that cannot serve. A reload tries them again, and says why they cannot.
    pub refused: Option<String>,
}

/// A version that was in service.
#[derive(Debug, Clone)]
pub struct RetiredVersion {
    /// The version.
    pub version: Arc<Version>,
    /// Its configuration.
    pub stage: config::Stage,
    /// Why it came.
    pub cause: Cause,
    /// Why it was retired.
    pub reason: Retirement,
}

/// Why a version came into service or on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It was configured when the process started.
    Start,
    /// A reload found another configuration, or another file.
    Reload,
    /// The configured file has changed.
    File,
    /// A person has put it into service.
    Swap,
    /// A person has put it on trial.
    Trial,
    /// A person has ended its trial in its favour.
    Promotion,
    /// A person has gone back to it.
    Rollback,
    /// The version after it had too many faults.
    Faults,
}

/// Why a version went out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retirement {
    /// A later version replaced it.
    Replaced,
    /// A person went back to an earlier version.
    RolledBack,
    /// It had too many faults.
    Failed,
}

/// A rollout that has ended, with its results.
#[derive(Debug, Clone)]
pub struct EndedTrial {
    /// The number of the version that was on trial.
    pub number: u32,
    /// The number of the version beside it.
    pub active: u32,
    /// How it was tried out.
    pub mode: Mode,
    /// Of the requests or the clients.
    pub share: Share,
    /// Its results.
    pub results: Arc<Results>,
    /// How it ended.
    pub end: TrialEnd,
    /// When it ended.
    pub at: SystemTime,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialEnd {
    /// A person has put its version into service.
    Promoted,
    /// A person has ended it.
    Aborted,
    /// Its version had too many faults.
    Failed,
    /// Another version was put on trial.
    Replaced,
    /// Another version was put into service, or a reload made the stage anew.
    Superseded,
}

/// A version for [`Versions::activate`].
#[derive(Debug)]
pub(super) struct Activation {
    pub(super) version: Arc<Version>,
    pub(super) stage: config::Stage,
    pub(super) cause: Cause,
    /// None: nobody requested it.
    pub(super) order: Option<Ticket>,
}

impl Cause {
    /// As users know it: in JSON and logs.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Start => "start",
            Cause::Reload => "reload",
            Cause::File => "file",
            Cause::Swap => "swap",
            Cause::Trial => "trial",
            Cause::Promotion => "promote",
            Cause::Rollback => "rollback",
            Cause::Faults => "faults",
        }
    }
}

impl Retirement {
    /// As users know it: in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Retirement::Replaced => "replaced",
            Retirement::RolledBack => "rolled-back",
            Retirement::Failed => "failed",
        }
    }
}

impl TrialEnd {
    /// As users know it: in JSON.
    pub fn name(self) -> &'static str {
        match self {
            TrialEnd::Promoted => "promoted",
            TrialEnd::Aborted => "aborted",
            TrialEnd::Failed => "failed",
            TrialEnd::Replaced => "replaced",
            TrialEnd::Superseded => "superseded",
        }
    }
}

impl Published {
    /// Whether the other is the same component with the same configuration.
    fn is_same_as(&self, other: &Published) -> bool {
        self.serves(other.active.sha256(), &other.stage)
    }

    /// Whether the component with this SHA-256 is in service with this configuration.
    pub fn serves(&self, sha256: &str, stage: &config::Stage) -> bool {
        self.active.sha256() == sha256 && self.stage == *stage
    }

    /// Ends its rollout, if there is one.
    pub(super) fn end_rollout(&mut self, end: TrialEnd) {
        if let Some((rollout, _)) = self.rollout.take() {
            self.ended = Some(EndedTrial {
                number: rollout.version().number(),
                active: self.active.number(),
                mode: rollout.mode(),
                share: rollout.share(),
                results: Arc::clone(rollout.results()),
                end,
                at: SystemTime::now(),
            });
        }
    }
}

impl Versions {
    /// Of the first configuration.
    pub fn new(published: HashMap<StageId, Published>) -> Versions {
        Versions {
            published,
            retired: HashMap::new(),
        }
    }

    /// The versions in service, by their stages.
    pub fn all_published(&self) -> &HashMap<StageId, Published> {
        &self.published
    }

    /// The version in service; None if there is no such stage.
    pub fn published(&self, id: &StageId) -> Option<&Published> {
        self.published.get(id)
    }

    /// The same, to be changed.
    pub fn published_mut(&mut self, id: &StageId) -> Option<&mut Published> {
        self.published.get_mut(id)
    }

    /// The retired versions of a stage, the latest first.
    pub fn retired(&self, id: &StageId) -> impl Iterator<Item = &RetiredVersion> {
        self.retired.get(id).into_iter().flatten()
    }

    /// Whether the version with this number is in service.
    pub fn is_active(&self, id: &StageId, number: u32) -> bool {
        let published = self.published(id);
        published.is_some_and(|published| published.active.number() == number)
    }

    /// The version with this number, if the workers have it: in service or under rollout.
    pub fn find(&self, id: &StageId, number: u32) -> Option<Arc<Version>> {
        let published = self.published(id)?;
        let rollout = published.rollout.as_ref();
        let candidate = rollout.map(|(rollout, _)| rollout.version());
        let mut known = candidate.into_iter().chain([&published.active]);
        known
            .find(|version| version.number() == number)
            .map(Arc::clone)
    }

    /// The retired version with this number.
    pub fn find_retired(&self, id: &StageId, number: u32) -> Option<RetiredVersion> {
        let mut retired = self.retired(id);
        let found = retired.find(|retired| retired.version.number() == number);
        found.cloned()
    }

    /// The good versions before the active one, the last one first: neither those that failed,
    /// nor those that a person went back from.
    pub fn good_before(&self, id: &StageId) -> Vec<RetiredVersion> {
        let active = self.published(id);
        let active = active.map_or(0, |published| published.active.number());
        let good = self.retired(id).filter(|retired| {
            retired.reason == Retirement::Replaced && retired.version.number() < active
        });
        good.cloned().collect()
    }

    /// Those of [`good_before`](Self::good_before) which differ from the active one: the same
    /// version would fail as it has failed.
    pub fn good_before_failing(&self, id: &StageId) -> Vec<RetiredVersion> {
        let mut good = self.good_before(id);
        if let Some(published) = self.published(id) {
            good.retain(|retired| !published.serves(retired.version.sha256(), &retired.stage));
        }
        good
    }

    /// A person wants the version with this number: whether it is in service already. If so, it
    /// is the last word.
    pub fn confirm(&mut self, id: &StageId, number: u32, order: Ticket) -> Option<Arc<Version>> {
        let published = self.published.get_mut(id)?;
        if published.active.number() != number {
            return None;
        }
        published.order = published.order.max(order);
        Some(Arc::clone(&published.active))
    }

    /// Records the configured file as one that can serve.
    pub fn accept_file(&mut self, id: &StageId, sha256: String) {
        if let Some(published) = self.published.get_mut(id) {
            published.file = ConfiguredFile {
                accepted: sha256,
                refused: None,
            };
        }
    }

    /// Puts a version into service and retires the one before. A rollout ends.
    pub(super) fn activate(&mut self, id: &StageId, activation: Activation, end: TrialEnd) {
        let Some(published) = self.published.get_mut(id) else {
            return;
        };
        let Activation {
            version,
            stage,
            cause,
            order,
        } = activation;
        published.end_rollout(end);
        let number = version.number();
        let old = published.clone();
        *published = Published {
            active: version,
            stage,
            cause,
            next: old.next.max(number + 1),
            order: order.unwrap_or(old.order),
            is_behind: old.is_behind && matches!(cause, Cause::Rollback | Cause::Faults),
            ..old.clone()
        };
        let is_back = number < old.active.number();
        let reason = match cause {
            Cause::Faults => Retirement::Failed,
            _ if old.active.is_failing() => Retirement::Failed,
            Cause::Rollback if is_back => Retirement::RolledBack,
            _ => Retirement::Replaced,
        };
        if reason == Retirement::RolledBack {
            self.pass_over(id, number);
        }
        self.retire(id, old, reason);
    }

    /// A person has gone back past the versions after this one.
    fn pass_over(&mut self, id: &StageId, number: u32) {
        for retired in self.retired.get_mut(id).into_iter().flatten() {
            if retired.version.number() > number && retired.reason == Retirement::Replaced {
                retired.reason = Retirement::RolledBack;
            }
        }
    }

    /// Takes the versions of another configuration, and retires those that it replaces. `renamed`
    /// are the stages that have another name now, which comes second.
    pub fn replace(
        &mut self,
        published: HashMap<StageId, Published>,
        renamed: Vec<(StageId, StageId)>,
    ) {
        for (former, now) in renamed {
            self.rename(&former, now);
        }
        let old = std::mem::replace(&mut self.published, published);
        self.retired.retain(|id, _| self.published.contains_key(id));
        for (id, mut old) in old {
            let Some(new) = self.published.get_mut(&id) else {
                continue;
            };
            if old.rollout.is_some() && new.rollout.is_none() {
                let (frontend, stage) = (&id.frontend, &id.name);
                tracing::warn!(frontend, stage, "the reload has ended the trial");
                old.end_rollout(TrialEnd::Superseded);
            }
            new.ended.clone_from(&old.ended);
            // A version that was only configured anew is nothing to go back to.
            if !old.is_same_as(new) {
                let reason = if old.active.is_failing() {
                    Retirement::Failed
                } else {
                    Retirement::Replaced
                };
                self.retire(&id, old, reason);
            }
        }
    }

    /// From now on its versions start under the new name.
    fn rename(&mut self, former: &StageId, now: StageId) {
        if let Some(mut retired) = self.retired.remove(former) {
            for one in &mut retired {
                one.stage.name.clone_from(&now.name);
            }
            self.retired.insert(now.clone(), retired);
        }
        if let Some(mut published) = self.published.remove(former) {
            published.stage.name.clone_from(&now.name);
            self.published.insert(now, published);
        }
    }

    /// Moves the retired versions to the engine of `loader`. Their code is loaded once they are gone
    /// back to.
    pub fn move_retired(&mut self, loader: &Loader) {
        for (id, retired) in &mut self.retired {
            retired.retain_mut(|one| {
                let plugin = one.version.plugin();
                if loader.has(plugin) {
                    return true;
                }
                match loader.adopt(plugin) {
                    Ok(plugin) => one.version = Arc::new(one.version.with_plugin(plugin)),
                    Err(error) => {
                        let version = one.version.number();
                        let (frontend, stage) = (&id.frontend, &id.name);
                        tracing::warn!(frontend, stage, version, %error, "a version is not kept");
                        return false;
                    }
                }
                true
            });
        }
    }

    fn retire(&mut self, id: &StageId, old: Published, reason: Retirement) {
        let now = self.published.get(id);
        let active = now.map(|now| now.active.number());
        let retired = self.retired.entry(id.to_owned()).or_default();
        // A version that is in service again is not retired.
        retired.retain(|one| Some(one.version.number()) != active);
        // Freed once no worker runs it, unless a version in service has the same.
        let plugin = old.active.plugin().released();
        plugin.evict();
        retired.push_front(RetiredVersion {
            version: Arc::new(old.active.with_plugin(plugin)),
            stage: old.stage,
            cause: old.cause,
            reason,
        });
        retired.truncate(MAX_RETIRED);
    }
}
