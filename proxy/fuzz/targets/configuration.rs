//! Configuration files: each is accepted, or rejected with a list of its mistakes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::fuzzing;

fuzz_target!(|text: &str| fuzzing::configuration(text));
