//! The AWS of an environment, and the environment's stacks there.

use std::collections::BTreeMap;

use anyhow::Context as _;
use deployer::{Bucket, Caller, Deployed, Session, Stacks};
use domain::names::{StackKind, TrackingMode};
use stacks::environment::{Account, Address, Environment, LOCAL_ACCOUNT};

use crate::context::{Context, is_embedded};
use crate::local::Running;
use crate::stop::{Exit, Stop};

/// The stacks in the order in which they are first deployed.
pub(crate) const STACKS: [StackKind; 3] = [StackKind::Data, StackKind::Kinesis, StackKind::Api];

/// An environment, and the connection to its AWS.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) environment: Environment,
    pub(crate) session: Session,
    /// The account of the credentials.
    pub(crate) caller: Caller,
    /// The processes of the local environment; `None` on AWS.
    pub(crate) running: Option<Running>,
}

/// Connects to the AWS of a deployed environment.
pub(crate) async fn reach(context: &Context) -> anyhow::Result<Reached> {
    let environment = context.environment_as_deployed()?;
    let region = environment.region.as_str();
    if !is_embedded(&environment) {
        return connect(environment).await;
    }
    let local = context.local();
    let Some(running) = local.running().await? else {
        let state = local.state()?;
        return Err(match state.emulator.as_ref().or(state.host.as_ref()) {
            None => nothing_deployed(&environment),
            Some(record) => Stop::failed(format!(
                "the local environment does not respond (process {} should serve it)",
                record.pid
            ))
            .hint("`cargo xtask deploy` brings it up again, `cargo xtask destroy` clears it away"),
        }
        .into());
    };
    let session = Session::embedded(region, &running.endpoint());
    Ok(Reached {
        environment,
        session,
        caller: Caller::embedded(LOCAL_ACCOUNT),
        running: Some(running),
    })
}

/// Connects to an external AWS, and makes sure that it is the right account: resources of the same
/// names may exist in another one.
pub(crate) async fn connect(environment: Environment) -> anyhow::Result<Reached> {
    let endpoint = environment.endpoint.as_ref();
    let endpoint = endpoint.map(Address::as_str);
    let session = Session::connect(environment.region.as_str(), endpoint).await;
    let caller = session
        .caller()
        .await
        .context("finding out whose credentials these are")?;
    let account = caller.account();
    if let Some(wanted) = environment.account.as_ref().map(Account::as_str)
        && wanted != account
    {
        return Err(Stop::usage(format!(
            "environment `{}` belongs to account {wanted}, the credentials to {account}",
            environment.name
        ))
        .hint("choose the profile of that account: put `AWS_PROFILE=…` before the command")
        .into());
    }
    Ok(Reached {
        environment,
        session,
        caller,
        running: None,
    })
}

/// The error of a command that needs a deployed environment.
pub(crate) fn nothing_deployed(environment: &Environment) -> Stop {
    let name = &environment.name;
    let option = if environment.is_local() {
        String::new()
    } else {
        format!(" --env {name}")
    };
    Stop::failed(format!("nothing is deployed in `{name}`"))
        .hint(format!("deploy first: `cargo xtask deploy{option}`"))
}

impl Reached {
    /// The bucket for its assets.
    pub(crate) fn assets_bucket(&self) -> Bucket {
        let name = stacks::assets_bucket(&self.environment);
        let name = name.replace("${AWS::AccountId}", self.caller.account());
        Bucket::new(&self.session, &name, &self.caller)
    }

    /// The bucket for its reports.
    pub(crate) fn report_bucket(&self) -> Bucket {
        let (account, region) = (self.caller.account(), self.environment.region.as_str());
        let name = self.environment.names().report_bucket(account, region);
        Bucket::new(&self.session, &name, &self.caller)
    }

    /// The environment's existing stacks, in deploy order.
    pub(crate) async fn stacks(&self) -> anyhow::Result<Vec<(StackKind, Deployed)>> {
        let stacks = Stacks::new(&self.session);
        let names = self.environment.names();
        let mut found = Vec::new();
        for kind in STACKS {
            if let Some(stack) = stacks.find(&names.stack(kind)).await? {
                found.push((kind, stack));
            }
        }
        Ok(found)
    }

    /// The same, if at least the API exists.
    pub(crate) async fn deployed(&self) -> anyhow::Result<Vec<(StackKind, Deployed)>> {
        let found = self.stacks().await?;
        if is_deployed(&found) {
            Ok(found)
        } else {
            Err(nothing_deployed(&self.environment).into())
        }
    }

    /// The URL of the metered API, without a trailing slash.
    pub(crate) fn api_url(&self, found: &[(StackKind, Deployed)]) -> anyhow::Result<String> {
        if let Some(running) = &self.running {
            return Ok(running.api_url(&self.environment.name));
        }
        let outputs = found
            .iter()
            .find(|(kind, _)| *kind == StackKind::Api)
            .map(|(_, stack)| &stack.outputs);
        let url = outputs.and_then(|outputs| outputs.get("ApiUrl"));
        Ok(url
            .context("the API stack has no output `ApiUrl`")?
            .trim_end_matches('/')
            .to_owned())
    }
}

