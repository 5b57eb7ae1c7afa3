//! The polled mappings.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use super::{
    checkpoint::Checkpoints,
    model::Mapping,
    poller::{Poller, Shared},
    source::Source,
    spec::MappingSpec,
};
use crate::{HostError, emulator::Emulator, functions::Functions};

/// How long a mapping that stops waits for its invocations; records that they process after that
/// are redelivered.
const DRAIN: Duration = Duration::from_secs(10);

/// The running mappings of the deployment.
#[derive(Debug)]
pub(crate) struct Mappings {
    emulator: Emulator,
    functions: Arc<Functions>,
    folder: PathBuf,
    running: Mutex<BTreeMap<String, Running>>,
}

#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    async fn end(self) {
        let Self {
            shared,
            stop,
            mut task,
        } = self;
        stop.send_replace(true);
        if timeout(DRAIN, &mut task).await.is_err() {
            tracing::warn!(
                mapping = shared.spec.uuid,
                "an invocation did not end in time"
            );
            task.abort();
        }
    }
}

impl Mappings {
    pub(crate) fn new(
        emulator: Emulator,
        functions: Arc<Functions>,
        state_dir: &Path,
    ) -> Result<Self, HostError> {
        let folder = state_dir.join("checkpoints");
        std::fs::create_dir_all(&folder)
            .map_err(|source| HostError::io("create the folder", &folder, source))?;
        Ok(Self {
            emulator,
            functions,
            folder,
            running: Mutex::default(),
        })
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls exactly these mappings from now on. An unchanged one continues undisturbed; a changed
    /// one is stopped first and resumes at its checkpoints.
    pub(crate) async fn replace(&self, specs: Vec<MappingSpec>) {
        let mut wanted: BTreeMap<String, MappingSpec> = specs
            .into_iter()
            .map(|mut spec| {
                // Not part of the deployment: the refresh itself changes it.
                spec.polled_by_emulator = false;
                (spec.uuid.clone(), spec)
            })
            .collect();
        let mut kept = BTreeMap::new();
        let mut ending = Vec::new();
        for (uuid, running) in std::mem::take(&mut *self.running()) {
            if wanted.get(&uuid) == Some(&running.shared.spec) {
                wanted.remove(&uuid);
                kept.insert(uuid, running);
            } else {
                ending.push(running);
            }
        }
        self.running().append(&mut kept);
        for running in ending {
            running.end().await;
        }
        let begun = wanted
            .into_iter()
            .map(|(uuid, spec)| (uuid, self.begin(spec)));
        self.running().extend(begun);
    }

    fn begin(&self, spec: MappingSpec) -> Running {
        let checkpoints = Checkpoints::open(&self.folder, &spec.uuid, &spec.source_arn);
        let model = Mapping::new(spec.settings.clone(), checkpoints.shards());
        let source = Source {
            emulator: self.emulator.under_role_of(&spec.function_name),
            kind: spec.source,
            arn: spec.source_arn.clone(),
            filters: spec.filters.clone(),
        };
        let shared = Arc::new(Shared {
            spec,
            model: Mutex::new(model),
            invocations: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            records: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
        });
        let (stop, stopped) = watch::channel(false);
        let poller = Poller {
            shared: Arc::clone(&shared),
            emulator: self.emulator.clone(),
            functions: Arc::clone(&self.functions),
            source,
            checkpoints,
            stop: stopped,
        };
        Running {
            shared,
            stop,
            task: tokio::spawn(poller.run()),
        }
    }

    /// Every mapping: positions, iterator age, counters.
    pub(crate) fn status(&self) -> Vec<Value> {
        let now = Timestamp::now().as_millisecond();
        self.running()
            .values()
            .map(|running| {
                let shared = &running.shared;
                let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
                let shards = shared.model().status(now);
                json!({
                    "uuid": shared.spec.uuid,
                    "function": shared.spec.function_name,
                    "eventSourceArn": shared.spec.source_arn,
                    "iteratorAgeMs": shards.iter().map(|shard| shard.iterator_age_ms).max().unwrap_or(0),
                    "invocations": read(&shared.invocations),
                    "failures": read(&shared.failures),
                    "records": read(&shared.records),
                    "discarded": read(&shared.discarded),
                    "shards": shards,
                })
            })
            .collect()
    }

    /// Stops polling and waits for invocations in flight.
    pub(crate) async fn shut_down(&self) {
        let running: Vec<Running> = std::mem::take(&mut *self.running()).into_values().collect();
        let ends: Vec<_> = running
            .into_iter()
            .map(|running| tokio::spawn(running.end()))
            .collect();
        for end in ends {
            drop(end.await);
        }
    }
}
