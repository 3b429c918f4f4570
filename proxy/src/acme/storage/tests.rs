//! Tests of the storage: new files, private modes, damaged files.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::config::AcmeChallenge;

fn acme(directory: &TempDir, names: &[&str]) -> Acme {
    Acme {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        contact: Vec::new(),
        directory: "https://acme.example.org/directory".to_owned(),
        ca: None,
        storage: directory.path().join("acme"),
        challenge: AcmeChallenge::Http01,
    }
}

fn pem(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key);
    format!("{}{}", certificate.unwrap().pem(), key.serialize_pem())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn written_files_are_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let acme = acme(&directory, &["a.example", "b.example"]);
    let storage = Storage::new(&acme);
    assert!(storage.certificate().unwrap().is_none());
    assert!(storage.account().unwrap().is_none());
    assert_eq!(storage.state().unwrap(), State::default());
    check_storage(&acme).unwrap();
    assert!(!acme.storage.exists());

    let pem = pem(&["a.example", "B.example"]);
    storage.set_certificate(&Stored::new(pem).unwrap()).unwrap();
    let state = State {
        names: acme.names.clone(),
        failures: 3,
        next_try: 17,
        error: Some("no".to_owned()),
        order: Some(PendingOrder {
            url: "https://acme.example.org/order/1".to_owned(),
            key: "KEY".to_owned(),
        }),
    };
    storage.set_state(&state).unwrap();
    let account = StoredAccount {
        directory: acme.directory.clone(),
        key: "AAAA".to_owned(),
        url: None,
        contact: Vec::new(),
    };
    storage.set_account(&account).unwrap();
    let stored = stored(&acme).unwrap().unwrap();
    assert_eq!(stored.missing(&acme.names), None);
    let other = vec!["c.example".to_owned()];
    assert_eq!(stored.missing(&other), Some(&other[0]));
    assert_eq!(storage.state().unwrap(), state);
    assert_eq!(storage.account().unwrap(), Some(account));
    check_storage(&acme).unwrap();
    for name in ["certificate.pem", "state.json"] {
        assert_eq!(mode(&storage.name.join(name)), 0o600);
    }
    assert_eq!(mode(&storage.server.join("account.json")), 0o600);
    assert_eq!(mode(&storage.server), 0o700);
    assert_eq!(mode(&storage.name), 0o700);
    // No temporary files are left.
    assert_eq!(fs::read_dir(&storage.name).unwrap().count(), 2);
}

#[test]
fn other_users_cannot_read_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let acme = acme(&directory, &["a.example"]);
    let storage = Storage::new(&acme);
    storage.set_state(&State::default()).unwrap();
    let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let state = storage.name.join("state.json");
    open(&state, 0o640);
    assert!(matches!(storage.state(), Err(StorageError::Open(path)) if path == state));
    assert!(check_storage(&acme).is_err());
    open(&state, 0o600);
    check_storage(&acme).unwrap();
    open(&storage.server, 0o755);
    assert!(matches!(storage.lock(), Err(StorageError::Open(path)) if path == storage.server));
    assert!(check_storage(&acme).is_err());
}

#[test]
fn broken_files_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let acme = acme(&directory, &["a.example"]);
    let storage = Storage::new(&acme);
    // A state that cannot be read must not be treated as a state without failures.
    storage.write(&storage.name, "state.json", b"{").unwrap();
    assert!(matches!(storage.state(), Err(StorageError::Json { .. })));
    storage
        .write(&storage.name, "certificate.pem", b"?")
        .unwrap();
    assert!(matches!(
        stored(&acme),
        Err(StorageError::Certificate { .. })
    ));
}

#[test]
fn only_one_process_orders_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let one = Storage::new(&acme(&directory, &["a.example", "b.example"]));
    let same = Storage::new(&acme(&directory, &["a.example"]));
    let other = Storage::new(&acme(&directory, &["b.example"]));
    let held = one.lock().unwrap();
    assert!(held.is_some());
    assert!(same.lock().unwrap().is_none());
    assert!(other.lock().unwrap().is_some());
    assert!(one.lock_account().unwrap().is_some());
    drop(held);
    assert!(same.lock().unwrap().is_some());
}

#[test]
fn folders() {
    let directory = tempfile::tempdir().unwrap();
    let check = |name: &str, expected: &str| {
        let found = folder(&acme(&directory, &[name]));
        assert_eq!(found, expected, "{name}");
    };
    check("a.example", "a.example");
    check("A.Example", "a.example");
    check("..", "_.");
    check("../../etc", "_._.._etc");
    check("", "_");
}
