//! Bytes that arrive on the admin interface's socket.

#![no_main]

use std::cell::OnceCell;

use libfuzzer_sys::fuzz_target;
use pointsman::fuzzing::Door;

thread_local! {
    static DOOR: OnceCell<Door> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| DOOR.with(|door| door.get_or_init(Door::new).take(bytes)));
