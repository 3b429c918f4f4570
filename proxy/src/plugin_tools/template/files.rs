//! Files of new projects, by language, from `sdk/`.
//!
//! A test compares them with that folder. Called by `template`.

use super::{Files, Folder};
use crate::plugin_tools::project::Language;

/// Expands to a folder's files, each with its path within the folder.
macro_rules! folder {
    ($name:literal: $($path:literal)*) => {
        Folder {
            name: $name,
            files: &[$(($path, include_bytes!(concat!("../../../../", $name, "/", $path)))),*],
        }
    };
}

/// Returns the files of a new project in `language`, except the contract and the cases.
pub(super) fn of(language: Language) -> Files {
    match language {
        Language::Rust => Files {
            template: folder! { "sdk/rust/template":
                ".gitignore"
                "Cargo.toml"
                "README.md"
                "plugin.toml"
                "src/lib.rs"
            },
            sdk: RUST_SDK,
        },
        Language::JavaScript => Files {
            template: folder! { "sdk/javascript/template":
                ".gitignore"
                "README.md"
                "package-lock.json"
                "package.json"
                "plugin.toml"
                "src/plugin.js"
                "test/plugin.test.js"
            },
            sdk: JAVASCRIPT_SDK,
        },
        Language::TypeScript => Files {
            template: folder! { "sdk/javascript/template-ts":
                ".gitignore"
                "README.md"
                "package-lock.json"
                "package.json"
                "plugin.toml"
                "src/plugin.ts"
                "test/plugin.test.ts"
                "test/tsconfig.json"
                "tsconfig.json"
            },
            sdk: JAVASCRIPT_SDK,
        },
        Language::Python => Files {
            template: folder! { "sdk/python/template":
                ".gitignore"
                "README.md"
                "plugin.py"
                "plugin.toml"
                "requirements.txt"
                "test_plugin.py"
            },
            sdk: PYTHON_SDK,
        },
        Language::Go => Files {
            template: folder! { "sdk/go/template":
                ".gitignore"
                "README.md"
                "go.mod"
                "plugin.go"
                "plugin.toml"
                "plugin_test.go"
            },
            sdk: GO_SDK,
        },
        Language::C => Files {
            template: folder! { "sdk/c/template":
                ".gitignore"
                "Makefile"
                "README.md"
                "plugin.c"
                "plugin.toml"
                "plugin_test.c"
            },
            sdk: C_SDK,
        },
        Language::Cpp => Files {
            template: folder! { "sdk/c/template-cpp":
                ".gitignore"
                "Makefile"
                "README.md"
                "plugin.cpp"
                "plugin.toml"
                "plugin_test.cpp"
            },
            sdk: C_SDK,
        },
        Language::Zig => Files {
            template: folder! { "sdk/zig/template":
                ".gitignore"
                "README.md"
                "build.zig"
                "plugin.toml"
                "plugin.zig"
            },
            sdk: ZIG_SDK,
        },
    }
}

const RUST_SDK: Folder = folder! { "sdk/rust":
    "Cargo.toml"
    "README.md"
    "src/backends.rs"
    "src/bindings.rs"
    "src/clock.rs"
    "src/config.rs"
    "src/decision.rs"
    "src/error.rs"
    "src/guest.rs"
    "src/head.rs"
    "src/head/effects.rs"
    "src/head/memory.rs"
    "src/head/proxy.rs"
    "src/lib.rs"
    "src/log.rs"
    "src/matching.rs"
    "src/network.rs"
    "src/questions.rs"
    "src/random.rs"
    "src/request.rs"
    "src/syntax.rs"
    "src/testing.rs"
    "src/testing/part.rs"
    "src/testing/question.rs"
    "src/testing/request.rs"
};

const JAVASCRIPT_SDK: Folder = folder! { "sdk/javascript":
    "README.md"
    "config.d.ts"
    "config.js"
    "index.d.ts"
    "index.js"
    "package.json"
    "questions.d.ts"
    "request.d.ts"
    "src/backends.js"
    "src/console.js"
    "src/decision.js"
    "src/double.js"
    "src/errors.js"
    "src/log.js"
    "src/numbers.js"
    "src/octets.js"
    "src/plugin.js"
    "src/proxy.js"
    "src/questions.js"
    "src/random.js"
    "src/request.js"
    "testing.d.ts"
    "testing.js"
    "testing/backends.js"
    "testing/head.js"
    "testing/json.js"
    "testing/parts.js"
    "testing/questions.js"
    "testing/syntax.js"
};

