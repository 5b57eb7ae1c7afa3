//! Counters that authorizers share, for limits alone: no bill and no report depends on them.
//!
//! They are the only values that are incremented. An increment whose response is lost may or may
//! not have happened, so nothing here is retried.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use domain::limit::CALL;
use domain::table::{ItemKey, attribute};
use domain::time::UnixMillis;

use crate::store::StoreError;

/// The longest that a call waits for its counters, in hard mode.
const PATIENCE: Duration = Duration::from_millis(400);

/// Counters of an item by name.
pub type Counters = BTreeMap<String, i64>;

/// Increments of an item's counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Increments {
    /// The amount to add to each counter.
    pub add: Vec<(String, i64)>,
    /// Counters to set, whatever their values.
    pub set: Vec<(String, i64)>,
    /// Counters that are no longer needed.
    pub remove: Vec<String>,
    /// When the item may be deleted.
    pub expires_at: Option<UnixMillis>,
}

/// A call taken out of a bucket and a quota, if both hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    /// The counter that holds the tick at which the bucket is full again.
    pub full_at: String,
    /// The current tick.
    pub now: i64,
    /// The bucket holds a call if it is full again no later than this.
    pub latest: i64,
    /// The quota, if there is one.
    pub quota: Option<TakeQuota>,
    /// Whether the bucket is assumed to be full: each case needs its own kind of write.
    pub is_full: bool,
    /// When the item may be deleted.
    pub expires_at: Option<UnixMillis>,
}

/// A quota's part of [`Take`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeQuota {
    /// The counter of the period's units.
    pub used: String,
    /// The call's units.
    pub units: i64,
    /// The initial value of a counter that does not exist yet; leaves room for the call below
    /// `most`.
    pub begin: i64,
    /// The period's quota in units.
    pub most: i64,
}

/// The result of a [`Take`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The call is counted.
    Done(Counters),
    /// The call is not counted; the item's counters.
    Refused(Counters),
}

/// Counters by item.
pub trait CounterTable: Send + Sync {
    /// Adds to counters and returns all counters of the item.
    fn add(
        &self,
        key: &ItemKey,
        increments: &Increments,
    ) -> impl Future<Output = Result<Counters, StoreError>> + Send;

    /// Counts a call if both bucket and quota hold it.
    fn take(
        &self,
        key: &ItemKey,
        take: &Take,
    ) -> impl Future<Output = Result<Taken, StoreError>> + Send;
}

/// [`CounterTable`] on DynamoDB.
#[derive(Debug, Clone)]
pub struct DynamoCounters {
    client: Client,
    table: String,
}

impl DynamoCounters {
    /// The table `table`. Each request is sent once.
    pub fn new(config: &SdkConfig, table: impl Into<String>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(PATIENCE)
            .operation_timeout(PATIENCE);
        let config = aws_sdk_dynamodb::config::Builder::from(config)
            .timeout_config(timeouts.build())
            .retry_config(RetryConfig::standard().with_max_attempts(1))
            .build();
        Self {
            client: Client::from_conf(config),
            table: table.into(),
        }
    }

    fn unavailable(&self, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
        StoreError::Unavailable {
            table: self.table.clone(),
            source: Box::new(source),
        }
    }

    async fn update(&self, key: &ItemKey, update: Update) -> Result<Taken, StoreError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(attribute::PK, AttributeValue::S(key.pk.clone()))
            .key(attribute::SK, AttributeValue::S(key.sk.clone()))
            .update_expression(update.expression())
            .set_condition_expression(update.condition())
            .set_expression_attribute_names(Some(update.names.into_iter().collect()))
            .set_expression_attribute_values(Some(update.values.into_iter().collect()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match request.send().await {
            Ok(output) => Ok(Taken::Done(counters(output.attributes()))),
            Err(error) => {
                let refused = error
                    .as_service_error()
                    .and_then(|error| match error {
                        aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(refused) => Some(counters(refused.item())),
                        _ => None,
                    });
                match refused {
                    Some(held) => Ok(Taken::Refused(held)),
                    None if error.code() == Some("ResourceNotFoundException") => {
                        Err(StoreError::TableMissing {
                            table: self.table.clone(),
                        })
                    }
                    None => Err(self.unavailable(error)),
                }
            }
        }
    }
}

impl CounterTable for DynamoCounters {
    async fn add(&self, key: &ItemKey, increments: &Increments) -> Result<Counters, StoreError> {
        match self.update(key, Update::of_increments(increments)).await? {
            Taken::Done(counters) | Taken::Refused(counters) => Ok(counters),
        }
    }

