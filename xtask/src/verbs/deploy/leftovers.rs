//! Log groups that exist although their stack is gone: they would prevent the next deploy of the
//! stack.

use deployer::{Deployed, LeftOver, Logs, Session, Stacks};
use serde_json::Value;

/// The log groups that `template` declares and that a deleted stack left behind. Those of the
/// current stack are its own.
pub(super) async fn found(
    session: &Session,
    current: Option<&Deployed>,
    template: &Value,
) -> anyhow::Result<Vec<LeftOver>> {
    let owned = match current {
        Some(stack) => {
            let stacks = Stacks::new(session);
            stacks.resources(&stack.id, "AWS::Logs::LogGroup").await?
        }
        None => Vec::new(),
    };
    Ok(Logs::new(session).left_over(template, &owned).await?)
}

/// Removes log groups with all their lines.
pub(super) async fn remove(session: &Session, left: &[LeftOver]) -> anyhow::Result<()> {
    let logs = Logs::new(session);
    for left in left {
        logs.remove(&left.group).await?;
    }
    Ok(())
}
