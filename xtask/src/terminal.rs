//! What the commands tell the user.
//!
//! Called by all of them.

use std::io::{self, Write as _};

/// Tells the user something.
pub(crate) fn say(text: &str) {
    // A closed terminal is no reason to stop.
    let _ = writeln!(io::stdout(), "{text}");
}

/// The same as the heading of what follows.
pub(crate) fn heading(name: &str) {
    say(&format!("\n==> {name}"));
}
