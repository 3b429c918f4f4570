//! The Python for tests, with the packages from PyPI that they need.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, ensure};

/// Returns the Python for which `cargo xtask test` has installed packages.
///
/// # Errors
/// Fails if that Python is not there.
pub fn python() -> anyhow::Result<PathBuf> {
    if let Some(named) = env::var_os("POINTSMAN_TEST_PYTHON") {
        return Ok(named.into());
    }
    // The tests are in target/PROFILE/deps/e2e-HASH.
    let python = env::current_exe()?
        .ancestors()
        .nth(3)
        .context("this test is not in a target directory")?
        .join("tools/venv/bin/python");
    ensure!(
        python.is_file(),
        "{} is not there: `cargo xtask test` installs it, or set POINTSMAN_TEST_PYTHON",
        python.display()
    );
    Ok(python)
}
