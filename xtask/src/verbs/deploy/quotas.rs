//! The account's quotas, compared with what the environment file promises, before anything is built.

use deployer::{Executions, Functions, Stacks};
use domain::names::StackKind;
use stacks::environment::{Bounded, Concurrency, Environment};

use crate::aws::Reached;
use crate::context::Context;
use crate::stop::Stop;

/// Calls per second that one execution of a function serves at most (Lambda Developer Guide,
/// "Understanding Lambda function scaling").
const CALLS_PER_EXECUTION: u32 = 10;
/// Executions that AWS keeps unreserved (Lambda Developer Guide, "Configuring reserved
/// concurrency").
const UNRESERVED: u32 = 100;

/// What the account grants, and what the environment already has of it.
struct Quotas {
    /// Requests per second of API Gateway.
    requests: Option<f64>,
    executions: Option<Executions>,
    /// Executions that the deployed functions of this environment have reserved.
    held: u32,
}

/// Warns of plans that the account cannot serve.
///
/// # Errors
///
/// If `concurrency` reserves more than AWS accepts: it would roll the stack back.
pub(super) async fn compare(
    context: &Context,
    reached: &Reached,
    requests: Option<f64>,
) -> anyhow::Result<()> {
    let executions = Functions::new(&reached.session).executions().await;
    let executions = executions.unwrap_or_else(|error| {
        // A role of an earlier release lacks the permission.
        context.out.warning(&format!(
            "the account's concurrent executions are unknown, so they are not compared with the \
             environment file: {error}; `cargo xtask iam` prints a role that may read them"
        ));
        None
    });
    let quotas = Quotas {
        requests,
        executions,
        held: held(reached).await?,
    };
    let environment = &reached.environment;
    if let Some(refusal) = refusal(environment, &quotas) {
        return Err(Stop::usage(refusal).into());
    }
    for warning in warnings(environment, &quotas) {
        context.out.warning(&warning);
    }
    Ok(())
}

/// Executions that the API stack has reserved; the other stacks reserve none.
async fn held(reached: &Reached) -> anyhow::Result<u32> {
    let stacks = Stacks::new(&reached.session);
    let name = reached.environment.names().stack(StackKind::Api);
    let stack = stacks.find(&name).await?;
    // A stack that is only planned has no template yet.
    let Some(stack) = stack.filter(|stack| stack.status != "REVIEW_IN_PROGRESS") else {
        return Ok(0);
    };
    let property = "ReservedConcurrentExecutions";
    let held = stacks.deployed_sum(&stack, property).await?;
    Ok(u32::try_from(held).unwrap_or(u32::MAX))
}

/// Executions that the file reserves for all functions together.
fn reserved(concurrency: &Concurrency) -> u32 {
    let Concurrency {
        authorizer,
        analytics,
        collector,
        keys,
        reconciler,
    } = concurrency;
    let others = [authorizer, analytics, collector, keys];
    let others = others.into_iter().flatten().map(|one| one.get());
    others.sum::<u32>() + reconciler.map_or(0, Bounded::get)
}

/// Why AWS would refuse the file's `concurrency`.
fn refusal(environment: &Environment, quotas: &Quotas) -> Option<String> {
    let Executions { quota, unreserved } = quotas.executions?;
    let asked = reserved(&environment.concurrency);
    let free = (unreserved + quotas.held).saturating_sub(UNRESERVED);
    (asked > free).then(|| {
        format!(
            "`concurrency` reserves {asked} executions, and AWS accepts {free}: the account's quota in \
             `{}` is {quota}, other functions have reserved {}, and {UNRESERVED} stay unreserved; reserve \
             fewer, or request more \"Concurrent executions\" (Service Quotas, L-B99A9384)",
            environment.region,
            quota.saturating_sub(unreserved + quotas.held)
        )
    })
}

/// Promises of the file that the account cannot keep.
fn warnings(environment: &Environment, quotas: &Quotas) -> Vec<String> {
    let gateway = quotas.requests.and_then(|most| too_few(environment, most));
    let lambda = quotas.executions.and_then(|executions| {
        let unreserved = executions.unreserved + quotas.held;
        unserved(environment, unreserved)
    });
    gateway.into_iter().chain(lambda).collect()
}

/// The stage accepts more than the account's whole quota.
fn too_few(environment: &Environment, most: f64) -> Option<String> {
    let (rate, _) = environment.throttle.within(&environment.region);
    (f64::from(rate) > most).then(|| {
        format!(
            "the stage accepts {rate} calls a second, and API Gateway {most} from all APIs of the \
             account in `{}`: callers get 429 beyond that, whatever their plan; request more (Service \
             Quotas, L-8A5B8E43), or lower `throttle.ratePerSecond`",
            environment.region
        )
    })
}