    async fn take(&self, key: &ItemKey, take: &Take) -> Result<Taken, StoreError> {
        self.update(key, Update::of_take(take)).await
    }
}

/// An update as DynamoDB reads it.
#[derive(Debug, Default)]
struct Update {
    set: Vec<String>,
    add: Vec<String>,
    remove: Vec<String>,
    conditions: Vec<String>,
    names: BTreeMap<String, String>,
    values: BTreeMap<String, AttributeValue>,
}

impl Update {
    fn of_increments(increments: &Increments) -> Self {
        let mut update = Self::default();
        for (name, by) in &increments.add {
            let (name, by) = (update.name(name), update.value(*by));
            update.add.push(format!("{name} {by}"));
        }
        for (name, value) in &increments.set {
            let (name, value) = (update.name(name), update.value(*value));
            update.set.push(format!("{name} = {value}"));
        }
        for name in &increments.remove {
            let name = update.name(name);
            update.remove.push(name);
        }
        update.expire(increments.expires_at);
        update
    }

    fn of_take(take: &Take) -> Self {
        let mut update = Self::default();
        let full_at = update.name(&take.full_at);
        let now = update.value(take.now);
        if take.is_full {
            let next = update.value(take.now + CALL);
            update.set.push(format!("{full_at} = {next}"));
            update.conditions.push(format!(
                "(attribute_not_exists({full_at}) OR {full_at} < {now})"
            ));
        } else {
            let call = update.value(CALL);
            let latest = update.value(take.latest);
            update.set.push(format!("{full_at} = {full_at} + {call}"));
            update
                .conditions
                .push(format!("{full_at} BETWEEN {now} AND {latest}"));
        }
        if let Some(quota) = &take.quota {
            let used = update.name(&quota.used);
            let begin = update.value(quota.begin);
            let units = update.value(quota.units);
            let most = update.value(quota.most - quota.units);
            update
                .set
                .push(format!("{used} = if_not_exists({used}, {begin}) + {units}"));
            update.conditions.push(format!(
                "(attribute_not_exists({used}) OR {used} <= {most})"
            ));
        }
        update.expire(take.expires_at);
        update
    }

    fn expire(&mut self, at: Option<UnixMillis>) {
        if let Some(at) = at {
            let (name, value) = (self.name(attribute::TTL), self.value(at.seconds()));
            self.set.push(format!("{name} = {value}"));
        }
    }

    fn name(&mut self, name: &str) -> String {
        let alias = format!("#n{}", self.names.len());
        self.names.insert(alias.clone(), name.to_owned());
        alias
    }

    fn value(&mut self, value: i64) -> String {
        let alias = format!(":v{}", self.values.len());
        self.values
            .insert(alias.clone(), AttributeValue::N(value.to_string()));
        alias
    }

    fn expression(&self) -> String {
        let clauses = [
            ("SET", &self.set),
            ("ADD", &self.add),
            ("REMOVE", &self.remove),
        ];
        let clauses = clauses.into_iter().filter(|(_, parts)| !parts.is_empty());
        let clauses = clauses.map(|(verb, parts)| format!("{verb} {}", parts.join(", ")));
        clauses.collect::<Vec<_>>().join(" ")
    }

    fn condition(&self) -> Option<String> {
        (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "))
    }
}

/// The counters among an item's attributes.
fn counters(item: Option<&std::collections::HashMap<String, AttributeValue>>) -> Counters {
    let attributes = item.into_iter().flatten();
    let numbers = attributes
        .filter_map(|(name, value)| Some((name.clone(), value.as_n().ok()?.parse().ok()?)));
    numbers.filter(|(name, _)| name != attribute::TTL).collect()
}

#[cfg(any(test, feature = "memory"))]
mod memory {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::{CALL, CounterTable, Counters, Increments, ItemKey, StoreError, Take, Taken};
    use std::collections::BTreeMap;

    /// [`CounterTable`] in memory, which a test can take out of service.
    #[derive(Debug, Clone, Default)]
    pub struct MemoryCounters {
        held: Arc<Mutex<Held>>,
    }

    #[derive(Debug, Default)]
    struct Held {
        items: BTreeMap<ItemKey, Counters>,
        is_down: bool,
        /// Responses are lost, and whether writes take effect.
        is_mute: Option<bool>,
        asked: u64,
    }

    impl MemoryCounters {
        /// Takes the table out of service, or puts it back.
        pub fn set_down(&self, is_down: bool) {
            self.with(|held| held.is_down = is_down);
        }

