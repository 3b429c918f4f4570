//! The stages of a configuration's routers. Each stage gets a new version, loaded and tried out, or
//! keeps its active version.
//!
//! Called by `prepared`, off the worker threads. Publishes nothing.

use std::io;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;

use crate::config::{self, Config, Errors, Frontend, Source, StageId};
use crate::plugin::{Backends, Environment};
use crate::rollout::loader::{Load, Loaded, Loader, VersionError};
use crate::rollout::ticket::Ticket;
use crate::rollout::versions::{Cause, Published, Versions};
use crate::router::version::WorkerEvent;
use crate::tables::Tables;

/// A stage of a router.
#[derive(Debug)]
pub(super) enum PreparedStage {
    /// The active version stays: nothing that it depends on has changed, or a later request put it
    /// into service. In the second case, the value is the SHA-256 of the configured file, which the
    /// later request overrides.
    Kept(Option<String>),
    /// The stage gets a new version.
    New(Box<NewStage>),
}

/// A new version of a stage.
#[derive(Debug)]
pub(super) struct NewStage {
    pub(super) loaded: Loaded,
    /// Configuration of the stage.
    pub(super) stage: config::Stage,
    /// SHA-256 of the configured file.
    pub(super) file: String,
    pub(super) cause: Cause,
    /// When the version was requested.
    pub(super) order: Ticket,
    /// State of the stage that the version was prepared to follow.
    pub(super) base: Option<Base>,
    /// Name of the same stage in the preceding configuration.
    pub(super) former: StageId,
}

/// The published state of a stage at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base {
    order: Ticket,
    active: u32,
}

impl Base {
    pub(super) fn of(published: &Published) -> Base {
        Base {
            order: published.order,
            active: published.active.number(),
        }
    }
}

/// A version was put on trial during the preparation of a reload that would end the trial.
#[derive(Debug, Error)]
#[error(
    "version {version} of `{stage}` was put on trial in the meantime, and this reload would end the trial: \
     reload again if you want that"
)]
pub struct OnTrial {
    stage: StageId,
    version: u32,
}

/// Logs a warning for each stage that lets every client in if its plugin fails.
pub(super) fn warn_of_policies(config: &Config) {
    for (id, stage) in config.stages() {
        if stage.fails_open() {
            tracing::warn!(
                frontend = id.frontend,
                stage = id.name,
                on_fault = stage.on_fault.name(),
                "every client is let in while this plugin fails; set on_fault to reject to keep them out"
            );
        }
    }
}

/// Everything needed to load the stages of a configuration.
#[derive(Clone, Copy)]
pub(super) struct Preparation<'a> {
    pub(super) loader: &'a Loader,
    pub(super) live: &'a Arc<dyn Backends>,
    pub(super) tables: &'a Arc<Tables>,
    pub(super) events: &'a mpsc::UnboundedSender<WorkerEvent>,
    /// The state in force; None when the process starts.
    pub(super) known: Option<Known<'a>>,
    /// When the configuration was requested.
    pub(super) order: Ticket,
}

/// The state in force.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) config: &'a Config,
    pub(super) versions: &'a Versions,
    pub(super) live: &'a Arc<dyn Backends>,
}

impl Preparation<'_> {
    /// Returns the stages of each frontend, without those that have mistakes.
    ///
    /// # Errors
    /// [`OnTrial`].
    pub(super) fn routers(
        self,
        config: &Config,
        source: &Source,
        mistakes: &mut Option<Errors>,
    ) -> Result<Vec<Vec<PreparedStage>>, OnTrial> {
        let mut routers = Vec::new();
        for frontend in &config.frontends {
            let mut stages = Vec::new();
            for (position, stage) in frontend.router.iter().enumerate() {
                match self.stage(frontend, stage) {
                    Ok(prepared) => stages.push(prepared),
                    Err(StageError::Version(error)) => {
                        locate(source, &frontend.name, position, &error).add_to(mistakes);
                    }
                    Err(StageError::OnTrial(version)) => {
                        let stage = StageId::new(&frontend.name, &stage.name);
                        return Err(OnTrial { stage, version });
                    }
                }
            }
            routers.push(stages);
        }
        Ok(routers)
    }

    fn stage(
        self,
        frontend: &Frontend,
        stage: &config::Stage,
    ) -> Result<PreparedStage, StageError> {
        let id = StageId::new(&frontend.name, &stage.name);
        let former = self.known.map_or(id, |known| known.former(frontend, stage));
        let load = Load {
            frontend: &frontend.name,
            stage,
            plugin: &stage.plugin,
            source: None,
            environment: Environment::new(Arc::clone(self.live), Arc::clone(self.tables)),
            events: Some(self.events.clone()),
        };
        let known = self.known.and_then(|known| {
            let published = known.versions.published(&former)?;
            Some(InService {
                published,
                has_same_config: !published.is_behind && known.config.stage(&former) == Some(stage),
                has_same_name: former.name == stage.name,
                has_same_backends: Arc::ptr_eq(known.live, self.live),
            })
        });
        prepare(self.loader, load, known, self.order, former)
    }
}

