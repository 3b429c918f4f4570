//! Opens folders as root along paths that no other user can redirect.
//!
//! Each step of a path starts from the descriptor of the previous step, so that no other user can
//! replace a folder in between. A symbolic link is followed only if no one but root can have
//! created it.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat, readlinkat};
use rustix::io::Errno;

/// Maximum number of links that are followed, as in the kernel.
const MAX_LINKS: u32 = 40;

const FLAGS: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Returns whether only root can change the entries of a folder.
pub(super) fn is_roots_alone(metadata: &Metadata) -> bool {
    metadata.uid() == 0 && metadata.mode() & 0o022 == 0
}

/// Opens the folder `path`; with `create`, creates all missing parts of the path. Returns None if
/// another user may have created a link on the path.
///
/// # Errors
/// Errors of `openat(2)`, `mkdirat(2)` and `readlinkat(2)`.
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
