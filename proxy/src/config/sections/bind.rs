//! Reads the `bind` of a frontend.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::path::PathBuf;

use toml::de::DeValue;

use super::{Reader, account};
use crate::config::diagnostic::Span;
use crate::config::hints::{self, Section};
use crate::config::reader::{Entry, Table};
use crate::config::{
    AcceptProxy, Bind, BindAddress, Mode, RedirectToHttps, SocketAccess, Tls, address,
};

/// Addresses bound so far, with their locations in the file.
pub(super) type Bound = HashMap<BindAddress, (Span, String)>;

const ACCESS_KEYS: [&str; 3] = ["mode", "user", "group"];
/// Keys that apply only to a frontend with HTTP.
const HTTP_KEYS: [&str; 2] = ["h2c", "redirect_to_https"];
/// Keys that apply only to a bind without TLS.
const PLAIN_KEYS: [&str; 2] = ["h2c", "redirect_to_https"];

impl<'a> Reader<'a> {
    pub(super) fn binds(
        &self,
        entry: &Entry<'a>,
        mode: Mode,
        tls: &[Tls],
        bound: &mut Bound,
    ) -> Vec<Bind> {
        let elements = entry.one_or_many();
        if elements.is_empty() {
            let diagnostic = entry.error("has no address").label("empty");
            entry.push(diagnostic.help("as in `bind = \"*:80\"`"));
        }
        let read = |element: &Entry<'a>| {
            if element.is_table() {
                return self.bind(element, mode, tls, bound);
            }
            self.bind_address(element, bound).map(Bind::new)
        };
        elements.iter().filter_map(read).collect()
    }

    fn bind_address(&self, entry: &Entry<'a>, bound: &mut Bound) -> Option<BindAddress> {
        let text = entry.text("*:80")?;
        match address::bind(text, self.directory) {
            Ok(bind) => {
                once(entry, &bind, bound);
                Some(bind)
            }
            Err(error) => {
                let diagnostic = entry.error("is not an address").label(error.label);
                entry.push(diagnostic.help(error.help));
                None
            }
        }
    }

    fn bind(&self, entry: &Entry<'a>, mode: Mode, tls: &[Tls], bound: &mut Bound) -> Option<Bind> {
        let mut table = entry.table(Section::Bind)?;
        let address = table.require("address", "`address = \"*:443\"`");
        let address = address.and_then(|e| self.bind_address(&e, bound));
        if !matches!(address, None | Some(BindAddress::Unix(_))) {
            table.reject(&ACCESS_KEYS, "applies only to Unix sockets");
        }
        if mode == Mode::Tcp {
            let why = "applies only to HTTP, but the frontend's `mode` is `\"tcp\"`";
            table.reject(&HTTP_KEYS, why);
        }
        let tls_name = table.take("tls");
        if tls_name.is_some() {
            table.reject(&PLAIN_KEYS, "applies only to connections without `tls`");
        }
        let bind = Bind {
            address: address.unwrap_or(BindAddress::Unix(PathBuf::new())),
            tls: tls_name.and_then(|e| named_tls(&e, mode, tls)),
            proxy_protocol: table
                .table("proxy_protocol", Section::AcceptProxy)
                .map(accept_proxy),
            h2c: table.value_or("h2c", false, Entry::boolean),
            redirect: table.take("redirect_to_https").and_then(|e| redirect(&e)),
            access: SocketAccess {
                mode: table.take("mode").and_then(|e| permissions(&e)),
                user: table.take("user").and_then(|e| account(&e)),
                group: table.take("group").and_then(|e| account(&e)),
            },
        };
        table.finish();
        Some(bind)
    }
}

/// ALPN names of HTTP (RFC 7301, section 6; RFC 9113, section 3.1).
const HTTP_PROTOCOLS: [&str; 2] = ["h2", "http/1.1"];

