//! The book: every command in it, in order, in an empty folder with an empty home directory; and
//! the output that the page promises.
//!
//! A block ```` ```sh ```` is run; a block ```` ```output ```` has lines that the block before it
//! prints, in order. Other lines can come between them.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use pointsman_tests::ReservedPort;
use tokio::time::Instant;

use super::place::{self, Place};

/// Separator between the outputs of two blocks.
const MARK: &str = "--- the next block ---";

/// Ports in the book's commands, which the test replaces by free ones.
const PORTS: [&str; 3] = ["8080", "9001", "9002"];

#[derive(Default)]
struct Block {
    script: String,
    expected: Vec<String>,
}

fn play(page: &str) -> anyhow::Result<()> {
    let file = place::root().join("docs/plugins").join(page);
    let blocks = blocks(&text(&file)?);
    ensure!(!blocks.is_empty(), "{page} has no commands");
    let place = Place::new()?;
    let ports: Vec<_> = PORTS
        .iter()
        .map(|_| ReservedPort::new())
        .collect::<Result<_, _>>()?;
    // No process that the script starts outlives it.
    let mut script = "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
    for block in &blocks {
        script.push_str(&block.script);
        script.extend(["\necho '", MARK, "'\n"]);
    }
    for (port, reserved) in PORTS.iter().zip(&ports) {
        let address = reserved.address().port().to_string();
        script = script.replace(port, &address);
    }
    let start = Instant::now();
    let output = place
        .command("bash")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .output()
        .context("starting bash")?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    place::tell(&format!("{page}: {:.1} s", start.elapsed().as_secs_f64()));
    let all = format!("{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    place::tell(&all);
    ensure!(output.status.success(), "{page}: {}\n{all}", output.status);
    for (block, printed) in blocks.iter().zip(stdout.split(MARK)) {
        let mut lines = printed.lines();
        for expected in &block.expected {
            let found = lines.any(|line| line.trim().contains(expected.trim()));
            ensure!(
                found,
                "{page}: `{expected}` is not printed, or not in this order, by\n{}\nbut\n{printed}",
                block.script
            );
        }
    }
    Ok(())
}

/// Returns a page with the text of the files that it includes.
fn text(file: &Path) -> anyhow::Result<String> {
    let raw = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut whole = String::new();
    for line in raw.lines() {
        let included = line
            .strip_prefix("{{#include ")
            .and_then(|rest| rest.strip_suffix("}}"));
        match included {
            Some(path) => {
                let folder = file.parent().context("a page without a folder")?;
                whole.push_str(&text(&folder.join(path))?);
            }
            None => whole.push_str(line),
        }
        whole.push('\n');
    }
    Ok(whole)
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = None;
    for line in page.lines() {
        match (inside, line) {
            (Some(_), "```") => inside = None,
            (None, line) if line.starts_with("```") => {
                if line == "```sh" {
                    blocks.push(Block::default());
                }
                inside = Some(line);
            }
            (Some("```sh"), line) => {
                if let Some(block) = blocks.last_mut() {
                    block.script.push_str(line);
                    block.script.push('\n');
                }
            }
            (Some("```output"), line) => {
                if let Some(block) = blocks.last_mut() {
                    block.expected.push(line.to_owned());
                }
            }
            _ => {}
        }
    }
    blocks
}

#[test]
fn admin() -> anyhow::Result<()> {
    play("../admin.md")
}

#[test]
fn tables() -> anyhow::Result<()> {
    play("../tables.md")
}

macro_rules! pages {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() -> anyhow::Result<()> {
                play(concat!(stringify!($name), ".md"))
            }
        )*

        /// The tests play every page with commands, and every included file exists.
        #[test]
        fn every_page_with_commands_is_played() -> anyhow::Result<()> {
            let played = [$(stringify!($name)),*];
            for entry in fs::read_dir(place::root().join("docs/bundled"))? {
                ensure!(blocks(&text(&entry?.path())?).is_empty(), "its commands are not played");
            }
            for entry in fs::read_dir(place::root().join("docs"))? {
                let path = entry?.path();
                let is_page = path.extension().is_some_and(|extension| extension == "md");
                let is_played = path.ends_with("admin.md") || path.ends_with("tables.md");
                if is_page && !is_played {
                    ensure!(blocks(&text(&path)?).is_empty(), "{} is not played", path.display());
                }
            }
            for entry in fs::read_dir(place::root().join("docs/plugins"))? {
                let path = entry?.path();
                if path.is_dir() || blocks(&text(&path)?).is_empty() {
                    continue;
                }
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                ensure!(played.contains(&name.as_str()), "{name}.md is not played");
            }
            Ok(())
        }
    };
}

pages! {
    rust javascript typescript python go c cpp zig
    others testing shipping caching
}
