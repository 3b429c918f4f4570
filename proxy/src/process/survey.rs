//! Survey of everything on the machine that a configuration names: accounts, addresses, folders,
//! files.
//!
//! `check` runs the survey, and so does a start before it opens anything. Thus both find the same
//! mistakes and report them with those of the file. The survey opens no socket and creates nothing.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;

use nix::unistd::{AccessFlags, access, geteuid};

use super::privileges::{Account, PrivilegeError, find_group, find_user};
use crate::config::{BindAddress, Config, Errors, LogTarget, SocketAccess, Source};

/// Result of a survey.
#[derive(Debug)]
pub struct Survey {
    /// Everything that is missing or invalid.
    pub mistakes: Option<Errors>,
    /// Number of IP addresses and Unix sockets that frontends listen on.
    pub(super) addresses: Addresses,
    /// Resolved addresses of the names that frontends listen on, by name and port.
    resolved: HashMap<(String, u16), Vec<SocketAddr>>,
}

/// Resolves a name with a port to its addresses, without duplicates.
pub(super) type Resolve<'a> = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + 'a;

/// Number of addresses that frontends listen on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    /// Number of IP addresses; each needs a socket per worker.
    pub(super) ip: usize,
    /// Number of Unix sockets; all workers share one.
    pub(super) unix: usize,
}

struct Surveyor<'a> {
    source: &'a Source,
    mistakes: Option<Errors>,
    addresses: Addresses,
    resolved: HashMap<(String, u16), Vec<SocketAddr>>,
    /// Each bound address with its key, by port. Includes the addresses of resolved names.
    bound: HashMap<u16, Vec<(IpAddr, String)>>,
}

/// Checks everything on the machine that `config` names.
pub fn survey(config: &Config, source: &Source) -> Survey {
    let mut surveyor = Surveyor {
        source,
        mistakes: None,
        addresses: Addresses::default(),
        resolved: HashMap::new(),
        bound: HashMap::new(),
    };
    surveyor.accounts(config);
    surveyor.log(config);
    for frontend in &config.frontends {
        let key = ["frontend", &frontend.name, "bind"];
        for (index, bind) in frontend.bind.iter().enumerate() {
            surveyor.bind(&key, &bind.address);
            let element = match frontend.bind.as_slice() {
                [_] => "bind".to_owned(),
                _ => format!("bind[{index}]"),
            };
            surveyor.access(&["frontend", &frontend.name, &element], &bind.access);
        }
    }
    if let Some(path) = &config.admin.socket {
        surveyor.folder(&["admin", "socket"], path);
    }
    if let Some(address) = config.admin.address {
        surveyor.cover(&["admin", "address"], address);
    }
    Survey {
        mistakes: surveyor.mistakes,
        addresses: surveyor.addresses,
        resolved: surveyor.resolved,
    }
}

/// Resolves a name. Queries the name service, which can be slow.
///
/// # Errors
/// Errors of `getaddrinfo(3)`.
pub(super) fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

