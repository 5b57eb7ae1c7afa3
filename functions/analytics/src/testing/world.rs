//! Tables as the processor and the aggregator fill them: the layout is the one of
//! [`domain::table`], computed here in one go instead of step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::event::{Subject, UsageEvent};
use domain::leaf::{Leaf, LeafKey, Place};
use domain::names::TrackingMode;
use domain::response::Response;
use domain::rollup::{Part, RollUp};
use domain::roster::bucket_of;
use domain::security::Failures;
use domain::table::{self, BucketPlace, ItemKey, MinutePart, SubjectPart};
use domain::tally::Tally;
use domain::time::{UnixMillis, Window};
use futures_util::FutureExt as _;
use runtime::counting::{self, Told};
use runtime::memory::MemoryStore;
use runtime::rolling::{LeafAt, Rolling};
use runtime::spill::Limits;
use runtime::store::{self, Shown, update};

/// The two tables.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) usage: Arc<MemoryStore>,
    pub(crate) analytics: Arc<MemoryStore>,
}

impl World {
    pub(crate) fn leaves_of(&self, mode: TrackingMode) -> &Arc<MemoryStore> {
        match mode {
            TrackingMode::Stream => &self.analytics,
            TrackingMode::Synchronous => &self.usage,
        }
    }

    /// Counts events into leaves, reads how they were answered, and leaves it at that.
    pub(crate) fn count(&self, events: &[UsageEvent]) {
        for event in events {
            let store = self.leaves_of(event.data.mode).as_ref();
            let told = Told {
                event,
                response: Some(response_of(event)),
            };
            for (first, row) in counting::told_rows([told]) {
                row.count(store, first).now_or_never().unwrap().unwrap();
            }
        }
    }

    /// Rolls every leaf up for its user.
    pub(crate) fn roll_up_users(&self) {
        for mode in [TrackingMode::Stream, TrackingMode::Synchronous] {
            let leaves = self.leaves(mode);
            let leaves: Vec<LeafAt<'_>> = leaves
                .iter()
                .map(|(key, (version, leaf))| LeafAt {
                    key,
                    version: *version,
                    leaf,
                })
                .collect();
            let rolling = Rolling {
                leaves: self.leaves_of(mode).as_ref(),
                usage: self.usage.as_ref(),
                mode,
                limits: Limits::default(),
            };
            rolling.roll_up(&leaves).now_or_never().unwrap().unwrap();
        }
    }

    /// Rolls every leaf of the stream up for everybody.
    pub(crate) fn roll_up_everybody(&self) {
        let mut everybody = Everybody::default();
        for (key, (version, leaf)) in self.leaves(TrackingMode::Stream) {
            everybody.take(&key, version, &leaf);
        }
        everybody.write(&self.analytics);
    }

    fn leaves(&self, mode: TrackingMode) -> BTreeMap<LeafKey, (u64, Leaf)> {
        let items = self.leaves_of(mode).items().into_iter();
        items
            .filter_map(|(key, stored)| {
                let leaf = store::read(&key, &stored).ok()?;
                Some((table::parse_leaf(&key)?, (stored.version, leaf)))
            })
            .collect()
    }
}

#[derive(Default)]
struct Everybody {
    buckets: BTreeMap<(UnixMillis, u8), RollUp>,
    failures: BTreeMap<(UnixMillis, u8), Failures>,
    /// What leaves beyond first ones add up to, and how many they are.
    busy: BTreeMap<(Subject, UnixMillis), (u64, Tally)>,
    users: BTreeMap<(Window, UnixMillis), BTreeSet<Subject>>,
}

impl Everybody {
    fn take(&mut self, key: &LeafKey, version: u64, leaf: &Leaf) {
        let bucket = bucket_of(&key.subject);
        for minute in leaf.minutes() {
            let at = key.hour.plus_millis(i64::from(minute) * 60_000);
            let mut tally = leaf.minute(minute);
            if tally.calls > 0 && key.subject.email().is_some() {
                for window in [Window::Minute, Window::Hour, Window::Day] {
                    let users = self.users.entry((window, window.start(at))).or_default();
                    users.insert(key.subject.clone());
                }
            }
            let (version, which) = match key.place {
                Place::First => (version, SubjectPart::First(key.lane)),
                Place::OfMinute { .. } => {
                    let sum = self.busy.entry((key.subject.clone(), at)).or_default();
                    sum.0 += 1;
                    sum.1.merge(&tally);
                    tally = sum.1.clone();
                    (sum.0, SubjectPart::BusyMinute(MinutePart::First(at)))
                }
            };
            let name = table::subject_part(&key.subject, which);
            let bucket = self.buckets.entry((at, bucket)).or_default();
            bucket.take(&name, part(version, tally));
        }
        if key.is_first() && !leaf.sources().is_empty() {
            let failures = self.failures.entry((key.hour, bucket)).or_default();
            let name = table::subject_part(&key.subject, SubjectPart::First(0));
            failures.take(&name, version, leaf.sources());
        }
    }

    fn write(self, store: &MemoryStore) {
        let mut windows: BTreeMap<(Window, UnixMillis), RollUp> = BTreeMap::new();
        for ((minute, bucket), roll_up) in &self.buckets {
            let place = BucketPlace {
                bucket: *bucket,
                number: 0,
            };
            let of_minute = windows.entry((Window::Minute, *minute)).or_default();
            of_minute.take(&place.to_string(), part(1, roll_up.tally()));
            put(
                store,
                &ItemKey::minute_bucket(*minute, place),
                roll_up,
                None,
            );
        }
        for (window, part_of, name) in [
            (Window::Minute, Window::Hour, 14),
            (Window::Hour, Window::Day, 11),
        ] {
            let parts: Vec<(UnixMillis, RollUp)> = windows
                .iter()
                .filter(|((of, _), _)| *of == window)
                .map(|((_, start), roll_up)| (*start, roll_up.clone()))
                .collect();
            for (start, roll_up) in parts {
                let whole = windows.entry((part_of, part_of.start(start))).or_default();
                whole.take(&window.label(start)[name..], part(1, roll_up.tally()));
            }
        }
        for ((window, start), mut roll_up) in windows {
            let mut users: BTreeMap<u8, u64> = BTreeMap::new();
            for user in self.users.get(&(window, start)).into_iter().flatten() {
                *users.entry(bucket_of(user)).or_default() += 1;
            }
            for (bucket, users) in users {
                roll_up.take_users(&bucket.to_string(), 1, users);
            }
            put(
                store,
                &ItemKey::global(window, start),
                &roll_up,
                Some((window, start)),
            );
        }
        for ((hour, bucket), failures) in &self.failures {
            put(store, &ItemKey::security(*hour, *bucket), failures, None);
        }
    }
}

/// Reading takes 40 ms, and what writes is not found after 90 ms.
fn response_of(event: &UsageEvent) -> Response {
    let (status, latency) = match event.data.method.as_str() {
        "GET" => (200, 40),
        _ => (404, 90),
    };
    Response {
        status,
        latency: Some(latency),
    }
}

fn part(version: u64, tally: Tally) -> Part {
    Part {
        version,
        tally,
        ..Part::default()
    }
}

fn put<T>(store: &MemoryStore, key: &ItemKey, state: &T, by_time: Option<(Window, UnixMillis)>)
where
    T: Clone + Default + Send + Sync + serde::Serialize + serde::de::DeserializeOwned,
{
    let change = |known: &mut T| {
        *known = state.clone();
        true
    };
    let shown = Shown {
        by_time,
        ..Shown::default()
    };
    let written = update(store, key, change, |_| shown.clone());
    written.now_or_never().unwrap().unwrap();
}
