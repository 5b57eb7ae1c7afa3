//! Follows an operation on a stack to its end, event by event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_cloudformation::types::StackEvent;
use domain::time::UnixMillis;

use crate::error::{Error, StackFailure, failed};
use crate::events::{Progress, ResourceEvent};
use crate::recover::is_settled;
use crate::stacks::Stacks;

/// How long one operation on one stack may take.
const OPERATION_SECONDS: u64 = 3_600;
/// How many polls in a row may find no connection.
const MOST_LOST: u32 = 30;

/// The end of a stack operation.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) status: String,
    /// The first failure.
    pub(crate) cause: Option<ResourceEvent>,
    /// Every resource that failed on its own.
    pub(crate) failed: BTreeSet<String>,
    /// Every resource that was rolled back.
    pub(crate) rolled_back: Vec<String>,
}

/// An operation that is being followed.
#[derive(Debug, Default)]
struct Operation {
    /// The newest event that was read.
    mark: Option<String>,
    /// When the change of each resource that is not done began.
    begun: BTreeMap<String, UnixMillis>,
    done: BTreeSet<String>,
    /// How many resources change, if that is known.
    total: Option<usize>,
    rolls_back: bool,
    settled: Settled,
}

/// Failures of a poll. The operation continues on AWS whether or not it is polled.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    lost_in_a_row: u32,
}

impl Failures {
    /// A poll succeeded.
    pub(crate) const fn end(&mut self) {
        self.lost_in_a_row = 0;
    }

    /// Whether to poll again after this error.
    pub(crate) fn bear(&mut self, error: &Error) -> bool {
        if error.is_lost() {
            self.lost_in_a_row += 1;
            return self.lost_in_a_row <= MOST_LOST;
        }
        error.is_throttled()
    }

    /// Whether the connection was just lost.
    const fn begin(&self) -> bool {
        self.lost_in_a_row == 1
    }
}

impl Stacks {
    /// Reports events after the event `mark` to `progress`, until nothing is under way. `total` is
    /// the number of resources that change.
    pub(crate) async fn follow(
        &self,
        stack: &str,
        mark: Option<String>,
        total: Option<usize>,
        progress: &dyn Progress,
    ) -> Result<Settled, Error> {
        let started = tokio::time::Instant::now();
        let mut failures = Failures::default();
        let mut operation = Operation {
            mark,
            total,
            ..Operation::default()
        };
        loop {
            match self.look(stack, &mut operation, progress).await {
                Ok(None) => return Ok(operation.ended("DELETE_COMPLETE".to_owned())),
                Ok(Some(status)) if is_settled(&status) => return Ok(operation.ended(status)),
                Ok(Some(_)) => failures.end(),
                Err(error) if !failures.bear(&error) => return Err(error),
                Err(_) if failures.begin() => {
                    progress.note(
                        "the connection to AWS is lost; the change goes on there: trying again",
                    );
                }
                Err(_) => {}
            }
            if started.elapsed().as_secs() > OPERATION_SECONDS {
                return Err(Error::TimedOut {
                    what: format!("the change of stack `{stack}`"),
                    seconds: OPERATION_SECONDS,
                });
            }
            tokio::time::sleep(self.poll).await;
        }
    }

    /// The stack's status, after the events since the last poll; no status if the stack is gone.
    async fn look(
        &self,
        stack: &str,
        operation: &mut Operation,
        progress: &dyn Progress,
    ) -> Result<Option<String>, Error> {
        let status = self.find(stack).await?.map(|found| found.status);
        // Read after the status, so that the events of a settled stack are complete.
        for event in self.events_since(stack, &mut operation.mark).await? {
            progress.resource(&operation.take(event));
        }
        Ok(status)
    }

    /// Id of the newest event of a stack.
    pub(crate) async fn newest_event(&self, stack: &str) -> Result<Option<String>, Error> {
        let answer = self
            .client
            .describe_stack_events()
            .stack_name(stack)
            .send()
            .await
            .map_err(failed("DescribeStackEvents"))?;
        Ok(answer
            .stack_events()
            .first()
            .and_then(StackEvent::event_id)
            .map(str::to_owned))
    }

