//! The command line of the real binary: what it prints to which stream, and its exit codes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// The configuration of the how-to, with other ports.
const GOOD: &str = r#"
[frontend.http-in]
bind = "127.0.0.1:0"
default_backend = "www_backend"
router.plugin = "host-suffix"
router.config.rules = [{ suffix = "io.test.tld", backend = "node_backend" }]

[backend.www_backend]
server.www_test = "127.0.0.1:9010"

[backend.node_backend]
server.node_test = "127.0.0.1:9000"
"#;

/// Result of a run of the binary.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// The working directory of the binary, with a configuration.
struct Place(TempDir);

impl Place {
    fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("pointsman.toml"), config).unwrap();
        Self(directory)
    }

    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            // Keeps compiled plugins in the test's directory.
            .env("XDG_CACHE_HOME", self.0.path())
            .output()
            .unwrap();
        let run = Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!run.stderr.contains("panicked"), "{run:?}");
        run
    }

    /// Runs the binary, which must succeed and write only to standard output.
    fn prints(&self, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.code, Some(0), "{arguments:?}: {run:?}");
        assert_eq!(run.stderr, "", "{arguments:?}");
        run.stdout
    }

    /// Runs the binary, which must exit with `code` and write only to standard error.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.code, Some(code), "{arguments:?}: {run:?}");
        assert_eq!(run.stdout, "", "{arguments:?}");
        run.stderr
    }

    /// Like [`Place::fails`], for a run that has started to log.
    fn fails_log(&self, code: i32, arguments: &[&str]) -> String {
        let run = self.run(arguments);
        assert_eq!(run.code, Some(code), "{run:?}");
        run.stderr
    }
}

#[test]
fn version_and_help() {
    let place = Place::empty();
    for flag in ["--version", "-V"] {
        let text = place.prints(&[flag]);
        assert_eq!(text, format!("pointsman {}\n", env!("CARGO_PKG_VERSION")));
    }
    let check = |arguments: &[&str], parts: &[&str]| {
        let text = place.prints(arguments);
        for part in parts {
            assert!(text.contains(part), "{arguments:?}: no {part:?} in\n{text}");
        }
    };
    let commands = ["run", "check", "route", "demo", "--version", "Usage:"];
    check(&["--help"], &commands);
    check(&["-h"], &commands);
    check(&["help"], &commands);
    check(
        &["--help"],
        &["Exit codes:", "  0 ", "  1 ", "  2 ", "  3 ", "  64 "],
    );
    check(
        &["run", "--help"],
        &[
            "SIGTERM",
            "timeout.drain",
            "-c, --config <FILE>",
            "pointsman.toml",
        ],
    );
    check(
        &["check", "--help"],
        &["-c, --config <FILE>", "pointsman.toml"],
    );
    check(
        &["route", "--help"],
        &[
            "-c, --config <FILE>",
            "-H, --header <NAME: VALUE>",
            "--json",
            "[METHOD]",
            "[TARGET]",
        ],
    );
    check(&["demo", "--help"], &["--port <PORT>", "8080"]);
}

#[test]
fn an_invalid_command_line_exits_2() {
    let place = Place::new(GOOD);
    let check = |arguments: &[&str], part: &str| {
        let text = place.fails(2, arguments);
        assert!(text.contains(part), "{arguments:?}: {text}");
    };
    check(&[], "Usage:");
    check(&["--unknown"], "--unknown");
    check(&["serve"], "serve");
    check(&["run", "--unknown"], "--unknown");
    check(&["check", "extra"], "extra");
    check(&["run", "-c"], "--config");
    check(&["demo", "--port", "65536"], "65536");
    check(&["route", "-H", "no colon"], "Name: value");
    check(&["route", "-H", "bad name: 1"], "header");
    check(&["route", "-H", "a: b\nc"], "header");
    check(&["route", "B A D"], "B A D");
    check(&["route", "--client", "nobody"], "nobody");
    check(&["route", "--http-version", "3"], "possible values: 1.0");
    check(&["route", "--scheme", "ftp"], "possible values: http");
}

