//! `pointsman plugin check`: describes a file.

use std::fmt::Write as _;

use super::{Exit, File};
use crate::plugin::{Plugin, Source};
use crate::plugin_tools::component::{self, ComponentInfo};

/// Flags of `pointsman plugin check`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Flags {
    #[command(flatten)]
    file: File,
}

pub(super) fn run(flags: &Flags) -> Result<Exit, Exit> {
    let source = flags.file.read()?;
    // If the file is not WebAssembly, `load` below reports that.
    if let Ok(info) = ComponentInfo::of(&source.bytes) {
        crate::cli::print(&describe(&source, &info));
    }
    super::load(&flags.file.plugin, &source)?;
    crate::cli::print("the proxy accepts it\n");
    Ok(Exit::Success)
}

/// Describes the file's kind, imports and exports, one per line.
pub(super) fn describe(source: &Source, info: &ComponentInfo) -> String {
    let mut text = String::new();
    let mut line = |words: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{words}");
    };
    let size = component::size(source.bytes.len());
    line(&match (info.is_component, info.has_metadata) {
        (true, _) => format!("a component of {size}"),
        (false, true) => format!(
            "a core module of {size} that names its world: the proxy turns it into a component"
        ),
        (false, false) => format!("a core module of {size} that names no world"),
    });
    line(&format!("sha256    {}", source.sha256()));
    for tool in &info.made_with {
        line(&format!("made with {tool}"));
    }
    if info.strippable > 0 {
        let useless = component::size(info.strippable);
        line(&format!(
            "contains  {useless} for debuggers, which `pointsman plugin build` leaves out"
        ));
    }
    if info.imports.is_empty() {
        line("imports   nothing");
    }
    for import in &info.imports {
        let note = if info.is_component && !Plugin::is_offered(import) {
            "  not offered"
        } else if import.starts_with("wasi:") {
            "  only clocks, random numbers and the log are granted"
        } else {
            ""
        };
        line(&format!("imports   {import}{note}"));
    }
    for export in &info.exports {
        line(&format!("exports   {export}"));
    }
    text
}
