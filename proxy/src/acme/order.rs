//! One order, from the account to the certificate.
//!
//! An interrupted order is resumed, because most limits of public servers count orders: the order's
//! URL and key are written to disk as soon as the server has accepted the order.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::account;
use super::challenge::{ChallengeGuard, ChallengeResponders};
use super::error::{OrderError, Refusal};
use super::http::Client;
use super::storage::{PendingOrder, State, Storage, Stored, blocking};
use crate::config::{Acme, AcmeChallenge};

/// Polling policy. The timeout applies once while the server checks the challenges, and once while
/// it issues the certificate.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_mins(3));

/// Maximum number of attempts at an order when the server rejects nonces as outdated. Each request
/// already tries three nonces. More attempts are needed because a server can forget its nonces when
/// it restarts (RFC 8555, section 6.5).
const MAX_ATTEMPTS: u32 = 3;

/// Inputs of an order.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrderContext<'a> {
    pub(super) acme: &'a Acme,
    pub(super) client: &'a Client,
    pub(super) storage: &'a Storage,
    pub(super) responders: &'a ChallengeResponders,
}

/// Orders a certificate, or resumes the order in `state`.
pub(super) async fn obtain(
    context: OrderContext<'_>,
    state: &mut State,
) -> Result<Stored, OrderError> {
    let mut attempts = 1;
    loop {
        match context.obtain(state).await {
            // The next attempt resumes the same order.
            Err(OrderError::Refused(refusal))
                if refusal.is_bad_nonce() && attempts < MAX_ATTEMPTS =>
            {
                attempts += 1;
            }
            obtained => return obtained,
        }
    }
}

impl OrderContext<'_> {
    async fn obtain(self, state: &mut State) -> Result<Stored, OrderError> {
        let (acme, client, storage) = (self.acme, self.client, self.storage);
        let attempt = match account::open(acme, client, storage).await {
            Ok(account) => self.attempt(&account, state).await,
            Err(error) => Err(error),
        };
        match attempt {
            Err(error) if account::is_unknown(&error) => {
                let account = account::renew(acme, client, storage).await?;
                self.attempt(&account, state).await
            }
            attempt => attempt,
        }
    }

    async fn attempt(self, account: &Account, state: &mut State) -> Result<Stored, OrderError> {
        let (mut order, key) = match self.resume(account, state).await? {
            Some(resumed) => resumed,
            None => self.create(account, state).await?,
        };
        let finished = self.finish(&mut order, &key).await;
        if !finished.as_ref().is_err_and(may_go_on) {
            state.order = None;
        }
        finished
    }

    /// Returns the order in `state`, unless the server no longer has it or has declared it invalid.
    async fn resume(
        self,
        account: &Account,
        state: &mut State,
    ) -> Result<Option<(Order, String)>, OrderError> {
        let Some(PendingOrder { url, key }) = state.order.clone() else {
            return Ok(None);
        };
        match account.order(url).await.map_err(OrderError::from) {
            Ok(mut order) => {
                tracing::debug!(url = order.url(), "previous ACME order found");
                let is_open = order.state().status != OrderStatus::Invalid;
                Ok(is_open.then_some((order, key)))
            }
            Err(OrderError::Refused(refusal)) if !refusal.is_temporary() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(
        self,
        account: &Account,
        state: &mut State,
    ) -> Result<(Order, String), OrderError> {
        let names = self.acme.names.iter().cloned();
        let names: Vec<Identifier> = names.map(Identifier::Dns).collect();
        let key = KeyPair::generate()?.serialize_pem();
        let order = account.new_order(&NewOrder::new(&names)).await?;
        state.order = Some(PendingOrder {
            url: order.url().to_owned(),
            key: key.clone(),
        });
        let (storage, state) = (self.storage.clone(), state.clone());
        blocking(move || storage.set_state(&state)).await?;
        Ok((order, key))
    }

    async fn finish(self, order: &mut Order, key: &str) -> Result<Stored, OrderError> {
        let mut status = order.state().status;
        if status == OrderStatus::Pending {
            // Keeps the responses in place until the server has checked them.
            let _guards = self.prove(order).await?;
            match order.poll_ready(&POLLS).await.map_err(OrderError::from) {
                Ok(ready) => status = ready,
                Err(error @ OrderError::Refused(_)) => {
                    return Err(explain(order).await.unwrap_or(error));
                }
                Err(error) => return Err(error),
            }
        }
        match status {
            OrderStatus::Ready => order.finalize_csr(&request(self.acme, key)?).await?,
            OrderStatus::Invalid => {
                let error = OrderError::Answer("an invalid order".to_owned());
                return Err(explain(order).await.unwrap_or(error));
            }
            OrderStatus::Pending | OrderStatus::Processing | OrderStatus::Valid => {}
        }
        let chain = order.poll_certificate(&POLLS).await?;
        let stored = Stored::new(format!("{}\n{key}", chain.trim_end()))?;
        match stored.missing(&self.acme.names) {
            Some(name) => Err(OrderError::MissingName(name.clone())),
            None => Ok(stored),
        }
    }

    /// Puts the responses to all challenges in place, and asks the server to check them.
    async fn prove(self, order: &mut Order) -> Result<Vec<ChallengeGuard>, OrderError> {
        let acme = self.acme;
        let wanted = match acme.challenge {
            AcmeChallenge::Http01 => ChallengeType::Http01,
            AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        };
        let mut guards = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            let name = authorization.identifier().to_string();
            if !acme.names.iter().any(|own| own.eq_ignore_ascii_case(&name)) {
                return Err(OrderError::Answer(
                    "an authorization for another name".to_owned(),
                ));
            }
            // An authorization in any other state is either valid already, or makes the whole order
            // invalid.
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let Some(mut challenge) = authorization.challenge(wanted.clone()) else {
                let challenge = acme.challenge;
                return Err(OrderError::NoChallenge { challenge, name });
            };
            let proof = challenge.key_authorization();
            guards.push(match acme.challenge {
                AcmeChallenge::Http01 => self.responders.http(&challenge.token, &proof)?,
                AcmeChallenge::TlsAlpn01 => self.responders.tls(&name, &proof)?,
            });
            if challenge.status == ChallengeStatus::Pending {
                challenge.set_ready().await?;
            }
        }
        Ok(guards)
    }
}

/// Returns whether the next attempt can resume the same order.
fn may_go_on(error: &OrderError) -> bool {
    match error {
        OrderError::Http(_) | OrderError::Timeout | OrderError::Storage(_) => true,
        OrderError::Refused(refusal) => refusal.is_temporary(),
        _ => false,
    }
}

/// Returns the error of the challenge that failed, if the server reports one.
async fn explain(order: &mut Order) -> Option<OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let mut problems = state.challenges.iter();
        if let Some(problem) = problems.find_map(|challenge| challenge.error.as_ref()) {
            return Some(OrderError::Challenge {
                name: state.identifier().to_string(),
                refusal: Refusal::new(problem),
            });
        }
    }
    None
}

/// Creates a certificate signing request (RFC 2986) in DER.
fn request(acme: &Acme, key: &str) -> Result<Vec<u8>, OrderError> {
    let mut params = CertificateParams::new(acme.names.clone())?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::from_pem(key)?;
    Ok(params.serialize_request(&key)?.der().to_vec())
}
