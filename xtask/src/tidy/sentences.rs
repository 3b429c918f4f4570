//! The sentences of documents and of comments.
//!
//! Owns what counts as prose: no code blocks, headings or link targets; a code span is one word.
//! Must not judge a sentence. Called by `prose`.

/// A sentence, and the number of the line on which its paragraph starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    pub(super) line: usize,
    /// The sentence on one line, with code spans as written.
    pub(super) text: String,
}

impl Sentence {
    /// Returns the number of words, each code span being one.
    pub(super) fn words(&self) -> usize {
        plain(&self.text)
            .split_whitespace()
            .filter(|word| word.contains(char::is_alphanumeric))
            .count()
    }
}

/// Returns the sentences of a Markdown document: of paragraphs, list items and table cells.
pub(super) fn of_markdown(text: &str) -> Vec<Sentence> {
    of_lines(text.lines().enumerate().map(|(at, line)| (at + 1, line)))
}

/// Returns the sentences of the comments in a source file that stand on separate lines, after one
/// of these markers. The first marker that a line starts with is used.
pub(super) fn of_comments(text: &str, markers: &[&str]) -> Vec<Sentence> {
    let lines = text.lines().enumerate().map(|(at, line)| {
        let line = line.trim_start();
        let comment = markers.iter().find_map(|marker| line.strip_prefix(marker));
        // Code ends a paragraph as an empty line does.
        (
            at + 1,
            comment.map_or("", |it| it.strip_prefix(' ').unwrap_or(it)),
        )
    });
    of_lines(lines)
}

fn of_lines<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Vec<Sentence> {
    let mut found = Vec::new();
    let mut paragraph = Sentence {
        line: 0,
        text: String::new(),
    };
    let mut is_code = false;
    for (number, line) in lines {
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") {
            is_code = !is_code;
            split(&mut paragraph, &mut found);
        } else if is_code || line.starts_with("    ") && paragraph.text.is_empty() {
        } else if trimmed.is_empty() || trimmed.starts_with(['#', '<']) || trimmed.starts_with("{{")
        {
            split(&mut paragraph, &mut found);
        } else if trimmed.starts_with('|') {
            split(&mut paragraph, &mut found);
            // A cell can be a list, with semicolons between its items.
            for item in trimmed.split('|').flat_map(|cell| cell.split("; ")) {
                paragraph.line = number;
                item.trim().clone_into(&mut paragraph.text);
                split(&mut paragraph, &mut found);
            }
        } else {
            let item = ["- ", "* "].iter().find_map(|it| trimmed.strip_prefix(it));
            let item = item.or_else(|| numbered(trimmed));
            if item.is_some() {
                split(&mut paragraph, &mut found);
            }
            if paragraph.text.is_empty() {
                paragraph.line = number;
            } else {
                paragraph.text.push(' ');
            }
            paragraph.text.push_str(item.unwrap_or(trimmed).trim_end());
        }
    }
    split(&mut paragraph, &mut found);
    found
}

/// Returns what follows the number of a list item.
fn numbered(line: &str) -> Option<&str> {
    let (number, rest) = line.split_once(". ")?;
    let is_number = !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit());
    is_number.then_some(rest)
}

/// Moves the sentences of a paragraph to `found`.
fn split(paragraph: &mut Sentence, found: &mut Vec<Sentence>) {
    let text = std::mem::take(&mut paragraph.text);
    let line = paragraph.line;
    let mut start = 0;
    let mut is_code = false;
    for (at, c) in text.char_indices() {
        is_code ^= c == '`';
        if is_code || !matches!(c, '.' | '!' | '?') {
            continue;
        }
        // The stop can be inside of emphasis, parentheses or quotes.
        let rest = text[at + 1..].trim_start_matches(['*', '_', ')', '"']);
        let next = rest.strip_prefix(' ').and_then(|rest| rest.chars().next());
        let starts_sentence = next.is_some_and(|c| c.is_uppercase() || "`\"([*".contains(c));
        let is_abbreviation = ["e.g", "i.e", "vs"]
            .iter()
            .any(|it| text[start..at].ends_with(it));
        if starts_sentence && !is_abbreviation {
            let end = text.len() - rest.len();
            push(&text[start..end], line, found);
            start = end;
        }
    }
    push(&text[start..], line, found);
}

fn push(text: &str, line: usize, found: &mut Vec<Sentence>) {
    let text = text.trim();
    if text.contains(char::is_alphabetic) {
        found.push(Sentence {
            line,
            text: text.to_owned(),
        });
    }
}

/// Returns the text with each code span as one word and each link as its text.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for (at, part) in text.split('`').enumerate() {
        plain.push_str(if at % 2 == 1 { "code" } else { part });
    }
    while let Some(middle) = plain.find("](") {
        let end = plain[middle..]
            .find(')')
            .map_or(plain.len(), |it| middle + it + 1);
        plain.replace_range(middle..end, "");
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(found: Vec<Sentence>) -> Vec<String> {
        found.into_iter().map(|it| it.text).collect()
    }

    #[test]
    fn markdown() {
        let text = "# Title\n\nOne `a. B` here. Two\nlines!\n\n- An item. Its second.\n1. First\n\n\
                    ```sh\ncode. Here\n```\n\n    more code\n\n| A cell | e.g. Another |\n|---|\n";
        let expected = [
            "One `a. B` here.",
            "Two lines!",
            "An item.",
            "Its second.",
            "First",
            "A cell",
            "e.g. Another",
        ];
        assert_eq!(texts(of_markdown(text)), expected);
    }

    #[test]
    fn comments() {
        let text = "//! The module.\n\n/// A type, over\n/// two lines. And more.\nstruct A; // not this\n    // Why.\n";
        let expected = [
            "The module.",
            "A type, over two lines.",
            "And more.",
            "Why.",
        ];
        let markers = ["//!", "///", "//"];
        assert_eq!(texts(of_comments(text, &markers)), expected);
    }

    #[test]
    fn words_and_lines() {
        let found = of_markdown("\nSee [the two words](a/b.md#c) and `some long code` - now.\n");
        assert_eq!(found[0].line, 2);
        assert_eq!(found[0].words(), 7);
    }
}
