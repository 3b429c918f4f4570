//! A proxy-wasm plugin (ABI 0.2.1) that makes the choice of `host-suffix` inside Envoy.
//!
//! It is as lean as the ABI allows, so that the comparison is with the cost of proxy-wasm: no
//! allocator, no SDK, one field read and one written. A plugin cannot name a cluster, so it sets
//! `x-backend`, which the route matches on: Envoy selects the route again after a change. Built by
//! `cargo xtask bench`, for wasm32-unknown-unknown.

#![no_std]

use core::cell::UnsafeCell;
use core::ptr;

/// Suffix of Host, in lower case.
const SUFFIX: &[u8] = b"io.test.tld";
/// `proxy_header_map_type_t` of the request's head.
const REQUEST_HEADERS: u32 = 0;
/// `proxy_status_t` for success.
const OK: u32 = 0;
/// `proxy_action_t` that continues the request.
const CONTINUE: u32 = 0;
/// Longest Host; Envoy accepts no head above 60 KiB.
const ROOM: usize = 64 * 1024;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        key_length: usize,
        value: *mut *const u8,
        value_length: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_length: usize,
        value: *const u8,
        value_length: usize,
    ) -> u32;
}

/// Buffer for values from Envoy: one at a time, used before the next is requested.
struct Scratch(UnsafeCell<[u8; ROOM]>);

// SAFETY: a WebAssembly instance has one thread.
unsafe impl Sync for Scratch {}

static SCRATCH: Scratch = Scratch(UnsafeCell::new([0; ROOM]));

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    if size <= ROOM {
        SCRATCH.0.get().cast()
    } else {
        ptr::null_mut()
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(_context: u32, _parent: u32) {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_context: u32, _configuration: usize) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(_context: u32, _configuration: usize) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(_context: u32, _fields: u32, _end_of_stream: u32) -> u32 {
    let backend: &[u8] = if authority().is_some_and(ends_in_suffix) {
        b"node"
    } else {
        b"www"
    };
    let key = b"x-backend";
    // SAFETY: each pointer has the length of its target, which lives long enough.
    unsafe {
        proxy_replace_header_map_value(
            REQUEST_HEADERS,
            key.as_ptr(),
            key.len(),
            backend.as_ptr(),
            backend.len(),
        );
    }
    CONTINUE
}

/// Returns the request's Host, which is valid until the next value is requested.
fn authority() -> Option<&'static [u8]> {
    let key = b":authority";
    let mut value = ptr::null();
    let mut length = 0;
    // SAFETY: the pointers have their lengths. On success Envoy has written `length` bytes to the
    // memory that `proxy_on_memory_allocate` returned.
    unsafe {
        let status = proxy_get_header_map_value(
            REQUEST_HEADERS,
            key.as_ptr(),
            key.len(),
            &mut value,
            &mut length,
        );
        (status == OK && !value.is_null()).then(|| core::slice::from_raw_parts(value, length))
    }
}

fn ends_in_suffix(host: &[u8]) -> bool {
    host.len()
        .checked_sub(SUFFIX.len())
        .is_some_and(|start| host[start..].eq_ignore_ascii_case(SUFFIX))
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
