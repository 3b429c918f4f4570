//! Types and functions of `wit/router.wit`, generated.
//!
//! The only `bindgen!` of the host. `host` implements the imports; `instance` and the parent module
//! call the exports; `convert` translates the types. `host` links `questions` by hand.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "pointsman:router/router",
    imports: { default: trappable },
    with: {
        "pointsman:router/request.request-head": super::host::RequestHead,
    },
});

pub(super) use self::exports::pointsman::router::plugin::Decision as GuestDecision;
