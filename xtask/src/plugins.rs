//! `cargo xtask plugins`: builds the bundled plugins and the tests' guests as components.
//!
//! Owns the list of packages that are guests, the paths of their components, and the check that a
//! committed component is up to date. Must not change a guest's behavior: the committed component
//! is the output of `cargo` and the encoder. Called by `main` and by `cargo xtask test`.

mod component;
mod derived;
mod sources;
pub(crate) mod toolchain;

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use sources::{Stamp, digest};
use toolchain::{TARGET, Toolchain, cargo};

/// Build profile of guests in the workspace's `Cargo.toml`.
const PROFILE: &str = "plugin";

/// Flags of `cargo xtask plugins`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build these packages; without names, build all under plugins/ and tests/guests/.
    names: Vec<String>,
    /// Leave the committed components alone, and fail if one does not match its sources.
    #[arg(long)]
    check: bool,
}

/// A package that is built as a component.
struct Guest {
    name: String,
    /// The package's folder.
    folder: PathBuf,
    /// The library target, after which cargo names the file.
    library: String,
    origin: Origin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Under `plugins/`: committed, and embedded in the binary.
    Bundled,
    /// Under `tests/guests/`: built only for tests.
    Test,
}

/// The workspace, as reported by `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

/// Builds every guest, and checks the committed components against their sources.
///
/// # Errors
/// Same as [`run`].
pub(crate) fn check() -> anyhow::Result<()> {
    run(&Options {
        names: Vec::new(),
        check: true,
    })
}

/// Runs the command.
///
/// # Errors
/// No toolchain, a guest that does not build or is not a component of the contract, or, with
/// `--check`, a committed component that is older than its sources.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let metadata = metadata()?;
    let guests = select(guests(&metadata)?, &options.names)?;
    let toolchain = toolchain::find()?;
    say(&format!("guests: {}", toolchain.version()))?;

    let wasm = metadata.target_directory.join("wasm");
    build(&toolchain, &metadata.workspace_root, &wasm, &guests)?;

    let folder = guests_folder(&metadata.target_directory);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut outdated = Vec::new();
    for guest in &guests {
        let core = wasm
            .join(TARGET)
            .join(PROFILE)
            .join(format!("{}.wasm", guest.library));
        let core = fs::read(&core).with_context(|| format!("cannot read {}", core.display()))?;
        let component =
            component::encode(&core).with_context(|| format!("{} is not a plugin", guest.name))?;
        let file = folder.join(format!("{}.wasm", guest.name));
        replace(&file, &component)?;
        say(&format!("{:>8} bytes  {}", component.len(), file.display()))?;
        for (name, derived) in derived::from(&guest.name, &component) {
            replace(&folder.join(format!("{name}.wasm")), &derived)?;
        }

        if guest.origin == Origin::Bundled {
            let stamp = Stamp::of(
                &metadata.workspace_root,
                &guest.folder,
                &component,
                toolchain.version(),
            )?;
            if options.check {
                outdated.extend(compare(guest, &stamp)?);
            } else {
                commit(guest, &stamp, &component)?;
            }
        }
    }
    ensure!(
        outdated.is_empty(),
        "{}\nrun `cargo xtask plugins` and commit its output",
        outdated.join("\n")
    );
    Ok(())
}

/// Builds a package outside of the workspace with the guests' toolchain and target.
///
/// Returns the folder of the output.
pub(crate) fn build_apart(package: &Path, target_dir: &Path) -> anyhow::Result<PathBuf> {
    let toolchain = toolchain::find()?;
    let status = toolchain
        .cargo_build()
        .current_dir(package)
        .args(["--quiet", "--locked", "--release", "--target", TARGET])
        .arg("--target-dir")
        .arg(target_dir)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "{} does not build", package.display());
    Ok(target_dir.join(TARGET).join("release"))
}

fn metadata() -> anyhow::Result<Metadata> {
    let output = Command::new(cargo())
        .args(["metadata", "--no-deps", "--format-version=1"])
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("cannot parse the output of cargo metadata")
}

