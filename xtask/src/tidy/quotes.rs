//! Passages of documents that quote a file: each is equal to the file.
//!
//! A passage stands between `<!-- begin PATH -->` and `<!-- end -->`, so that documents read well
//! without a tool that resolves includes. Source code is quoted in a code block. Called by `tidy`.

use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- begin ";
const END: &str = "<!-- end -->";

/// Returns the document with each passage as its file is now.
///
/// # Errors
/// The reason, with the line: a file that cannot be read, or a passage without an end.
pub(super) fn updated(root: &Path, text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some(path) = line
            .strip_prefix(BEGIN)
            .and_then(|it| it.strip_suffix(" -->"))
        else {
            continue;
        };
        let quoted = fs::read_to_string(root.join(path))
            .map_err(|error| format!("{}: cannot quote {path}: {error}", at + 1))?;
        let mut fence = None;
        let mut is_closed = false;
        for (_, line) in lines.by_ref() {
            if line == END {
                is_closed = true;
                break;
            }
            fence = fence.or(Some(line).filter(|line| line.starts_with("```")));
        }
        if !is_closed {
            return Err(format!("{}: no `{END}` follows", at + 1));
        }
        let is_document = Path::new(path).extension().is_some_and(|it| it == "md");
        let fence = fence.filter(|_| !is_document);
        if let Some(fence) = fence {
            out.push_str(fence);
            out.push('\n');
        }
        out.push_str(quoted.trim_end());
        out.push('\n');
        if fence.is_some() {
            out.push_str("```\n");
        }
        out.push_str(END);
        out.push('\n');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passages_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.rs"), "fn a() {}\n").unwrap();
        fs::write(folder.path().join("b.md"), "Text.\n\n```sh\ntrue\n```\n").unwrap();
        let text = "x\n<!-- begin a.rs -->\n```rust\nold\n```\n<!-- end -->\n<!-- begin b.md -->\n<!-- end -->\n";
        let expected = "x\n<!-- begin a.rs -->\n```rust\nfn a() {}\n```\n<!-- end -->\n\
                        <!-- begin b.md -->\nText.\n\n```sh\ntrue\n```\n<!-- end -->\n";
        assert_eq!(updated(folder.path(), text).unwrap(), expected);
        assert_eq!(updated(folder.path(), expected).unwrap(), expected);
        assert!(updated(folder.path(), "<!-- begin a.rs -->\n").is_err());
        assert!(updated(folder.path(), "<!-- begin c.rs -->\n<!-- end -->\n").is_err());
    }
}