const PYTHON_SDK: Folder = folder! { "sdk/python":
    "README.md"
    "bindings/componentize_py_runtime.pyi"
    "bindings/componentize_py_types.py"
    "bindings/wit_world/__init__.py"
    "bindings/wit_world/exports/__init__.py"
    "bindings/wit_world/exports/plugin.py"
    "bindings/wit_world/imports/__init__.py"
    "bindings/wit_world/imports/backends.py"
    "bindings/wit_world/imports/log.py"
    "bindings/wit_world/imports/questions.py"
    "bindings/wit_world/imports/request.py"
    "pointsman/__init__.py"
    "pointsman/_config.py"
    "pointsman/_contract.py"
    "pointsman/_decision.py"
    "pointsman/_plugin.py"
    "pointsman/_random.py"
    "pointsman/_request.py"
    "pointsman/backends.py"
    "pointsman/log.py"
    "pointsman/py.typed"
    "pointsman/questions.py"
    "pointsman/testing/__init__.py"
    "pointsman/testing/_backends.py"
    "pointsman/testing/_head.py"
    "pointsman/testing/_parts.py"
    "pointsman/testing/_questions.py"
    "pointsman/testing/_syntax.py"
    "pointsman_component.py"
};

const GO_SDK: Folder = folder! { "sdk/go":
    "README.md"
    "backend.go"
    "config.go"
    "connection.go"
    "decision.go"
    "double.go"
    "edit.go"
    "error.go"
    "go.mod"
    "guest_wasip1.go"
    "internal/json/json.go"
    "internal/proxy/backends_wasip1.go"
    "internal/proxy/connection_wasip1.go"
    "internal/proxy/double.go"
    "internal/proxy/double_edits.go"
    "internal/proxy/double_json.go"
    "internal/proxy/double_match.go"
    "internal/proxy/double_parts.go"
    "internal/proxy/double_questions.go"
    "internal/proxy/double_request.go"
    "internal/proxy/double_text.go"
    "internal/proxy/edits_wasip1.go"
    "internal/proxy/memory_wasip1.go"
    "internal/proxy/proxy.go"
    "internal/proxy/questions_wasip1.go"
    "internal/proxy/request_wasip1.go"
    "internal/proxy/results_wasip1.go"
    "internal/proxy/trap_wasip1.s"
    "log.go"
    "option.go"
    "pointsman.go"
    "pointsmantest/pointsmantest.go"
    "pointsmantest/request.go"
    "question.go"
    "random_wasip1.go"
    "request.go"
};

const C_SDK: Folder = folder! { "sdk/c":
    "README.md"
    "bindings/router.c"
    "bindings/router.h"
    "bindings/router_component_type.o"
    "pointsman.c"
    "pointsman.h"
    "pointsman.hpp"
    "pointsman.mk"
    "pointsman_config.c"
    "pointsman_config.hpp"
    "pointsman_cpp.cpp"
    "pointsman_edit.c"
    "pointsman_internal.h"
    "pointsman_json.c"
    "pointsman_libc.c"
    "pointsman_memory.c"
    "pointsman_questions.c"
    "pointsman_questions.h"
    "pointsman_questions.hpp"
    "pointsman_request.c"
    "pointsman_request.h"
    "pointsman_test.c"
    "pointsman_test.h"
    "pointsman_test_backends.c"
    "pointsman_test_edits.c"
    "pointsman_test_internal.h"
    "pointsman_test_matcher.c"
    "pointsman_test_parts.c"
    "pointsman_test_questions.c"
    "pointsman_test_reads.c"
    "pointsman_text.c"
    "pointsman_text.h"
    "toolchain.sh"
};

const ZIG_SDK: Folder = folder! { "sdk/zig":
    "README.md"
    "abi.zig"
    "build_plugin.zig"
    "config.zig"
    "double.zig"
    "double_edits.zig"
    "double_network.zig"
    "double_parts.zig"
    "double_questions.zig"
    "platform.wit"
    "platform_component_type.o"
    "pointsman.zig"
    "questions.zig"
    "questions_test.zig"
    "request.zig"
    "request_test.zig"
    "root.zig"
    "router_component_type.o"
    "testing.zig"
    "wasm.zig"
    "wasm_edits.zig"
    "wasm_questions.zig"
};
