//! AWS's settings for the whole account and region, which no environment may take from another.

use deployer::{Stacks, gateway_account, secret_version};
use domain::names::StackKind;
use stacks::USAGE_STREAM;
use stacks::environment::{ApiKind, Environment};

use crate::aws::{Reached, connect};
use crate::context::Context;

use super::quotas;

/// Connects to the account of an environment outside `local`, and finds out which of its settings
/// the stacks must leave alone.
pub(super) async fn reach(context: &Context, environment: Environment) -> anyhow::Result<Reached> {
    let mut reached = connect(environment).await?;
    let gateway = gateway_account(&reached.session).await?;
    quotas::compare(context, &reached, gateway.requests_per_second).await?;
    let present = gateway.logs_role;
    let own = reached.environment.names().gateway_logs_role();
    let leaves = is_of_another(present.as_deref(), &own);
    let needs_role = reached.environment.gateway == ApiKind::Rest;
    if let (true, true, Some(role)) = (needs_role, leaves, present) {
        context.out.aside(&format!(
            "API Gateway writes the logs of this account as `{role}`, which stays as it is"
        ));
    }
    reached.environment = reached.environment.leaving_gateway_account(leaves);
    if let Some(secret) = upstream_secret(&reached.environment) {
        let version = secret_version(&reached.session, &secret).await?;
        reached.environment = reached.environment.with_upstream_secret(version);
    }
    if let Some(shards) = shards_of_the_stack(&reached).await? {
        reached.environment = reached.environment.with_stream_of(shards);
    }
    Ok(reached)
}

/// The name of the secret that the upstream receives.
fn upstream_secret(environment: &Environment) -> Option<String> {
    let secret = environment.upstream.as_ref()?.secret.as_ref()?;
    Some(secret.secrets_manager.to_string())
}

/// The shards that a scaled stream was made with, if it exists. CloudFormation sets the shards of a
/// stream whenever their number in the template changes, even if the scaler has changed them since,
/// and Kinesis refuses less than half. So that number stays.
async fn shards_of_the_stack(reached: &Reached) -> anyhow::Result<Option<u32>> {
    let environment = &reached.environment;
    if environment.stream.capacity.scaled().is_none() {
        return Ok(None);
    }
    let stacks = Stacks::new(&reached.session);
    let name = environment.names().stack(StackKind::Kinesis);
    let Some(stack) = stacks.find(&name).await? else {
        return Ok(None);
    };
    // A stack that is only planned has no template yet.
    if stack.status == "REVIEW_IN_PROGRESS" {
        return Ok(None);
    }
    let shards = stacks
        .deployed_number(&stack, USAGE_STREAM, "ShardCount")
        .await?;
    Ok(shards.and_then(|shards| u32::try_from(shards).ok()))
}

/// Whether the account's role `present` differs from the environment's own.
fn is_of_another(present: Option<&str>, own: &str) -> bool {
    let name = present.and_then(|arn| arn.rsplit('/').next());
    name.is_some_and(|name| name != own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_is_not_this_environments_is_left_alone() {
        let own = "complical-gateway-logs-test";
        let arn = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
        assert!(!is_of_another(None, own));
        assert!(!is_of_another(Some(&arn(own)), own));
        let another = arn("complical-gateway-logs-prod");
        assert!(is_of_another(Some(&another), own));
        let by_hand = arn("service-role/apigateway");
        assert!(is_of_another(Some(&by_hand), own));
    }
}
