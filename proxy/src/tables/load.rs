//! Loads a table from its file. Blocks while the file is read.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};

use super::entries::Builder;
use super::error::{Mistake, TableError};
use super::table::Table;
use super::{csv, json};
use crate::config::{self, TableFormat, TableValues};

/// Resolution of file times. If a file was last written less than this before it was read, it can
/// change again without a new modification time.
const COARSE: Duration = Duration::from_secs(1);

/// Function that reports whether a backend with this name is configured.
pub(super) type IsBackend<'a> = &'a dyn Fn(&str) -> bool;

/// Identity of a file that was read or written, and of its contents.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    stamp: Stamp,
    /// Whether any change since the file was read would also change its stamp.
    is_settled: bool,
    /// SHA-256 of the contents.
    digest: [u8; 32],
    /// Sequence number of the read; a later read has a greater number.
    pub(super) reading: u64,
    pub(super) loaded: SystemTime,
}

/// Metadata that identifies the state of a file. With rare exceptions, it changes when the file is
/// written or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: Option<SystemTime>,
}

/// A table that was loaded and can be activated.
#[derive(Debug)]
pub struct Loaded {
    pub(super) table: Arc<Table>,
    pub(super) origin: Origin,
}

/// Result of reading a file whose earlier contents may be known.
#[derive(Debug)]
pub(super) enum Found {
    /// The contents are the same as the known ones.
    Same(Origin),
    /// The contents are new.
    New(Loaded),
}

/// A file that was rejected.
#[derive(Debug)]
pub(super) struct Refused {
    /// Stamp of the rejected file; None if it could not be opened.
    pub(super) stamp: Option<Stamp>,
    pub(super) error: TableError,
}

