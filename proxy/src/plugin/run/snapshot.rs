//! Snapshots: a component in its state after `configure`, from which its instances start.
//!
//! Used with `isolation = "request"`, which creates an instance for each request. The component is
//! instrumented, configured once, and rewritten with the contents of its memories and globals at
//! that time. The guest must not remember anything that a new instance would not have, such as a
//! host resource. Neither may it remember anything that differs each time, such as a random number.
//! Called by `Plugin` off the worker threads, since it compiles twice.
//!
//! Everything except compiling happens in this process, outside the sandbox, and only for a file
//! that the compiler has accepted. Only one step runs at a time, whatever the number of plugins.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt as _;
use wasmtime::Store;
use wasmtime::component::{Instance, Lift, WasmList};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use super::host::State;
use crate::plugin::compile::encode;

/// Reasons why there is no snapshot, so that each instance has to be configured.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The component contains something that cannot be rewritten.
    #[error("its state cannot be kept: {0}")]
    Unsupported(String),
    /// The guest may remember something that a new instance does not have, or that differs in a new
    /// instance.
    #[error("while it is configured it {0}")]
    Impure(&'static str),
    /// The component cannot be configured at all. The cause is reported when an instance is
    /// started.
    #[error("it cannot be configured")]
    Refused,
}

impl SnapshotError {
    pub(super) fn unsupported(error: impl Display) -> SnapshotError {
        SnapshotError::Unsupported(format!("{error:#}"))
    }
}

/// Rewrites the component in `file` to its state after `configure`.
///
/// The closure receives an instrumented copy of the component, runs its `configure`, and returns
/// the instance and its store.
pub(super) fn component<T>(
    file: &[u8],
    configure: impl FnOnce(&[u8]) -> Result<(Store<State>, Instance, T), SnapshotError>,
) -> Result<(Vec<u8>, T), SnapshotError> {
    let wizer = Wizer::new();
    let written = catch_unwind(AssertUnwindSafe(|| {
        let component = alone(|| encode::component(file))?;
        let (context, instrumented) = alone(|| wizer.instrument_component(&component))?;
        let (mut store, instance, answer) = configure(&instrumented)?;
        let mut access = Access {
            store: &mut store,
            instance,
            failure: None,
        };
        let written = alone(|| {
            let written = wizer.snapshot_component(&context, &mut access);
            let written = written.now_or_never();
            written.unwrap_or_else(|| Err(wasmtime::format_err!("it waits")))
        })?;
        match access.failure {
            Some(failure) => Err(SnapshotError::Unsupported(failure)),
            None => Ok((written, answer)),
        }
    }));
    // Wizer may panic on components that it cannot write.
    written.unwrap_or_else(|_| {
        Err(SnapshotError::unsupported(
            "a component of this kind cannot be rewritten",
        ))
    })
}

/// Runs one step while no other step runs, since each can need several times the file's size in
/// memory.
fn alone<T, E: Display>(step: impl FnOnce() -> Result<T, E>) -> Result<T, SnapshotError> {
    static ALONE: Mutex<()> = Mutex::new(());
    let _guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    step().map_err(SnapshotError::unsupported)
}

/// Reads memories and globals through the functions that the instrumentation added to the
/// component.
struct Access<'a> {
    store: &'a mut Store<State>,
    instance: Instance,
    failure: Option<String>,
}

impl Access<'_> {
    fn call<R: Lift + 'static>(&mut self, instance: &str, function: &str) -> Option<R> {
        let called = self.try_call(instance, function);
        called
            .inspect_err(|error| self.failure = Some(format!("{error:#}")))
            .ok()
    }

    fn try_call<R: Lift + 'static>(
        &mut self,
        instance: &str,
        function: &str,
    ) -> wasmtime::Result<R> {
        let missing = || wasmtime::format_err!("there is no {instance}#{function}");
        let index = self
            .instance
            .get_export_index(&mut *self.store, None, instance);
        let index = index.ok_or_else(missing)?;
        let index = self
            .instance
            .get_export_index(&mut *self.store, Some(&index), function)
            .ok_or_else(missing)?;
        let function = self
            .instance
            .get_typed_func::<(), (R,)>(&mut *self.store, index)?;
        Ok(function.call(&mut *self.store, ())?.0)
    }
}

impl ComponentInstanceState for Access<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        if let Some(list) = self.call::<WasmList<u8>>(instance, func) {
            contents(list.as_le_slice(&*self.store));
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.call(instance, func).unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.call(instance, func).unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.call(instance, func).map_or(0, f32::to_bits)
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.call(instance, func).map_or(0, f64::to_bits)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn steps_are_done_one_at_a_time_whether_or_not_one_panics() {
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            for number in 0..8 {
                let done = &done;
                scope.spawn(move || {
                    let step = catch_unwind(|| {
                        alone(|| {
                            let before = done.load(Ordering::Relaxed);
                            thread::yield_now();
                            done.store(before + 1, Ordering::Relaxed);
                            assert_ne!(number, 3, "one of them panics");
                            Err::<(), _>("refused")
                        })
                    });
                    assert_eq!(step.is_err(), number == 3);
                });
            }
        });
        assert_eq!(done.into_inner(), 8);
    }
}
