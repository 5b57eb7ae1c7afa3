//! What the tests of this crate decide and report with: keys, tables and a stream that can be out
//! of order.

use std::sync::{Arc, Mutex};

use domain::event::{EventData, EventType, Subject, UsageEvent};
use domain::id::EventId;
use domain::key::KeyRecord;
use domain::leaf::Leaf;
use domain::names::TrackingMode;
use domain::rollup::RollUp;
use domain::state;
use domain::table::{self, ItemKey, LEAF_PREFIX};
use domain::time::{UnixMillis, Window};
use runtime::memory::MemoryStore;
use runtime::store::{Document, NewItem, Store, StoreError, Stored};
use runtime::stream::{EventStream, PutError};

use crate::keys::{KeyTable, KeyTableError};

pub(crate) const NOW: UnixMillis = UnixMillis(1_795_363_445_000);

pub(crate) fn key() -> KeyRecord {
    KeyRecord {
        key_hash: "hash".to_owned(),
        id: "key_1".to_owned(),
        prefix: "complical_0bPE".to_owned(),
        email: "ann@example.com".to_owned(),
        plan: "free".to_owned(),
        created_at: NOW.plus_days(-30),
        expires_at: None,
        revoked_at: None,
    }
}

pub(crate) fn event(number: u8, mode: TrackingMode) -> UsageEvent {
    UsageEvent {
        id: EventId::mint(1_795_363_445_000, [number; 10]),
        source: "/complical/test/api".to_owned(),
        event_type: EventType::ApiCall,
        time: NOW,
        subject: Subject::user("ann@example.com"),
        data: EventData {
            key_id: Some("key_1".to_owned()),
            plan: Some("free".to_owned()),
            method: "GET".to_owned(),
            endpoint: "/v1/deadlines".to_owned(),
            ip: "192.0.2.1".to_owned(),
            user_agent: None,
            request_id: None,
            stage: None,
            lanes: 1,
            mode,
        },
    }
}

/// A table of at most one key.
#[derive(Default)]
pub(crate) struct KeyStore {
    key: Mutex<Option<KeyRecord>>,
    down: Mutex<bool>,
    asked: Mutex<u32>,
}

impl KeyStore {
    pub(crate) fn hold(&self, key: KeyRecord) {
        *self.key.lock().unwrap() = Some(key);
    }

    pub(crate) fn set_down(&self, down: bool) {
        *self.down.lock().unwrap() = down;
    }

    pub(crate) fn asked(&self) -> u32 {
        *self.asked.lock().unwrap()
    }
}

impl KeyTable for &KeyStore {
    async fn look_up(&self, hash: &str) -> Result<Option<KeyRecord>, KeyTableError> {
        *self.asked.lock().unwrap() += 1;
        if *self.down.lock().unwrap() {
            return Err(KeyTableError::Unavailable {
                table: "keys".to_owned(),
                source: "injected".into(),
            });
        }
        let key = self.key.lock().unwrap().clone();
        Ok(key.filter(|key| key.key_hash == hash))
    }
}

/// How a table or a stream answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Up,
    Down,
    Missing,
    Silent,
}

/// A table of counts.
#[derive(Clone)]
pub(crate) struct Table {
    store: Arc<MemoryStore>,
    state: Arc<Mutex<State>>,
}

impl Table {
    pub(crate) fn new(state: State) -> Self {
        Self {
            store: Arc::default(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    pub(crate) fn set(&self, state: State) {
        *self.state.lock().unwrap() = state;
    }

    /// Events in the leaves.
    pub(crate) fn counted(&self) -> usize {
        let items = self.store.items();
        let leaves = items
            .iter()
            .filter(|(key, _)| key.pk.starts_with(LEAF_PREFIX));
        leaves
            .map(|(_, stored)| state::decode::<Leaf>(&stored.state).unwrap().events())
            .sum()
    }

    /// Chunks of raw events.
    pub(crate) fn kept_raw(&self) -> usize {
        let documents = self.store.documents();
        let chunks = documents
            .iter()
            .filter(|(key, _)| key.pk.starts_with(&table::raw_start(NOW)));
        chunks.count()
    }

    /// The month's calls of [`event`]'s user, and the names of the days that they come from.
    pub(crate) fn month(&self) -> (u64, Vec<String>) {
        let wanted = ItemKey::month(&Subject::user("ann@example.com"), Window::Month.start(NOW));
        let items = self.store.items();
        let Some((_, stored)) = items.iter().find(|(key, _)| *key == wanted) else {
            return (0, Vec::new());
        };
        let month: RollUp = state::decode(&stored.state).unwrap();
        let days = month.parts().map(|(day, _)| day.to_owned()).collect();
        (month.tally().calls, days)
    }

    async fn pass(&self) -> Result<(), StoreError> {
        let table = "table".to_owned();
        let state = *self.state.lock().unwrap();
        match state {
            State::Up => Ok(()),
            State::Missing => Err(StoreError::TableMissing { table }),
            State::Down => Err(StoreError::Unavailable {
                table,
                source: "injected".into(),
            }),
            State::Silent => std::future::pending().await,
        }
    }
}

impl Store for Table {
    async fn get(&self, key: &ItemKey) -> Result<Option<Stored>, StoreError> {
        self.pass().await?;
        self.store.get(key).await
    }

    async fn put(&self, key: &ItemKey, item: NewItem) -> Result<(), StoreError> {
        self.pass().await?;
        self.store.put(key, item).await
    }

    async fn keep(&self, key: &ItemKey, document: Document) -> Result<(), StoreError> {
        self.pass().await?;
        self.store.keep(key, document).await
    }

    async fn partition(
        &self,
        pk: &str,
        from: &str,
        to: &str,
    ) -> Result<Vec<(String, Stored)>, StoreError> {
        self.pass().await?;
        self.store.partition(pk, from, to).await
    }

    async fn by_time(
        &self,
        window: Window,
        from: &str,
        to: &str,
    ) -> Result<Vec<(String, Stored)>, StoreError> {
        self.pass().await?;
        self.store.by_time(window, from, to).await
    }
}

/// A stream, and what it was asked to take.
#[derive(Clone)]
pub(crate) struct Stream {
    state: Arc<Mutex<State>>,
    asked: Arc<Mutex<Vec<UsageEvent>>>,
}

impl Stream {
    pub(crate) fn new(state: State) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
            asked: Arc::default(),
        }
    }

    pub(crate) fn set(&self, state: State) {
        *self.state.lock().unwrap() = state;
    }

    pub(crate) fn asked(&self) -> Vec<UsageEvent> {
        self.asked.lock().unwrap().clone()
    }
}

impl EventStream for Stream {
    fn name(&self) -> &'static str {
        "usage"
    }

    async fn put(&self, event: &UsageEvent) -> Result<(), PutError> {
        self.asked.lock().unwrap().push(event.clone());
        let state = *self.state.lock().unwrap();
        let stream = self.name().to_owned();
        match state {
            State::Up => Ok(()),
            State::Missing => Err(PutError::StreamMissing { stream }),
            State::Down => Err(PutError::Unavailable {
                stream,
                source: "injected".into(),
            }),
            State::Silent => std::future::pending().await,
        }
    }
}
