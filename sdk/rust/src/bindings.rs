//! The contract, as wit-bindgen has it. Converted from and to by `guest`, called by `head`.

wit_bindgen::generate!({
    world: "router",
    path: "wit",
    pub_export_macro: true,
    default_bindings_module: "pointsman_sdk::bindings",
});
