//! Events of a stack while it changes.

use std::time::Duration;

use domain::time::UnixMillis;

/// One line of a stack's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceEvent {
    /// The stack.
    pub stack: String,
    /// The resource's logical id; the stack's own name for the stack itself.
    pub logical_id: String,
    /// Its type.
    pub kind: String,
    /// Its status, such as `CREATE_COMPLETE`.
    pub status: String,
    /// CloudFormation's reason, if it gives one.
    pub reason: Option<String>,
    /// When it happened, if CloudFormation says so.
    pub at: Option<UnixMillis>,
    /// How long the resource took, once it is done.
    pub took: Option<Duration>,
    /// How many of the operation's resources are done, this one included, and how many there are.
    pub place: Option<(usize, usize)>,
}

impl ResourceEvent {
    /// Whether this is an original failure rather than a consequence of another one.
    pub fn is_cause_of_failure(&self) -> bool {
        let consequence = self.reason.as_deref().is_some_and(|reason| {
            reason.contains("cancelled") || reason.starts_with("The following resource(s) failed")
        });
        self.status.ends_with("_FAILED") && !consequence
    }

    /// Whether the resource is done, one way or the other.
    pub(crate) fn is_end(&self) -> bool {
        self.status.ends_with("_COMPLETE") || self.status.ends_with("_FAILED")
    }

    /// Whether an operation on the stack begins. A rollback is part of the operation that failed.
    pub(crate) fn begins_operation(&self) -> bool {
        self.is_of_the_stack()
            && self.status.ends_with("_IN_PROGRESS")
            && !self.status.contains("ROLLBACK")
            && !self.status.contains("CLEANUP")
    }

    /// Whether this event concerns the stack itself.
    pub fn is_of_the_stack(&self) -> bool {
        self.kind == "AWS::CloudFormation::Stack" && self.logical_id == self.stack
    }
}

/// Receives progress. Implementations must return at once.
pub trait Progress: Sync {
    /// A resource changed its status.
    fn resource(&self, event: &ResourceEvent);
    /// Something else that takes time, or that the user should know.
    fn note(&self, text: &str);
}
