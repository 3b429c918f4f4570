//! `pointsman plugin build`: builds sources into a component that the proxy accepts.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Exit, about, check};
use crate::plugin::{Plugin, Source};
use crate::plugin_tools::build;
use crate::plugin_tools::component::{self, ComponentInfo};
use crate::plugin_tools::project::Project;

/// Flags of `pointsman plugin build`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Flags {
    /// Folder of a project, or a core module or component that another tool has built
    #[arg(default_value = ".")]
    project: PathBuf,
    /// Where to write the component; defaults to NAME.wasm in the project
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(flags: &Flags) -> Result<Exit, Exit> {
    let (component, output) = if flags.project.is_dir() {
        let project = open(&flags.project)?;
        let output = flags.output.clone();
        let output = output.unwrap_or_else(|| project.component());
        (Component::build(&project)?, output)
    } else {
        let bytes = std::fs::read(&flags.project).map_err(|error| about(&flags.project, &error))?;
        let Some(output) = flags.output.clone() else {
            let message = "no output file: name it with --output";
            return Err(crate::cli::fail(&std::io::Error::other(message)));
        };
        let bytes = component::finish(&bytes).map_err(|error| about(&flags.project, &error))?;
        (Component::check(bytes, &flags.project)?, output)
    };
    component.write(&output)?;
    let described = component.describe();
    crate::cli::print(&format!("{}\n{described}", output.display()));
    Ok(Exit::Success)
}

pub(super) fn open(folder: &Path) -> Result<Project, Exit> {
    Project::open(folder).map_err(|error| crate::cli::fail(&error))
}

/// A component that the proxy accepts.
pub(super) struct Component {
    source: Source,
    info: ComponentInfo,
    pub(super) plugin: Plugin,
}

impl Component {
    /// Builds a project and checks the result.
    pub(super) fn build(project: &Project) -> Result<Component, Exit> {
        let bytes = build::build(project).map_err(|error| crate::cli::fail(&error))?;
        Component::check(bytes, &project.component())
    }

    fn check(bytes: Vec<u8>, path: &Path) -> Result<Component, Exit> {
        let source = Source {
            name: "plugin".to_owned(),
            bytes: bytes.into(),
        };
        Ok(Component {
            plugin: super::load(path, &source)?,
            info: ComponentInfo::of(&source.bytes).map_err(|error| about(path, &error))?,
            source,
        })
    }

    pub(super) fn describe(&self) -> String {
        check::describe(&self.source, &self.info)
    }

    /// Writes the component to `output` atomically, because a running proxy can be watching the
    /// file.
    pub(super) fn write(&self, output: &Path) -> Result<(), Exit> {
        let folder = match output.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
            file.write_all(&self.source.bytes)?;
            // A temporary file is readable only by its owner. This one becomes the output, so it
            // gets the usual permissions.
            let mode = std::fs::Permissions::from_mode(0o644);
            file.as_file().set_permissions(mode)?;
            file.persist(output)?;
            Ok(())
        });
        written.map_err(|error| about(output, &error))
    }
}
