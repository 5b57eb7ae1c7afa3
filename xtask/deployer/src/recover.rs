//! Brings a stack that an earlier run, or someone else, left half-way into a state in which it can
//! be changed.

use crate::error::{Error, failed};
use crate::events::Progress;
use crate::stacks::{Deployed, Stacks};

/// The status of a stack whose rollback stopped half-way.
const STUCK: &str = "UPDATE_ROLLBACK_FAILED";
/// The status of a stack that only its id still finds.
const GONE: &str = "DELETE_COMPLETE";

/// Whether a status means that nothing is under way.
pub(crate) fn is_settled(status: &str) -> bool {
    !status.ends_with("_IN_PROGRESS") || status == "REVIEW_IN_PROGRESS"
}

impl Deployed {
    /// Whether nothing is under way on the stack.
    pub fn is_settled(&self) -> bool {
        is_settled(&self.status)
    }

    /// Whether the stack was never created successfully: it must be deleted before it can be
    /// created.
    pub fn never_came_up(&self) -> bool {
        matches!(
            self.status.as_str(),
            "REVIEW_IN_PROGRESS"
                | "CREATE_FAILED"
                | "ROLLBACK_COMPLETE"
                | "ROLLBACK_FAILED"
                | "DELETE_FAILED"
        )
    }

    /// Whether the stack was created successfully and is not being deleted. It may be changing, or
    /// have failed to change: what it holds still runs.
    pub fn is_up(&self) -> bool {
        let making = matches!(
            self.status.as_str(),
            "CREATE_IN_PROGRESS" | "ROLLBACK_IN_PROGRESS"
        );
        !making && !self.never_came_up() && !self.status.starts_with("DELETE_")
    }

    /// Whether nothing is under way on the stack, and it works: as its template says, or as before an
    /// update that was reverted.
    pub fn is_well(&self) -> bool {
        self.is_up() && self.status.ends_with("_COMPLETE")
    }

    /// Whether the stack's last rollback stopped half-way, and must be finished before the stack
    /// can be changed.
    pub fn is_stuck(&self) -> bool {
        self.status == STUCK
    }
}

impl Stacks {
    /// The stack called `name`, or with that id, once nothing is under way on it; `None` if it does
    /// not exist, or no longer does.
    pub async fn settled(
        &self,
        name: &str,
        progress: &dyn Progress,
    ) -> Result<Option<Deployed>, Error> {
        let found = self.find(name).await?.filter(|stack| stack.status != GONE);
        let stack = match found {
            Some(stack) if !stack.is_settled() => stack,
            other => return Ok(other),
        };
        progress.note(&format!(
            "stack `{}` is `{}`: someone else or an earlier run is changing it; waiting",
            stack.name, stack.status
        ));
        let mark = self.began(&stack.id).await?;
        let ended = self.follow(&stack.id, mark, None, progress).await?;
        if let Some(cause) = ended.cause {
            progress.note(&format!(
                "that change of stack `{}` failed and ended as `{}`: `{}` ({}): {}",
                stack.name,
                ended.status,
                cause.logical_id,
                cause.kind,
                cause.reason.as_deref().unwrap_or("no reason given")
            ));
        }
        if ended.status == GONE {
            return Ok(None);
        }
        self.find(&stack.id).await
    }

    /// Finishes a rollback that had stopped half-way. Returns the stack, which can then be changed.
    pub async fn finish_rollback(
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
        let ended = self.follow(&stack.id, mark, None, progress).await?;
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

    /// Deletes what is left of a stack that never came up. If somebody else has created it meanwhile,
    /// it stays.
    pub async fn delete_remains(
        &self,
        stack: &Deployed,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        match self.settled(&stack.id, progress).await? {
            None => Ok(()),
            Some(remains) if remains.never_came_up() => self.delete(&remains, progress).await,
            Some(created) => Err(Error::CreatedMeanwhile {
                stack: created.name,
            }),
        }
    }

    /// Deletes a stack, once nothing is under way on it, and follows it to its end. Retained
    /// resources stay.
    pub async fn delete(&self, stack: &Deployed, progress: &dyn Progress) -> Result<(), Error> {
        // The stack may have begun to change since it was found, and AWS then refuses to delete it.
        if self.settled(&stack.id, progress).await?.is_none() {
            return Ok(());
        }
        let mark = self.newest_event(&stack.id).await?;
        self.client
            .delete_stack()
            .stack_name(&stack.id)
            .send()
            .await
            .map_err(failed("DeleteStack"))?;
        let ended = self.follow(&stack.id, mark, None, progress).await?;
        if ended.status == GONE {
            Ok(())
        } else {
            Err(ended.failure(&stack.name))
        }
    }
}

#[cfg(test)]
mod tests;
