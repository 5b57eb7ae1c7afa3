//! The API keys: a table, looked up by hash, behind the [`Cache`].

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::key::{BadKeyItem, KeyRecord, attribute};
use domain::time::UnixMillis;
use runtime::aws::Patience;
use runtime::clock::Clock;
use runtime::log::Chain;

use crate::cache::{Cache, Recalled};
use crate::decision::Found;
use crate::tries::Tries;

/// How precisely the last use of a key is recorded.
const USE_MILLIS: i64 = 60 * 60_000;

/// Why a look-up failed.
#[derive(Debug, thiserror::Error)]
pub enum KeyTableError {
    /// The table did not respond in time, or does not exist.
    #[error("table `{table}` is unavailable")]
    Unavailable {
        /// The table.
        table: String,
        /// The cause.
        source: BoxError,
    },
    /// The item is not a valid key record.
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

    /// Records that the key with this hash is used at `now`.
    fn note_use(
        &self,
        hash: &str,
        now: UnixMillis,
    ) -> impl Future<Output = Result<(), KeyTableError>> + Send;
}

/// [`KeyTable`] on DynamoDB.
#[derive(Debug, Clone)]
pub struct DynamoKeyTable {
    client: Client,
    table: String,
}

impl DynamoKeyTable {
    /// The table `table`, with short timeouts, because a caller waits.
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

    async fn note_use(&self, hash: &str, now: UnixMillis) -> Result<(), KeyTableError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(attribute::KEY_HASH, AttributeValue::S(hash.to_owned()))
            .update_expression("SET #used = :now")
            .condition_expression("attribute_exists(#hash)")
            .expression_attribute_names("#used", attribute::LAST_USED_AT)
            .expression_attribute_names("#hash", attribute::KEY_HASH)
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()));
        let sent = request.send().await;
        sent.map(|_| ())
            .map_err(|error| KeyTableError::Unavailable {
                table: self.table.clone(),
                source: error.into(),
            })
    }
}

/// The keys, cached.
#[derive(Debug)]
pub struct Keys<T> {
    table: T,
    cache: Mutex<Cache>,
    tries: Mutex<Tries>,
}

impl<T: KeyTable> Keys<T> {
    /// The keys of `table`, with an empty cache.
    pub fn new(table: T) -> Self {
        Self {
            table,
            cache: Mutex::default(),
            tries: Mutex::default(),
        }
    }

    /// Finds a key that `address` presents, by its hash: in the cache, then in the table, and in an
    /// older cache entry if the table does not respond.
    pub async fn find(&self, hash: &str, address: &str, clock: &impl Clock) -> Recalled {
        let (remembered, has_known) = {
            let cache = lock(&self.cache);
            (cache.recall(hash, clock.now()), cache.has_known(hash))
        };
        if let Some(recalled) = remembered {
            return recalled;
        }
        if !has_known && !lock(&self.tries).are_left(address, clock.now()) {
            return Recalled {
                found: Found::Untried,
                is_due: false,
            };
        }
        let found = self.ask(hash, clock).await;
        if found == Found::Unknown {
            lock(&self.tries).note(address, clock.now());
        }
        Recalled {
            found,
            is_due: false,
        }
    }

    /// Reads a key again, after a response based on the cache.
    pub async fn renew(&self, hash: &str, clock: &impl Clock) {
        self.ask(hash, clock).await;
    }

    /// Records that a key is used, at most once an hour.
    pub async fn note_use(&self, key: &KeyRecord, now: UnixMillis) {
        let last = key.more.last_used_at;
        if last.is_some_and(|last| (0..USE_MILLIS).contains(&now.since(last))) {
            return;
        }
        // Whether or not it succeeds: a retry is not worth it.
        lock(&self.cache).note_use(&key.key_hash, now);
        if let Err(error) = self.table.note_use(&key.key_hash, now).await {
            tracing::warn!(key = key.id, error = %Chain(&error), "the last use of a key is not noted");
        }
    }

    /// Connects to the table, so that the first caller does not wait for the connection.
    pub async fn connect(&self) {
        if let Err(error) = self.table.look_up("none").await {
            tracing::warn!(error = %Chain(&error), "the API-key table cannot be reached yet");
        }
    }

