//! Log groups that exist although their stack is gone: they would prevent the next deploy of the
//! stack.

use deployer::{Deployed, LeftOver, Logs, Stacks};
use serde_json::Value;

use super::Deployment;
use super::review::consented;

/// Removes the log groups that `template` declares and that a deleted stack left behind. Returns
/// whether the deploy may continue. A dry run only shows them.
pub(super) async fn cleared(
    deployment: &Deployment<'_>,
    current: Option<&Deployed>,
    template: &Value,
    name: &str,
) -> anyhow::Result<bool> {
    let session = &deployment.reached.session;
    let owned = match current {
        Some(stack) => {
            let stacks = Stacks::new(session);
            stacks.resources(&stack.id, "AWS::Logs::LogGroup").await?
        }
        None => Vec::new(),
    };
    let logs = Logs::new(session);
    let found = logs.left_over(template, &owned).await?;
    let out = deployment.context.out;
    for left in &found {
        out.detail(&line(left));
    }
    if found.is_empty() || deployment.manner.consent.dry_run {
        return Ok(true);
    }
    if !consented(deployment.context, deployment.manner, name, &[])? {
        return Ok(false);
    }
    for left in &found {
        logs.remove(&left.group).await?;
    }
    Ok(true)
}

fn line(left: &LeftOver) -> String {
    let LeftOver { group, bytes } = left;
    format!(
        "- log group `{group}` of a stack that is gone: removed with the {bytes} bytes of lines written after it"
    )
}
