//! Raw events, kept as they came: packed per hour and delivery, one JSON document a line, deflated.
//!
//! A chunk is written before its events are counted, so that whatever was counted can be counted
//! again from here. Deliveries overlap, so an event may stand in several chunks: readers drop
//! repeats by id.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use domain::event::UsageEvent;
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

#[derive(Default)]
struct Chunk {
    first: String,
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
                first: event.id.to_string(),
                ..Chunk::default()
            }),
        };
        chunk.lines.extend_from_slice(&line);
        chunk.lines.push(b'\n');
        chunk.events += 1;
    }
    let keyed = |hour: UnixMillis, chunk: Chunk| {
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(&chunk.lines));
        let sk = format!("{}#{:08x}", chunk.first, u32::from_be_bytes([a, b, c, d]));
        (ItemKey::new(table::raw_partition(hour), sk), hour, chunk)
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
