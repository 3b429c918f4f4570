//! Session tickets that every worker and the next process can open.
//!
//! No session is stored: a ticket is the session itself, sealed with AES-256-GCM. Random keys are
//! generated for periods of 12 hours. A ticket of the current period is accepted until the next
//! period ends: for at least 12 hours, which is the lifetime sent to clients, and for at most 24
//! hours. Then its key is dropped. The next period's key exists in advance, so that two processes
//! that serve at the same time still agree after a period ends.
//!
//! Each site has its own keys, derived from the process's keys, the site's name and its
//! requirements for client certificates. A session is never resumed at another site or under other
//! rules.

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

/// Time for which tickets are sealed with one key, in seconds.
const PERIOD: u64 = 12 * 60 * 60;
/// Number of keys: the previous, the current and the next one.
const KEYS: usize = 3;
const SECRET_LEN: usize = 32;
/// Length of a key's name, which tells which key sealed a ticket. Names are derived, so that no two
/// sites have the same.
const NAME_LEN: usize = 16;
/// Length of the tag. A ticket consists of name, nonce, ciphertext and tag.
const TAG_LEN: usize = 16;
/// Format version of exported keys.
const FORMAT: u8 = 1;
const EXPORT_LEN: usize = 1 + 8 + KEYS * SECRET_LEN;

/// The secrets that all tickets of this process depend on.
pub struct TicketKeys {
    /// Locked once by each site when a period starts.
    secrets: Mutex<Secrets>,
    /// Changes with each import: keys that were derived before are no longer used.
    generation: AtomicU64,
    random: SystemRandom,
    clock: Clock,
}

type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

#[derive(Clone)]
struct Secrets {
    /// Number of the current period since 1970.
    period: u64,
    /// Secrets of the previous, the current and the next period.
    secrets: [[u8; SECRET_LEN]; KEYS],
}

/// Reason why keys cannot be created or imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TicketError {
    /// The bytes come from another version of the proxy or are damaged.
    #[error("this version does not support the format of the session ticket keys")]
    Format,
    /// The system provides no random numbers.
    #[error("the system provides no random numbers")]
    Random,
}

impl fmt::Debug for TicketKeys {
    /// Omits the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").finish_non_exhaustive()
    }
}

impl TicketKeys {
    /// Generates new keys.
    ///
    /// # Errors
    /// [`TicketError::Random`].
    pub fn new() -> Result<Arc<TicketKeys>, TicketError> {
        TicketKeys::with_clock(Box::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.unwrap_or_default().as_secs()
        }))
    }

    /// Generates new keys with a clock that returns the seconds since 1970.
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

    /// Exports the keys for the next process. They are secret.
    pub fn export(&self) -> Vec<u8> {
        let secrets = self.secrets(self.period());
        let mut bytes = Vec::with_capacity(EXPORT_LEN);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&secrets.period.to_be_bytes());
        bytes.extend_from_slice(secrets.secrets.as_flattened());
        bytes
    }

    /// Replaces the keys with those of the previous process.
    ///
    /// # Errors
    /// [`TicketError::Format`]; the keys are then unchanged.
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
        // Secrets are replaced all at once or one by one, so they are usable even after a panic.
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn period(&self) -> u64 {
        (self.clock)() / PERIOD
    }

    /// Returns the secrets of a period. If the clock is set back, the secrets stay the same.
    fn secrets(&self, period: u64) -> Secrets {
        let mut held = self.lock();
        let passed = period.saturating_sub(held.period);
        let mut fresh = [[0; SECRET_LEN]; KEYS];
        // If the system provides no random numbers, the old secrets stay, and the next call tries
        // again. New handshakes need random numbers too, so none succeeds meanwhile.
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
    /// Digest of the site's name and its policy for client certificates.
    context: [u8; 32],
    derived: ArcSwapOption<Derived>,
}

/// A site's keys in one period.
struct Derived {
    generation: u64,
    period: u64,
    /// Keys, the current one first.
    keys: [Key; KEYS],
}

struct Key {
    name: [u8; NAME_LEN],
    key: LessSafeKey,
}

impl fmt::Debug for SiteTickets {
    /// Omits the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteTickets").finish_non_exhaustive()
    }
}

impl SiteTickets {
    /// Creates the tickets of a site. `context` is a digest of all settings that must be equal for
    /// a session to be resumed.
    pub(super) fn new(keys: Arc<TicketKeys>, context: [u8; 32]) -> Arc<SiteTickets> {
        Arc::new(SiteTickets {
            keys,
            context,
            derived: ArcSwapOption::empty(),
        })
    }

    /// Returns the keys in force. Derives them again once per period and after an import.
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
        // The nonce is random because workers and processes share keys. With 2^33 nonces, two are
        // equal with a probability of 2^-31, and no period has so many tickets.
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
        // Names are public, so the comparison need not take constant time.
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
