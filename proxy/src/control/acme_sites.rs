//! Certificates from ACME servers: at first those on disk, later the ones that are newly issued.

use std::collections::HashMap;
use std::sync::Arc;

use crate::acme::{self, HttpChallenges, Manager, Publish};
use crate::config::{Acme, Bind, Config, Errors, Source};
use crate::sites::Sites;
use crate::telemetry::chain;
use crate::transport::tls::Identity;

/// Puts new certificates into force.
#[derive(Debug)]
struct Publisher(Arc<Sites>);

impl Publish for Publisher {
    fn publish(&self, site: &str, identity: &Identity) {
        // If the site is unknown, a reload has just removed it.
        let _ = self.0.put(site, identity.clone());
    }
}

/// Creates the manager of this process's ACME orders. It places no orders until it is started.
pub(super) fn manager(sites: &Arc<Sites>, http: Arc<HttpChallenges>) -> Manager {
    let publisher = Arc::new(Publisher(Arc::clone(sites)));
    Manager::new(http, Arc::clone(sites.challenges()), publisher)
}

/// Returns every `[tls.NAME]` that has `acme` and that a bind names.
pub(super) fn ordered(config: &Config) -> impl Iterator<Item = (&str, &Acme)> {
    let is_named = |name: &str| {
        let mut binds = config.frontends.iter().flat_map(|frontend| &frontend.bind);
        binds.any(|bind: &Bind| bind.tls.as_deref() == Some(name))
    };
    let named = config.tls.iter().filter(move |tls| is_named(&tls.name));
    named.filter_map(|tls| Some((tls.name.as_str(), tls.acme.as_ref()?)))
}

/// Reads certificates from disk, for the sites that are new or whose `acme` section differs from
/// that in `active`. Blocks.
pub(super) fn stored(config: &Config, active: Option<&Config>) -> Vec<(String, Identity)> {
    let is_new = |name: &str, acme: &Acme| {
        let known = active.and_then(|active| active.tls(name)?.acme.as_ref());
        known != Some(acme)
    };
    let new = ordered(config).filter(|(name, acme)| is_new(name, acme));
    // Problems with the disk are reported when the certificate is ordered.
    new.filter_map(|(name, acme)| Some((name.to_owned(), acme::stored(acme).ok()??.identity)))
        .collect()
}

/// Checks that certificates can be ordered and stored, without contacting a server. Blocks.
pub(super) fn check(config: &Config, source: &Source) -> Vec<Errors> {
    let mut mistakes = Vec::new();
    let mut folders: HashMap<_, (&str, &Acme)> = HashMap::new();
    for (name, acme) in ordered(config) {
        // Two sites with the same first name share one file. Each would replace the other's
        // certificate again and again.
        let first = acme.names.first().map(|name| name.to_ascii_lowercase());
        let folder = (&acme.storage, &acme.directory, first);
        let (other, known) = *folders.entry(folder).or_insert((name, acme));
        if known.names != acme.names {
            let message = format!("begins with the same name as `tls.{other}.acme.names`");
            let help =
                "use the same names in both, put a different name first, or set another storage";
            mistakes.push(source.key_error(&["tls", name, "acme", "names"], &message, Some(help)));
        }
        // If the proxy is started as root, it creates the directory for the configured user.
        let is_provided = config.user.is_some() && !acme.storage.exists();
        if !is_provided && let Err(error) = acme::check_storage(acme) {
            let key = ["tls", name, "acme", "storage"];
            let help = "certificates that cannot be stored would be ordered again at every start";
            mistakes.push(source.key_error(&key, &chain(&error), Some(help)));
        }
        if let Err(error) = acme::check_authorities(acme) {
            let last = if acme.ca.is_some() { "ca" } else { "directory" };
            let key = ["tls", name, "acme", last];
            mistakes.push(source.key_error(&key, &chain(&error), None));
        }
    }
    mistakes
}
