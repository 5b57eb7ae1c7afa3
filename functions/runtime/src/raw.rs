//! Raw events, kept as they came: packed per hour and delivery, one JSON document a line, deflated.
//!
//! A chunk is written before its events are counted, so that whatever was counted can be counted
//! again from here. Deliveries overlap, so an event may stand in several chunks: readers drop
//! repeats by id.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use domain::event::UsageEvent;
use domain::id::EventId;
use domain::table::{self, ItemKey, attribute};
use domain::time::{UnixMillis, Window};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use sha2::{Digest, Sha256};

use crate::store::{Document, Store, StoreError, Value};

/// Bytes of a chunk before deflation: deflated it stays below the item limit of 400 KB, whatever
/// it holds.
const MOST_CHUNK_BYTES: usize = 300 * 1024;

/// Keeps events as they came.
pub async fn keep<S: Store>(
    store: &S,
    events: &[(&UsageEvent, &[u8])],
    retention_days: i64,
) -> Result<(), StoreError> {
    for (key, hour, chunk) in chunks(events) {
        let expires_at = Some(Window::Hour.end(hour).plus_days(retention_days));
        let attributes = vec![
            (attribute::EVENTS, Value::Bytes(deflate(&chunk.lines))),
            (attribute::COUNT, Value::Number(chunk.events)),
        ];
        store
            .keep(
                &key,
                Document {
                    attributes,
                    expires_at,
                },
            )
            .await?;
    }
    Ok(())
}

/// The lines of a stored chunk.
pub fn inflate(deflated: &[u8]) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    DeflateDecoder::new(deflated).read_to_end(&mut lines)?;
    Ok(lines)
}

struct Chunk {
    first: EventId,
    lines: Vec<u8>,
    events: u64,
}

fn chunks(events: &[(&UsageEvent, &[u8])]) -> Vec<(ItemKey, UnixMillis, Chunk)> {
    let mut hours: BTreeMap<UnixMillis, Vec<Chunk>> = BTreeMap::new();
    for (event, payload) in events {
        let line = one_line(payload, event);
        let chunks = hours.entry(Window::Hour.start(event.time)).or_default();
        let chunk = match chunks.last_mut() {
            Some(chunk) if chunk.lines.len() + line.len() < MOST_CHUNK_BYTES => chunk,
            _ => chunks.push_mut(Chunk {
                first: event.id,
                lines: Vec::new(),
                events: 0,
            }),
        };
        chunk.lines.extend_from_slice(&line);
        chunk.lines.push(b'\n');
        chunk.events += 1;
    }
    let keyed = |hour: UnixMillis, chunk: Chunk| {
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(&chunk.lines));
        let digest = u32::from_be_bytes([a, b, c, d]);
        (table::raw_chunk(hour, chunk.first, digest), hour, chunk)
    };
    hours
        .into_iter()
        .flat_map(|(hour, chunks)| chunks.into_iter().map(move |chunk| keyed(hour, chunk)))
        .collect()
}

/// The record as it came where that is one line of bearable length, else the event read from it.
fn one_line(payload: &[u8], event: &UsageEvent) -> Vec<u8> {
    if payload.contains(&b'\n') || payload.len() >= MOST_CHUNK_BYTES {
        event.to_json()
    } else {
        payload.to_vec()
    }
}

thread_local! {
    /// One for all chunks: setting its tables up takes longer than filling them.
    static ENCODER: RefCell<DeflateEncoder<Vec<u8>>> =
        RefCell::new(DeflateEncoder::new(Vec::new(), Compression::default()));
}

