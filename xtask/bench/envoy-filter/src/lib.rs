//! A proxy-wasm plugin (ABI 0.2.1) that makes `host-suffix`'s choice inside of Envoy.
//!
//! As lean as the ABI lets one be, so that the comparison is with what proxy-wasm costs: no
//! allocator, no SDK, one field read and one written. A plugin cannot name a cluster, so it
//! sets `x-backend`, which the route matches on: Envoy chooses the route anew after a change.
//! Built by `cargo xtask bench`, for wasm32-unknown-unknown.

#![no_std]

use core::cell::UnsafeCell;
use core::ptr;

/// What a Host must end in, in lower case.
const SUFFIX: &[u8] = b"io.test.tld";
/// `proxy_header_map_type_t`: the request's head.
const REQUEST_HEADERS: u32 = 0;
/// `proxy_status_t`: done.
const OK: u32 = 0;
/// `proxy_action_t`: go on with the request.
const CONTINUE: u32 = 0;
/// Longest Host; Envoy takes no head above 60 KiB.
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

/// Where Envoy puts what it hands over: one value at a time, used before the next is asked for.
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
    // SAFETY: each pointer comes with the length of what it points to, and lives long enough.
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

/// The request's Host; valid until the next value is asked for.
fn authority() -> Option<&'static [u8]> {
    let key = b":authority";
    let mut value = ptr::null();
    let mut length = 0;
    // SAFETY: the pointers come with their lengths; on success Envoy has written `length`
    // bytes to what `proxy_on_memory_allocate` gave it.
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
