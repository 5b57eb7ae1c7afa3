//! Follows a stack to its end, and recovers from an interrupted run.

use std::collections::BTreeSet;

use aws_sdk_cloudformation::types::StackEvent;

use crate::error::{Error, failed};
use crate::events::{Progress, ResourceEvent};
use crate::stacks::{Deployed, Stacks};

/// How long one operation on one stack may take.
const OPERATION_SECONDS: u64 = 3_600;

/// The status of a stack whose rollback stopped half-way.
const STUCK: &str = "UPDATE_ROLLBACK_FAILED";

/// The end of a stack operation.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) status: String,
    /// The first failure.
    pub(crate) cause: Option<ResourceEvent>,
    /// Every resource that failed on its own.
    pub(crate) failed: BTreeSet<String>,
}

/// Whether a status means that nothing is under way.
pub(crate) fn is_settled(status: &str) -> bool {
    !status.ends_with("_IN_PROGRESS") || status == "REVIEW_IN_PROGRESS"
}

/// The step that a settled stack needs before it can be changed.
#[derive(Debug, PartialEq, Eq)]
enum Remedy {
    /// Nothing.
    Nothing,
    /// It was never created successfully: delete it.
    Delete,
    /// Its last rollback stopped half-way.
    FinishRollback,
}

fn remedy(status: &str) -> Remedy {
    match status {
        "REVIEW_IN_PROGRESS" | "CREATE_FAILED" | "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED"
        | "DELETE_FAILED" => Remedy::Delete,
        STUCK => Remedy::FinishRollback,
        _ => Remedy::Nothing,
    }
}

/// Whether a stack with this status must be deleted before it can be created.
pub(crate) fn never_came_up(status: &str) -> bool {
    remedy(status) == Remedy::Delete
}

impl Stacks {
    /// Brings the stack into a state in which it can be changed, or returns `None` if it must be
    /// created: waits for an operation under way, deletes a stack that was never created
    /// successfully, finishes a rollback.
    pub async fn recover(
        &self,
        name: &str,
        progress: &dyn Progress,
    ) -> Result<Option<Deployed>, Error> {
        let Some(mut stack) = self.find(name).await? else {
            return Ok(None);
        };
        if !stack.is_settled() {
            progress.note(&format!(
                "stack `{name}` is `{}`: someone else or an earlier run is changing it; waiting",
                stack.status
            ));
            let mark = self.newest_event(&stack.id).await?;
            self.follow(&stack.id, mark, progress).await?;
            match self.find(name).await? {
                Some(settled) => stack = settled,
                None => return Ok(None),
            }
        }
        match remedy(&stack.status) {
            Remedy::Nothing => Ok(Some(stack)),
            Remedy::Delete => {
                progress.note(&format!(
                    "stack `{name}` is `{}`: deleting what is left of it",
                    stack.status
                ));
                self.delete(&stack, progress).await?;
                Ok(None)
            }
            Remedy::FinishRollback => self.finish_rollback(&stack, progress).await,
        }
    }

    async fn finish_rollback(
        &self,
        stack: &Deployed,
        progress: &dyn Progress,
    ) -> Result<Option<Deployed>, Error> {
        progress.note(&format!("finishing the rollback of `{}`", stack.name));
        let mark = self.newest_event(&stack.id).await?;
        self.client
            .continue_update_rollback()
            .stack_name(&stack.id)
            .send()
            .await
            .map_err(failed("ContinueUpdateRollback"))?;
        let ended = self.follow(&stack.id, mark, progress).await?;
        if ended.status != STUCK {
            return self.find(&stack.name).await;
        }
        let (resource, reason) = match ended.cause {
            Some(event) => (event.logical_id, event.reason),
            None => (stack.name.clone(), None),
        };
        Err(Error::RollbackStuck {
            stack: stack.name.clone(),
            resource,
            reason: reason.unwrap_or_else(|| "no reason given".to_owned()),
            skip: ended.failed.into_iter().collect(),
        })
    }

    /// Reports events after the event `mark` to `progress`, until nothing is under way.
    pub(crate) async fn follow(
        &self,
        stack: &str,
        mut mark: Option<String>,
        progress: &dyn Progress,
    ) -> Result<Settled, Error> {
        let started = tokio::time::Instant::now();
        let mut settled = Settled::default();
        loop {
            let looked = self.look(stack, &mut mark, &mut settled, progress).await;
            match looked {
                Ok(None) => {
                    let status = "DELETE_COMPLETE".to_owned();
                    return Ok(Settled { status, ..settled });
                }
                Ok(Some(status)) if is_settled(&status) => {
                    return Ok(Settled { status, ..settled });
                }
                // The operation continues whether or not it is polled.
                Err(error) if !error.is_throttled() => return Err(error),
                _ if started.elapsed().as_secs() > OPERATION_SECONDS => {
                    return Err(Error::TimedOut {
                        what: format!("the change of stack `{stack}`"),
                        seconds: OPERATION_SECONDS,
                    });
                }
                _ => tokio::time::sleep(self.poll).await,
            }
        }
    }

    /// The stack's status and the events since the last poll; no status if the stack is gone.
    async fn look(
        &self,
        stack: &str,
        mark: &mut Option<String>,
        settled: &mut Settled,
        progress: &dyn Progress,
    ) -> Result<Option<String>, Error> {
        let status = self.find(stack).await?.map(|found| found.status);
        // Read after the status, so that the events of a settled stack are complete.
        for event in self.events_since(stack, mark).await? {
            progress.resource(&event);
            if event.is_cause_of_failure() {
                if !event.is_of_the_stack() {
                    settled.failed.insert(event.logical_id.clone());
                }
                settled.cause.get_or_insert(event);
            }
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

fn resource_event(event: &StackEvent) -> ResourceEvent {
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
    }
}

#[cfg(test)]
mod tests;
