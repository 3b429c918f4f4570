//! The account at an ACME server. The account's key is created once and then reused.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{Account, Key};

use super::error::OrderError;
use super::http::Client;
use super::storage::{Storage, StoredAccount, blocking};
use crate::config::Acme;

/// Interval between attempts to take the account's lock while another process has it.
const LOCK_INTERVAL: Duration = Duration::from_millis(200);

/// Opens the account, registering it first if necessary.
pub(super) async fn open(
    acme: &Acme,
    client: &Client,
    storage: &Storage,
) -> Result<Account, OrderError> {
    let known = read(storage).await?;
    if let Some(stored) = known
        && stored.contact == acme.contact
        && let Some(url) = &stored.url
    {
        return restore(acme, client, &stored, url).await;
    }
    register(acme, client, storage).await
}

/// Registers the account again, with the same key, after the server has rejected it as unknown.
pub(super) async fn renew(
    acme: &Acme,
    client: &Client,
    storage: &Storage,
) -> Result<Account, OrderError> {
    if let Some(mut stored) = read(storage).await? {
        stored.url = None;
        write(storage, stored).await?;
    }
    register(acme, client, storage).await
}

/// Returns whether the server has rejected the account as unknown.
pub(super) fn is_unknown(error: &OrderError) -> bool {
    matches!(error, OrderError::Refused(refusal) if refusal.is_unknown_account())
}

async fn register(acme: &Acme, client: &Client, storage: &Storage) -> Result<Account, OrderError> {
    let _lock = loop {
        let own = storage.clone();
        if let Some(lock) = blocking(move || own.lock_account()).await? {
            break lock;
        }
        tokio::time::sleep(LOCK_INTERVAL).await;
    };
    let mut stored = match read(storage).await? {
        Some(stored) => stored,
        None => create_key(acme, storage).await?,
    };
    let account = match stored.url.clone() {
        Some(url) => restore(acme, client, &stored, &url).await?,
        None => register_key(acme, client, storage, &mut stored).await?,
    };
    if stored.contact != acme.contact {
        let contact: Vec<&str> = acme.contact.iter().map(String::as_str).collect();
        account.update_contacts(&contact).await?;
        stored.contact.clone_from(&acme.contact);
        write(storage, stored).await?;
    }
    Ok(account)
}

/// Creates a key and stores it before it is registered. If the registration fails, the next attempt
/// uses the same key.
async fn create_key(acme: &Acme, storage: &Storage) -> Result<StoredAccount, OrderError> {
    let (_, key) = Key::generate_pkcs8()?;
    let stored = StoredAccount {
        directory: acme.directory.clone(),
        key: BASE64_URL_SAFE_NO_PAD.encode(key.secret_pkcs8_der()),
        url: None,
        contact: Vec::new(),
    };
    write(storage, stored.clone()).await?;
    Ok(stored)
}

/// Registers the key. If the key is already registered, the server returns the account that it
/// belongs to (RFC 8555, section 7.3.1).
async fn register_key(
    acme: &Acme,
    client: &Client,
    storage: &Storage,
    stored: &mut StoredAccount,
) -> Result<Account, OrderError> {
    let der = der(stored)?;
    let key = Key::from_pkcs8_der(der.clone().into())?;
    let der = der.try_into().map_err(|_| OrderError::AccountKey)?;
    let builder = Account::builder_with_http(Box::new(client.clone()));
    let (account, _) = builder
        .create_from_key((key, der), acme.directory.clone())
        .await?;
    tracing::info!(directory = acme.directory, "ACME account registered");
    // The registration request named no contacts, so the account has none yet.
    stored.contact = Vec::new();
    stored.url = Some(account.id().to_owned());
    write(storage, stored.clone()).await?;
    Ok(account)
}

async fn restore(
    acme: &Acme,
    client: &Client,
    stored: &StoredAccount,
    url: &str,
) -> Result<Account, OrderError> {
    let key = der(stored)?;
    let builder = Account::builder_with_http(Box::new(client.clone()));
    let account = builder.from_parts(url.to_owned(), key.into(), acme.directory.clone());
    Ok(account.await?)
}

fn der(stored: &StoredAccount) -> Result<Vec<u8>, OrderError> {
    BASE64_URL_SAFE_NO_PAD
        .decode(&stored.key)
        .map_err(|_| OrderError::AccountKey)
}

async fn read(storage: &Storage) -> Result<Option<StoredAccount>, OrderError> {
    let storage = storage.clone();
    Ok(blocking(move || storage.account()).await?)
}

async fn write(storage: &Storage, account: StoredAccount) -> Result<(), OrderError> {
    let storage = storage.clone();
    Ok(blocking(move || storage.set_account(&account)).await?)
}