/// The known earlier contents of the file, and the treatment of a file that has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known<'a> {
    /// Nothing is known about the file, so it is loaded.
    No,
    /// An unchanged file is not loaded again.
    Trusted(&'a Origin),
    /// An unchanged file is checked again, since the backends may have changed.
    Checked(&'a Origin),
}

impl PartialEq for Origin {
    fn eq(&self, other: &Origin) -> bool {
        self.reading == other.reading
    }
}

impl Eq for Origin {}

impl Origin {
    /// Returns the origin of a file that was written with this text and is about to replace the
    /// table's file.
    pub(super) fn of_written(text: &[u8], metadata: &Metadata) -> Origin {
        Origin {
            stamp: Stamp::new(metadata),
            is_settled: false,
            digest: Sha256::digest(text).into(),
            reading: next_reading(),
            loaded: SystemTime::now(),
        }
    }

    /// Returns an origin for entries that do not come from a file.
    pub(super) fn of_nothing() -> Origin {
        Origin {
            stamp: Stamp {
                device: 0,
                inode: 0,
                size: 0,
                modified: None,
            },
            is_settled: false,
            digest: [0; 32],
            reading: next_reading(),
            loaded: SystemTime::now(),
        }
    }

    /// Returns this origin with the current stamp of the file at `path`; None if the contents have
    /// changed. Reads the file if its metadata is not conclusive.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn seen_again(&self, path: &Path) -> io::Result<Option<Origin>> {
        let begin = SystemTime::now();
        let (file, metadata) = open(path)?;
        if self.is_sure(&metadata) {
            return Ok(Some(self.clone()));
        }
        if metadata.len() != self.stamp.size {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(self.stamp.size + 1).read_to_end(&mut bytes)?;
        let is_same = <[u8; 32]>::from(Sha256::digest(&bytes)) == self.digest;
        let stamp = Stamp::new(&metadata);
        Ok(is_same.then(|| Origin {
            is_settled: stamp.is_settled(begin),
            stamp,
            ..self.clone()
        }))
    }

    /// Returns whether the metadata `now` proves that the file has not changed.
    fn is_sure(&self, now: &Metadata) -> bool {
        self.is_settled && self.stamp == Stamp::new(now)
    }
}

impl Stamp {
    fn new(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }

    /// Returns whether any change to the file after `begin` would change its stamp. `begin` is the
    /// time when reading started.
    fn is_settled(&self, begin: SystemTime) -> bool {
        let age = self.modified.map(|time| begin.duration_since(time));
        age.is_some_and(|age| age.is_ok_and(|age| age > COARSE))
    }
}

/// Reads the file of a table.
///
/// # Errors
/// [`Refused`].
pub(super) fn load(
    config: &config::Table,
    known: Known<'_>,
    is_backend: IsBackend<'_>,
) -> Result<Found, Refused> {
    let reading = next_reading();
    let refused = |stamp, error| Refused { stamp, error };
    let read = |error| refused(None, TableError::Read(error));
    let begin = SystemTime::now();
    let (file, metadata) = open(&config.file).map_err(read)?;
    let stamp = Stamp::new(&metadata);
    let limit = config.file_size;
    let too_long = || refused(Some(stamp.clone()), TableError::TooLong { limit });
    if metadata.len() > limit {
        return Err(too_long());
    }
    if let Known::Trusted(origin) = known
        && origin.is_sure(&metadata)
    {
        return Ok(Found::Same(origin.clone()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| refused(Some(stamp.clone()), TableError::Read(error)))?;
    if bytes.len() as u64 > limit {
        return Err(too_long());
    }
    let mut origin = Origin {
        stamp: stamp.clone(),
        is_settled: stamp.is_settled(begin),
        digest: Sha256::digest(&bytes).into(),
        reading,
        loaded: SystemTime::now(),
    };
    let same = match known {
        Known::No => None,
        Known::Trusted(before) | Known::Checked(before) => {
            Some(before).filter(|before| before.digest == origin.digest)
        }
    };
    if let Some(before) = same {
        origin.loaded = before.loaded;
        if matches!(known, Known::Trusted(_)) {
            return Ok(Found::Same(origin));
        }
    }
    let table = parse(config, &bytes, is_backend);
    let table = table.map_err(|error| refused(Some(stamp), error))?;
    Ok(if same.is_some() {
        Found::Same(origin)
    } else {
        Found::New(Loaded {
            table: Arc::new(table),
            origin,
        })
    })
}

fn next_reading() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Opens a file. Rejects pipes and devices, whose data may never end.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = File::options();
    let options = options.read(true);
    let file = options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        let why = "it is not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    Ok((file, metadata))
}

fn parse(
    config: &config::Table,
    bytes: &[u8],
    is_backend: IsBackend<'_>,
) -> Result<Table, TableError> {
    let text = std::str::from_utf8(bytes).map_err(|error| TableError::Line {
        line: bytes[..error.valid_up_to()]
            .split(|byte| *byte == b'\n')
            .count(),
        mistake: Mistake::Encoding,
    })?;
    // Computes a capacity that suffices from the start, so that the text is never moved away from
    // its huge pages. In CSV, the syntax of an entry can be as short as a comma and a line ending,
    // which is less than the builder adds, so room is added for each line. In JSON, the syntax of
    // an entry takes more bytes than the builder adds.
    let entries = match config.format {
        TableFormat::Csv => text.lines().count(),
        TableFormat::Json => 0,
    };
    let mut builder = Builder::with_capacity(text.len(), entries);
    let each = &mut |key: &str, value: &str| {
        check_value(config.values, key, value, is_backend)?;
        builder.push(key, value)
    };
    parse_text(config.format, text, each)?;
    match builder.build() {
        Ok(entries) => Ok(Table::new(entries)),
        Err(key) => Err(locate(config.format, text, &key)),
    }
}

/// Returns the error for the second entry with the key `repeated`.
fn locate(format: TableFormat, text: &str, repeated: &str) -> TableError {
    let mistake = || Mistake::Repeated {
        key: repeated.to_owned(),
        first: 0,
    };
    let mut is_known = false;
    let each = &mut |key: &str, _: &str| {
        if key == repeated && std::mem::replace(&mut is_known, true) {
            return Err(mistake());
        }
        Ok(())
    };
    match parse_text(format, text, each) {
        Err(error) => error,
        Ok(()) => TableError::Line {
            line: 0,
            mistake: mistake(),
        },
    }
}

fn parse_text(
    format: TableFormat,
    text: &str,
    each: &mut dyn FnMut(&str, &str) -> Result<(), Mistake>,
) -> Result<(), TableError> {
    match format {
        TableFormat::Csv => csv::parse(text, each),
        TableFormat::Json => json::parse(text, each),
    }
}

/// Checks that a value names a backend, if the table requires it.
///
/// # Errors
/// [`Mistake::UnknownBackend`].
pub(super) fn check_value(
    values: TableValues,
    key: &str,
    value: &str,
    is_backend: IsBackend<'_>,
) -> Result<(), Mistake> {
    if values == TableValues::Any || is_backend(value) {
        return Ok(());
    }
    Err(Mistake::UnknownBackend {
        key: key.to_owned(),
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_file_settles_before_it_is_read() {
        let check = |modified: Option<u64>, begin: u64, expected: bool| {
            let time = |millis| UNIX_EPOCH + Duration::from_millis(millis);
            let stamp = Stamp {
                modified: modified.map(time),
                ..Origin::of_nothing().stamp
            };
            let settled = stamp.is_settled(time(begin));
            assert_eq!(settled, expected, "{modified:?} {begin}");
        };
        check(Some(5000), 9000, true);
        check(Some(5000), 6001, true);
        check(Some(5000), 6000, false);
        check(Some(5000), 5200, false);
        // The modification time is in the future, as set by another machine or by `touch`.
        check(Some(5000), 4000, false);
        check(None, 9000, false);
    }
}
