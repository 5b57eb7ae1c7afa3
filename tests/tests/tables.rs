//! The store of the fault model behaves like DynamoDB: its schedules, checked against the oracle,
//! are repeated call by call on two other implementations of the real API, through the functions'
//! own store; every result and every item must be the same.
//!
//! It also tests real concurrency: processors that append the same records at the same time, and
//! aggregators that fold the same minute.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use aggregator::everybody::Retention;
use aggregator::handler::{Aggregator, Memory};
use aws_lambda_events::event::kinesis::KinesisEventRecord;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use domain::counts::{Hour, Sum};
use domain::event::EventType;
use domain::sample;
use domain::table::{ItemKey, attribute};
use domain::time::UnixMillis;
use processor::handler::Processor;
use runtime::dynamo::DynamoStore;
use runtime::journal::Journal;
use runtime::memory::Done;
use runtime::store::{Page, Query, Store, Value, all};
use tests::faults::{Traced, event_record, traced};
use tests::server::Server;

/// The time after which no schedule begins, and the minimum number of schedules.
const WITHIN: Duration = Duration::from_secs(25);
const AT_LEAST: u64 = 3;
/// The kinds of calls that every few schedules make: reads, writes, documents and queries. Deletions
/// and writes of two items are rarer.
const KINDS: usize = 4;

/// Tables of another implementation of DynamoDB's API.
struct Tables {
    client: Client,
    _server: Server,
}

impl Tables {
    async fn of(server: Server) -> Self {
        Self {
            client: Client::new(&server.sdk().await),
            _server: server,
        }
    }

    async fn table(&self, name: &str) -> DynamoStore {
        let keys = [
            (attribute::PK, KeyType::Hash),
            (attribute::SK, KeyType::Range),
        ];
        let mut create = self.client.create_table().table_name(name);
        create = create.billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in keys {
            let text = AttributeDefinition::builder().attribute_name(name);
            let text = text.attribute_type(ScalarAttributeType::S).build();
            let key = KeySchemaElement::builder().attribute_name(name);
            let key = key.key_type(kind).build();
            create = create.attribute_definitions(text.unwrap());
            create = create.key_schema(key.unwrap());
        }
        create.send().await.unwrap();
        DynamoStore::new(self.client.clone(), name)
    }

    /// Every item of a table.
    async fn items(&self, table: &str) -> BTreeMap<ItemKey, HashMap<String, AttributeValue>> {
        let scan = self.client.scan().table_name(table).consistent_read(true);
        let mut pages = scan.into_paginator().items().send();
        let mut items = BTreeMap::new();
        while let Some(item) = pages.next().await {
            let item = item.unwrap();
            let text = |name: &str| item[name].as_s().unwrap().clone();
            let key = ItemKey::new(text(attribute::PK), text(attribute::SK));
            items.insert(key, item);
        }
        items
    }

    /// Repeats every call to a schedule's table, and checks that each result is the same.
    async fn answers_like(&self, name: &str, Traced { table, calls }: Traced) -> usize {
        let store = self.table(name).await;
        let done = calls.len();
        for call in calls {
            self.answers(&store, &call).await;
        }
        let found = self.items(name).await;
        let mut expected = 0;
        table.each_item(|key, stored| {
            expected += 1;
            let item = &found[key];
            let version = item[attribute::VERSION].as_n().unwrap();
            assert_eq!(*version, stored.version.to_string(), "{name}: {key:?}");
            let state = item[attribute::STATE].as_b().unwrap();
            assert_eq!(state.as_ref(), stored.state, "{name}: {key:?}");
        });
        table.each_document(|key, document| {
            expected += 1;
            for (member, value) in &document.attributes {
                let held = &found[key][*member];
                let same = match value {
                    Value::Text(text) => held.as_s().ok() == Some(text),
                    Value::Number(number) => held.as_n().ok() == Some(&number.to_string()),
                    Value::Bytes(bytes) => held.as_b().unwrap().as_ref() == bytes,
                };
                assert!(same, "{name}: {member} of {key:?}: {held:?}");
            }
        });
        assert_eq!(found.len(), expected, "{name}: items");
        self.client
            .delete_table()
            .table_name(name)
            .send()
            .await
            .unwrap();
        done
    }

    async fn answers(&self, store: &DynamoStore, call: &Done) {
        match call.clone() {
            Done::Get { key, found } => {
                assert_eq!(store.get(&key).await.unwrap(), found, "{call:?}");
            }
            Done::Put { key, item, written } => {
                assert_eq!(store.put(&key, item).await.unwrap(), written, "{call:?}");
            }
            Done::PutBoth { items, written } => {
                let [(one, first), (other, second)] = items;
                let put = store.put_both((&one, first), (&other, second)).await;
                assert_eq!(put.unwrap(), written, "{call:?}");
            }
            Done::Keep { key, document } => store.keep(&key, document).await.unwrap(),
            Done::Query { query, page } => self.pages(store, query, page).await,
            Done::Delete { key } => store.delete(&key).await.unwrap(),
        }
    }

