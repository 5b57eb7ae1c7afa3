//! The journal: appends facts and reads a minute's entries back.
//!
//! An append is one unconditional put per minute, under a key that follows from the content. It
//! reads nothing first and cannot be half done: a repeat writes the same item again. The ids alone
//! decide which minute an entry belongs to.

use domain::entry::{Entry, Packer, amounts};
use domain::meter::Amount;
use domain::table::{self, ItemKey, JournalKey, SPREAD_KEYS, Timing, attribute};
use domain::time::{UnixMillis, Window};

use crate::store::{Document, Query, Row, Store, StoreError, Value};
use crate::together::together;

/// The journal in the analytics table.
#[derive(Debug, Clone)]
pub struct Journal<S> {
    /// The analytics table.
    pub store: S,
    /// Days for which an entry is kept after its minute.
    pub retention_days: i64,
}

/// An entry as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its key.
    pub key: ItemKey,
    /// The minute that its key names.
    pub minute: UnixMillis,
    /// Whether it arrived in time.
    pub timing: Timing,
    /// Whether its minute is spread over further keys.
    pub is_spread: bool,
    /// The part that decides counts; `None` if the item has none.
    pub facts: Option<Vec<u8>>,
}

impl<S: Store> Journal<S> {
    /// Appends the facts in `packer`. `now` is this writer's clock, and only decides whether
    /// readers add the entry to what is folded, never where it counts.
    pub async fn append(&self, packer: Packer<'_>, now: UnixMillis) -> Result<(), StoreError> {
        self.append_all(packer.pack(), now).await
    }

    /// Appends what an upstream reported of calls; see [`Self::append`].
    pub async fn append_amounts(
        &self,
        amounts: &[Amount],
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        self.append_all(amounts::pack(amounts), now).await
    }

    async fn append_all(&self, entries: Vec<Entry>, now: UnixMillis) -> Result<(), StoreError> {
        let puts = entries.into_iter().map(|entry| self.put(entry, now));
        together(puts.collect()).await.map(drop)
    }

    async fn put(&self, entry: Entry, now: UnixMillis) -> Result<(), StoreError> {
        let minute = entry.minute;
        let sk = table::entry(minute, Timing::of(minute, now), &entry.digest);
        let lane = u8::from_str_radix(entry.digest.get(..2).unwrap_or_default(), 16).unwrap_or(0);
        let document = Document {
            attributes: vec![
                (attribute::FACTS, Value::Bytes(entry.facts)),
                (attribute::DETAILS, Value::Bytes(entry.details)),
            ],
            expires_at: Some(minute.plus_days(self.retention_days)),
        };
        let key = ItemKey::new(table::journal(minute), &sk);
        match self.store.keep(&key, document.clone()).await {
            Err(StoreError::Throttled { .. }) => {}
            done => return done,
        }
        // One key accepts a thousand write units per second. Folds read further keys if the flag
        // exists, so the flag is acknowledged before anything is written under them.
        let flag = Document {
            attributes: Vec::new(),
            expires_at: document.expires_at,
        };
        self.store.keep(&ItemKey::spread_flag(minute), flag).await?;
        let pk = table::spread_journal(minute, lane % SPREAD_KEYS);
        self.store.keep(&ItemKey::new(pk, sk), document).await
    }

    /// Passes every entry of the minutes from that of `from` to that of `to` to a callback, minute
    /// by minute; both lie in one hour. For each minute it reads the hour's own key first and then,
    /// if that holds a flag, the keys over which the minute is spread.
    pub async fn read(
        &self,
        from: UnixMillis,
        to: UnixMillis,
        mut show: impl FnMut(Found) -> Result<(), StoreError> + Send,
    ) -> Result<(), StoreError> {
        let (first, _) = table::entries_of(from);
        let (_, last) = table::entries_of(to);
        let mut query = Query::of(attribute::FACTS, table::journal(from), first, last);
        let mut flagged = None;
        loop {
            let page = self.store.query(&query).await?;
            for row in page.items {
                let key = JournalKey::parse(&query.pk, &row.sk);
                let minute = match &key {
                    Some(JournalKey::Entry(minute, _) | JournalKey::Flag(minute)) => *minute,
                    Some(JournalKey::Beacon(_)) | None => continue,
                };
                if let Some(before) = flagged.filter(|before| *before != minute) {
                    self.read_spread(before, &mut show).await?;
                    flagged = None;
                }
                if let Some(JournalKey::Flag(_)) = key {
                    flagged = Some(minute);
                } else {
                    let is_spread = flagged == Some(minute);
                    found(&query.pk, row, is_spread).map_or(Ok(()), &mut show)?;
                }
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        match flagged {
            Some(minute) => self.read_spread(minute, &mut show).await,
            None => Ok(()),
        }
    }

    async fn read_spread(
        &self,
        minute: UnixMillis,
        show: &mut (impl FnMut(Found) -> Result<(), StoreError> + Send),
    ) -> Result<(), StoreError> {
        let (first, last) = table::entries_of(minute);
        for lane in 0..SPREAD_KEYS {
            let pk = table::spread_journal(minute, lane);
            let mut query = Query::of(attribute::FACTS, pk, &first, &last);
            loop {
                let page = self.store.query(&query).await?;
                for row in page.items {
                    found(&query.pk, row, true).map_or(Ok(()), &mut *show)?;
                }
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Writes the beacon of `hour`: its change comes after the changes of all entries appended
    /// before.
    pub async fn beacon(&self, hour: UnixMillis, now: UnixMillis) -> Result<(), StoreError> {
        let document = Document {
            attributes: vec![(attribute::RECEIVED_AT, Value::Text(now.to_string()))],
            expires_at: Some(Window::Hour.end(hour).plus_days(1)),
        };
        self.store.keep(&ItemKey::beacon(hour), document).await
    }
}

fn found(pk: &str, row: Row, is_spread: bool) -> Option<Found> {
    match JournalKey::parse(pk, &row.sk)? {
        JournalKey::Entry(minute, timing) => Some(Found {
            key: ItemKey::new(pk, row.sk),
            minute,
            timing,
            is_spread,
            facts: row.bytes,
        }),
        JournalKey::Flag(_) | JournalKey::Beacon(_) => None,
    }
}
