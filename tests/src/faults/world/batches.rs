//! The batches of the two functions that streams invoke.

use aws_lambda_events::event::kinesis::KinesisEventRecord;
use lambda_host::mapping::model::Finished;

use super::super::feed::InvocationId;
use super::super::task::{Done, Task};
use super::super::traffic::event_record;
use super::{Changed, World};

impl World {
    pub(super) fn process(&mut self, numbers: Vec<usize>, of: Option<InvocationId>) {
        let at = self.now_of(0);
        let batch = numbers.iter().map(|number| self.record(*number)).collect();
        self.oracle.offered(&self.sent, &numbers, at);
        let task = Task::process(&self.processor, batch, numbers, at, of);
        self.tasks.push(task);
    }

    pub(super) fn record(&self, number: usize) -> KinesisEventRecord {
        let sequence = self.records.sequence(number);
        let mut record = KinesisEventRecord::default();
        sequence.clone_into(&mut record.kinesis.sequence_number);
        record.kinesis.data.0.clone_from(&self.sent[number].payload);
        record.event_id = Some(format!("{}:{sequence}", self.records.shard_of(number)));
        record
    }

    /// Folded changes arrive once more, out of order.
    pub(super) fn repeat(&mut self, choice: u64, length: usize) {
        let pending = self.changes.pending();
        let mut numbers = self.changes.some(choice, length);
        numbers.retain(|number| !pending.contains(number));
        self.fold(&numbers, None);
    }

    pub(super) fn fold(&mut self, numbers: &[usize], of: Option<InvocationId>) {
        let record = |number: &usize| {
            let Changed { key, name, at } = &self.changed[*number];
            event_record(key, name, self.changes.sequence(*number), *at)
        };
        let batch = numbers.iter().map(record).collect();
        let instance = numbers.len() % 2;
        let aggregator = &self.aggregators[instance];
        let task = Task::fold(
            aggregator,
            batch,
            self.now_of(2),
            self.patience,
            (instance, of),
        );
        self.tasks.push(task);
    }
}

/// The records to redeliver; `None` if the function died.
pub(super) fn failed(done: Option<Done>) -> Option<Vec<String>> {
    match done {
        Some(Done::Batch(failed)) => Some(failed),
        _ => None,
    }
}

pub(super) fn finished(failed: Option<Vec<String>>) -> Finished {
    match failed {
        None => Finished::Failure,
        Some(failed) if failed.is_empty() => Finished::Success,
        Some(failed) => Finished::ItemFailures(failed),
    }
}
