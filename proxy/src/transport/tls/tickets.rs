//! Session tickets that every worker can open, and the process that follows.
//!
//! No session is kept: a ticket is the session, sealed with AES-256-GCM. The keys are made at
//! random for periods of 12 hours. A ticket of the present period is accepted until the next one
//! ends: for 12 hours at least, which is what clients are told, and for 24 at most. After that its
//! key is gone. The next period's key exists early, so that two processes that serve at the same
//! time still agree after a period ends.
//!
//! Each site has keys of its own, derived from those and from what the site asks of clients'
//! certificates: a session never goes on at another site or under other rules.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::server::ProducesTickets;
use thiserror::Error;

/// How long tickets are sealed with one key, in seconds.
const PERIOD: u64 = 12 * 60 * 60;
/// The last one, the present one, and the next one.
const KEYS: usize = 3;
const SECRET_LEN: usize = 32;
/// Tells which key a ticket was sealed with. Derived, so that no two sites have the same.
const NAME_LEN: usize = 16;
/// A ticket: name, nonce, what is sealed, tag.
const TAG_LEN: usize = 16;
/// Of exported keys.
const FORMAT: u8 = 1;
const EXPORT_LEN: usize = 1 + 8 + KEYS * SECRET_LEN;

/// The secrets that all tickets of this process depend on.
pub struct TicketKeys {
    /// Taken when a period begins, by each site once.
    secrets: Mutex<Secrets>,
    /// Changes with an import: what was derived before is no longer used.
    generation: AtomicU64,
    random: SystemRandom,
    clock: Clock,
}

type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

#[derive(Clone)]
struct Secrets {
    /// The number of the present period since 1970.
    period: u64,
    /// Of the period before, the present one, and the next one.
    secrets: [[u8; SECRET_LEN]; KEYS],
}

/// Why keys cannot be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TicketError {
    /// The bytes are of another version of the proxy, or damaged.
    #[error("the keys of session tickets are not in a form that this version knows")]
    Format,
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl fmt::Debug for TicketKeys {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").finish_non_exhaustive()
    }
}

impl TicketKeys {
    /// New ones.
    ///
    /// # Errors
    /// [`TicketError::Random`].
    pub fn new() -> Result<Arc<TicketKeys>, TicketError> {
        TicketKeys::with_clock(Box::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.unwrap_or_default().as_secs()
        }))
    }

    /// With a clock that tells the seconds since 1970.
    fn with_clock(clock: Clock) -> Result<Arc<TicketKeys>, TicketError> {
        let random = SystemRandom::new();
        let mut secrets = [[0; SECRET_LEN]; KEYS];
        for secret in &mut secrets {
            random.fill(secret).map_err(|_| TicketError::Random)?;
        }
        let period = clock() / PERIOD;
        Ok(Arc::new(TicketKeys {
            secrets: Mutex::new(Secrets { period, secrets }),
            generation: AtomicU64::new(0),
            random,
            clock,
        }))
    }

    /// The keys, for the process that follows. They are secret.
    pub fn export(&self) -> Vec<u8> {
        let secrets = self.secrets(self.period());
        let mut bytes = Vec::with_capacity(EXPORT_LEN);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&secrets.period.to_be_bytes());
        bytes.extend_from_slice(secrets.secrets.as_flattened());
        bytes
    }

    /// Replaces the keys by those of the process before.
    ///
    /// # Errors
    /// [`TicketError::Format`]; the keys stay as they were.
    pub fn import(&self, bytes: &[u8]) -> Result<(), TicketError> {
        let (&[format], rest) = bytes.split_first_chunk().ok_or(TicketError::Format)?;
        let (&period, rest) = rest.split_first_chunk().ok_or(TicketError::Format)?;
        let (chunks, rest) = rest.as_chunks();
        let secrets = <[_; KEYS]>::try_from(chunks).map_err(|_| TicketError::Format)?;
        if format != FORMAT || !rest.is_empty() {
            return Err(TicketError::Format);
        }
        let period = u64::from_be_bytes(period);
        *self.lock() = Secrets { period, secrets };
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Secrets> {
        // Secrets are replaced whole or one by one: a panic leaves usable ones.
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn period(&self) -> u64 {
        (self.clock)() / PERIOD
    }

    /// The secrets of a period. A clock that was set back changes nothing.
    fn secrets(&self, period: u64) -> Secrets {
        let mut held = self.lock();
        let passed = period.saturating_sub(held.period);
        let mut fresh = [[0; SECRET_LEN]; KEYS];
        // Without random numbers no new handshake succeeds either; the next call tries again.
        if passed > 0 && self.random.fill(fresh.as_flattened_mut()).is_ok() {
            for (_, secret) in (0..passed).zip(fresh) {
                held.secrets.rotate_left(1);
                held.secrets[KEYS - 1] = secret;
            }
            held.period = period;
        }
        held.clone()
    }
}

/// Seals and opens the tickets of one site.
pub(super) struct SiteTickets {
    keys: Arc<TicketKeys>,
    /// The site, and its policy for clients' certificates.
    context: [u8; 32],
    derived: ArcSwapOption<Derived>,
}

/// A site's keys in one period.
struct Derived {
    generation: u64,
    period: u64,
    /// The present one first.
    keys: [Key; KEYS],
}

struct Key {
    name: [u8; NAME_LEN],
    key: LessSafeKey,
}

impl fmt::Debug for SiteTickets {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteTickets").finish_non_exhaustive()
    }
}

