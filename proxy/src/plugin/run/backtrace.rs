//! Formats a guest's call stack as text.
//!
//! Formats function names uniformly, whichever compiler built the plugin: omits rustc's hashes and
//! demangles C++ names. Called by `fault`.

use std::fmt::{self, Write as _};

use cpp_demangle::DemangleOptions;
use wasmtime::WasmBacktrace;

/// Maximum number of bytes of a name; longer names are cut.
///
/// Names of generic functions are long, and a component can choose any names for its functions.
const MAX_NAME: usize = 512;

/// Maximum length of a mangled name that is demangled, in bytes.
const MAX_MANGLED: usize = 8 * 1024;

/// Formats one line per frame, innermost first: frame number, offset in the module, module and
/// function.
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
        let module = frame.module().name().map_or("<unknown>", cut);
        let _ = write!(text, "{module}!");
        match frame.func_name() {
            Some(name) => text.push_str(&demangle(name)),
            None => {
                let _ = write!(text, "<wasm function {}>", frame.func_index());
            }
        }
    }
    text
}

/// Returns the name, cut to [`MAX_NAME`] bytes.
fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
}

/// Returns the name as its author wrote it. Names that no known compiler has mangled stay as they
/// are.
fn demangle(name: &str) -> String {
    let mut short = Short::default();
    if name.len() > MAX_MANGLED {
        return cut(name).to_owned();
    }
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // The alternate form omits hashes. Formatting fails when the name is cut.
        let _ = write!(short, "{rust:#}");
        return short.text;
    }
    if let Ok(symbol) = cpp_demangle::Symbol::new(name) {
        let demangled = symbol.structured_demangle(&mut short, &DemangleOptions::default());
        if demangled.is_ok() || short.is_cut {
            return short.text;
        }
    }
    cut(name).to_owned()
}

/// A writer that accepts [`MAX_NAME`] bytes and then fails, since a short mangled name can expand
/// to gigabytes.
#[derive(Default)]
struct Short {
    text: String,
    is_cut: bool,
}

impl fmt::Write for Short {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = MAX_NAME - self.text.len();
        let taken = &more[..more.floor_char_boundary(room)];
        self.text.push_str(taken);
        self.is_cut = taken.len() < more.len();
        if self.is_cut { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |name, expected| assert_eq!(demangle(name), expected);
        // rustc's mangling schemes: the legacy one, used up to 1.95, and its successor.
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

    #[test]
    fn long_names_are_cut() {
        let check = |name: &str| assert_eq!(demangle(name).len(), MAX_NAME, "{name:.20}");
        check(&"x".repeat(MAX_NAME + 1));
        check(&"x".repeat(MAX_MANGLED + 1));
        check(&format!("_ZN600{}E", "x".repeat(600)));
        // Each parameter contains the previous one twice, so the full name would contain 2^40
        // names.
        let doubled = (0..38u32).map(|index| {
            let number = std::char::from_digit(index, 36).map(|char| char.to_ascii_uppercase());
            let last = number.map_or_else(|| "10".to_owned(), String::from);
            format!("S1_IS{last}_S{last}_E")
        });
        check(&format!("_Z1fI1aE1bIS_S_E{}", doubled.collect::<String>()));
    }
}