/// Whether the API was created successfully and is not being deleted, whatever happened to its last
/// change.
fn is_deployed(found: &[(StackKind, Deployed)]) -> bool {
    let mut found = found.iter();
    found.any(|(kind, stack)| *kind == StackKind::Api && stack.is_up())
}

/// Refuses to delete stacks with termination protection, before any other is deleted.
pub(crate) fn deletable<'a>(stacks: impl Iterator<Item = &'a Deployed>) -> Result<(), Stop> {
    let protected = stacks.filter(|stack| stack.protected);
    let protected: Vec<_> = protected.map(|stack| stack.name.as_str()).collect();
    if protected.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = protected.iter().map(|name| format!("`{name}`")).collect();
    let commands: Vec<_> = protected
        .iter()
        .map(|name| format!("`{}`", unprotect(name)))
        .collect();
    Err(Stop::new(
        Exit::Refused,
        format!(
            "termination protection is on for {}: nothing was deleted",
            names.join(", ")
        ),
    )
    .hint(format!("{} lifts it", commands.join(" and "))))
}

/// The command that lifts a stack's termination protection.
pub(crate) fn unprotect(stack: &str) -> String {
    format!(
        "aws cloudformation update-termination-protection --no-enable-termination-protection --stack-name {stack}"
    )
}

/// The deployed mode, which may differ from the file's: the mode of the API's authorizer.
pub(crate) fn deployed_mode(found: &[(StackKind, Deployed)]) -> TrackingMode {
    let api = found.iter().find(|(kind, _)| *kind == StackKind::Api);
    let told = api.and_then(|(_, stack)| stack.outputs.get("TrackingMode"));
    let has_stream = found.iter().any(|(kind, _)| *kind == StackKind::Kinesis);
    let by_stacks = if has_stream {
        TrackingMode::Stream
    } else {
        TrackingMode::Synchronous
    };
    told.and_then(|mode| TrackingMode::parse(mode))
        .unwrap_or(by_stacks)
}

/// Outputs by stack.
pub(crate) fn outputs(
    found: &[(StackKind, Deployed)],
) -> BTreeMap<String, BTreeMap<String, String>> {
    found
        .iter()
        .map(|(_, stack)| (stack.name.clone(), stack.outputs.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(kind: StackKind, mode: Option<&str>) -> (StackKind, Deployed) {
        let outputs = mode.map(|mode| ("TrackingMode".to_owned(), mode.to_owned()));
        let stack = Deployed {
            name: format!("{kind:?}"),
            status: "CREATE_COMPLETE".into(),
            outputs: outputs.into_iter().collect(),
            ..Deployed::default()
        };
        (kind, stack)
    }

    #[test]
    fn the_mode_is_the_authorizers_setting_not_which_stacks_exist() {
        let stream = stack(StackKind::Kinesis, None);
        let told = |mode| stack(StackKind::Api, Some(mode));
        let both = [stream.clone(), told("synchronous")];
        assert_eq!(deployed_mode(&both), TrackingMode::Synchronous);
        assert_eq!(deployed_mode(&[told("stream")]), TrackingMode::Stream);
        assert_eq!(deployed_mode(&[stream]), TrackingMode::Stream);
    }

    #[test]
    fn an_api_that_changes_or_failed_to_change_is_deployed() {
        let api = |status: &str| {
            let (kind, mut stack) = stack(StackKind::Api, None);
            stack.status = status.to_owned();
            is_deployed(&[(kind, stack)])
        };
        assert!(api("UPDATE_IN_PROGRESS") && api("UPDATE_ROLLBACK_FAILED"));
        assert!(!api("ROLLBACK_COMPLETE") && !api("DELETE_IN_PROGRESS"));
        assert!(!is_deployed(&[stack(StackKind::Data, None)]));
    }

    #[test]
    fn a_protected_stack_is_refused_with_its_name_and_the_command() {
        let (_, free) = stack(StackKind::Api, None);
        let (_, mut kept) = stack(StackKind::Data, None);
        kept.protected = true;
        assert!(deletable([&free].into_iter()).is_ok());
        let stop = deletable([&free, &kept].into_iter()).unwrap_err();
        assert_eq!(
            stop.to_string(),
            "termination protection is on for `Data`: nothing was deleted"
        );
        let error = anyhow::Error::from(stop);
        assert_eq!(crate::stop::exit_of(&error), Exit::Refused);
        let hint = crate::stop::hint_of(&error).unwrap();
        assert!(hint.ends_with("--stack-name Data` lifts it"), "{hint}");
    }
}
