//! Keys, tables and a stream for the tests of this crate; each of them can be taken out of service.

use std::sync::{Arc, Mutex};

use domain::entry::{Facts, events};
use domain::event::{EventType, UsageEvent};
use domain::key::{BadKeyItem, KeyDetails, KeyRecord};
use domain::names::TrackingMode;
use domain::sample;
use domain::table::attribute;
use domain::time::UnixMillis;
use runtime::journal::Journal;
use runtime::memory::{Fault, MemoryStore};
use runtime::store::{Document, Value};
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
        more: KeyDetails::default(),
    }
}

pub(crate) fn event(number: u8, mode: TrackingMode) -> UsageEvent {
    let mut event = sample::event(number.into(), "ann@example.com", EventType::ApiCall, NOW);
    event.data.mode = mode;
    event
}

/// A table of at most one key.
#[derive(Default)]
pub(crate) struct KeyStore {
    key: Mutex<Option<KeyRecord>>,
    down: Mutex<bool>,
    asked: Mutex<u32>,
    uses: Mutex<Vec<UnixMillis>>,
}

impl KeyStore {
    pub(crate) fn hold(&self, key: KeyRecord) {
        *self.key.lock().unwrap() = Some(key);
    }

    pub(crate) fn set_down(&self, down: bool) {
        *self.down.lock().unwrap() = down;
    }

    /// The hash of an item that cannot be read.
    pub(crate) const UNREADABLE: &str = "unreadable";

    pub(crate) fn asked(&self) -> u32 {
        *self.asked.lock().unwrap()
    }

    pub(crate) fn uses(&self) -> Vec<UnixMillis> {
        self.uses.lock().unwrap().clone()
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
        if hash == KeyStore::UNREADABLE {
            let source: BadKeyItem = KeyRecord::from_attributes(|_| None).unwrap_err();
            return Err(KeyTableError::Unreadable {
                table: "keys".to_owned(),
                source,
            });
        }
        let key = self.key.lock().unwrap().clone();
        Ok(key.filter(|key| key.key_hash == hash))
    }

    async fn note_use(&self, hash: &str, now: UnixMillis) -> Result<(), KeyTableError> {
        self.uses.lock().unwrap().push(now);
        let mut key = self.key.lock().unwrap();
        if let Some(key) = key.as_mut().filter(|key| key.key_hash == hash) {
            key.more.last_used_at = Some(now);
        }
        Ok(())
    }
}

/// How a table or a stream responds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Up,
    Down,
    Missing,
    Silent,
}

/// The analytics table.
#[derive(Clone)]
pub(crate) struct Table(MemoryStore);

impl Table {
    pub(crate) fn new(state: State) -> Self {
        let table = Self(MemoryStore::default());
        table.set(state);
        table
    }

    pub(crate) fn set(&self, state: State) {
        self.0.inject(move |_, _| match state {
            State::Up => Fault::None,
            State::Down => Fault::Refused,
            State::Missing => Fault::Missing,
            State::Silent => Fault::Hangs,
        });
    }

    pub(crate) fn journal(&self) -> Journal<MemoryStore> {
        Journal {
            store: self.0.clone(),
            retention_days: 90,
        }
    }

    /// The events of all entries of the journal.
    pub(crate) fn events(&self) -> Vec<UsageEvent> {
        let mut all = Vec::new();
        self.0.each_document(|_, entry| {
            let [facts, details] =
                [attribute::FACTS, attribute::DETAILS].map(|of| bytes(entry, of));
            let facts = Facts::read(facts).unwrap();
            let events = events(&facts, details).unwrap();
            all.extend(events.iter().map(|(_, _, event)| event.to_owned()));
        });
        all
    }
}

fn bytes<'a>(document: &'a Document, name: &str) -> &'a [u8] {
    let value = document.attributes.iter().find(|(of, _)| *of == name);
    match value {
        Some((_, Value::Bytes(bytes))) => bytes,
        other => unreachable!("an entry has bytes: {other:?}"),
    }
}

/// A stream, and the puts that it received.
#[derive(Clone)]
pub(crate) struct Stream {
    state: Arc<Mutex<State>>,
    puts: Arc<Mutex<Vec<(UsageEvent, String)>>>,
}

impl Stream {
    pub(crate) fn new(state: State) -> Self {
        Self {
            state: Arc::new(Mutex::new(state)),
            puts: Arc::default(),
        }
    }

    pub(crate) fn set(&self, state: State) {
        *self.state.lock().unwrap() = state;
    }

    /// The events of all puts, whether they were accepted or not.
    pub(crate) fn events(&self) -> Vec<UsageEvent> {
        let puts = self.puts.lock().unwrap();
        puts.iter().map(|(event, _)| event.clone()).collect()
    }

    /// The partition keys of all puts.
    pub(crate) fn partition_keys(&self) -> Vec<String> {
        let puts = self.puts.lock().unwrap();
        puts.iter().map(|(_, key)| key.clone()).collect()
    }
}

impl EventStream for Stream {
    fn name(&self) -> &'static str {
        "usage"
    }

    async fn put(&self, event: &UsageEvent, partition_key: &str) -> Result<(), PutError> {
        let put = (event.clone(), partition_key.to_owned());
        self.puts.lock().unwrap().push(put);
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
