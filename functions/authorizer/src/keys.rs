//! The API keys: a table, looked up by hash, behind the [`Cache`].

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::key::{BadKeyItem, KeyRecord, attribute};
use runtime::aws::Patience;
use runtime::clock::Clock;
use runtime::log::Chain;

use crate::cache::Cache;
use crate::decision::Found;

/// Why a look-up failed.
#[derive(Debug, thiserror::Error)]
pub enum KeyTableError {
    /// The table did not answer in time, or does not exist.
    #[error("table `{table}` is unavailable")]
    Unavailable {
        /// The table.
        table: String,
        /// Its answer.
        source: BoxError,
    },
    /// The item is not a key.
    #[error("table `{table}` holds an item that is not a key")]
    Unreadable {
        /// The table.
        table: String,
        /// What is wrong with it.
        source: BadKeyItem,
    },
}

/// A table of keys by hash.
pub trait KeyTable: Send + Sync {
    /// The key with this hash, as of the last acknowledged write.
    fn look_up(
        &self,
        hash: &str,
    ) -> impl Future<Output = Result<Option<KeyRecord>, KeyTableError>> + Send;
}

/// [`KeyTable`] on DynamoDB.
#[derive(Debug, Clone)]
pub struct DynamoKeyTable {
    client: Client,
    table: String,
}

impl DynamoKeyTable {
    /// The table `table`, with short timeouts, since a caller waits.
    pub fn new(config: &SdkConfig, table: impl Into<String>) -> Self {
        let config = aws_sdk_dynamodb::config::Builder::from(config)
            .timeout_config(Patience::CALLER.timeouts())
            .retry_config(Patience::CALLER.retries())
            .build();
        Self {
            client: Client::from_conf(config),
            table: table.into(),
        }
    }
}

impl KeyTable for DynamoKeyTable {
    async fn look_up(&self, hash: &str) -> Result<Option<KeyRecord>, KeyTableError> {
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(attribute::KEY_HASH, AttributeValue::S(hash.to_owned()))
            .consistent_read(true);
        let output = request
            .send()
            .await
            .map_err(|error| KeyTableError::Unavailable {
                table: self.table.clone(),
                source: error.into(),
            })?;
        let record = |item| {
            let item: &std::collections::HashMap<String, AttributeValue> = item;
            let text = |name: &str| item.get(name)?.as_s().ok().map(String::as_str);
            KeyRecord::from_attributes(text)
        };
        output
            .item()
            .map(record)
            .transpose()
            .map_err(|source| KeyTableError::Unreadable {
                table: self.table.clone(),
                source,
            })
    }
}

/// The keys, cached.
#[derive(Debug)]
pub struct Keys<T> {
    table: T,
    cache: Mutex<Cache>,
}

impl<T: KeyTable> Keys<T> {
    /// The keys of `table`, with an empty cache.
    pub fn new(table: T) -> Self {
        Self {
            table,
            cache: Mutex::default(),
        }
    }

    /// Finds a key by its hash: in the cache, then in the table, and in an older entry of the cache if
    /// the table does not answer.
    pub async fn find(&self, hash: &str, clock: &impl Clock) -> Found {
        let remembered = self.cache().recall(hash, clock.now());
        if let Some(found) = remembered {
            return found;
        }
        match self.table.look_up(hash).await {
            Ok(key) => {
                self.cache().remember(hash, key.clone(), clock.now());
                key.map_or(Found::Unknown, Found::Known)
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "a key was not looked up");
                self.cache().fall_back(hash, clock.now())
            }
        }
    }

    /// Connects to the table, so that the first caller does not wait for the connection.
    pub async fn connect(&self) {
        if let Err(error) = self.table.look_up("none").await {
            tracing::warn!(error = %Chain(&error), "the API-key table cannot be reached yet");
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KeyStore, key};
    use domain::time::UnixMillis;
    use std::sync::atomic::{AtomicI64, Ordering};

    #[tokio::test]
    async fn the_table_is_asked_once_in_ten_seconds_and_a_revoked_key_is_seen_then() {
        let table = KeyStore::default();
        table.hold(key());
        let keys = Keys::new(&table);
        let time = AtomicI64::new(0);
        let clock = || UnixMillis(time.load(Ordering::Relaxed));
        for second in 0..30 {
            time.store(second * 1_000, Ordering::Relaxed);
            assert!(matches!(keys.find("hash", &clock).await, Found::Known(_)));
        }
        assert_eq!(table.asked(), 3);
        let revoked_at = Some(UnixMillis(29_500));
        table.hold(KeyRecord {
            revoked_at,
            ..key()
        });
        time.store(30_000, Ordering::Relaxed);
        let Found::Known(found) = keys.find("hash", &clock).await else {
            panic!("the key is gone");
        };
        assert_eq!(found.revoked_at, revoked_at);
    }

    #[tokio::test]
    async fn a_key_that_was_just_made_is_found_at_once() {
        let table = KeyStore::default();
        let keys = Keys::new(&table);
        let clock = || UnixMillis(0);
        assert_eq!(keys.find("other", &clock).await, Found::Unknown);
        table.hold(key());
        assert_eq!(keys.find("hash", &clock).await, Found::Known(key()));
    }

    #[tokio::test]
    async fn a_table_out_of_order_is_asked_for_unknown_keys_and_rarely_for_known_ones() {
        let table = KeyStore::default();
        table.hold(key());
        let keys = Keys::new(&table);
        let time = AtomicI64::new(0);
        let clock = || UnixMillis(time.load(Ordering::Relaxed));
        keys.find("hash", &clock).await;
        table.set_down(true);
        for tenth in 100..200 {
            time.store(tenth * 100, Ordering::Relaxed);
            assert_eq!(keys.find("hash", &clock).await, Found::Known(key()));
        }
        assert_eq!(table.asked(), 1 + 5);
        assert_eq!(keys.find("other", &clock).await, Found::Unavailable);
        table.set_down(false);
        assert_eq!(keys.find("other", &clock).await, Found::Unknown);
    }
}