    async fn ask(&self, hash: &str, clock: &impl Clock) -> Found {
        match self.table.look_up(hash).await {
            Ok(key) => {
                lock(&self.cache).remember(hash, key.clone(), clock.now());
                key.map_or(Found::Unknown, Found::Known)
            }
            Err(error @ KeyTableError::Unreadable { .. }) => {
                // The table responds: entries for other keys keep their age.
                tracing::error!(error = %Chain(&error), "a key is not usable");
                Found::Unavailable
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "a key was not looked up");
                lock(&self.cache).fall_back(hash, clock.now())
            }
        }
    }
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{KeyStore, key};
    use domain::time::UnixMillis;
    use std::sync::atomic::{AtomicI64, Ordering};

    const ADDRESS: &str = "192.0.2.1";

    /// A call: finds the key, and reads it again after the response if that is due.
    async fn call(keys: &Keys<&KeyStore>, clock: &impl Clock) -> Found {
        let recalled = keys.find("hash", ADDRESS, clock).await;
        if recalled.is_due {
            keys.renew("hash", clock).await;
        }
        recalled.found
    }

    #[tokio::test]
    async fn a_busy_key_is_read_after_answers_and_a_revoked_one_is_seen_within_half_a_minute() {
        let table = KeyStore::default();
        table.hold(key());
        let keys = Keys::new(&table);
        let time = AtomicI64::new(0);
        let clock = || UnixMillis(time.load(Ordering::Relaxed));
        for second in 0..60 {
            time.store(second * 1_000, Ordering::Relaxed);
            let asked = table.asked();
            let recalled = keys.find("hash", ADDRESS, &clock).await;
            assert!(matches!(recalled.found, Found::Known(_)));
            assert!(second == 0 || table.asked() == asked, "a caller waits");
            if recalled.is_due {
                keys.renew("hash", &clock).await;
            }
        }
        assert_eq!(table.asked(), 6);
        let revoked_at = Some(UnixMillis(59_500));
        table.hold(KeyRecord {
            revoked_at,
            ..key()
        });
        // The instance is frozen for some time, or keeps serving.
        for (pause, calls) in [(25_000, 1), (1_000, 30)] {
            let keys = Keys::new(&table);
            table.hold(key());
            time.store(0, Ordering::Relaxed);
            call(&keys, &clock).await;
            table.hold(KeyRecord {
                revoked_at,
                ..key()
            });
            let mut last = Found::Unknown;
            for number in 1..=calls {
                time.store(number * pause, Ordering::Relaxed);
                last = call(&keys, &clock).await;
            }
            assert!(clock().0 <= 30_000);
            let Found::Known(found) = last else {
                panic!("the key is gone");
            };
            assert_eq!(found.revoked_at, revoked_at, "{pause}");
        }
    }

    #[tokio::test]
    async fn a_key_that_was_just_made_is_found_at_once() {
        let table = KeyStore::default();
        let keys = Keys::new(&table);
        let clock = || UnixMillis(0);
        assert_eq!(
            keys.find("other", ADDRESS, &clock).await.found,
            Found::Unknown
        );
        table.hold(key());
        assert_eq!(
            keys.find("hash", ADDRESS, &clock).await.found,
            Found::Known(key())
        );
    }

    #[tokio::test]
    async fn with_the_table_down_known_keys_work_for_ten_minutes_and_hardly_a_caller_waits() {
        let table = KeyStore::default();
        table.hold(key());
        let keys = Keys::new(&table);
        let time = AtomicI64::new(0);
        let clock = || UnixMillis(time.load(Ordering::Relaxed));
        call(&keys, &clock).await;
        table.set_down(true);
        let mut waited = 0;
        for second in 1..600 {
            time.store(second * 1_000, Ordering::Relaxed);
            let asked = table.asked();
            let recalled = keys.find("hash", ADDRESS, &clock).await;
            assert_eq!(recalled.found, Found::Known(key()), "{second}");
            waited += table.asked() - asked;
            if recalled.is_due {
                keys.renew("hash", &clock).await;
            }
        }
        assert_eq!(waited, 0);
        time.store(600_000, Ordering::Relaxed);
        assert_eq!(call(&keys, &clock).await, Found::Unavailable);
        assert_eq!(
            keys.find("other", ADDRESS, &clock).await.found,
            Found::Unavailable
        );
        table.set_down(false);
        assert_eq!(
            keys.find("other", ADDRESS, &clock).await.found,
            Found::Unknown
        );
    }

    #[tokio::test]
    async fn an_item_that_cannot_be_read_keeps_no_other_key_alive() {
        let table = KeyStore::default();
        table.hold(key());
        let keys = Keys::new(&table);
        let time = AtomicI64::new(0);
        let clock = || UnixMillis(time.load(Ordering::Relaxed));
        call(&keys, &clock).await;
        let revoked_at = Some(UnixMillis(500));
        table.hold(KeyRecord {
            revoked_at,
            ..key()
        });
        time.store(24_000, Ordering::Relaxed);
        let unreadable = keys.find(KeyStore::UNREADABLE, ADDRESS, &clock).await;
        assert_eq!(unreadable.found, Found::Unavailable);
        time.store(25_000, Ordering::Relaxed);
        let Found::Known(found) = keys.find("hash", ADDRESS, &clock).await.found else {
            panic!("the key is gone");
        };
        assert_eq!(found.revoked_at, revoked_at);
    }

    #[tokio::test]
    async fn after_twenty_unknown_keys_an_address_is_refused_without_a_look_up() {
        let table = KeyStore::default();
        table.hold(key());
        let keys = Keys::new(&table);
        let clock = || UnixMillis(5_000);
        call(&keys, &clock).await;
        for number in 0..20 {
            let found = keys
                .find(&format!("bad {number}"), ADDRESS, &clock)
                .await
                .found;
            assert_eq!(found, Found::Unknown);
        }
        let asked = table.asked();
        assert_eq!(
            keys.find("bad 20", ADDRESS, &clock).await.found,
            Found::Untried
        );
        assert_eq!(table.asked(), asked);
        assert_eq!(call(&keys, &clock).await, Found::Known(key()));
        // Nor is a key that this instance found long ago.
        let later = || UnixMillis(5_400);
        let long_ago = || UnixMillis(5_000 - 3_600_000);
        let slept = Keys::new(&table);
        call(&slept, &long_ago).await;
        for number in 0..21 {
            slept.find(&format!("bad {number}"), ADDRESS, &later).await;
        }
        assert_eq!(call(&slept, &later).await, Found::Known(key()));
        assert_eq!(
            keys.find("bad 20", "192.0.2.2", &clock).await.found,
            Found::Unknown
        );
    }

    #[tokio::test]
    async fn the_use_of_a_key_is_noted_once_an_hour() {
        let table = KeyStore::default();
        table.hold(key());
        let keys = Keys::new(&table);
        let time = AtomicI64::new(0);
        let clock = || UnixMillis(time.load(Ordering::Relaxed));
        for minute in 0..120 {
            time.store(minute * 60_000, Ordering::Relaxed);
            if let Found::Known(key) = call(&keys, &clock).await {
                keys.note_use(&key, clock()).await;
            }
        }
        assert_eq!(table.uses(), [UnixMillis(0), UnixMillis(3_600_000)]);
    }
}
