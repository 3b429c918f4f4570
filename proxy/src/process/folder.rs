//! Folders that root opens by name without being led elsewhere.
//!
//! Each step of a path is taken from the descriptor of the one before, so that nobody can put another
//! folder in between. A symbolic link counts only where root alone can have put it.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat, readlinkat};
use rustix::io::Errno;

/// As many links as the kernel follows.
const MAX_LINKS: u32 = 40;

const FLAGS: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Whether nobody but root can change what the folder has.
pub(super) fn is_roots_alone(metadata: &Metadata) -> bool {
    metadata.uid() == 0 && metadata.mode() & 0o022 == 0
}

/// Opens the folder `path`; with `create`, makes all that is missing of it. None: a link on the way
/// may be somebody else's.
///
/// # Errors
/// Those of `openat(2)`, `mkdirat(2)` and `readlinkat(2)`.
pub(super) fn open(path: &Path, create: bool) -> io::Result<Option<File>> {
    let start = openat(CWD, ".", FLAGS, Mode::empty())?;
    walk(start.into(), path, create, &mut 0)
}

fn walk(mut folder: File, path: &Path, create: bool, links: &mut u32) -> io::Result<Option<File>> {
    for component in path.components() {
        let next = match step(&folder, component) {
            Err(Errno::NOENT) if create => {
                match mkdirat(&folder, name(component), Mode::from_raw_mode(0o777)) {
                    Err(error) if error != Errno::EXIST => return Err(error.into()),
                    _ => step(&folder, component)?,
                }
            }
            Err(error @ (Errno::NOTDIR | Errno::LOOP)) => {
                let Ok(target) = readlinkat(&folder, name(component), Vec::new()) else {
                    return Err(error.into());
                };
                if !is_roots_alone(&folder.metadata()?) {
                    return Ok(None);
                }
                *links += 1;
                if *links > MAX_LINKS {
                    return Err(Errno::LOOP.into());
                }
                let target = Path::new(OsStr::from_bytes(target.to_bytes()));
                match walk(folder, target, create, links)? {
                    Some(target) => folder = target,
                    None => return Ok(None),
                }
                continue;
            }
            next => next?,
        };
        folder = next.into();
    }
    Ok(Some(folder))
}

fn step(folder: &File, component: Component<'_>) -> rustix::io::Result<OwnedFd> {
    openat(folder, name(component), FLAGS, Mode::empty())
}

fn name(component: Component<'_>) -> &OsStr {
    component.as_os_str()
}