    /// The model's pages are shorter: the table's pages begin with their content.
    async fn pages(&self, store: &DynamoStore, query: Query, page: Page) {
        let rows = all(store, query.clone()).await.unwrap();
        let begin: Vec<_> = rows.iter().take(page.items.len()).cloned().collect();
        assert_eq!(begin, page.items, "{query:?}");
        assert_eq!(
            rows.len() > page.items.len(),
            page.next.is_some(),
            "{query:?}"
        );
    }

    async fn takes_schedules(&self) {
        let begun = Instant::now();
        let (mut seed, mut calls) = (0, 0);
        let mut kinds = HashSet::new();
        while begun.elapsed() < WITHIN || seed < AT_LEAST {
            let schedule = tokio::task::spawn_blocking(move || traced(seed));
            let tables = schedule.await.unwrap().unwrap();
            for (name, table) in ["analytics", "usage"].into_iter().zip(tables) {
                kinds.extend(table.calls.iter().map(std::mem::discriminant));
                calls += self.answers_like(&format!("{name}-{seed}"), table).await;
            }
            seed += 1;
        }
        eprintln!("{seed} schedules, {calls} calls");
        assert!(calls > 1_000, "{seed} schedules, {calls} calls");
        assert!(kinds.len() >= KINDS, "{} kinds of calls", kinds.len());
    }

    /// Four processors append the same records at the same time, each with its own batches, and two
    /// aggregators fold the result: each event counts once.
    async fn counts_once_among_many(&self) {
        let (analytics, usage) = (self.table("many").await, self.table("many-usage").await);
        let now = UnixMillis(1_796_083_200_000);
        let subjects = ["ann@example.com", "bob#1@example.com", "ip:192.0.2.1"];
        let records: Vec<KinesisEventRecord> = (0..240)
            .map(|number: u64| {
                let subject = subjects[usize::try_from(number % 3).unwrap()];
                let event = sample::event(number % 201, subject, EventType::ApiCall, now);
                let mut record = KinesisEventRecord::default();
                record.kinesis.sequence_number = number.to_string();
                record.kinesis.data.0 = event.to_json();
                record
            })
            .collect();
        let processors = [3, 7, 20, 240].map(|size| {
            let processor = Processor {
                journal: Journal {
                    store: analytics.clone(),
                    retention_days: 90,
                },
            };
            let records = records.clone();
            tokio::spawn(async move {
                for batch in records.chunks(size) {
                    let (answer, _) = processor.process(batch, &|| now).await;
                    assert_eq!(answer.batch_item_failures, []);
                }
            })
        });
        for processor in processors {
            processor.await.unwrap();
        }
        let keys: Vec<ItemKey> = self.items("many").await.into_keys().collect();
        let aggregators = [keys.clone(), keys].map(|keys| {
            let aggregator = Aggregator {
                analytics: analytics.clone(),
                usage: usage.clone(),
                retention: Retention {
                    raw: 90,
                    minutes: 7,
                    hours: 90,
                },
                reported_within: 60_000,
                cache: Memory::default(),
            };
            tokio::spawn(async move {
                for (number, key) in keys.iter().enumerate() {
                    let record = event_record(key, "INSERT", &number.to_string(), now);
                    let (answer, _) = aggregator.batch(&[record], now, &|| false).await;
                    assert_eq!(answer.batch_item_failures, []);
                }
            })
        });
        for aggregator in aggregators {
            aggregator.await.unwrap();
        }
        let mut calls = 0;
        for user in ["ann@example.com", "bob#1@example.com"] {
            let stored = usage.get(&ItemKey::hour(user, now)).await.unwrap().unwrap();
            calls += Hour::decode(&stored.state).unwrap().totals().calls;
        }
        assert_eq!(calls, 2 * 67);
        let stored = analytics.get(&ItemKey::minute(now)).await.unwrap().unwrap();
        let everybody = Sum::decode(&stored.state).unwrap();
        assert_eq!((everybody.counts.tally.calls, everybody.rank), (201, 201));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_are_answered_alike_by_ministack() {
    Tables::of(Server::ministack().await)
        .await
        .takes_schedules()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_are_answered_alike_by_moto() {
    Tables::of(Server::moto().await)
        .await
        .takes_schedules()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_at_the_same_time_count_each_event_once() {
    Tables::of(Server::ministack().await)
        .await
        .counts_once_among_many()
        .await;
    Tables::of(Server::moto().await)
        .await
        .counts_once_among_many()
        .await;
}
