//! Parses addresses: of binds, servers, name servers and trusted peers. Pure functions: names are
//! not resolved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net};

use super::{BindAddress, ServerAddress};

/// Longest path of a Unix socket: `sun_path` has 108 bytes, the last of which is NUL.
const MAX_UNIX_PATH: usize = 107;

/// Longest DNS name (RFC 1035, section 2.3.4), without the trailing dot.
const MAX_NAME: usize = 253;

/// Reason why a string is not an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AddressError {
    /// The mistake; shown next to the underlined text.
    pub(super) label: String,
    /// How to correct it.
    pub(super) help: String,
}

fn error<T>(label: impl Into<String>, help: impl Into<String>) -> Result<T, AddressError> {
    Err(AddressError {
        label: label.into(),
        help: help.into(),
    })
}

/// Parses an address to listen on. The relative path of a Unix socket is resolved against
/// `directory`.
pub(super) fn bind(text: &str, directory: &Path) -> Result<BindAddress, AddressError> {
    if let Some(path) = unix_path(text, directory)? {
        return Ok(BindAddress::Unix(path));
    }
    // As in HAProxy, this means every IPv4 address.
    let every = format!("*{text}");
    let text = if text.starts_with(':') && !text.starts_with("::") {
        &every
    } else {
        text
    };
    let (host, port) = host_and_port(text, "80")?;
    Ok(match host {
        Host::Any => BindAddress::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        Host::Address(address) => BindAddress::Tcp(SocketAddr::new(address, port)),
        Host::Name(host) => BindAddress::Name { host, port },
    })
}

/// Parses the address of a server. The relative path of a Unix socket is resolved against
/// `directory`.
pub(super) fn server(text: &str, directory: &Path) -> Result<ServerAddress, AddressError> {
    if let Some(path) = unix_path(text, directory)? {
        return Ok(ServerAddress::Unix(path));
    }
    if let Some(name) = text.strip_prefix("srv:") {
        return Ok(ServerAddress::Srv(service(name)?));
    }
    if text.starts_with('_') && !text.contains(':') {
        let help = format!("write `srv:{text}` for SRV records, or `{text}:8080`");
        return error("no port", help);
    }
    let (host, port) = host_and_port(text, "8080")?;
    let host = match host {
        Host::Any => {
            return error(
                "`*` is not a server",
                format!("name one: `localhost:{port}`"),
            );
        }
        Host::Address(address) => address.to_string(),
        Host::Name(name) => name,
    };
    if port == 0 {
        return error("no server listens on port 0", "a port is 1 to 65535");
    }
    Ok(ServerAddress::Tcp { host, port })
}

/// Parses a host name or address without a port. Names are converted to lowercase.
pub(super) fn host(text: &str) -> Result<String, AddressError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    if text.is_empty() || text.contains(':') {
        return error("not a plain host name", "as in `example.org`");
    }
    name(text, 443)
}

/// Port of DNS (RFC 1035, section 4.2).
const DNS_PORT: u16 = 53;

/// Parses the IP address of a name server. The port is optional.
pub(super) fn nameserver(text: &str) -> Result<SocketAddr, AddressError> {
    let alone = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    if let Ok(address) = alone.unwrap_or(text).parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, DNS_PORT));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => {
            error("no server listens on port 0", "a port is 1 to 65535")
        }
        Ok(address) => Ok(address),
        Err(_) => error(
            "neither an IP address nor one with a port",
            "as in `127.0.0.1`, `127.0.0.1:53`, `::1` or `[::1]:53`",
        ),
    }
}

/// Parses an address or a network in CIDR form (RFC 4632). A network of IPv4-mapped addresses
/// becomes an IPv4 network, because client addresses are converted in the same way.
pub(super) fn network(text: &str) -> Result<IpNet, AddressError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let Ok(network) = text.parse::<IpNet>() else {
        return error(
            "neither an IP address nor a network",
            "write `10.0.0.1`, `10.0.0.0/8`, `::1`, `fd00::/8`, or `unix` for all Unix sockets",
        );
    };
    if network.addr() != network.network() {
        return error(
            "bits are set beyond the prefix",
            format!("write `{}`", network.trunc()),
        );
    }
    Ok(canonical(network))
}

/// Converts a network of IPv4-mapped addresses (RFC 4291, section 2.5.5.2) to IPv4.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    match network.addr().to_canonical() {
        IpAddr::V4(address) if network.prefix_len() > 32 => {
            let prefix = network.prefix_len().checked_sub(MAPPED);
            let mapped = prefix.and_then(|prefix| Ipv4Net::new(address, prefix).ok());
            mapped.map_or(network, IpNet::from)
        }
        _ => network,
    }
}

