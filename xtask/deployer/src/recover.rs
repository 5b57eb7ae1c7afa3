//! Following a stack to its end, and picking up what an interrupted run left.

use aws_sdk_cloudformation::types::StackEvent;

use crate::error::{Error, failed};
use crate::events::{Progress, ResourceEvent};
use crate::stacks::{Deployed, Stacks};

/// How long one operation on one stack may take.
const OPERATION_SECONDS: u64 = 3_600;

/// How a stack operation ended.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) status: String,
    /// The first thing that went wrong.
    pub(crate) cause: Option<ResourceEvent>,
}

/// Whether a status is one at which nothing is under way.
pub(crate) fn is_settled(status: &str) -> bool {
    !status.ends_with("_IN_PROGRESS") || status == "REVIEW_IN_PROGRESS"
}

/// What a settled stack needs before it can be changed.
#[derive(Debug, PartialEq, Eq)]
enum Remedy {
    /// Nothing.
    Nothing,
    /// It never came up: away with it.
    Delete,
    /// Its last rollback stopped half-way.
    FinishRollback,
}

fn remedy(status: &str) -> Remedy {
    match status {
        "REVIEW_IN_PROGRESS" | "CREATE_FAILED" | "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED"
        | "DELETE_FAILED" => Remedy::Delete,
        "UPDATE_ROLLBACK_FAILED" => Remedy::FinishRollback,
        _ => Remedy::Nothing,
    }
}

impl Stacks {
    /// The stack in a state in which it can be changed, or `None` where it is to be made anew:
    /// waits for an operation under way, deletes a stack that never came up, finishes a rollback.
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
                "stack `{name}` is `{}` from an earlier run: waiting for it",
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
        self.follow(&stack.id, mark, progress).await?;
        self.find(&stack.name).await
    }

    /// Tells `progress` what happens after the event `mark`, until nothing is under way.
    pub(crate) async fn follow(
        &self,
        stack: &str,
        mut mark: Option<String>,
        progress: &dyn Progress,
    ) -> Result<Settled, Error> {
        let started = tokio::time::Instant::now();
        let mut cause = None;
        loop {
            let status = self.find(stack).await?.map(|found| found.status);
            // Read after the status, so that the events of a settled stack are complete.
            for event in self.events_since(stack, &mut mark).await? {
                progress.resource(&event);
                if cause.is_none() && event.is_cause_of_failure() {
                    cause = Some(event);
                }
            }
            match status {
                None => {
                    let status = "DELETE_COMPLETE".to_owned();
                    return Ok(Settled { status, cause });
                }
                Some(status) if is_settled(&status) => return Ok(Settled { status, cause }),
                Some(_) if started.elapsed().as_secs() > OPERATION_SECONDS => {
                    return Err(Error::TimedOut {
                        what: format!("the change of stack `{stack}`"),
                        seconds: OPERATION_SECONDS,
                    });
                }
                Some(_) => tokio::time::sleep(self.poll).await,
            }
        }
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

    /// Events newer than `mark`, oldest first; moves the mark.
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
mod tests {
    use super::*;

    #[test]
    fn a_stack_under_review_is_settled_and_one_being_made_is_not() {
        assert!(is_settled("REVIEW_IN_PROGRESS"));
        assert!(is_settled("CREATE_COMPLETE"));
        assert!(is_settled("ROLLBACK_FAILED"));
        assert!(!is_settled("CREATE_IN_PROGRESS"));
        assert!(!is_settled("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"));
    }

    #[test]
    fn only_a_stack_that_never_came_up_is_deleted() {
        assert_eq!(remedy("ROLLBACK_COMPLETE"), Remedy::Delete);
        assert_eq!(remedy("REVIEW_IN_PROGRESS"), Remedy::Delete);
        assert_eq!(remedy("UPDATE_ROLLBACK_COMPLETE"), Remedy::Nothing);
        assert_eq!(remedy("UPDATE_COMPLETE"), Remedy::Nothing);
        assert_eq!(remedy("IMPORT_ROLLBACK_COMPLETE"), Remedy::Nothing);
        assert_eq!(remedy("UPDATE_ROLLBACK_FAILED"), Remedy::FinishRollback);
    }

    #[test]
    fn a_cancelled_resource_is_not_the_cause() {
        let event = |status: &str, reason: &str| ResourceEvent {
            stack: "S".into(),
            logical_id: "R".into(),
            kind: "AWS::SQS::Queue".into(),
            status: status.into(),
            reason: Some(reason.into()),
        };
        assert!(event("CREATE_FAILED", "name taken").is_cause_of_failure());
        assert!(!event("CREATE_FAILED", "Resource creation cancelled").is_cause_of_failure());
        assert!(!event("CREATE_COMPLETE", "").is_cause_of_failure());
    }
}
