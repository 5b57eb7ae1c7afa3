//! The journal for people: every entry of a span of time, minute by minute.
//!
//! Entries are returned as the table holds them; the caller decodes them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::names::Names;
use domain::table::{self, ItemKey, JournalKey, SPREAD_KEYS, attribute};
use domain::time::{UnixMillis, Window};

use crate::error::{Error, failed};
use crate::session::Session;

type Item = HashMap<String, AttributeValue>;

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its key.
    pub key: ItemKey,
    /// The part that decides counts; empty if the item has none.
    pub facts: Vec<u8>,
    /// The part kept for people; empty if the item has none.
    pub details: Vec<u8>,
}

/// The entries of one minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalMinute {
    /// Start of the minute.
    pub minute: UnixMillis,
    /// Its entries, by key.
    pub entries: Vec<JournalEntry>,
}

/// A minute whose entries are still being read.
struct Open {
    minute: JournalMinute,
    /// Whether further keys hold more of it.
    is_spread: bool,
}

/// The journal of an environment.
#[derive(Debug, Clone)]
pub struct Journal {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl Journal {
    /// The journal in the environment's analytics table.
    pub fn new(session: &Session, names: &Names) -> Self {
        Self {
            client: aws_sdk_dynamodb::Client::new(session.config()),
            table: names.analytics_table(),
        }
    }

    /// Passes every minute that has entries to `show`, from the minute of `from` to that of `to`,
    /// which lie in one hour. At most one minute and one page are held at a time. Stops if `show`
    /// returns `false`, and returns whether it reached the end.
    ///
    /// # Errors
    /// Those of `Query`.
    pub async fn read_hour(
        &self,
        from: UnixMillis,
        to: UnixMillis,
        mut show: impl FnMut(JournalMinute) -> bool,
    ) -> Result<bool, Error> {
        let (first, _) = table::entries_of(from);
        let (_, last) = table::entries_of(to);
        let pk = table::journal(from);
        let mut open: Option<Open> = None;
        let mut next = None;
        loop {
            let (items, more) = self.page(&pk, (&first, &last), next).await?;
            for item in items {
                let Some((key, minute)) = entry_or_flag(&item) else {
                    continue;
                };
                if open
                    .as_ref()
                    .is_none_or(|open| open.minute.minute != minute)
                {
                    if !self.close(open.take(), &mut show).await? {
                        return Ok(false);
                    }
                    open = Some(Open::new(minute));
                }
                if let Some(open) = &mut open {
                    open.take(&item, key);
                }
            }
            match more {
                Some(more) => next = Some(more),
                None => return self.close(open, &mut show).await,
            }
        }
    }

    /// Reads the rest of a minute and shows it.
    async fn close(
        &self,
        open: Option<Open>,
        show: &mut impl FnMut(JournalMinute) -> bool,
    ) -> Result<bool, Error> {
        let Some(mut open) = open else {
            return Ok(true);
        };
        if open.is_spread {
            self.read_spread(&mut open).await?;
        }
        Ok(open.minute.entries.is_empty() || show(open.minute))
    }

    async fn read_spread(&self, open: &mut Open) -> Result<(), Error> {
        let minute = open.minute.minute;
        let (first, last) = table::entries_of(minute);
        for lane in 0..SPREAD_KEYS {
            let pk = table::spread_journal(minute, lane);
            let mut next = None;
            loop {
                let (items, more) = self.page(&pk, (&first, &last), next).await?;
                for item in items {
                    if let Some((key, _)) = entry_or_flag(&item) {
                        open.take(&item, key);
                    }
                }
                match more {
                    Some(more) => next = Some(more),
                    None => break,
                }
            }
        }
        Ok(())
    }

