//! Configuration files: every one is taken or refused with its mistakes shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::fuzzing;

fuzz_target!(|text: &str| fuzzing::configuration(text));