enum Host {
    Any,
    Address(IpAddr),
    Name(String),
}

/// Returns the path of a Unix socket, joined to `directory`. Returns `None` if `text` does not have
/// the form of such a path.
fn unix_path(text: &str, directory: &Path) -> Result<Option<PathBuf>, AddressError> {
    if let Some(path) = text.strip_prefix("unix@") {
        return error(
            "HAProxy's form of a Unix socket",
            format!("write `unix:{path}`"),
        );
    }
    let path = match text.strip_prefix("unix:") {
        Some(path) => path,
        None if ["/", "./", "../"].iter().any(|p| text.starts_with(p)) => text,
        None => return Ok(None),
    };
    if path.is_empty() || path.ends_with('/') || path.contains('\0') {
        return error("no path to a socket", "write `unix:/run/pointsman.sock`");
    }
    let path = directory.join(path);
    let length = path.as_os_str().len();
    if length > MAX_UNIX_PATH {
        return error(
            format!("{length} bytes long"),
            format!("the path of a Unix socket has at most {MAX_UNIX_PATH} bytes"),
        );
    }
    Ok(Some(path))
}

/// Splits a host from its port. `usual_port` appears only in the help text.
fn host_and_port(text: &str, usual_port: &str) -> Result<(Host, u16), AddressError> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let rest = rest.split('/').next().unwrap_or_default();
        return error(
            format!("`{scheme}://` is part of a URL"),
            format!("write the address alone: `{}`", with_port(rest, usual_port)),
        );
    }
    // Brackets and port are checked here, because most mistakes concern them.
    if text.parse::<Ipv6Addr>().is_ok() {
        return error(
            "an IPv6 address without brackets and port",
            advice_v6(text, usual_port),
        );
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        if text.chars().all(|c| c.is_ascii_digit()) && !text.is_empty() {
            return error(
                "a port without an address",
                format!("write `*:{text}` or `127.0.0.1:{text}`"),
            );
        }
        return error(
            "no port",
            format!("write `{}`", with_port(text, usual_port)),
        );
    };
    if text.ends_with(']') {
        return error("no port", format!("write `{text}:{usual_port}`"));
    }
    let port = port_number(host, port)?;
    let host = if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').unwrap_or(inner);
        match inner.parse::<Ipv6Addr>() {
            Ok(address) if host.ends_with(']') => Host::Address(address.into()),
            _ => {
                return error(
                    "no IPv6 address in the brackets",
                    format!("write `[::1]:{port}`"),
                );
            }
        }
    } else if host == "*" {
        Host::Any
    } else if host.is_empty() {
        return error(
            "no address",
            format!("write `*:{port}` for all IPv4 addresses"),
        );
    } else if host.contains(':') {
        let host = if host.parse::<Ipv6Addr>().is_ok() {
            host
        } else {
            "::1"
        };
        return error(
            "an IPv6 address needs brackets",
            format!("write `[{host}]:{port}`"),
        );
    } else if let Ok(address) = host.parse::<Ipv4Addr>() {
        Host::Address(address.into())
    } else {
        Host::Name(name(host, port)?)
    };
    Ok((host, port))
}

fn advice_v6(text: &str, usual_port: &str) -> String {
    // `::1:80` is a valid address, but the author may have meant port 80.
    match text.rsplit_once(':') {
        Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() && port.parse::<u16>().is_ok() => {
            format!("write `[{host}]:{port}` for port {port}, or `[{text}]:{usual_port}`")
        }
        _ => format!("write `[{text}]:{usual_port}`"),
    }
}

fn with_port(host: &str, usual_port: &str) -> String {
    match host {
        "" => format!("localhost:{usual_port}"),
        host if host.contains(':') => host.to_owned(),
        host => format!("{host}:{usual_port}"),
    }
}

fn port_number(host: &str, port: &str) -> Result<u16, AddressError> {
    const RANGE: &str = "a port is 1 to 65535";
    if port.is_empty() {
        return error("no port after the colon", RANGE);
    }
    if port.contains('-') && port.chars().all(|c| c.is_ascii_digit() || c == '-') {
        return error(
            "a range of ports",
            format!("one address for each port: `[\"{host}:80\", \"{host}:81\"]`"),
        );
    }
    // `parse` alone would accept a `+` sign.
    if !port.chars().all(|c| c.is_ascii_digit()) {
        return error(format!("`{port}` is not a port"), RANGE);
    }
    port.parse()
        .or_else(|_| error(format!("port {port} is out of range"), RANGE))
}

