//! Output of the commands to the user.
//!
//! Called by all of them.

use std::io::{self, Write as _};

/// Prints a line for the user.
pub(crate) fn say(text: &str) {
    // A closed terminal is no reason to stop.
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints a heading for the lines that follow.
pub(crate) fn heading(name: &str) {
    say(&format!("\n==> {name}"));
}
