//! `pointsman plugin new`: creates a project.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use super::Exit;
use crate::plugin_tools::project::Language;
use crate::plugin_tools::template;

/// Flags of `pointsman plugin new`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Flags {
    /// Programming language of the plugin
    #[arg(short, long, value_name = "LANGUAGE", value_parser = languages())]
    lang: Language,
    /// Name of the plugin: lowercase letters, digits, `-`
    name: String,
    /// Folder of the project; defaults to NAME
    #[arg(long, value_name = "FOLDER")]
    path: Option<PathBuf>,
}

fn languages() -> impl clap::builder::TypedValueParser<Value = Language> {
    let names = Language::ALL.map(Language::name);
    PossibleValuesParser::new(names)
        .try_map(|name| Language::named(&name).ok_or("no such language"))
}

pub(super) fn run(flags: &Flags) -> Result<Exit, Exit> {
    let folder = flags
        .path
        .clone()
        .unwrap_or_else(|| flags.name.clone().into());
    template::write(flags.lang, &flags.name, &folder).map_err(|error| crate::cli::fail(&error))?;
    let (name, folder) = (&flags.name, folder.display());
    crate::cli::print(&format!(
        "{folder} contains a new plugin in {}. Build it and run the cases of its cases.toml:\n\n  \
         cd {folder}\n  pointsman plugin build\n  pointsman plugin test {name}.wasm\n\n\
         {folder}/README.md describes the next steps.\n",
        flags.lang.name()
    ));
    Ok(Exit::Success)
}