fn deflate(lines: &[u8]) -> Vec<u8> {
    ENCODER.with_borrow_mut(|encoder| {
        // A vector takes every byte.
        let _ = encoder.write_all(lines);
        encoder.reset(Vec::new()).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStore;
    use domain::event::{EventType, Subject};
    use domain::sample;

    const AT: UnixMillis = UnixMillis(1_795_363_445_007);

    fn event(number: u64, time: UnixMillis) -> UsageEvent {
        sample::event(number, "ann@example.com", EventType::ApiCall, time)
    }

    /// What is kept of payloads of one hour: how many events each chunk says it has, and its lines.
    async fn kept(payloads: &[Vec<u8>]) -> Vec<(u64, Vec<Vec<u8>>)> {
        let store = MemoryStore::default();
        let events: Vec<UsageEvent> = (0..)
            .zip(payloads)
            .map(|(number, _)| event(number, AT))
            .collect();
        let given: Vec<(&UsageEvent, &[u8])> = events
            .iter()
            .zip(payloads)
            .map(|(event, payload)| (event, payload.as_slice()))
            .collect();
        keep(&store, &given, 90).await.unwrap();
        store
            .documents()
            .iter()
            .map(|(_, document)| read(document))
            .collect()
    }

    fn read(document: &Document) -> (u64, Vec<Vec<u8>>) {
        let of = |name: &str| document.attributes.iter().find(|(known, _)| *known == name);
        let (Some((_, Value::Bytes(bytes))), Some((_, Value::Number(count)))) =
            (of(attribute::EVENTS), of(attribute::COUNT))
        else {
            panic!("{document:?}");
        };
        let lines = inflate(bytes).unwrap();
        let lines = lines
            .strip_suffix(b"\n")
            .unwrap()
            .split(|byte| *byte == b'\n');
        (*count, lines.map(<[u8]>::to_vec).collect())
    }

    #[tokio::test]
    async fn records_are_kept_by_the_hour_and_in_their_own_bytes() {
        let store = MemoryStore::default();
        let later = AT.plus_millis(3_600_000);
        let events = [event(0, AT), event(1, later), event(2, AT)];
        let payloads = [b"{ \"as\": \"it came\" }".as_slice(), b"second", b"third"];
        let given: Vec<_> = events.iter().zip(payloads).collect();
        for _ in 0..2 {
            keep(&store, &given, 90).await.unwrap();
        }
        keep(&store, &given[2..], 90).await.unwrap();
        let documents = store.documents();
        let found: Vec<_> = documents
            .iter()
            .map(|(key, document)| (key.pk.as_str(), read(document).1))
            .collect();
        let lines = |lines: &[&[u8]]| lines.iter().map(|line| line.to_vec()).collect::<Vec<_>>();
        // `printf 'third\n' | sha256sum` begins with `…8`: its eighth digit.
        assert_eq!(
            found,
            [
                ("RAW#2026-11-22T16#8", lines(&[payloads[2]])),
                ("RAW#2026-11-22T16#b", lines(&[payloads[0], payloads[2]])),
                ("RAW#2026-11-22T17#6", lines(&[payloads[1]])),
            ]
        );
        let first = events[0].id.to_string();
        assert!(
            documents[1].0.sk.starts_with(&format!("{first}#")),
            "{:?}",
            documents[1].0
        );
        let expiries: Vec<_> = documents
            .iter()
            .map(|(_, document)| document.expires_at)
            .collect();
        let end = Window::Hour.end(AT).plus_days(90);
        assert_eq!(
            expiries,
            [
                Some(end),
                Some(end),
                Some(Window::Hour.end(later).plus_days(90))
            ]
        );
    }

    #[tokio::test]
    async fn what_is_no_line_of_bearable_length_is_written_anew() {
        let whole = |number: u64| event(number, AT).to_json();
        let long = |length: usize| vec![b'x'; length];
        let broken = b"{\n}".to_vec();
        let given = [broken, long(MOST_CHUNK_BYTES), long(MOST_CHUNK_BYTES - 1)];
        let expected = [
            (2, vec![whole(0), whole(1)]),
            (1, vec![long(MOST_CHUNK_BYTES - 1)]),
        ];
        assert!(kept(&given).await == expected);
        assert_eq!(MOST_CHUNK_BYTES, 307_200);
    }

    /// The longest event that is one: all its texts as long as they may be, each sign written in six.
    #[tokio::test]
    async fn whatever_is_an_event_fits_into_a_chunk() {
        let text = |bytes: usize| "\u{1}".repeat(bytes);
        let mut longest = event(0, AT);
        longest.source = text(256);
        longest.subject = Subject::as_carried(&text(254));
        let data = &mut longest.data;
        (data.method, data.endpoint, data.ip) = (text(512), text(512), text(64));
        (data.key_id, data.plan) = (Some(text(64)), Some(text(64)));
        let detail = || Some(text(256));
        (data.user_agent, data.request_id, data.stage) = (detail(), detail(), detail());
        let whole = longest.to_json();
        assert!(whole.len() < 20_000, "{} bytes", whole.len());
        assert_eq!(UsageEvent::decode(&whole).as_ref(), Ok(&longest));
        let padded = [whole.clone(), vec![b' '; 1_000_000]].concat();
        let store = MemoryStore::default();
        keep(&store, &[(&longest, &padded)], 90).await.unwrap();
        let documents = store.documents();
        assert_eq!(read(&documents[0].1), (1, vec![whole]));
    }

    /// DynamoDB takes items of up to 400 KB, and what cannot be deflated stays as long as it is.
    #[tokio::test]
    async fn a_chunk_ends_before_it_has_more_than_an_item_takes() {
        let line = |length: usize| vec![b'x'; length];
        for (last, chunks) in [(99_997, vec![3]), (99_998, vec![2, 1])] {
            // Each line but the last has its end counted.
            let given = [line(103_600), line(103_600), line(last)];
            let found = kept(&given).await;
            let mut counts: Vec<u64> = found.iter().map(|(count, _)| *count).collect();
            counts.sort_by(|one, other| other.cmp(one));
            assert_eq!(counts, chunks, "{last}");
            assert!(
                found
                    .iter()
                    .all(|(count, lines)| *count == lines.len() as u64)
            );
        }
    }
}