#[test]
fn check_prints_nothing_if_all_is_well() {
    let place = Place::new(GOOD);
    assert_eq!(place.prints(&["check"]), "");
    fs::rename(place.path("pointsman.toml"), place.path("other.toml")).unwrap();
    assert_eq!(place.prints(&["check", "-c", "other.toml"]), "");
    assert_eq!(place.prints(&["check", "--config", "other.toml"]), "");
}

#[test]
fn check_opens_no_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let place = Place::new(&GOOD.replace("127.0.0.1:0", &taken));
    assert_eq!(place.prints(&["check"]), "");
    let text = place.fails_log(1, &["run"]);
    assert!(text.contains("in use") && text.contains(&taken), "{text}");
}

#[test]
fn every_mistake_is_reported_at_once() {
    let bad = GOOD
        .replace(
            "default_backend = \"www_backend\"",
            "default_backend = \"ww_backend\"\nbacklog = \"many\"",
        )
        .replace(
            "server.www_test = \"127.0.0.1:9010\"",
            "sevrer.www_test = \"127.0.0.1:9010\"",
        )
        .replace("127.0.0.1:9000\"", "127.0.0.1:9000\"\ntimeout.connect = 5");
    let place = Place::new(&bad);
    for command in ["check", "run", "route"] {
        let text = place.fails(64, &[command]);
        for part in [
            "pointsman.toml:4:",
            "did you mean `\"www_backend\"`",
            "pointsman.toml:5:",
            "frontend.http-in.backlog",
            "sevrer",
            "pointsman.toml:14:",
            "backend.node_backend.timeout.connect",
        ] {
            assert!(text.contains(part), "{command}: no {part:?} in\n{text}");
        }
    }
}

#[test]
fn mistakes_that_a_plugin_reports_are_shown_in_the_configuration() {
    let place = Place::new(&GOOD.replace("suffix =", "sufix ="));
    for command in ["check", "run", "route"] {
        let text = place.fails(64, &[command]);
        for part in [
            "pointsman.toml:6:",
            "frontend.http-in.router.config",
            "sufix",
        ] {
            assert!(text.contains(part), "{command}: no {part:?} in\n{text}");
        }
    }
    let place = Place::new(&GOOD.replace("\"host-suffix\"", "\"./absent.wasm\""));
    for command in ["check", "run", "route"] {
        let text = place.fails(64, &[command]);
        for part in ["pointsman.toml:5:", "frontend.http-in.router.plugin"] {
            assert!(text.contains(part), "{command}: no {part:?} in\n{text}");
        }
    }
}

