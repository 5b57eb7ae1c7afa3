//! The secrets that sign deliveries, read from Secrets Manager.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_secretsmanager::Client;
use domain::time::UnixMillis;
use domain::webhook::{Secret, Secrets, UnreadableSecrets};

/// How long an instance uses secrets before it reads them again.
const FRESH_MILLIS: i64 = 60_000;

/// Why the secrets of an endpoint are unknown.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager did not return a value.
    #[error("Secrets Manager did not return the secret of webhook `{endpoint}`")]
    Unavailable {
        /// The endpoint.
        endpoint: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The value has another form.
    #[error("the value of the secret of webhook `{endpoint}` is unreadable")]
    Unreadable {
        /// The endpoint.
        endpoint: String,
        /// What a value looks like; never what this one contains.
        source: UnreadableSecrets,
    },
}

/// A store of secrets.
pub trait Vault: Send + Sync {
    /// The current value of an endpoint's secret.
    fn read(
        &self,
        endpoint: &str,
    ) -> impl Future<Output = Result<String, Box<dyn Error + Send + Sync>>> + Send;
}

/// [`Vault`] on Secrets Manager.
#[derive(Debug, Clone)]
pub struct SecretsManager {
    client: Client,
    prefix: String,
}

impl SecretsManager {
    /// The secrets whose names start with `prefix`, reached by `client`.
    pub fn new(client: Client, prefix: impl Into<String>) -> Self {
        Self {
            client,
            prefix: prefix.into(),
        }
    }
}

impl Vault for SecretsManager {
    async fn read(&self, endpoint: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
        let name = format!("{}{endpoint}", self.prefix);
        let value = self
            .client
            .get_secret_value()
            .secret_id(name)
            .send()
            .await?;
        Ok(value.secret_string.unwrap_or_default())
    }
}

/// The secrets of all endpoints, each cached for a minute.
#[derive(Debug)]
pub struct SigningSecrets<V> {
    vault: V,
    cached: Mutex<BTreeMap<String, (UnixMillis, Secrets)>>,
}

impl<V: Vault> SigningSecrets<V> {
    /// The secrets in `vault`.
    pub const fn new(vault: V) -> Self {
        Self {
            vault,
            cached: Mutex::new(BTreeMap::new()),
        }
    }

    /// The secrets of `endpoint` that sign at `now`, newest first.
    pub async fn of(&self, endpoint: &str, now: UnixMillis) -> Result<Vec<Secret>, SecretError> {
        if let Some(secrets) = self.fresh(endpoint, now) {
            return Ok(secrets.good_at(now));
        }
        let value = self.vault.read(endpoint).await;
        let value = value.map_err(|source| SecretError::Unavailable {
            endpoint: endpoint.to_owned(),
            source,
        })?;
        let secrets = Secrets::parse(&value).map_err(|source| SecretError::Unreadable {
            endpoint: endpoint.to_owned(),
            source,
        })?;
        let good = secrets.good_at(now);
        self.lock().insert(endpoint.to_owned(), (now, secrets));
        Ok(good)
    }

    fn fresh(&self, endpoint: &str, now: UnixMillis) -> Option<Secrets> {
        let cached = self.lock();
        let (read, secrets) = cached.get(endpoint)?;
        let is_fresh = (0..FRESH_MILLIS).contains(&now.since(*read));
        is_fresh.then(|| secrets.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (UnixMillis, Secrets)>> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
