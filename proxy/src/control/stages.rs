//! The stages of routers, as a configuration has them: loaded and tried out, or kept.
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
    /// Nothing that it depends on has changed, or a later request has given it its version. Then
    /// this is the SHA-256 of the configured file, which that version was preferred to.
    Kept(Option<String>),
    /// It is made anew.
    New(Box<NewStage>),
}

/// A version for a stage.
#[derive(Debug)]
pub(super) struct NewStage {
    pub(super) loaded: Loaded,
    /// Its configuration.
    pub(super) stage: config::Stage,
    /// The configured file's SHA-256.
    pub(super) file: String,
    pub(super) cause: Cause,
    /// The request that brought that version.
    pub(super) order: Ticket,
    /// The version that it was prepared to follow.
    pub(super) base: Option<Base>,
    /// What the stage of that version is called.
    pub(super) former: StageId,
}

/// A stage's version at one moment.
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

/// A version was put on trial while a reload that would end the trial was prepared.
#[derive(Debug, Error)]
#[error(
    "version {version} of `{stage}` was put on trial meanwhile, and this reload would end the trial: \
     reload again to do that"
)]
pub struct OnTrial {
    stage: StageId,
    version: u32,
}

/// Says in the log which policies defeat their plugins.
pub(super) fn warn_of_policies(config: &Config) {
    for (id, stage) in config.stages() {
        if stage.fails_open() {
            tracing::warn!(
                frontend = id.frontend,
                stage = id.name,
                on_fault = stage.on_fault.name(),
                "every client is let in while this plugin fails; on_fault as reject keeps them out"
            );
        }
    }
}

/// What the stages of a configuration are loaded with.
#[derive(Clone, Copy)]
pub(super) struct Preparation<'a> {
    pub(super) loader: &'a Loader,
    pub(super) live: &'a Arc<dyn Backends>,
    pub(super) tables: &'a Arc<Tables>,
    pub(super) events: &'a mpsc::UnboundedSender<WorkerEvent>,
    /// None: at the start.
    pub(super) known: Option<Known<'a>>,
    /// When the configuration was requested.
    pub(super) order: Ticket,
}

/// What is in force.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) config: &'a Config,
    pub(super) versions: &'a Versions,
    pub(super) live: &'a Arc<dyn Backends>,
}

impl Preparation<'_> {
    /// The stages of each frontend; those with mistakes are missing.
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
    /// What a stage was called before. Stages are known by their names, whatever their order was; the
    /// only one of a router that had one before is the same under another name, as that of another
    /// file.
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

/// The version in service of a stage that stays.
#[derive(Clone, Copy)]
struct InService<'a> {
    published: &'a Published,
    has_same_config: bool,
    has_same_name: bool,
    has_same_backends: bool,
}

/// Why there is no version for a stage.
enum StageError {
    Version(VersionError),
    /// With the number of the version on trial.
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
    // The active version was requested, or is the result of a rollback.
    if is_later || known.has_same_config && sha256 == published.file.accepted {
        // A trial goes on, and the reload after it moves the stage.
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

/// Where in the file an error of the plugin at this position of a frontend's router belongs.
pub fn locate(source: &Source, frontend: &str, position: usize, error: &VersionError) -> Errors {
    match error {
        VersionError::Configure(message) => source.plugin_error(frontend, position, message),
        error => {
            let stage = source.stage_key(frontend, position);
            let key = ["frontend", frontend, &stage, "plugin"];
            let help = match error {
                VersionError::Read(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    Some(
                        "the user that the proxy runs as reads it: let that user read the file, and search its folders",
                    )
                }
                _ => None,
            };
            source.key_error(&key, &error.to_string(), help)
        }
    }
}
