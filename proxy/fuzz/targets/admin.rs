//! Bytes that arrive on the admin interface's socket.

#![no_main]

use std::cell::OnceCell;

use libfuzzer_sys::fuzz_target;
use pointsman::fuzzing::AdminHarness;

thread_local! {
    static HARNESS: OnceCell<AdminHarness> = const { OnceCell::new() };
}

fuzz_target!(
    |bytes: &[u8]| HARNESS.with(|harness| harness.get_or_init(AdminHarness::new).take(bytes))
);