impl Known<'_> {
    /// Returns the former name of a stage. Stages are identified by name, whatever their order.
    /// There is one exception: if the router has exactly one stage both before and now, they are
    /// the same stage even if the name differs. The name changes, for example, with the name of the
    /// plugin's file.
    fn former(&self, frontend: &Frontend, stage: &config::Stage) -> StageId {
        let before = self.config.frontend(&frontend.name);
        let before = before.map_or(&[][..], |before| &before.router);
        let name = match (before, frontend.router.as_slice()) {
            ([before], [_]) => &before.name,
            _ => &stage.name,
        };
        StageId::new(&frontend.name, name)
    }
}

/// The version in service of a stage that already exists.
#[derive(Clone, Copy)]
struct InService<'a> {
    published: &'a Published,
    has_same_config: bool,
    has_same_name: bool,
    has_same_backends: bool,
}

/// Reason why no version could be prepared for a stage.
enum StageError {
    Version(VersionError),
    /// The version with this number is on trial.
    OnTrial(u32),
}

impl From<VersionError> for StageError {
    fn from(error: VersionError) -> StageError {
        StageError::Version(error)
    }
}

fn prepare(
    loader: &Loader,
    load: Load<'_>,
    known: Option<InService<'_>>,
    order: Ticket,
    former: StageId,
) -> Result<PreparedStage, StageError> {
    let file = loader.read(load.plugin)?;
    let sha256 = file.sha256();
    let stage = load.stage.clone();
    let Some(known) = known else {
        let new = NewStage {
            loaded: loader.load_file(file, load)?,
            stage,
            file: sha256,
            cause: if order == Ticket::START {
                Cause::Start
            } else {
                Cause::Reload
            },
            order,
            base: None,
            former,
        };
        return Ok(PreparedStage::New(Box::new(new)));
    };
    let published = known.published;
    let plugin = published.active.plugin();
    let is_later = published.order > order;
    // Keep the active version: a later request put it into service, or neither the configuration
    // nor the file has changed. After a swap or a rollback, the active version can differ from the
    // file.
    if is_later || known.has_same_config && sha256 == published.file.accepted {
        // A version on trial stays on the old engine; the reload after the trial moves the stage to
        // the new one.
        let may_stay = loader.has(plugin) || published.rollout.is_some();
        let may_stay = may_stay && known.has_same_name;
        if known.has_same_backends && may_stay && !published.active.is_failing() {
            return Ok(PreparedStage::Kept(is_later.then_some(sha256)));
        }
        if let (true, Some((rollout, _))) = (is_later, &published.rollout) {
            return Err(StageError::OnTrial(rollout.version().number()));
        }
        let stage = config::Stage {
            name: stage.name,
            ..published.stage.clone()
        };
        let load = Load {
            stage: &stage,
            source: Some(published.active.source().to_owned()),
            ..load
        };
        let loaded = if Loader::fits(plugin, &load) || sha256 != published.active.sha256() {
            loader.start(plugin, load)?
        } else {
            loader.load_file(file, load)?
        };
        let new = NewStage {
            loaded,
            stage,
            file: sha256,
            cause: published.cause,
            order: published.order,
            base: Some(Base::of(published)),
            former,
        };
        return Ok(PreparedStage::New(Box::new(new)));
    }
    let loaded = if sha256 == published.active.sha256() && Loader::fits(plugin, &load) {
        loader.start(plugin, load)?
    } else {
        loader.load_file(file, load)?
    };
    let new = NewStage {
        loaded,
        stage,
        file: sha256,
        cause: Cause::Reload,
        order,
        base: Some(Base::of(published)),
        former,
    };
    Ok(PreparedStage::New(Box::new(new)))
}

/// Shows an error of the plugin at `position` of a frontend's router at its location in the
/// configuration file.
pub fn locate(source: &Source, frontend: &str, position: usize, error: &VersionError) -> Errors {
    match error {
        VersionError::Configure(message) => source.plugin_error(frontend, position, message),
        error => {
            let stage = source.stage_key(frontend, position);
            let key = ["frontend", frontend, &stage, "plugin"];
            let help = match error {
                VersionError::Read(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    Some(
                        "let the user that the proxy runs as read the file, and search its folders",
                    )
                }
                _ => None,
            };
            source.key_error(&key, &error.to_string(), help)
        }
    }
}