/// A plan whose calls one key alone can use up the executions with. `unreserved` are all but those
/// of other environments and projects.
fn unserved(environment: &Environment, unreserved: u32) -> Option<String> {
    let concurrency = &environment.concurrency;
    let shared = || unreserved.saturating_sub(reserved(concurrency));
    let available = concurrency.authorizer.map_or_else(shared, Bounded::get);
    let plans = environment.plans.iter();
    let (name, plan) = plans.max_by_key(|(_, plan)| plan.rate_per_second.get())?;
    let rate = plan.rate_per_second.get();
    let needed = rate.div_ceil(CALLS_PER_EXECUTION);
    (needed > available).then(|| {
        format!(
            "plan `{name}` promises {rate} calls a second, which take {needed} concurrent executions of \
             the authorizer, and it has {available}: calls beyond get 500 and do not count; {}",
            match concurrency.authorizer {
                Some(_) => "raise `concurrency.authorizer`",
                None => "request more \"Concurrent executions\" (Service Quotas, L-B99A9384)",
            }
        )
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// `test.yaml`, whose highest plan promises 1,000 calls a second, with more text.
    fn environment(more: &str) -> Environment {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stacks/environments/test.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        Environment::parse("test", &file, &format!("{text}{more}\n")).unwrap()
    }

    fn quotas(quota: u32, unreserved: u32, held: u32) -> Quotas {
        Quotas {
            requests: Some(10_000.0),
            executions: Some(Executions { quota, unreserved }),
            held,
        }
    }

    #[test]
    fn a_reserve_that_aws_would_refuse_is_refused_first() {
        let file = environment("concurrency: {authorizer: 800, analytics: 50, reconciler: 50}");
        assert_eq!(refusal(&file, &quotas(1_000, 1_000, 0)), None);
        let refused = refusal(&file, &quotas(1_000, 900, 0)).unwrap();
        let expected = "`concurrency` reserves 900 executions, and AWS accepts 800: the account's quota in \
             `ap-south-1` is 1000, other functions have reserved 100, and 100 stay unreserved";
        assert!(refused.starts_with(expected), "{refused}");
        // The deployed functions of this environment may keep theirs.
        assert_eq!(refusal(&file, &quotas(1_000, 100, 900)), None);
        assert!(refusal(&file, &quotas(1_000, 100, 899)).is_some());
        // A new account, and one without a reserve.
        assert!(refusal(&file, &quotas(10, 10, 0)).is_some());
        assert_eq!(refusal(&environment(""), &quotas(10, 10, 0)), None);
    }

    #[test]
    fn a_plan_that_the_account_cannot_serve_is_named() {
        let none = Vec::<String>::new();
        assert_eq!(warnings(&environment(""), &quotas(1_000, 1_000, 0)), none);
        assert_eq!(warnings(&environment(""), &quotas(1_000, 100, 0)), none);
        let [warning] = &warnings(&environment(""), &quotas(10, 10, 0))[..] else {
            unreachable!("one plan is named");
        };
        let expected = "plan `enterprise` promises 1000 calls a second, which take 100 concurrent executions \
             of the authorizer, and it has 10:";
        assert!(warning.starts_with(expected), "{warning}");
        let file = environment("concurrency: {authorizer: 99}");
        let [warning] = &warnings(&file, &quotas(1_000, 1_000, 0))[..] else {
            unreachable!("one plan is named");
        };
        assert!(
            warning.ends_with("raise `concurrency.authorizer`"),
            "{warning}"
        );
        let file = environment("concurrency: {authorizer: 100, analytics: 500}");
        assert_eq!(warnings(&file, &quotas(1_000, 1_000, 0)), none);
    }

    #[test]
    fn a_stage_that_accepts_more_than_its_account_is_named() {
        let mut quotas = quotas(1_000, 1_000, 0);
        quotas.requests = Some(4_999.0);
        let [warning] = &warnings(&environment(""), &quotas)[..] else {
            unreachable!("the stage is named");
        };
        let expected = "the stage accepts 5000 calls a second, and API Gateway 4999 from all APIs";
        assert!(warning.starts_with(expected), "{warning}");
        quotas.requests = None;
        assert!(warnings(&environment(""), &quotas).is_empty());
    }
}