    /// Id of the event with which the operation under way began.
    pub(crate) async fn began(&self, stack: &str) -> Result<Option<String>, Error> {
        let mut pages = self
            .client
            .describe_stack_events()
            .stack_name(stack)
            .into_paginator()
            .items()
            .send();
        while let Some(event) = pages.next().await {
            let event = event.map_err(failed("DescribeStackEvents"))?;
            if resource_event(&event).begins_operation() {
                return Ok(event.event_id);
            }
        }
        Ok(None)
    }

    /// Events newer than `mark`, oldest first; advances the mark.
    async fn events_since(
        &self,
        stack: &str,
        mark: &mut Option<String>,
    ) -> Result<Vec<ResourceEvent>, Error> {
        let mut pages = self
            .client
            .describe_stack_events()
            .stack_name(stack)
            .into_paginator()
            .items()
            .send();
        let mut fresh = Vec::new();
        while let Some(event) = pages.next().await {
            let event = match event.map_err(failed("DescribeStackEvents")) {
                Ok(event) => event,
                Err(error) if error.is_not_found() => break,
                Err(error) => return Err(error),
            };
            if mark.is_some() && event.event_id() == mark.as_deref() {
                break;
            }
            fresh.push(event);
        }
        if let Some(newest) = fresh.first().and_then(StackEvent::event_id) {
            *mark = Some(newest.to_owned());
        }
        Ok(fresh.iter().rev().map(resource_event).collect())
    }
}

impl Settled {
    /// The error of an operation that did not end as it should.
    pub(crate) fn failure(self, stack: &str) -> Error {
        let (resource, kind, reason) = match self.cause {
            Some(event) => (event.logical_id, event.kind, event.reason),
            None => (stack.to_owned(), "AWS::CloudFormation::Stack".into(), None),
        };
        Error::StackFailed {
            stack: stack.to_owned(),
            failure: Box::new(StackFailure {
                status: self.status,
                resource,
                kind,
                reason: reason.unwrap_or_else(|| "no reason given".to_owned()),
                rolled_back: self.rolled_back,
            }),
        }
    }
}

impl Operation {
    /// Takes an event in, and returns it with the time that its resource took and its place.
    fn take(&mut self, mut event: ResourceEvent) -> ResourceEvent {
        if event.is_of_the_stack() {
            self.rolls_back |= event.status.contains("ROLLBACK");
        } else if event.is_end() {
            self.complete(&mut event);
        } else if let Some(at) = event.at {
            self.begun.entry(event.logical_id.clone()).or_insert(at);
        }
        if event.is_cause_of_failure() {
            if !event.is_of_the_stack() {
                self.settled.failed.insert(event.logical_id.clone());
            }
            self.settled.cause.get_or_insert_with(|| event.clone());
        }
        event
    }

    /// A resource is done.
    fn complete(&mut self, event: &mut ResourceEvent) {
        let begun = self.begun.remove(&event.logical_id);
        event.took = begun.zip(event.at).and_then(|(begun, at)| {
            let millis = u64::try_from(at.0 - begun.0).ok()?;
            Some(Duration::from_millis(millis))
        });
        if !event.status.ends_with("_COMPLETE") {
            return;
        }
        if self.rolls_back {
            self.settled.rolled_back.push(event.logical_id.clone());
            return;
        }
        self.done.insert(event.logical_id.clone());
        // CloudFormation also visits resources that no change lists.
        let done = self.done.len();
        event.place = self
            .total
            .filter(|total| done <= *total)
            .map(|total| (done, total));
    }

    fn ended(self, status: String) -> Settled {
        Settled {
            status,
            ..self.settled
        }
    }
}

fn resource_event(event: &StackEvent) -> ResourceEvent {
    let at = event.timestamp().and_then(|at| at.to_millis().ok());
    ResourceEvent {
        stack: event.stack_name().unwrap_or_default().to_owned(),
        logical_id: event.logical_resource_id().unwrap_or_default().to_owned(),
        kind: event.resource_type().unwrap_or_default().to_owned(),
        status: event
            .resource_status()
            .map_or("UNKNOWN", |status| status.as_str())
            .to_owned(),
        reason: event
            .resource_status_reason()
            .filter(|reason| !reason.is_empty())
            .map(str::to_owned),
        at: at.map(UnixMillis),
        took: None,
        place: None,
    }
}
