//! Links between documents: each leads to a file, and to a heading in it.
//!
//! Pages of the book link only to pages that its summary lists, as no other file is part of the
//! built book. Addresses on the web are not checked. Called by `tidy`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// The folder of the book, its summary, and the folder of passages that several pages quote.
const BOOK: &str = "docs";
const SUMMARY: &str = "docs/SUMMARY.md";
const PARTS: &str = "docs/plugins/parts";

/// Adds a complaint for each relative link of `documents` that leads nowhere. Paths are relative to
/// `root`.
pub(super) fn check(root: &Path, documents: &[(&Path, &str)], complaints: &mut Vec<String>) {
    let anchors: BTreeMap<&Path, BTreeSet<String>> = documents
        .iter()
        .map(|(file, text)| (*file, anchors(text)))
        .collect();
    let listed = pages(documents);
    for (file, text) in documents {
        let is_page = file.starts_with(BOOK) && !file.starts_with(PARTS);
        if is_page && *file != Path::new(SUMMARY) && !listed.contains(*file) {
            complaints.push(format!("{}: {SUMMARY} does not list it", file.display()));
        }
        for (line, link) in links(text) {
            if let Some(reason) = broken(root, file, &link, &anchors) {
                complaints.push(format!("{}:{line}: {link}: {reason}", file.display()));
            }
        }
    }
}

/// Returns why a link leads nowhere, or `None` if it is good.
fn broken(
    root: &Path,
    file: &Path,
    link: &str,
    anchors: &BTreeMap<&Path, BTreeSet<String>>,
) -> Option<&'static str> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => file.to_owned(),
        path => match normal(&file.with_file_name(path)) {
            Some(target) => target,
            None => return Some("it leads out of the repository"),
        },
    };
    if !root.join(&target).exists() {
        return Some("there is no such file");
    }
    if file.starts_with(BOOK) && !target.starts_with(BOOK) {
        return Some("it leads out of the book, where the built book has no file");
    }
    let headings = anchors.get(target.as_path())?;
    (!anchor.is_empty() && !headings.contains(anchor)).then_some("there is no such heading")
}

/// Returns the pages that the book's summary lists.
fn pages(documents: &[(&Path, &str)]) -> BTreeSet<PathBuf> {
    let summary = documents
        .iter()
        .find(|(file, _)| *file == Path::new(SUMMARY));
    let links = summary.map(|(_, text)| links(text)).unwrap_or_default();
    let pages = links
        .into_iter()
        .map(|(_, link)| Path::new(BOOK).join(link));
    pages.collect()
}

/// Returns the path without `..`; `None` if it leads out of the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => normal.pop().then_some(())?,
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    Some(normal)
}

/// Returns the lines of a document outside code blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_code && !is_fence).then_some((at + 1, line))
    })
}

/// Returns the targets of all inline links and pictures, with the lines on which their paragraphs
/// start.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut paragraph = String::new();
    let mut start = 0;
    for (number, line) in prose(text).chain([(0, "")]) {
        // Rows of tables, list items and headings are paragraphs of their own.
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with(['|', '-', '#']) {
            collect(&paragraph, start, &mut found);
            paragraph.clear();
        }
        if trimmed.is_empty() {
            continue;
        }
        if paragraph.is_empty() {
            start = number;
        }
        paragraph.push_str(line);
        paragraph.push(' ');
    }
    found
}

/// Adds the targets of the links in a paragraph.
fn collect(paragraph: &str, line: usize, found: &mut Vec<(usize, String)>) {
    let parts = paragraph.split('`').enumerate();
    let outside: String = parts
        .map(|(at, part)| if at % 2 == 1 { "code" } else { part })
        .collect();
    for rest in outside.split("](").skip(1) {
        if let Some((target, _)) = rest.split_once(')') {
            found.push((line, target.trim().to_owned()));
        }
    }
}

/// Returns the anchors of all headings, as mdBook and code hosts make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let anchor: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter_map(|c| match c {
                ' ' | '-' => Some('-'),
                '_' => Some('_'),
                c => c.is_alphanumeric().then_some(c),
            })
            .collect();
        let count = (0..).map(|n| match n {
            0 => anchor.clone(),
            n => format!("{anchor}-{n}"),
        });
        let free = count.into_iter().find(|anchor| !found.contains(anchor));
        found.extend(free);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_links_are_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let good = "# A `title`, here\n\n[x](b.md#two) [y](#a-title-here) [z](https://example.com) \
                    `[code](nowhere)` [a](../Cargo.toml)\n";
        let bad = "## Two\n\n[a](c.md), `a\nspan` [a\nlong text](a.md#b)\n```\n[no](x.md)\n```\n\n\
                   [out](../../x.md)\n";
        let documents = [
            (Path::new("src/main.rs"), good),
            (Path::new("src/terminal.rs"), bad),
        ];
        let mut complaints = Vec::new();
        // Existing files stand in for documents: only their names count.
        let good = good.replace("b.md", "terminal.rs");
        let bad = bad.replace("a.md", "main.rs");
        let documents = [
            (documents[0].0, good.as_str()),
            (documents[1].0, bad.as_str()),
        ];
        check(root, &documents, &mut complaints);
        assert_eq!(
            complaints,
            [
                "src/terminal.rs:3: c.md: there is no such file",
                "src/terminal.rs:3: main.rs#b: there is no such heading",
                "src/terminal.rs:10: ../../x.md: it leads out of the repository",
            ]
        );
    }

    #[test]
    fn anchors_are_those_of_mdbook() {
        let found =
            anchors("# `[backend.NAME]`\n## From HAProxy\n## From HAProxy\n```\n# no\n```\n");
        let expected = ["backendname", "from-haproxy", "from-haproxy-1"];
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    }
}