impl Survey {
    /// Returns what [`resolve`] returned during the survey, without another query.
    ///
    /// # Errors
    /// If the surveyed configuration does not contain the name.
    pub(super) fn resolved(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found = self.resolved.get(&(host.to_owned(), port)).cloned();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Surveyor<'_> {
    fn record(&mut self, key: &[&str], message: &str, help: Option<&str>) {
        let error = self.source.key_error(key, message, help);
        error.add_to(&mut self.mistakes);
    }

    fn accounts(&mut self, config: &Config) {
        self.names(&[], config.user.as_deref(), config.group.as_deref());
    }

    /// Checks that the user and the group of a Unix socket exist.
    fn access(&mut self, key: &[&str], access: &SocketAccess) {
        self.names(key, access.user.as_deref(), access.group.as_deref());
    }

    /// Checks that the `user` and `group` in the table `key` exist.
    fn names(&mut self, key: &[&str], user: Option<&str>, group: Option<&str>) {
        let user = user.map(find_user);
        self.account(key, "user", user.and_then(Result::err));
        let group = group.map(find_group);
        self.account(key, "group", group.and_then(Result::err));
    }

    fn account(&mut self, table: &[&str], key: &str, error: Option<PrivilegeError>) {
        if let Some(error) = error {
            let help = format!("create it, or name another {key}");
            let key = [table, &[key]].concat();
            self.record(&key, &crate::telemetry::chain(&error), Some(&help));
        }
    }

    /// Checks the folder of the log. The file itself is opened later, as the user that the process
    /// changes to: see [`review`].
    fn log(&mut self, config: &Config) {
        let LogTarget::File(path) = &config.log.target else {
            return;
        };
        let key = ["log", "target"];
        if !self.folder(&key, path) || path.exists() || !has_account(config) {
            return;
        }
        let folder = folder_of(path);
        if let Err(error) = access(folder, AccessFlags::W_OK | AccessFlags::X_OK) {
            let message = format!("cannot create a file in {}: {error}", folder.display());
            self.record(&key, &message, None);
        }
    }

    fn bind(&mut self, key: &[&str], bind: &BindAddress) {
        match bind {
            BindAddress::Tcp(address) => self.cover(key, *address),
            BindAddress::Name { host, port } => match resolve(host, *port) {
                Ok(addresses) => {
                    for address in &addresses {
                        self.cover(key, *address);
                    }
                    self.resolved.insert((host.clone(), *port), addresses);
                }
                Err(error) => {
                    let message = format!("cannot resolve `{host}`: {error}");
                    self.record(
                        key,
                        &message,
                        Some("an IP address needs no name resolution"),
                    );
                }
            },
            BindAddress::Unix(path) => {
                self.addresses.unix += 1;
                self.folder(key, path);
            }
        }
    }

    /// Records an address, and reports an overlap with an address that was recorded before. The
    /// parser of the file already reports addresses that are written twice.
    fn cover(&mut self, key: &[&str], address: SocketAddr) {
        self.addresses.ip += 1;
        if address.port() == 0 {
            return;
        }
        let others = self.bound.entry(address.port()).or_default();
        let ip = address.ip();
        let clash = others.iter().find(|(other, _)| clash(*other, ip)).cloned();
        others.push((ip, key.join(".")));
        if let Some((other, by)) = clash {
            let port = address.port();
            let other = SocketAddr::new(other, port);
            let message = if other == address {
                format!("{address} is bound by `{by}` already")
            } else {
                format!("{address} and {other} of `{by}` overlap")
            };
            let help = "leave one out, or choose another port";
            self.record(key, &message, Some(help));
        }
    }

    /// Returns whether the folder of the file `path` exists.
    fn folder(&mut self, key: &[&str], path: &Path) -> bool {
        let folder = folder_of(path);
        let reason = match fs::metadata(folder) {
            Ok(metadata) if metadata.is_dir() => return true,
            Ok(_) => "is not a folder".to_owned(),
            Err(error) => format!("cannot be used: {error}"),
        };
        let message = format!("the folder {} {reason}", folder.display());
        self.record(key, &message, Some("create it, or name another"));
        false
    }
}

/// Returns whether two sockets with the same port cannot bind both addresses. IPv6 sockets accept
/// only IPv6.
fn clash(one: IpAddr, other: IpAddr) -> bool {
    one == other
        || one.is_ipv4() == other.is_ipv4() && (one.is_unspecified() || other.is_unspecified())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Returns whether this process runs, or can run, as the configured user. If not, for example if
/// another user runs `check`, the process cannot find out what the configured user can access.
fn has_account(config: &Config) -> bool {
    let account = Account::find(config.user.as_deref(), config.group.as_deref());
    geteuid().is_root() || account.is_ok_and(|account| account.is_current())
}

/// Checks that the process can open its configuration and its log again later. Runs as the user
/// that the process has changed to. Plugins need no check here, because that user reads them
/// anyway.
pub fn review(config: &Config, source: &Source) -> Option<Errors> {
    let mut mistakes = None;
    if !has_account(config) {
        return None;
    }
    let account = config.user.as_deref().or(config.group.as_deref());
    if let Some(account) = account
        && let Err(error) = File::open(source.path())
    {
        let message = format!("`{account}` cannot read the configuration: {error}");
        let help = format!(
            "a reload and an upgrade read it again: let `{account}` read the file, and search its folders"
        );
        source.file_error(message, &help).add_to(&mut mistakes);
    }
    if let LogTarget::File(path) = &config.log.target
        // Opening a FIFO can block until it has a reader.
        && path.is_file()
        && let Err(error) = File::options().append(true).open(path)
    {
        let message = format!("cannot write to {}: {error}", path.display());
        let help = match account {
            Some(account) => format!(
                "let `{account}` write to it: chown {account} {}",
                path.display()
            ),
            None => "let the user that starts the proxy write to it".to_owned(),
        };
        let key = ["log", "target"];
        source
            .key_error(&key, &message, Some(&help))
            .add_to(&mut mistakes);
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn found(text: &str) -> (Vec<String>, Addresses) {
        let text = format!("{text}\n[backend.www]\nserver.www = \"127.0.0.1:9\"");
        let path = Path::new("/dev/null/pointsman.toml");
        let (config, source) = config::parse(path, text).unwrap();
        let survey = survey(&config, &source);
        let messages = survey.mistakes.iter().flat_map(Errors::messages);
        (messages.map(str::to_owned).collect(), survey.addresses)
    }

    /// Builds a configuration that binds these addresses, with one frontend for each line.
    fn binds(lines: &[&str]) -> String {
        let frontends = lines.iter().enumerate().map(|(number, bind)| {
            format!("[frontend.f{number}]\nbind = {bind}\ndefault_backend = \"www\"\n")
        });
        frontends.collect()
    }

    #[test]
    fn addresses_that_cover_each_other() {
        let check = |lines: &[&str], expected: &[&str]| {
            assert_eq!(found(&binds(lines)).0, expected, "{lines:?}");
        };
        check(&["'127.0.0.1:80'", "'127.0.0.2:80'", "'*:81'"], &[]);
        check(&["'*:80'", "'[::]:80'", "'127.0.0.1:0'", "'*:0'"], &[]);
        check(
            &["'*:80'", "'127.0.0.1:80'"],
            &["`frontend.f1.bind`: 127.0.0.1:80 and 0.0.0.0:80 of `frontend.f0.bind` overlap"],
        );
        check(
            &["['[::1]:80', '[::]:80']"],
            &["`frontend.f0.bind`: [::]:80 and [::1]:80 of `frontend.f0.bind` overlap"],
        );
        let (messages, _) = found(&binds(&["'127.0.0.1:80'", "'localhost:80'"]));
        assert_eq!(
            messages,
            ["`frontend.f1.bind`: 127.0.0.1:80 is bound by `frontend.f0.bind` already"]
        );
        let admin = format!("admin.address = '127.0.0.1:80'\n{}", binds(&["'*:80'"]));
        assert_eq!(
            found(&admin).0,
            ["`admin.address`: 127.0.0.1:80 and 0.0.0.0:80 of `frontend.f0.bind` overlap"]
        );
    }

    /// The sockets are bound without a second query to the name service, which would delay a signal
    /// to stop.
    #[test]
    fn names_are_resolved_once() {
        let text = format!(
            "{}\n[backend.www]\nserver.www = '127.0.0.1:9'",
            binds(&["'localhost:0'"])
        );
        let (config, source) = config::parse(Path::new("/dev/null/pointsman.toml"), text).unwrap();
        let survey = survey(&config, &source);
        assert_eq!(
            survey.resolved("localhost", 0).unwrap(),
            resolve("localhost", 0).unwrap()
        );
        assert!(survey.resolved("localhost", 80).is_err());
    }

    #[test]
    fn addresses_are_counted() {
        let (messages, addresses) = found(&binds(&["['*:80', '[::]:80', 'unix:/tmp/p']", "'*:0'"]));
        assert_eq!(messages, [] as [&str; 0]);
        assert_eq!(addresses, Addresses { ip: 3, unix: 1 });
    }

    #[test]
    fn missing_users_groups_and_files_are_reported() {
        let check = |text: &str, expected: &[&str]| {
            let (messages, _) = found(&format!("{text}\n{}", binds(&["'127.0.0.1:0'"])));
            assert_eq!(messages.len(), expected.len(), "{messages:?}");
            for (message, expected) in messages.iter().zip(expected) {
                assert!(message.starts_with(expected), "{message}");
            }
        };
        check("", &[]);
        check(
            "user = 'nobody-of-this-name'\ngroup = 'no-group-of-this-name'",
            &[
                "`user`: there is no user `nobody-of-this-name` on this machine",
                "`group`: there is no group `no-group-of-this-name` on this machine",
            ],
        );
        check(
            "admin.socket = '/no/folder/a.sock'\nlog.target = '/no/folder/log'",
            &[
                "`admin.socket`: the folder /no/folder cannot be used",
                "`log.target`: the folder /no/folder cannot be used",
            ],
        );
        check(
            "log.target = '/dev/null/log'",
            &["`log.target`: the folder /dev/null is not a folder"],
        );
        let access = [
            "{ address = '/tmp/a', user = 'nobody-of-this-name' }",
            "['*:0', { address = '/tmp/b', group = 'no-group-of-this-name' }]",
        ];
        assert_eq!(
            found(&binds(&access)).0,
            [
                "`frontend.f0.bind.user`: there is no user `nobody-of-this-name` on this machine",
                "`frontend.f1.bind[1].group`: there is no group `no-group-of-this-name` on this machine",
            ]
        );
        let (messages, _) = found(&binds(&["['unix:/no/folder/s', 'name.invalid:80']"]));
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages[0].contains("/no/folder"), "{messages:?}");
        assert!(
            messages[1].contains("cannot resolve `name.invalid`"),
            "{messages:?}"
        );
    }
}
