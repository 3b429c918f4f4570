//! Tampered plugins: a tampered plugin can only fail.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use pointsman::fuzzing;

fuzz_target!(|file: &[u8]| fuzzing::component(file));

// Changing arbitrary bytes rarely leaves a valid component. Every other mutation therefore replaces
// one of the component's modules with a changed but valid module.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mutant = seed
        .is_multiple_of(2)
        .then(|| mutant::of(&data[..size], u64::from(seed)))
        .flatten()
        .filter(|mutant| mutant.len() <= max_size);
    match mutant {
        Some(mutant) => {
            data[..mutant.len()].copy_from_slice(&mutant);
            mutant.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});

mod mutant {
    use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

    use wasm_encoder::{Component, ComponentSectionId, RawSection};
    use wasm_mutate::WasmMutate;
    use wasmparser::{Parser, Payload};

    /// Returns the component with one of its modules changed, or `None` if that is not possible.
    pub(super) fn of(component: &[u8], seed: u64) -> Option<Vec<u8>> {
        let sections = sections(component)?;
        let modules = || {
            let sections = sections.iter().enumerate();
            sections.filter(|(_, (id, _))| *id == u8::from(ComponentSectionId::CoreModule))
        };
        let chosen = usize::try_from(seed / 2)
            .ok()?
            .checked_rem(modules().count())?;
        let (chosen, (_, module)) = modules().nth(chosen)?;
        let mutant = mutate(module, seed)?;
        let mut changed = Component::new();
        for (index, &(id, data)) in sections.iter().enumerate() {
            let data = if index == chosen { &mutant } else { data };
            changed.section(&RawSection { id, data });
        }
        Some(changed.finish())
    }

    /// Mutates the module. Ignores a panic of the mutator, which is not the code under test.
    fn mutate(module: &[u8], seed: u64) -> Option<Vec<u8>> {
        wasmparser::validate(module).ok()?;
        // libFuzzer's panic hook would end the process.
        let hook = take_hook();
        set_hook(Box::new(|_| {}));
        let mutant = catch_unwind(AssertUnwindSafe(|| {
            let mut mutate = WasmMutate::default();
            mutate.seed(seed).fuel(1_000);
            mutate.run(module).ok()?.next()?.ok()
        }));
        set_hook(hook);
        mutant.ok().flatten()
    }

    /// Returns the outermost sections, each with its number.
    fn sections(component: &[u8]) -> Option<Vec<(u8, &[u8])>> {
        let mut sections = Vec::new();
        let mut parser = Parser::new(0);
        let mut rest = component;
        while let Ok(wasmparser::Chunk::Parsed { payload, consumed }) = parser.parse(rest, true) {
            match &payload {
                Payload::Version { encoding, .. } => {
                    (*encoding == wasmparser::Encoding::Component).then_some(())?;
                }
                Payload::End(_) => return Some(sections),
                // A nested component counts as one section.
                Payload::ModuleSection {
                    unchecked_range, ..
                }
                | Payload::ComponentSection {
                    unchecked_range, ..
                } => {
                    let id = payload.as_section()?.0;
                    let length = unchecked_range.end.checked_sub(unchecked_range.start)?;
                    let data = rest.get(consumed..)?.get(..length)?;
                    sections.push((id, data));
                    rest = rest.get(consumed + data.len()..)?;
                    continue;
                }
                other => {
                    let (id, range) = other.as_section()?;
                    sections.push((id, component.get(range)?));
                }
            }
            rest = rest.get(consumed..)?;
        }
        None
    }
}