/// Checks a host name and converts it to lowercase, because hosts are compared and resolved in
/// lowercase.
fn name(host: &str, port: u16) -> Result<String, AddressError> {
    // A name that consists only of digits and dots would be resolved as an IPv4 address in another
    // notation.
    if host.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return error(
            format!("`{host}` is not an IPv4 address"),
            format!("as in `127.0.0.1:{port}`"),
        );
    }
    let strange = host
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"-_.".contains(*c));
    if let Some(strange) = strange {
        return error(
            format!("`{}` is not allowed in a name", strange.escape_debug()),
            format!("as in `localhost:{port}`"),
        );
    }
    let labels = host.strip_suffix('.').unwrap_or(host);
    if labels.len() > MAX_NAME || labels.split('.').any(|l| l.is_empty() || l.len() > 63) {
        return error(
            "not a valid DNS name",
            "a name has labels of 1 to 63 characters, 253 in all",
        );
    }
    Ok(host.to_ascii_lowercase())
}

/// Parses the name of SRV records (RFC 2782). Returns it in lowercase.
fn service(name: &str) -> Result<String, AddressError> {
    const FORM: &str = "as in `srv:_http._tcp.example.org`";
    if name.contains(':') {
        return error("a port, which the SRV records already contain", FORM);
    }
    let strange = |c: &char| !c.is_ascii_alphanumeric() && !"-_.".contains(*c);
    if let Some(strange) = name.chars().find(strange) {
        let label = format!("`{}` is not allowed in a name", strange.escape_debug());
        return error(label, FORM);
    }
    let labels = name.strip_suffix('.').unwrap_or(name);
    if labels.len() > MAX_NAME || labels.split('.').any(|l| l.is_empty() || l.len() > 63) {
        return error(
            "not a valid DNS name",
            "a name has labels of 1 to 63 characters, 253 in all",
        );
    }
    if labels.split('.').all(|label| label.starts_with('_')) {
        return error("no domain after the service", FORM);
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds() {
        let check = |text: &str, shown: &str| {
            let bind = bind(text, Path::new("/etc/pointsman"));
            assert_eq!(bind.unwrap().to_string(), shown, "{text}");
        };
        check("*:80", "0.0.0.0:80");
        check(":443", "0.0.0.0:443");
        check("0.0.0.0:80", "0.0.0.0:80");
        check("127.0.0.1:0", "127.0.0.1:0");
        check("[::]:80", "[::]:80");
        check("[0:0::1]:65535", "[::1]:65535");
        check("LocalHost:8080", "localhost:8080");
        check("www.example.org.:80", "www.example.org.:80");
        check("a_b-c.test:80", "a_b-c.test:80");
        check("unix:/run/x.sock", "unix:/run/x.sock");
        check("/run/x.sock", "unix:/run/x.sock");
        check("unix:x.sock", "unix:/etc/pointsman/x.sock");
    }

    #[test]
    fn not_binds() {
        let check = |text: &str, label: &str, help: &str| {
            let error = bind(text, Path::new("")).unwrap_err();
            assert!(error.label.contains(label), "{text}: {error:?}");
            assert!(error.help.contains(help), "{text}: {error:?}");
        };
        check("", "no port", "`localhost:80`");
        check("80", "a port without an address", "`*:80`");
        check(":http", "`http` is not a port", "1 to 65535");
        check("*", "no port", "`*:80`");
        check("127.0.0.1", "no port", "`127.0.0.1:80`");
        check("localhost:", "no port after", "1 to 65535");
        check("localhost:http", "`http` is not a port", "1 to 65535");
        check("localhost:+80", "`+80` is not a port", "1 to 65535");
        check(
            "localhost:65536",
            "port 65536 is out of range",
            "1 to 65535",
        );
        check("*:80-90", "a range of ports", "`[\"*:80\", \"*:81\"]`");
        check("::", "without brackets", "`[::]:80`");
        check("::1:8080", "without brackets", "`[::1]:8080` for port 8080");
        check("::1", "without brackets", "`[::1]:80`");
        check(":::80", "needs brackets", "`[::]:80`");
        check("1::2::3:80", "needs brackets", "`[::1]:80`");
        check("[::1]", "no port", "`[::1]:80`");
        check("[::1:80", "in the brackets", "`[::1]:80`");
        check("[127.0.0.1]:80", "in the brackets", "`[::1]:80`");
        check("256.0.0.1:80", "not an IPv4 address", "`127.0.0.1:80`");
        check("127.1:80", "not an IPv4 address", "`127.0.0.1:80`");
        check("http://a.test/", "part of a URL", "`a.test:80`");
        check("a b:80", "` ` is not allowed", "`localhost:80`");
        check("a..b:80", "not a valid DNS name", "1 to 63");
        check("bücher.test:80", "`ü` is not allowed", "`localhost:80`");
        check("unix@/run/x.sock", "HAProxy's form", "`unix:/run/x.sock`");
        check("unix:", "no path", "unix:/run");
        check("/run/", "no path", "unix:/run");
        check(
            &format!("/{}", "x".repeat(200)),
            "201 bytes long",
            "at most 107",
        );
    }

    #[test]
    fn servers() {
        let check = |text: &str, shown: &str| {
            let server = server(text, Path::new("/etc"));
            assert_eq!(server.unwrap().to_string(), shown, "{text}");
        };
        check("localhost:9010", "localhost:9010");
        check("[::1]:9010", "[::1]:9010");
        check("10.0.0.1:1", "10.0.0.1:1");
        check("unix:/run/x.sock", "unix:/run/x.sock");
        for text in ["*:80", "localhost:0", "localhost", "https://a.test"] {
            assert!(server(text, Path::new("")).is_err(), "{text}");
        }
    }

    #[test]
    fn services() {
        let check = |text: &str, name: &str| {
            let server = server(text, Path::new("/etc"));
            assert_eq!(server, Ok(ServerAddress::Srv(name.to_owned())), "{text}");
        };
        check("srv:_http._tcp.example.org", "_http._tcp.example.org");
        check("srv:_HTTP._tcp.Example.org.", "_http._tcp.example.org.");
        check("srv:web.service.consul", "web.service.consul");
        let refuse = |text: &str, label: &str, help: &str| {
            let error = server(text, Path::new("")).unwrap_err();
            assert!(error.label.contains(label), "{text}: {error:?}");
            assert!(error.help.contains(help), "{text}: {error:?}");
        };
        refuse("srv:", "not a valid", "1 to 63");
        refuse("srv:.", "not a valid", "1 to 63");
        refuse("srv:_http._tcp", "no domain", "_http._tcp.example.org");
        refuse("srv:_http..example.org", "not a valid", "1 to 63");
        refuse("srv:_http._tcp.example.org:80", "a port", "`srv:_http");
        refuse("srv:_http._tcp.bücher.test", "`ü` is not", "`srv:_http");
        refuse("srv:_http._tcp.a b", "` ` is not", "`srv:_http");
        let long = format!("srv:{}", "a.".repeat(127));
        refuse(&format!("{long}a"), "not a valid", "253 in all");
        refuse(
            "_http._tcp.example.org",
            "no port",
            "`srv:_http._tcp.example.org`",
        );
    }

    #[test]
    fn nameservers() {
        let check = |text: &str, shown: &str| {
            assert_eq!(nameserver(text).unwrap().to_string(), shown, "{text}");
        };
        check("127.0.0.1", "127.0.0.1:53");
        check("127.0.0.1:5353", "127.0.0.1:5353");
        check("::1", "[::1]:53");
        check("[::1]", "[::1]:53");
        check("[::1]:5353", "[::1]:5353");
        for text in ["", "dns.test", "127.0.0.1:0", "127.0.0.1:", "[::1", "*"] {
            assert!(nameserver(text).is_err(), "{text}");
        }
    }

    #[test]
    fn networks() {
        let check = |text: &str, shown: &str| {
            assert_eq!(network(text).unwrap().to_string(), shown, "{text}");
        };
        check("10.0.0.1", "10.0.0.1/32");
        check("10.0.0.0/8", "10.0.0.0/8");
        check("::1", "::1/128");
        check("fd00::/8", "fd00::/8");
        check("0.0.0.0/0", "0.0.0.0/0");
        check("::/0", "::/0");
        check("::ffff:10.0.0.1", "10.0.0.1/32");
        check("::ffff:10.0.0.0/104", "10.0.0.0/8");
        check("::ffff:0:0/96", "0.0.0.0/0");
        assert!(
            network("10.0.0.1/8")
                .unwrap_err()
                .help
                .contains("`10.0.0.0/8`")
        );
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0.0/", "10.0/8"] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
