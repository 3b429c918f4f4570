//! The mechanical part of good English: patterns that make a reader stumble.
//!
//! Owns the patterns and the limit on a sentence's length. Finds no bad sentence that a pattern
//! does not match: people read the rest, for example the sample that `cargo xtask tidy --sample`
//! prints. Called by `tidy`.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::sentences::{self, Sentence};

/// Maximum number of words in a sentence of a document. Most readers get lost in a longer one.
const MAX_WORDS: usize = 32;

/// Openings that leave a sentence without a subject, unless it is a question.
const HEADLESS: &[&str] = &[
    "What ",
    "Who ",
    "Whoever ",
    "Whose ",
    "Of several",
    "Of two ",
    "One that ",
];

/// Words for which English has plainer ones, each with a replacement.
const BANNED: &[(&str, &str)] = &[
    ("anew", "again"),
    ("as good as", "nearly"),
    ("begin of", "start of"),
    ("comes to nothing", "fails"),
    ("for ever", "forever"),
    ("gone back from", "rolled back"),
    ("hangs on", "depends on"),
    ("has heard of", "has received"),
    ("is no part of", "does not belong to"),
    ("is told", "receives"),
    ("lets go", "releases"),
    ("put away", "evict"),
    ("so many percent", "PERCENT"),
    ("the way of a", "the path of a"),
    ("what becomes of", "what happens to"),
    ("to begin with", "as a start"),
];

/// Adds a complaint for each sentence of a document that a pattern or the limit matches.
pub(super) fn check_document(file: &Path, text: &str, complaints: &mut Vec<String>) {
    for sentence in sentences::of_markdown(text) {
        let words = sentence.words();
        if words > MAX_WORDS {
            let message = format!("a sentence of {words} words, at most {MAX_WORDS}: split it");
            complain(file, &sentence, &message, complaints);
        }
        check_patterns(file, &sentence, complaints);
    }
}

/// Adds a complaint for each sentence of a comment that a pattern matches.
pub(super) fn check_comments(file: &Path, text: &str, complaints: &mut Vec<String>) {
    for sentence in comments(file, text) {
        check_patterns(file, &sentence, complaints);
    }
}

/// Returns the sentences of a source file's comments.
fn comments(file: &Path, text: &str) -> Vec<Sentence> {
    match file.extension().and_then(|it| it.to_str()) {
        Some("py" | "toml") => sentences::of_comments(text, &["#"]),
        Some("rs" | "wit" | "go" | "zig") => sentences::of_comments(text, &["//!", "///", "//"]),
        // Lines of block comments, too.
        _ => sentences::of_comments(text, &["//", "/**", "/*", "*/", "*"]),
    }
}

fn check_patterns(file: &Path, sentence: &Sentence, complaints: &mut Vec<String>) {
    let text = sentences::plain(&sentence.text);
    let text = text.trim_start_matches(['*', '_', '(', '>', ' ']);
    let opening = HEADLESS.iter().find(|opening| text.starts_with(**opening));
    if let Some(opening) = opening
        && !text.ends_with('?')
    {
        let message = format!(
            "\"{}\" leaves it without a subject: name it",
            opening.trim()
        );
        complain(file, sentence, &message, complaints);
    }
    let text = text.to_lowercase();
    for (banned, plainer) in BANNED {
        let is_there = text.match_indices(banned).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + banned.len()..].chars().next();
            ![before, after]
                .into_iter()
                .flatten()
                .any(char::is_alphanumeric)
        });
        if is_there {
            let message = format!("not \"{banned}\": \"{plainer}\", for example");
            complain(file, sentence, &message, complaints);
        }
    }
}

fn complain(file: &Path, sentence: &Sentence, message: &str, complaints: &mut Vec<String>) {
    let start: String = sentence.text.chars().take(60).collect();
    let (shown, line) = (file.display(), sentence.line);
    complaints.push(format!("{shown}:{line}: {message}: {start}"));
}

/// Returns `count` sentences of five words or more, chosen by `seed`: the same for the same files.
pub(super) fn sample(
    documents: &[(&Path, &str)],
    sources: &[(&Path, &str)],
    count: usize,
    seed: u64,
) -> Vec<String> {
    let documents = documents
        .iter()
        .map(|(file, text)| (*file, sentences::of_markdown(text)));
    let sources = sources
        .iter()
        .map(|(file, text)| (*file, comments(file, text)));
    let mut drawn: Vec<_> = documents
        .chain(sources)
        .flat_map(|(file, found)| found.into_iter().map(move |sentence| (file, sentence)))
        .filter(|(_, sentence)| sentence.words() >= 5)
        .map(|(file, sentence)| {
            let name = format!("{}:{}", file.display(), sentence.line);
            let key = Sha256::new()
                .chain_update(seed.to_le_bytes())
                .chain_update(&name)
                .chain_update(&sentence.text)
                .finalize();
            (key, format!("{name}: {}", sentence.text))
        })
        .collect();
    drawn.sort();
    drawn
        .into_iter()
        .take(count)
        .map(|(_, text)| text)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        let mut complaints = Vec::new();
        check_document(Path::new("a.md"), text, &mut complaints);
        complaints.len()
    }

    #[test]
    fn documents() {
        assert_eq!(found("Clients with the cookie go to another backend."), 0);
        assert_eq!(found("Who has the cookie goes to another backend."), 1);
        assert_eq!(found("What does a plugin see?"), 0);
        assert_eq!(found("`What` is a word, and `for ever` is code."), 0);
        assert_eq!(found("It hangs on the thing, for ever."), 2);
        assert_eq!(found("A canew is a boat."), 0);
        assert_eq!(found(&"word ".repeat(MAX_WORDS)), 0);
        assert_eq!(found(&"word ".repeat(MAX_WORDS + 1)), 1);
    }

    #[test]
    fn comments_of_each_language() {
        let check = |file: &str, text: &str| {
            let mut complaints = Vec::new();
            check_comments(Path::new(file), text, &mut complaints);
            complaints
        };
        assert_eq!(
            check("a.rs", "/// Fine.\nlet who = 1;\n// Who asks is told.\n"),
            [
                "a.rs:3: \"Who\" leaves it without a subject: name it: Who asks is told.",
                "a.rs:3: not \"is told\": \"receives\", for example: Who asks is told.",
            ]
        );
        assert_eq!(check("a.py", "# Written anew.\n").len(), 1);
    }

    #[test]
    fn samples_are_the_same_for_a_seed() {
        let text = "One two three four five. Six seven eight nine ten. Too short.";
        let files = [(Path::new("a.md"), text)];
        assert_eq!(sample(&files, &[], 9, 1), sample(&files, &[], 9, 1));
        assert_eq!(sample(&files, &[], 9, 1).len(), 2);
        assert_eq!(sample(&files, &[], 1, 1).len(), 1);
    }
}