        /// Loses every response. Writes take effect if `they_land`.
        pub fn lose_responses(&self, they_land: bool) {
            self.with(|held| held.is_mute = Some(they_land));
        }

        /// Loses no more responses.
        pub fn respond(&self) {
            self.with(|held| held.is_mute = None);
        }

        /// The number of requests so far.
        pub fn asked(&self) -> u64 {
            self.with(|held| held.asked)
        }

        /// The counters of an item.
        pub fn counters(&self, key: &ItemKey) -> Counters {
            self.with(|held| held.items.get(key).cloned().unwrap_or_default())
        }

        fn with<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
            work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
        }

        fn ask<T>(&self, work: impl FnOnce(&mut Held) -> T) -> Result<T, StoreError> {
            self.with(|held| {
                held.asked += 1;
                if held.is_down {
                    let table = "counters".to_owned();
                    return Err(StoreError::TableMissing { table });
                }
                match held.is_mute {
                    None => Ok(work(held)),
                    Some(lands) => {
                        if lands {
                            work(held);
                        }
                        Err(StoreError::Unavailable {
                            table: "counters".to_owned(),
                            source: "no response".into(),
                        })
                    }
                }
            })
        }
    }

    impl CounterTable for MemoryCounters {
        async fn add(
            &self,
            key: &ItemKey,
            increments: &Increments,
        ) -> Result<Counters, StoreError> {
            self.ask(|held| {
                let counters = held.items.entry(key.clone()).or_default();
                for (name, by) in &increments.add {
                    *counters.entry(name.clone()).or_default() += by;
                }
                counters.extend(increments.set.iter().cloned());
                for name in &increments.remove {
                    counters.remove(name);
                }
                counters.clone()
            })
        }

        async fn take(&self, key: &ItemKey, take: &Take) -> Result<Taken, StoreError> {
            self.ask(|held| {
                let counters = held.items.entry(key.clone()).or_default();
                let full_at = counters.get(&take.full_at).copied();
                let holds = if take.is_full {
                    full_at.is_none_or(|full_at| full_at < take.now)
                } else {
                    full_at.is_some_and(|full_at| (take.now..=take.latest).contains(&full_at))
                };
                let quota = take.quota.as_ref();
                let used = |quota: &super::TakeQuota| counters.get(&quota.used).copied();
                let is_left = quota.is_none_or(|quota| {
                    used(quota).is_none_or(|used| used + quota.units <= quota.most)
                });
                if !holds || !is_left {
                    return Taken::Refused(counters.clone());
                }
                let next = quota.map(|quota| {
                    (
                        quota.used.clone(),
                        used(quota).unwrap_or(quota.begin) + quota.units,
                    )
                });
                counters.insert(
                    take.full_at.clone(),
                    full_at.unwrap_or(take.now).max(take.now) + CALL,
                );
                counters.extend(next);
                Taken::Done(counters.clone())
            })
        }
    }
}

#[cfg(any(test, feature = "memory"))]
pub use memory::MemoryCounters;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_one_conditional_write() {
        let take = Take {
            full_at: "t10".to_owned(),
            now: 5_000,
            latest: 24_000,
            quota: Some(TakeQuota {
                used: "u1".to_owned(),
                units: 1,
                begin: 7,
                most: 100,
            }),
            is_full: false,
            expires_at: None,
        };
        let update = Update::of_take(&take);
        assert_eq!(
            update.expression(),
            "SET #n0 = #n0 + :v1, #n1 = if_not_exists(#n1, :v3) + :v4"
        );
        assert_eq!(
            update.condition().unwrap(),
            "#n0 BETWEEN :v0 AND :v2 AND (attribute_not_exists(#n1) OR #n1 <= :v5)"
        );
        let full = Update::of_take(&Take {
            is_full: true,
            quota: None,
            ..take
        });
        assert_eq!(full.expression(), "SET #n0 = :v1");
        assert_eq!(
            full.condition().unwrap(),
            "(attribute_not_exists(#n0) OR #n0 < :v0)"
        );
    }

    #[test]
    fn a_report_is_one_write_that_answers_with_everything() {
        let update = Update::of_increments(&Increments {
            add: vec![("s1".to_owned(), 3), ("u1".to_owned(), 3)],
            set: vec![("b1x1".to_owned(), 7)],
            remove: vec!["s0".to_owned()],
            expires_at: Some(UnixMillis(9_000)),
        });
        assert_eq!(
            update.expression(),
            "SET #n2 = :v2, #n4 = :v3 ADD #n0 :v0, #n1 :v1 REMOVE #n3"
        );
        assert_eq!(update.condition(), None);
    }
}