/// Returns the workspace's packages in `plugins` and `tests/guests`, sorted by name.
fn guests(metadata: &Metadata) -> anyhow::Result<Vec<Guest>> {
    let bundled = metadata.workspace_root.join("plugins");
    let test = metadata.workspace_root.join("tests").join("guests");
    let mut guests = Vec::new();
    for package in &metadata.packages {
        let folder = package
            .manifest_path
            .parent()
            .context("a package without a folder")?;
        let origin = match folder.parent() {
            Some(parent) if parent == bundled => Origin::Bundled,
            Some(parent) if parent == test => Origin::Test,
            _ => continue,
        };
        let library = package
            .targets
            .iter()
            .find(|target| target.crate_types.iter().any(|kind| kind == "cdylib"))
            .with_context(|| format!("{}: add `cdylib` to its crate-type", package.name))?;
        guests.push(Guest {
            name: package.name.clone(),
            folder: folder.to_owned(),
            library: library.name.replace('-', "_"),
            origin,
        });
    }
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(guests)
}

/// Returns the `guests` that `names` select; all for an empty list.
fn select(guests: Vec<Guest>, names: &[String]) -> anyhow::Result<Vec<Guest>> {
    for name in names {
        if !guests.iter().any(|guest| guest.name == *name) {
            let known: Vec<_> = guests.iter().map(|guest| guest.name.as_str()).collect();
            bail!("no guest is named {name}; there are {}", known.join(", "));
        }
    }
    Ok(guests
        .into_iter()
        .filter(|guest| names.is_empty() || names.contains(&guest.name))
        .collect())
}

/// Builds the core modules of `guests` in one run of cargo.
fn build(
    toolchain: &Toolchain,
    workspace: &Path,
    target_dir: &Path,
    guests: &[Guest],
) -> anyhow::Result<()> {
    let mut command = toolchain.cargo_build();
    command
        .current_dir(workspace)
        .args(["--locked", "--lib", "--profile", PROFILE])
        .args(["--target", TARGET])
        .arg("--target-dir")
        .arg(target_dir);
    for guest in guests {
        command.args(["--package", &guest.name]);
    }
    let status = command.status().context("cannot run cargo")?;
    ensure!(status.success(), "the guests do not build");
    Ok(())
}

/// Returns the folder in which tests look for components: `POINTSMAN_GUESTS`, or `guests` in the
/// target folder.
fn guests_folder(target: &Path) -> PathBuf {
    env::var_os("POINTSMAN_GUESTS").map_or_else(|| target.join("guests"), PathBuf::from)
}

/// Returns the paths of a bundled guest's committed component and of its stamp.
fn committed(guest: &Guest) -> (PathBuf, PathBuf) {
    let component = guest.folder.join(format!("{}.wasm", guest.name));
    let stamp = guest.folder.join(format!("{}.wasm.sources", guest.name));
    (component, stamp)
}

/// Writes the component and the stamp to commit.
fn commit(guest: &Guest, stamp: &Stamp, component: &[u8]) -> anyhow::Result<()> {
    let (component_file, stamp_file) = committed(guest);
    replace(&component_file, component)?;
    replace(&stamp_file, stamp.to_string().as_bytes())
}

/// Describes the mistake in the committed component of `guest`; `None` if there is none.
///
/// The tests run both components, and so check that the committed one behaves like the one that was
/// just built.
fn compare(guest: &Guest, stamp: &Stamp) -> anyhow::Result<Option<String>> {
    let (component_file, stamp_file) = committed(guest);
    let committed = match (fs::read(&component_file), fs::read_to_string(&stamp_file)) {
        (Ok(component), Ok(stamp)) => (component, stamp.parse::<Stamp>()?),
        (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Some(format!("{}: no component is committed", guest.name)));
        }
        (Err(error), _) | (_, Err(error)) => {
            return Err(error).with_context(|| format!("cannot read {}", component_file.display()));
        }
    };
    Ok(if committed.1.sources != stamp.sources {
        Some(format!(
            "{}: the committed component is older than its sources",
            guest.name
        ))
    } else if committed.1.component != digest(&committed.0) {
        Some(format!(
            "{}: the committed component is not the one that its stamp describes",
            guest.name
        ))
    } else {
        None
    })
}

/// Replaces the contents of `file` in one step, and only if `contents` differ. A process that
/// watches the file, or has mapped it, never sees a partly written file.
fn replace(file: &Path, contents: &[u8]) -> anyhow::Result<()> {
    if fs::read(file).is_ok_and(|old| old == contents) {
        return Ok(());
    }
    let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temporary, contents)
        .and_then(|()| fs::rename(&temporary, file))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Prints one line for the user.
fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stderr(), "{line}").context("cannot write to stderr")
}
