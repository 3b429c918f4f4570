//! The book: every command of a page, in order, in an empty folder with an empty home directory,
//! and the output that the page promises.
//!
//! The test runs each block ```` ```sh ````. A block ```` ```output ```` contains lines that the
//! block before it prints, in order. Other lines can come between them, and `...` in a line stands
//! for any text. The test writes a block ```` ```LANGUAGE FILE ```` to that file.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, ensure};
use pointsman_tests::ReservedPort;
use tokio::time::Instant;

use super::place::{self, Place};

/// Separator between the outputs of two blocks.
const MARK: &str = "--- the next block ---";

/// Ports in the book's commands, which the test replaces by free ones.
const PORTS: [&str; 4] = ["8080", "8443", "9001", "9002"];

#[derive(Default)]
struct Block {
    script: String,
    expected: Vec<String>,
}

fn play(page: &str) -> anyhow::Result<()> {
    let file = place::root().join(page);
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let blocks = blocks(&text);
    ensure!(!blocks.is_empty(), "{page} has no commands");
    let place = Place::new()?;
    let ports: Vec<_> = PORTS
        .iter()
        .map(|_| ReservedPort::new())
        .collect::<Result<_, _>>()?;
    // The script ends every process that it has started.
    let mut script = "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
    for block in &blocks {
        script.push_str(&block.script);
        script.extend(["\necho '", MARK, "'\n"]);
    }
    // By way of a name, since a free port can contain the digits of another port of the book.
    let free = |text: String| {
        let named = PORTS.iter().fold(text, |text, port| {
            text.replace(port, &format!("<port {port}>"))
        });
        let pairs = PORTS.iter().zip(&ports);
        pairs.fold(named, |text, (port, reserved)| {
            let free = reserved.address().port().to_string();
            text.replace(&format!("<port {port}>"), &free)
        })
    };
    let script = free(script);
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
    let printed: Vec<_> = stdout.split(MARK).collect();
    ensure!(
        printed.len() == blocks.len() + 1,
        "{page}: {} of {} blocks were run to their end\n{all}",
        printed.len() - 1,
        blocks.len()
    );
    for (block, printed) in blocks.iter().zip(printed) {
        let mut lines = printed.lines();
        for expected in block.expected.iter().cloned().map(free) {
            let found = lines.any(|line| contains(line, &expected));
            ensure!(
                found,
                "{page}: `{expected}` is not printed, or not in this order, by\n{}\nbut\n{printed}",
                block.script
            );
        }
    }
    Ok(())
}

/// Reports whether a line contains the parts of `expected` that `...` separates, in order.
fn contains(line: &str, expected: &str) -> bool {
    let mut rest = line;
    expected
        .split("...")
        .all(|part| match rest.split_once(part.trim()) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = None;
    for line in page.lines() {
        match (inside, line) {
            (Some(info), "```") => {
                if file_of(info).is_some()
                    && let Some(block) = blocks.last_mut()
                {
                    block.script.push_str("END-OF-FILE\n");
                }
                inside = None;
            }
            (None, line) if line.starts_with("```") => {
                if line == "```sh" || file_of(line).is_some() {
                    blocks.push(Block::default());
                }
                if let (Some(file), Some(block)) = (file_of(line), blocks.last_mut()) {
                    block.script = format!("cat > {file} <<'END-OF-FILE'\n");
                }
                inside = Some(line);
            }
            (Some("```output"), line) => {
                // A line that is only `...` needs no check, because other lines are always allowed.
                if line.trim() != "..."
                    && let Some(block) = blocks.last_mut()
                {
                    block.expected.push(line.to_owned());
                }
            }
            (Some(info), line) if info == "```sh" || file_of(info).is_some() => {
                if let Some(block) = blocks.last_mut() {
                    block.script.push_str(line);
                    block.script.push('\n');
                }
            }
            _ => {}
        }
    }
    blocks
}

/// Returns the file to which a block is written; `opening` is the line that opens the block.
fn file_of(opening: &str) -> Option<&str> {
    opening.split_once(' ').map(|(_, file)| file)
}

macro_rules! pages {
    ($($name:ident: $page:literal,)*) => {
        $(
            #[test]
            fn $name() -> anyhow::Result<()> {
                play($page)
            }
        )*

        const PAGES: &[&str] = &[$($page),*];
    };
}

pages! {
    readme: "README.md",
    install: "docs/start/install.md",
    first_proxy: "docs/start/first-proxy.md",
    explain: "docs/route/explain.md",
    tables: "docs/route/tables.md",
    operating: "docs/run/operating.md",
    run_tls: "docs/run/tls.md",
    run_servers: "docs/run/servers.md",
    rust: "docs/plugins/rust.md",
    javascript: "docs/plugins/javascript.md",
    typescript: "docs/plugins/typescript.md",
    python: "docs/plugins/python.md",
    go: "docs/plugins/go.md",
    c: "docs/plugins/c.md",
    cpp: "docs/plugins/cpp.md",
    zig: "docs/plugins/zig.md",
    others: "docs/plugins/others.md",
    testing: "docs/plugins/testing.md",
    shipping: "docs/plugins/shipping.md",
    caching: "docs/plugins/caching.md",
}

#[test]
fn every_page_with_commands_is_played() -> anyhow::Result<()> {
    let mut folders = vec![place::root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                // The commands in `parts` run as part of each tutorial that includes them.
                folders.extend((!path.ends_with("parts")).then_some(path));
                continue;
            }
            let name = path
                .strip_prefix(place::root())?
                .to_string_lossy()
                .into_owned();
            let is_page = path.extension().is_some_and(|extension| extension == "md");
            if !is_page || PAGES.contains(&name.as_str()) {
                continue;
            }
            let text = fs::read_to_string(&path).with_context(|| name.clone())?;
            ensure!(blocks(&text).is_empty(), "{name} is not played");
        }
    }
    Ok(())
}
