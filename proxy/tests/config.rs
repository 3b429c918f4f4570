//! Golden errors: each `tests/config/NAME.toml` must produce the text in `NAME.err`, or be valid if
//! there is no such file. `POINTSMAN_BLESS=1` writes the files that are missing or differ.

use std::fs;
use std::path::{Path, PathBuf};

use pointsman::config;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/config")
}

fn files(extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory()).expect("tests/config is there");
    let paths = entries.map(|entry| entry.expect("tests/config can be listed").path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    files
}

/// Returns all errors that parsing the file reports, with their number, or an empty string.
fn rendered(file: &Path) -> String {
    // Only the name, so that the golden text contains no directory.
    let name = Path::new(file.file_name().expect("a file has a name"));
    let text = fs::read_to_string(file).expect("the file is text");
    match config::parse(name, text) {
        Ok(_) => String::new(),
        Err(errors) => format!("{errors}\n\n{} in all\n", errors.len()),
    }
}

#[test]
fn errors_are_as_recorded() {
    let bless = std::env::var_os("POINTSMAN_BLESS").is_some();
    let mut differing = Vec::new();
    for file in files("toml") {
        let golden = file.with_extension("err");
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        let found = rendered(&file);
        if found == expected {
            continue;
        }
        match (bless, found.is_empty()) {
            (true, true) => fs::remove_file(&golden).unwrap(),
            (true, false) => fs::write(&golden, found).unwrap(),
            (false, _) => differing.push(format!("{}:\n{found}", file.display())),
        }
    }
    assert!(
        differing.is_empty(),
        "found, but not recorded: {}",
        differing.join("\n")
    );
}

#[test]
fn each_record_has_its_file() {
    for record in files("err") {
        let file = record.with_extension("toml");
        assert!(file.exists(), "{} is of no file", record.display());
    }
}
