//! Tickets that are forged, old, or of another site, and keys that are passed to another process.

use super::*;

/// Creates keys whose clock the test controls.
fn keys(start: u64) -> (Arc<TicketKeys>, Arc<AtomicU64>) {
    let time = Arc::new(AtomicU64::new(start));
    let clock = Arc::clone(&time);
    let clock = Box::new(move || clock.load(Ordering::Relaxed));
    (TicketKeys::with_clock(clock).unwrap(), time)
}

const START: u64 = 1_800_000_000;

#[test]
fn a_ticket_opens_where_it_was_sealed_and_nowhere_else() {
    let (keys, _) = keys(START);
    let site = |context| SiteTickets::new(Arc::clone(&keys), [context; 32]);
    let ticket = site(1).encrypt(b"a session").unwrap();
    assert_eq!(ticket.len(), 9 + NAME_LEN + NONCE_LEN + TAG_LEN);
    assert_ne!(ticket, site(1).encrypt(b"a session").unwrap());
    assert_eq!(
        site(1).decrypt(&ticket).as_deref(),
        Some(b"a session".as_slice())
    );
    assert_eq!(site(2).decrypt(&ticket), None);
    // Sealed with another site's key, but labeled with this site's key name.
    let mut forged = site(2).encrypt(b"a session").unwrap();
    forged[..NAME_LEN].copy_from_slice(&ticket[..NAME_LEN]);
    assert_eq!(site(1).decrypt(&forged), None);
    for at in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[at] ^= 1;
        assert_eq!(site(1).decrypt(&changed), None, "byte {at}");
        assert_eq!(site(1).decrypt(&ticket[..at]), None, "{at} bytes");
    }
    let longer = [ticket.as_slice(), b"x"].concat();
    assert_eq!(site(1).decrypt(&longer), None);
}

#[test]
fn keys_are_rotated_over_time() {
    let check = |later: u64, expected: bool| {
        let (keys, time) = keys(START / PERIOD * PERIOD);
        let site = SiteTickets::new(keys, [1; 32]);
        let ticket = site.encrypt(b"x").unwrap();
        // The site uses its keys in every period in between, or in none of them.
        for step in [later, 1000] {
            let mut at = time.load(Ordering::Relaxed);
            while at < START / PERIOD * PERIOD + later {
                at = (at + step).min(START / PERIOD * PERIOD + later);
                time.store(at, Ordering::Relaxed);
                site.encrypt(b"y").unwrap();
            }
            assert_eq!(site.decrypt(&ticket).is_some(), expected, "{later}");
        }
    };
    check(0, true);
    check(PERIOD - 1, true);
    check(PERIOD, true);
    check(2 * PERIOD - 1, true);
    check(2 * PERIOD, false);
    check(10 * PERIOD, false);
}

#[test]
fn a_clock_that_is_set_back_loses_nothing() {
    let (keys, time) = keys(START);
    let site = SiteTickets::new(keys, [1; 32]);
    let ticket = site.encrypt(b"x").unwrap();
    time.store(START - 3 * PERIOD, Ordering::Relaxed);
    assert!(site.decrypt(&ticket).is_some());
    assert!(site.decrypt(&site.encrypt(b"y").unwrap()).is_some());
    time.store(START, Ordering::Relaxed);
    assert!(site.decrypt(&ticket).is_some());
}

#[test]
fn a_process_and_its_successor_open_each_others_tickets() {
    let (old_keys, old_time) = keys(START);
    let (new_keys, new_time) = keys(START);
    let old = SiteTickets::new(Arc::clone(&old_keys), [1; 32]);
    let new = SiteTickets::new(Arc::clone(&new_keys), [1; 32]);
    let ticket = old.encrypt(b"x").unwrap();
    assert!(new.decrypt(&ticket).is_none());
    new_keys.import(&old_keys.export()).unwrap();
    assert!(new.decrypt(&ticket).is_some());
    // For a while, both processes serve: one's clock is in the next period, and the other's is not
    // yet.
    new_time.store(START + PERIOD, Ordering::Relaxed);
    assert!(old.decrypt(&new.encrypt(b"y").unwrap()).is_some());
    old_time.store(START + PERIOD, Ordering::Relaxed);
    assert!(old.decrypt(&new.encrypt(b"z").unwrap()).is_some());
    assert!(new.decrypt(&old.encrypt(b"z").unwrap()).is_some());
}

#[test]
fn only_exported_keys_are_imported() {
    let (keys, _) = keys(START);
    let exported = keys.export();
    assert_eq!(exported.len(), EXPORT_LEN);
    for length in 0..exported.len() {
        let result = keys.import(&exported[..length]);
        assert_eq!(result, Err(TicketError::Format), "{length}");
    }
    let longer = [exported.as_slice(), &[0]].concat();
    assert_eq!(keys.import(&longer), Err(TicketError::Format));
    let mut other = exported.clone();
    other[0] = 2;
    assert_eq!(keys.import(&other), Err(TicketError::Format));
    assert_eq!(keys.export(), exported);
}