impl SiteTickets {
    /// `context` is a digest of all that a session must have in common with one that goes on.
    pub(super) fn new(keys: Arc<TicketKeys>, context: [u8; 32]) -> Arc<SiteTickets> {
        Arc::new(SiteTickets {
            keys,
            context,
            derived: ArcSwapOption::empty(),
        })
    }

    /// The keys in force. Derived anew once a period, or after an import.
    fn derived(&self) -> Arc<Derived> {
        let generation = self.keys.generation.load(Ordering::Acquire);
        let period = self.keys.period();
        if let Some(derived) = &*self.derived.load()
            && (derived.generation, derived.period) == (generation, period)
        {
            return Arc::clone(derived);
        }
        let [last, present, next] = self.keys.secrets(period).secrets;
        let derived = Arc::new(Derived {
            generation,
            period,
            keys: [present, last, next].map(|secret| Key::derive(&secret, &self.context)),
        });
        self.derived.store(Some(Arc::clone(&derived)));
        derived
    }
}

impl Key {
    fn derive(secret: &[u8; SECRET_LEN], context: &[u8; 32]) -> Key {
        let prk = Salt::new(HKDF_SHA256, b"pointsman session tickets 1").extract(secret);
        let [key, name] =
            [b"key", b"nam"].map(|purpose| expand(&prk, &[purpose.as_slice(), context]));
        let key = UnboundKey::new(&AES_256_GCM, &key).expect("the length fits AES-256");
        Key {
            name: *name.first_chunk().expect("a name is shorter"),
            key: LessSafeKey::new(key),
        }
    }
}

fn expand(prk: &Prk, info: &[&[u8]]) -> [u8; 32] {
    let mut bytes = [0; 32];
    prk.expand(info, HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut bytes))
        .expect("the length is that of the digest");
    bytes
}

impl ProducesTickets for SiteTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(PERIOD).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let derived = self.derived();
        let key = &derived.keys[0];
        // At random: keys are shared by workers and processes. Two of 2^33 nonces are alike with
        // a probability of 2^-31, and no period has as many tickets.
        let mut nonce = [0; NONCE_LEN];
        self.keys.random.fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(NAME_LEN + NONCE_LEN + plain.len() + TAG_LEN);
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let sealed = &mut ticket[NAME_LEN + NONCE_LEN..];
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(key.name), sealed)
            .ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let derived = self.derived();
        // Names are public.
        let key = derived.keys.iter().find(|key| key.name == *name)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.key.open_in_place(nonce, Aad::from(*name), &mut sealed);
        let length = plain.ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

#[cfg(test)]
mod tests;