/// Every plugin of a router is tried out, because each of them can be wrong.
#[test]
fn every_plugin_of_a_router_is_tried_out() {
    let list = |first: &str, second: &str| {
        let one = "router.plugin = \"host-suffix\"\nrouter.config.rules = [{ suffix = \"io.test.tld\", backend = \"node_backend\" }]";
        assert!(GOOD.contains(one));
        Place::new(&GOOD.replace(one, &format!("router = [\n{first},\n{second},\n]")))
    };
    let first = "{ plugin = \"host-suffix\", config.rules = [{ sufix = \"a\", backend = \"b\" }] }";
    let second = "{ plugin = \"./absent.wasm\" }";
    let place = list(first, second);
    for command in ["check", "run", "route"] {
        let text = place.fails(64, &[command]);
        for part in [
            "pointsman.toml:6:",
            "frontend.http-in.router[0].config",
            "pointsman.toml:7:",
            "frontend.http-in.router[1].plugin",
        ] {
            assert!(text.contains(part), "{command}: no {part:?} in\n{text}");
        }
    }
    let open = "{ name = \"list\", plugin = \"address-list\", config.default = \"allow\", on_fault = \"next\" }";
    let good = "{ plugin = \"host-suffix\", config.rules = [] }";
    let run = list(good, open).run(&["check"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    assert!(
        run.stderr
            .starts_with("http-in: list: warn  every client is let in"),
        "{run:?}"
    );
    assert!(run.stderr.ends_with(" on_fault=next\n"), "{run:?}");
    let text = list(good, second).fails(64, &["check"]);
    assert!(
        text.contains("router[1].plugin") && !text.contains("router[0]"),
        "{text}"
    );
    assert!(
        list(good, open)
            .prints(&["route"])
            .contains("www_backend (default-backend)")
    );
}

/// One run reports everything: mistakes in the file, in the machine's setup and in the plugins.
#[test]
fn mistakes_of_every_kind_are_reported_at_once() {
    let top = r#"
user = "1000"
group = "no-group-of-this-name"
log.target = "/no/folder/log"
admin.socket = "no-folder/a.sock"
admin.address = "127.0.0.1:6080"
"#;
    let bad = GOOD
        .replace(
            "\"127.0.0.1:0\"",
            "[\"*:6080\", \"no-such-name.invalid:80\"]",
        )
        .replace("suffix =", "sufix =")
        .replace("server.www_test", "sevrer.www_test");
    let place = Place::new(&format!("{top}{bad}"));
    let parts = [
        (
            "pointsman.toml:2:8",
            "`user` is a number, not the name of a user",
        ),
        (
            "pointsman.toml:3:9",
            "there is no group `no-group-of-this-name`",
        ),
        (
            "pointsman.toml:4:14",
            "`log.target`: the folder /no/folder cannot be used",
        ),
        (
            "pointsman.toml:5:16",
            "`admin.socket`: the folder no-folder cannot be used",
        ),
        (
            "pointsman.toml:6:17",
            "127.0.0.1:6080 and 0.0.0.0:6080 of `frontend.http-in.bind` overlap",
        ),
        (
            "pointsman.toml:9:1",
            "`frontend.http-in.bind`: cannot resolve `no-such-name.invalid`",
        ),
        ("pointsman.toml:12:34", "sufix"),
        ("pointsman.toml:15:1", "sevrer"),
    ];
    for command in ["check", "run"] {
        let text = place.fails(64, &[command]);
        let mut rest = text.as_str();
        for (at, part) in parts {
            // The errors come in the order of the file.
            let found = rest.find(part);
            let found =
                found.unwrap_or_else(|| panic!("{command}: no {part:?} in\n{rest}\nof\n{text}"));
            rest = &rest[found..];
            let place = rest.lines().find(|line| line.contains("--> "));
            let place = place.unwrap_or_default();
            assert!(
                place.contains(at),
                "{command}: {part:?} at {place}, not {at}:\n{text}"
            );
        }
    }
}

#[test]
fn a_bad_file_binds_nothing() {
    let unix = |config: &str| {
        let place = Place::new(&config.replace("127.0.0.1:0", "unix:p.sock"));
        let text = place.fails(64, &["run"]);
        assert!(!place.path("p.sock").exists(), "{text}");
        assert!(!text.contains("listening"), "{text}");
    };
    unix(&GOOD.replace("www_backend\"", "nowhere\""));
    unix(&GOOD.replace("suffix =", "sufix ="));
    let required = GOOD.replace("127.0.0.1:9010", "no-such-name.invalid:9010");
    unix(&required.replace(
        "[backend.www_backend]",
        "[backend.www_backend]\nresolve.init = \"required\"",
    ));
}

#[test]
fn a_name_without_an_address_is_a_warning() {
    let place = Place::new(&GOOD.replace("127.0.0.1:9010", "no-such-name.invalid:9010"));
    let run = place.run(&["check"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let text = run.stderr + &run.stdout;
    assert!(text.contains("no-such-name.invalid:9010"), "{text}");
    assert!(text.contains("cannot be resolved"), "{text}");
}

#[test]
fn a_file_that_cannot_be_read_exits_64() {
    let place = Place::empty();
    fs::create_dir(place.path("folder")).unwrap();
    fs::write(place.path("binary"), [0xff, 0xfe, 0]).unwrap();
    for command in ["check", "run", "route"] {
        let text = place.fails(64, &[command]);
        assert!(text.contains("pointsman.toml"), "{text}");
        for file in ["absent.toml", "folder", "binary"] {
            let text = place.fails(64, &[command, "-c", file]);
            assert!(text.contains(file), "{text}");
        }
    }
}

#[test]
fn route_explains_a_decision() {
    let place = Place::new(GOOD);
    let text = place.prints(&["route", "-H", "Host: io.test.tld"]);
    let line = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
            .trim()
    };
    assert_eq!(line("decision"), "node_backend (backend)");
    assert_eq!(line("frontend"), "http-in");
    assert_eq!(line("plugin"), "host-suffix");
    assert!(line("read").to_ascii_lowercase().contains("host"), "{text}");
    assert_eq!(line("cacheable"), "yes");
    assert!(line("time").contains("at first"), "{text}");
}

#[test]
fn route_prints_json() {
    let place = Place::new(GOOD);
    let json = |arguments: &[&str]| -> Value {
        let text = place.prints(&[&["route", "--json"], arguments].concat());
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let report = json(&["-H", "Host: IO.test.tld", "POST", "/a?b"]);
    assert_eq!(report["frontend"], "http-in");
    assert_eq!(report["plugin"], "host-suffix");
    assert_eq!(report["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(report["decision"], "backend");
    assert_eq!(report["backend"], "node_backend");
    assert_eq!(report["reads"].as_array().unwrap().len(), 1);
    assert!(report["first_ns"].as_u64().unwrap() > 0);
    assert!(report["median_ns"].as_u64().unwrap() > 0);
    assert!(report["cached_ns"].as_u64().unwrap() > 0);

    let backend = |arguments: &[&str]| json(arguments)["backend"].clone();
    assert_eq!(backend(&[]), "www_backend");
    assert_eq!(
        backend(&["GET", "/", "-H", "Host: www.test.tld"]),
        "www_backend"
    );
    // The host of a full URL overrides the Host field.
    assert_eq!(backend(&["GET", "http://io.test.tld/"]), "node_backend");
    assert_eq!(
        backend(&["GET", "http://io.test.tld/", "-H", "Host: www.test.tld"]),
        "node_backend"
    );

    // The proxy would reject this request, so the plugin is not called.
    let report = json(&["-H", "Host: a", "-H", "Host: b"]);
    assert_eq!(report["decision"], "refused");
    assert_eq!(report["status"], 400);
    assert_eq!(report["backend"], Value::Null);
}

#[test]
fn route_shows_the_plugins_response() {
    let place = Place::new(&GOOD.replace("\"host-suffix\"", "\"maintenance\"").replace(
        "rules = [{ suffix = \"io.test.tld\", backend = \"node_backend\" }]",
        "body = \"closed\\n\"\nrouter.config.retry_after = 600\nrouter.config.paths = [\"/a\"]",
    ));
    let text = place.prints(&["route"]);
    for part in [
        "decision  respond 503\n",
        "response  503\n          ",
        "\n          retry-after: 600\n",
        "\n\n          closed\n",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let report: Value = serde_json::from_str(&place.prints(&["route", "--json"])).unwrap();
    let response = &report["response"];
    assert_eq!(response["status"], 503);
    assert_eq!(response["body"], "closed\n");
    let headers = response["headers"].as_array().unwrap();
    assert!(
        headers.contains(&serde_json::json!(["retry-after", "600"])),
        "{report}"
    );
    let report: Value =
        serde_json::from_str(&place.prints(&["route", "--json", "GET", "/a"])).unwrap();
    assert_eq!(report["response"], Value::Null);
}

#[test]
fn route_normalizes_the_path_as_the_proxy_does() {
    let place = |line: &str| {
        let config = GOOD.replace("host-suffix\"", &format!("path-prefix\"\n{line}"));
        Place::new(
            &config
                .replace("suffix =", "prefix =")
                .replace("io.test.tld", "/admin"),
        )
    };
    let ask = |place: &Place, target: &str| -> Value {
        serde_json::from_str(&place.prints(&["route", "--json", "GET", target])).unwrap()
    };
    let (off, on) = (place(""), place("http.normalize_path = true"));
    assert_eq!(ask(&off, "//%61dmin")["backend"], "www_backend");
    assert_eq!(ask(&on, "//%61dmin")["backend"], "node_backend");
    assert_eq!(ask(&off, "/%")["backend"], "www_backend");
    assert_eq!(ask(&on, "/%")["status"], 400);
}

/// A body that exceeds `routing.body.size` is reported as rejected, as the proxy would reject it.
/// The router is not called.
#[test]
fn route_reports_a_body_that_is_too_large() {
    let place = |too_large: &str| {
        let body = format!("routing.body = {{ size = \"7B\", too_large = \"{too_large}\" }}\n");
        Place::new(&GOOD.replace("router.plugin", &(body + "router.plugin")))
    };
    let (reject, route) = (place("reject"), place("route"));
    let check = |place: &Place, media_type: &str, body: &str, status: Value| {
        let media_type = format!("Content-Type: {media_type}");
        let flags = ["route", "--json", "-H", "Host: io.test.tld"];
        let request = ["-H", &media_type, "--body", body, "POST", "/"];
        let text = place.prints(&[&flags[..], &request].concat());
        let report: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["status"], status, "{media_type} {body}: {report:#}");
        let (decision, backend) = if status.is_null() {
            ("backend", Value::from("node_backend"))
        } else {
            ("refused", Value::Null)
        };
        assert_eq!(report["decision"], decision, "{media_type} {body}");
        assert_eq!(report["backend"], backend, "{media_type} {body}");
        assert_eq!(report["plugin"].is_null(), !status.is_null(), "{report:#}");
    };
    check(&reject, "application/json", "{\"a\": 1}", 413.into());
    check(&reject, "application/json", "{\"a\":1}", Value::Null);
    // The router does not wait for a body of this type.
    check(&reject, "text/plain", "{\"a\": 1}", Value::Null);
    check(&route, "application/json", "{\"a\": 1}", Value::Null);
}

#[test]
fn route_needs_a_frontend_if_there_are_several() {
    let other = r#"
[frontend.other]
bind = "127.0.0.1:0"
default_backend = "node_backend"
router.plugin = "host-suffix"
router.config.rules = []
"#;
    let place = Place::new(&format!("{GOOD}{other}"));
    let text = place.fails(1, &["route"]);
    assert!(
        text.contains("--frontend") && text.contains("http-in, other"),
        "{text}"
    );
    let text = place.fails(1, &["route", "--frontend", "absent"]);
    assert!(
        text.contains("absent") && text.contains("http-in, other"),
        "{text}"
    );
    let text = place.prints(&["route", "-f", "other"]);
    assert!(text.contains("node_backend (default-backend)"), "{text}");
}

#[test]
fn demo_reports_that_its_port_is_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let run = Place::empty().run(&["demo", "--port", &port]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("in use"), "{run:?}");
    // The output must not point to a page that does not exist.
    assert!(
        !run.stdout.contains(&format!("http://www.localhost:{port}")),
        "{run:?}"
    );
}

#[test]
fn tables_are_checked() {
    let table = "[table.tenants]\nfile = \"tenants.csv\"\nvalues = \"backends\"\n";
    let place = Place::new(&format!("{GOOD}{table}"));
    let check = |text: &str, expected: &str| {
        fs::write(place.path("tenants.csv"), text).unwrap();
        for command in ["check", "run", "route"] {
            let errors = place.fails(64, &[command]);
            let expected = format!("error: `table.tenants.file`: tenants.csv: {expected}");
            assert!(errors.contains(&expected), "{errors}");
        }
    };
    check(
        "a,www_backend\nb,w3\n",
        "line 2: the value `w3` of the key `b` is not a backend",
    );
    check(
        "a,www_backend\n\"b,www_backend\n",
        "line 2: the quoted field that begins here has no closing quote",
    );
    fs::write(place.path("tenants.csv"), "a,www_backend\n").unwrap();
    assert_eq!(place.prints(&["check"]), "");
}