fn named_tls(entry: &Entry<'_>, mode: Mode, tls: &[Tls]) -> Option<String> {
    let names: Vec<_> = tls.iter().map(|tls| tls.name.as_str()).collect();
    let text = entry.text(names.first().unwrap_or(&"site"))?;
    if !names.contains(&text) {
        let help = match (hints::closest(text, &names), names.as_slice()) {
            (Some(name), _) => format!("did you mean `\"{name}\"`?"),
            (None, []) => format!(
                "no `tls` table is configured: add `[tls.{text}]` with `certificate` and `key`"
            ),
            (None, names) => format!("write {}", hints::list(names)),
        };
        let diagnostic = entry.error("names an unknown `tls` table").absent();
        entry.push(diagnostic.label("no `[tls.NAME]` of this name").help(help));
    }
    let named = tls.iter().find(|tls| tls.name == text);
    let protocols = named.and_then(|tls| tls.alpn.as_deref());
    let is_foreign = |protocol: &&String| !HTTP_PROTOCOLS.contains(&protocol.as_str());
    if mode == Mode::Http
        && let Some(foreign) = protocols.unwrap_or_default().iter().find(is_foreign)
    {
        let message = format!("offers `{foreign}`, which this frontend does not speak");
        let help = format!(
            "`alpn` of `[tls.{text}]` can contain only `h2` and `http/1.1`, unless all its frontends have `mode = \"tcp\"`"
        );
        entry.push(entry.error(&message).label("by ALPN").help(help));
    }
    Some(text.to_owned())
}

fn accept_proxy(mut table: Table<'_>) -> AcceptProxy {
    let mut accept = AcceptProxy::default();
    let from = table.require("from", "`from = \"10.0.0.0/8\"`");
    for peer in from.map_or_else(Vec::new, |from| from.one_or_many()) {
        let Some(text) = peer.text("10.0.0.0/8") else {
            continue;
        };
        if text == "unix" {
            accept.from_unix = true;
            continue;
        }
        match address::network(text) {
            Ok(network) => accept.from.push(network),
            Err(error) => {
                let diagnostic = peer.error("is not a network").label(error.label);
                peer.push(diagnostic.help(error.help));
            }
        }
    }
    table.finish();
    accept
}

/// Reads a boolean or a port. Returns `None` for `false`, and for a wrong value.
fn redirect(entry: &Entry<'_>) -> Option<RedirectToHttps> {
    if let DeValue::Integer(_) = entry.value() {
        let port = u16::try_from(entry.integer(1..=65_535)?).ok();
        return Some(RedirectToHttps {
            port: port
                .and_then(NonZeroU16::new)
                .filter(|port| port.get() != 443),
        });
    }
    entry.boolean()?.then_some(RedirectToHttps { port: None })
}

/// Reads permission bits in octal, as in `chmod`.
fn permissions(entry: &Entry<'_>) -> Option<u32> {
    let text = entry.text("0660")?;
    let mode = u32::from_str_radix(text, 8).ok();
    let mode = mode.filter(|mode| (3..=4).contains(&text.len()) && *mode <= 0o777);
    if mode.is_none() {
        let diagnostic = entry.error("is not a file mode");
        let diagnostic = diagnostic.label("not three octal digits");
        entry.push(diagnostic.help("as in `\"0660\"`: owner and group may connect"));
    }
    mode
}

/// Reports an address that is bound twice. The kernel would distribute its connections at random
/// between the two sockets (`SO_REUSEPORT`).
fn once(element: &Entry<'_>, bind: &BindAddress, bound: &mut Bound) {
    let any_port = match bind {
        BindAddress::Tcp(address) => address.port() == 0,
        BindAddress::Name { port, .. } => *port == 0,
        BindAddress::Unix(_) => false,
    };
    if any_port {
        return;
    }
    let span = element.spanned().span();
    match bound.get(bind) {
        Some((first, path)) => {
            let diagnostic = element.error(&format!("binds {bind} a second time"));
            let diagnostic = diagnostic.label("the same address");
            let diagnostic = diagnostic.context(first.clone(), format!("first bound by `{path}`"));
            element.push(diagnostic.help("leave one out, or choose another address or port"));
        }
        None => {
            bound.insert(bind.clone(), (span, element.path.clone()));
        }
    }
}
