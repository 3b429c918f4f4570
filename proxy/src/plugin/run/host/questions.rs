//! The interface `questions`: definitions, which are allowed only in `configure`.
//!
//! Linked by hand rather than by the generated bindings, so that entries are read in place from the
//! guest's memory. A list can have a hundred thousand entries, and the bindings would copy all of
//! them to the host first.

use wasmtime::component::{Linker, WasmList, WasmStr};
use wasmtime::{StoreContextMut, Trap};

use super::State;
use crate::plugin::run::fault::Refusal;
use crate::questions::{Builder, Case, DefineError, MatchKind};

/// The result of a definition: the question's number, or an error for the guest.
type Defined = wasmtime::Result<(Result<u32, String>,)>;

type Entries = WasmList<(WasmStr, u32)>;

/// Adds the interface `name` to `linker`.
pub(in crate::plugin::run) fn add_to_linker(
    linker: &mut Linker<State>,
    name: &str,
) -> wasmtime::Result<()> {
    let mut interface = linker.instance(name)?;
    for (function, kind) in [
        ("define-exact", MatchKind::Exact),
        ("define-prefix", MatchKind::Prefix),
        ("define-path-prefix", MatchKind::PathPrefix),
        ("define-suffix", MatchKind::Suffix),
        ("define-first-suffix", MatchKind::FirstSuffix),
    ] {
        interface.func_wrap(
            function,
            move |store: StoreContextMut<'_, State>,
                  (over, ignore_case, entries): (WasmStr, bool, Entries)| {
                let case = if ignore_case {
                    Case::Ignored
                } else {
                    Case::Sensitive
                };
                define_matcher(store, kind, case, &over, &entries)
            },
        )?;
    }
    for (function, kind) in [
        ("define-domain", MatchKind::Domain),
        ("define-network", MatchKind::Network),
        ("define-regex", MatchKind::Regex),
    ] {
        interface.func_wrap(
            function,
            move |store: StoreContextMut<'_, State>, (over, entries): (WasmStr, Entries)| {
                define_matcher(store, kind, Case::Sensitive, &over, &entries)
            },
        )?;
    }
    interface.func_wrap(
        "define-share",
        |store: StoreContextMut<'_, State>, (over, salt, share): (String, String, u32)| {
            define(store, |builder, _| builder.share(&over, &salt, share))
        },
    )?;
    interface.func_wrap(
        "define-look-up",
        |store: StoreContextMut<'_, State>, (table, over): (String, String)| {
            define(store, |builder, _| builder.look_up(&table, &over))
        },
    )?;
    interface.func_wrap(
        "define-value",
        |store: StoreContextMut<'_, State>, (over,): (String,)| {
            define(store, |builder, _| builder.value(&over))
        },
    )?;
    interface.func_wrap(
        "define-usable",
        |store: StoreContextMut<'_, State>, (backend,): (String,)| {
            define(store, |builder, _| builder.usable(&backend))
        },
    )
}

/// Bytes of entries read between two checks of the deadline; reading them takes some tens of
/// microseconds.
const LOOKED_AT: usize = 64 * 1024;

/// Bytes counted for each entry in addition to its text.
const ENTRY: usize = 64;

fn define_matcher(
    store: StoreContextMut<'_, State>,
    kind: MatchKind,
    case: Case,
    over: &WasmStr,
    entries: &Entries,
) -> Defined {
    let mut failure = None;
    let defined = define(store, |builder, store| {
        let over = match over.to_str(&*store) {
            Ok(over) => over.into_owned(),
            Err(error) => {
                failure = Some(error);
                return Ok(0);
            }
        };
        let mut matcher = builder.matcher(kind, &over, case);
        let mut looked_at = 0;
        for index in 0..entries.len() {
            // The guest does not run here, so no epoch interrupts this loop. Entries can overlap in
            // the guest's memory, so their total length can exceed the size of that memory.
            if looked_at >= LOOKED_AT {
                looked_at = 0;
                if store.data_mut().deadline.is_over() {
                    failure = Some(Trap::Interrupt.into());
                    return Ok(0);
                }
            }
            // Text that is not UTF-8 traps, as in every other call that passes text.
            let entry = entries.get(&mut *store, index).transpose();
            let pushed = entry.and_then(|entry| {
                let Some((text, number)) = entry else {
                    return Ok(());
                };
                let text = text.to_str(&*store)?;
                looked_at += text.len() + ENTRY;
                matcher.push(&text, number);
                Ok(())
            });
            if let Err(error) = pushed {
                failure = Some(error);
                return Ok(0);
            }
        }
        matcher.finish()
    });
    match failure {
        Some(error) => Err(error),
        None => defined,
    }
}

/// Defines a question, if `configure` is running.
fn define(
    mut store: StoreContextMut<'_, State>,
    define: impl FnOnce(&mut Builder, &mut StoreContextMut<'_, State>) -> Result<u32, DefineError>,
) -> Defined {
    let Some(mut builder) = store.data_mut().definitions.take() else {
        return Err(Refusal::DefinedTooLate.into());
    };
    let defined = define(&mut builder, &mut store);
    store.data_mut().definitions = Some(builder);
    Ok((defined.map_err(|error| error.to_string()),))
}
