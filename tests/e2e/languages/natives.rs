//! The SDKs' own tests, each with the test tool of its language. The Rust SDK's tests run with the
//! workspace.

use super::place::{Place, output, root, tell};

fn run(folder: &str, script: &str) -> anyhow::Result<()> {
    let place = Place::new()?;
    let mut command = place.command("bash");
    command
        .args(["-euc", script])
        .current_dir(root().join("sdk").join(folder));
    tell(&output(&mut command)?);
    Ok(())
}

#[test]
fn javascript() -> anyhow::Result<()> {
    run("javascript", "npm test")
}

#[test]
fn python() -> anyhow::Result<()> {
    run("python", "python3 -B -m unittest discover tests")
}

#[test]
fn go() -> anyhow::Result<()> {
    run("go", "go vet ./... && go test ./...")
}

#[test]
fn c_and_cpp() -> anyhow::Result<()> {
    run("c/tests", "make test")
}

#[test]
fn zig() -> anyhow::Result<()> {
    run("zig", "python3 -m ziglang test pointsman.zig")
}