    async fn page(
        &self,
        pk: &str,
        (first, last): (&str, &str),
        from: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), Error> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :first AND :last")
            .expression_attribute_names("#pk", attribute::PK)
            .expression_attribute_names("#sk", attribute::SK)
            .expression_attribute_values(":pk", text(pk))
            .expression_attribute_values(":first", text(first))
            .expression_attribute_values(":last", text(last))
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(failed("Query"))?;
        let more = page.last_evaluated_key;
        Ok((page.items.unwrap_or_default(), more))
    }
}

impl Open {
    const fn new(minute: UnixMillis) -> Self {
        Self {
            minute: JournalMinute {
                minute,
                entries: Vec::new(),
            },
            is_spread: false,
        }
    }

    fn take(&mut self, item: &Item, key: ItemKey) {
        if matches!(
            JournalKey::parse(&key.pk, &key.sk),
            Some(JournalKey::Flag(_))
        ) {
            self.is_spread = true;
            return;
        }
        let bytes = |name: &str| {
            let value = item.get(name).and_then(|value| value.as_b().ok());
            value
                .map(|bytes| bytes.as_ref().to_vec())
                .unwrap_or_default()
        };
        self.minute.entries.push(JournalEntry {
            key,
            facts: bytes(attribute::FACTS),
            details: bytes(attribute::DETAILS),
        });
    }
}

/// The item's key and its minute; `None` for a beacon and for items outside the journal.
fn entry_or_flag(item: &Item) -> Option<(ItemKey, UnixMillis)> {
    let text = |name: &str| item.get(name)?.as_s().ok().cloned();
    let key = ItemKey::new(text(attribute::PK)?, text(attribute::SK)?);
    match JournalKey::parse(&key.pk, &key.sk)? {
        JournalKey::Entry(minute, _) | JournalKey::Flag(minute) => Some((key, minute)),
        JournalKey::Beacon(_) => None,
    }
}

/// Splits `from` to `to`, exclusive, into spans that [`Journal::read_hour`] accepts.
pub fn hours(from: UnixMillis, to: UnixMillis) -> impl Iterator<Item = (UnixMillis, UnixMillis)> {
    let mut next = from;
    std::iter::from_fn(move || {
        let first = next;
        next = Window::Hour.end(first);
        (first < to).then(|| (first, next.min(to).plus_millis(-1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_hour_by_hour_without_its_end() {
        const HOUR: i64 = 3_600_000;
        let spans = |from: i64, to: i64| -> Vec<(i64, i64)> {
            let spans = hours(UnixMillis(from), UnixMillis(to));
            spans.map(|(first, last)| (first.0, last.0)).collect()
        };
        assert_eq!(spans(5, 5), []);
        assert_eq!(spans(5, 6), [(5, 5)]);
        assert_eq!(spans(5, HOUR), [(5, HOUR - 1)]);
        assert_eq!(
            spans(5, 2 * HOUR + 1),
            [(5, HOUR - 1), (HOUR, 2 * HOUR - 1), (2 * HOUR, 2 * HOUR)]
        );
    }

    #[test]
    fn entries_and_flags_have_a_minute_and_beacons_have_none() {
        let at = UnixMillis(1_795_363_445_007);
        let item = |key: ItemKey| {
            Item::from([
                (attribute::PK.to_owned(), AttributeValue::S(key.pk)),
                (attribute::SK.to_owned(), AttributeValue::S(key.sk)),
            ])
        };
        let minute = |key: ItemKey| entry_or_flag(&item(key)).map(|(_, minute)| minute);
        let start = Some(Window::Minute.start(at));
        let entry = table::entry(at, table::Timing::Late, "00ff");
        assert_eq!(minute(ItemKey::new(table::journal(at), &entry)), start);
        let spread = table::spread_journal(at, 7);
        assert_eq!(minute(ItemKey::new(spread, &entry)), start);
        assert_eq!(minute(ItemKey::spread_flag(at)), start);
        assert_eq!(minute(ItemKey::beacon(at)), None);
        assert_eq!(minute(ItemKey::minute(at)), None);
    }
}
