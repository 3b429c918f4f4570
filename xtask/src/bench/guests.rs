//! Hostile plugins, which run on another frontend while one frontend is measured.
//!
//! Owns the configuration of each. They are the tests' guests, as `cargo xtask plugins` builds
//! them. Used by `workloads`, `peers` and `load`.

/// A frontend's plugin, and the changes made to it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    /// Name of the guest's row.
    pub(crate) name: &'static str,
    /// The guest that the proxy starts with.
    pub(crate) plugin: &'static str,
    /// `router.config`.
    pub(crate) config: &'static str,
    /// Other keys of the frontend.
    pub(crate) keys: &'static str,
    /// The guest that repeatedly replaces `plugin`, or that the proxy refuses each time.
    pub(crate) swap: Option<&'static str>,
}

impl Guest {
    const fn wasi(name: &'static str, config: &'static str) -> Self {
        Self {
            name,
            plugin: "guest-wasi",
            config,
            keys: "",
            swap: None,
        }
    }

    const fn hostile(name: &'static str, config: &'static str) -> Self {
        Self {
            name,
            plugin: "guest-hostile",
            config,
            keys: "",
            swap: None,
        }
    }
}

/// All hostile plugins. None of them misbehaves on the request that the plugin host itself makes
/// first.
pub(crate) const ALL: &[Guest] = &[
    Guest::hostile("spinner", "{ mode = \"spin\", spare_probe = true }"),
    Guest::wasi("sleeper", "{ route = [{ sleep = 9 }], spare_probe = true }"),
    Guest::wasi(
        "configure-sleeper",
        "{ configure = [{ sleep = 1000 }], route = [\"exit\"], spare_probe = true }",
    ),
    Guest {
        keys: "router.isolation = \"request\"",
        ..Guest::wasi(
            "configure-sleeper-request",
            "{ configure = [{ sleep = 1000 }], spare_probe = true }",
        )
    },
    Guest::wasi(
        "configure-spinner",
        "{ configure = [{ spin = 1000 }], route = [\"exit\"], spare_probe = true }",
    ),
    Guest::wasi(
        "newline-flood",
        "{ route = [{ print-newlines = 1000000 }], spare_probe = true }",
    ),
    Guest::hostile(
        "log-flood",
        "{ mode = \"log-flood\", value = 100000, spare_probe = true }",
    ),
    Guest::hostile(
        "handle-hoarder",
        "{ mode = \"keep-handles\", spare_probe = true }",
    ),
    Guest::wasi(
        "timer-hoarder",
        "{ route = [{ hoard = 1000 }], spare_probe = true }",
    ),
    Guest {
        keys: "router.isolation = \"request\"",
        swap: Some("guest-tables"),
        ..Guest::hostile("table-hoarder", "{ mode = \"harmless\" }")
    },
    Guest {
        swap: Some("guest-bomb"),
        ..Guest::hostile("compile-bomb", "{ mode = \"harmless\" }")
    },
];
