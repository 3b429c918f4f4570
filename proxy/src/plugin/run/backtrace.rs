//! A guest's call stack in words.
//!
//! Owns how functions are named, so that a log reads the same whichever compiler built the
//! plugin: rustc's hashes are left out, and C++ names are demangled. Called by `fault`.

use std::borrow::Cow;
use std::fmt::Write as _;

use wasmtime::WasmBacktrace;

/// One line for each frame, innermost first: its number, its offset in the module, the
/// module and the function.
pub(super) fn describe(backtrace: &WasmBacktrace) -> String {
    let mut text = String::new();
    for (index, frame) in backtrace.frames().iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{index:>3}: ");
        if let Some(offset) = frame.module_offset() {
            let _ = write!(text, "{offset:#8x} ");
        }
        let _ = write!(text, "{}!", frame.module().name().unwrap_or("<unknown>"));
        match frame.func_name() {
            Some(name) => text.push_str(&demangle(name)),
            None => {
                let _ = write!(text, "<wasm function {}>", frame.func_index());
            }
        }
    }
    text
}

/// The name as its author wrote it. Names that no known compiler has mangled stay as they are.
fn demangle(name: &str) -> Cow<'_, str> {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // The alternate form leaves hashes out.
        return format!("{rust:#}").into();
    }
    cpp_demangle::Symbol::new(name)
        .ok()
        .and_then(|symbol| symbol.demangle().ok())
        .map_or(Cow::Borrowed(name), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |name, expected| assert_eq!(demangle(name), expected);
        // rustc's scheme up to 1.95, and the one after it.
        check(
            "_ZN13guest_hostile11trap_bounds17h7be8d2a41c0f9e35E",
            "guest_hostile::trap_bounds",
        );
        check(
            "_RNvCs3TgMwGwt1E9_13guest_hostile11trap_bounds",
            "guest_hostile::trap_bounds",
        );
        check("_ZN4Rule7matchesEi", "Rule::matches(int)");
        check("main.(*policy).Route", "main.(*policy).Route");
        check("route", "route");
        check("", "");
    }
}
