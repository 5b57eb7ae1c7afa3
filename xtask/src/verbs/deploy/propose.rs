//! What a deploy of each stack would do: worked out, and nothing changed yet.
//!
//! CloudFormation works out the changes of a stack that exists, in a change set. The plan of a stack
//! that does not exist comes from its template and the tables that are already there: a change set
//! would create the stack, and needs the bucket, before anybody agreed.

use std::collections::BTreeMap;

use anyhow::Context as _;
use deployer::{Adoption, Bucket, Deployed, Prepared, Request, Review, Stacks, Tables, Template};
use domain::names::StackKind;
use serde_json::Value;
use stacks::environment::Environment;
use stacks::{Assembly, StackArtifact};

use super::plan::{Plan, StackPlan};
use super::{Deployment, Manner, account, leftovers, order, review, start};
use crate::aws::{Reached, deployed_mode, reach};
use crate::consent::Consent;
use crate::context::Context;
use crate::context::is_embedded;
use crate::functions::{self, Flavour};
use crate::options::{ArchOption, DriftOption};
use crate::stop::Stop;

/// The type of the bucket of reports.
pub(super) const BUCKET: &str = "AWS::S3::Bucket";

/// The change of one stack.
pub(super) struct Proposal<'a> {
    pub(super) kind: StackKind,
    pub(super) artifact: &'a StackArtifact,
    /// The template for the target AWS.
    pub(super) template: Value,
    pub(super) plan: StackPlan,
    /// CloudFormation's own account of the changes.
    pub(super) review: Review,
    /// The tables that the stack adopts although they differ.
    pub(super) adoptions: Vec<Adoption>,
    /// The change set of a stack that exists and changes.
    pub(super) change_set: Option<String>,
    /// What is left of a first deploy that failed.
    pub(super) remains: Option<Deployed>,
}

/// All changes of a deploy.
pub(super) struct Proposals<'a> {
    pub(super) stacks: Vec<Proposal<'a>>,
    /// The stack that the mode no longer includes.
    pub(super) retired: Option<Retired>,
    mode: Option<&'static str>,
}

/// A stack to be deleted, and what is lost with it.
pub(super) struct Retired {
    pub(super) stack: Deployed,
    pub(super) concerns: Vec<String>,
}

/// Determines the changes of a deploy of `environment`, without making any.
pub(in crate::verbs) async fn plan(
    context: &Context,
    environment: Environment,
    stacks: &[String],
    arch: ArchOption,
    drift: DriftOption,
) -> anyhow::Result<Plan> {
    drift.check(&environment)?;
    let selection = super::selected(&environment, stacks)?;
    let flavour = Flavour::of(&environment, arch.arch)?;
    let outside = if is_embedded(&environment) {
        None
    } else {
        Some(account::reach(context, environment.clone()).await?)
    };
    let environment = outside
        .as_ref()
        .map_or(environment, |reached| reached.environment.clone());
    let assets = functions::build(context, flavour).await?;
    let environment = context.trusting_this_machine(environment)?;
    let assembly =
        ::stacks::synthesise(&environment, &assets).context("synthesising the stacks")?;
    let reached = match outside {
        Some(reached) => reached,
        None if context.local().running().await?.is_none() => {
            let stacks = new_locally(context, &environment, &assembly, &selection)?;
            return Ok(Plan::new(&environment, None, stacks));
        }
        // The deployed environment in the mode that it would get.
        None => Reached {
            environment,
            ..reach(context).await?
        },
    };
    let manner = Manner {
        consent: Consent {
            dry_run: true,
            yes: false,
        },
        outside_local: !reached.environment.is_local(),
        reverts_drift: drift.revert_drift,
    };
    let deployment = Deployment {
        context,
        reached,
        assembly,
        manner,
        stacks: selection,
    };
    deployment.plan().await
}

/// The stacks that would be created on an embedded AWS that is not running yet.
fn new_locally(
    context: &Context,
    environment: &Environment,
    assembly: &Assembly,
    selection: &[StackKind],
) -> anyhow::Result<Vec<StackPlan>> {
    let names = environment.names();
    let wanted = |artifact: &&StackArtifact| {
        let mut kinds = selection.iter();
        kinds.any(|kind| names.stack(*kind) == artifact.name)
    };
    let artifacts = assembly.stacks.iter().filter(wanted);
    let stacks = artifacts.map(|artifact| {
        review::show_unsupported(context, artifact);
        let template = start::parsed(artifact)?;
        let template = deployer::without_refused(template, &review::refused(artifact));
        let review = Review::of_new_stack(&artifact.name, &template, &[]);
        Ok(StackPlan::of(&review))
    });
    stacks.collect()
}

impl Deployment<'_> {
    /// Determines the changes, and makes none.
    async fn plan(&self) -> anyhow::Result<Plan> {
        let proposals = self.propose(&self.reached.assets_bucket()).await?;
        self.discard(&proposals.stacks).await?;
        self.show_unsupported(&proposals.stacks);
        Ok(proposals.plan(&self.reached.environment))
    }

    /// Determines the changes of every stack.
    pub(super) async fn propose(&self, bucket: &Bucket) -> anyhow::Result<Proposals<'_>> {
        let before = self.reached.stacks().await?;
        let mut proposals = Vec::new();
        for (kind, artifact) in self.artifacts() {
            match self.proposed(kind, artifact, bucket).await {
                Ok(proposal) => proposals.push(proposal),
                Err(error) => {
                    self.discard(&proposals).await?;
                    return Err(error);
                }
            }
        }
        let retired = order::retired(&self.reached.environment, &before, &self.stacks);
        let retired = match retired {
            Some(stack) => Some(Retired {
                stack,
                concerns: order::concerns_of_retiring(&self.reached).await?,
            }),
            None => None,
        };
        Ok(Proposals {
            stacks: proposals,
            retired,
            mode: (!before.is_empty()).then(|| deployed_mode(&before).as_str()),
        })
    }

    async fn proposed<'b>(
        &'b self,
        kind: StackKind,
        artifact: &'b StackArtifact,
        bucket: &Bucket,
    ) -> anyhow::Result<Proposal<'b>> {
        let name = &artifact.name;
        let session = &self.reached.session;
        let template = self.template(artifact)?;
        let (current, remains) = match Stacks::new(session).find(name).await? {
            Some(stack) if stack.never_came_up() => (None, Some(stack)),
            found => (found, None),
        };
        let left = leftovers::found(session, current.as_ref(), &template).await?;
        let tables = Tables::new(session);
        let (change_set, review) = match &current {
            None => {
                let mut present = tables.present(&template).await?;
                present.extend(self.present_bucket(&template).await?);
                (None, Review::of_new_stack(name, &template, &present))
            }
            Some(current) => {
                comparable(current)?;
                match self
                    .prepared(artifact, &template, Some(current), bucket)
                    .await?
                {
                    Prepared::Nothing => (None, Review::of_nothing(name)),
                    Prepared::Changes { change_set, review } => (Some(change_set), review),
                }
            }
        };
        let adoptions = tables.differing(&template, &review).await?;
        let plan = if change_set.is_some() || current.is_none() {
            StackPlan::of(&review)
        } else {
            StackPlan::unchanged(name)
        };
        let plan = plan
            .adopting(&adoptions)
            .clearing(left)
            .replacing(remains.as_ref());
        Ok(Proposal {
            kind,
            artifact,
            template,
            plan,
            review,
            adoptions,
            change_set,
            remains,
        })
    }

    /// The logical id of the bucket of reports, if a template declares it and it exists already.
    async fn present_bucket(&self, template: &Value) -> anyhow::Result<Option<String>> {
        let resources = template.get("Resources").and_then(Value::as_object);
        let mut buckets = resources.into_iter().flatten();
        let declared = buckets
            .find(|(_, resource)| resource.get("Type").and_then(Value::as_str) == Some(BUCKET));
        let Some((id, _)) = declared else {
            return Ok(None);
        };
        let exists = self.reached.report_bucket().exists().await?;
        Ok(exists.then(|| id.clone()))
    }

    /// The change set of one stack.
    pub(super) async fn prepared(
        &self,
        artifact: &StackArtifact,
        template: &Value,
        current: Option<&Deployed>,
        bucket: &Bucket,
    ) -> anyhow::Result<Prepared> {
        let name = &artifact.name;
        let template = Template::new(name, template.clone(), bucket).await?;
        let request = Request {
            stack: name,
            template: &template,
            parameters: &BTreeMap::new(),
            tags: &artifact.tags,
            reverts_drift: self.manner.reverts_drift,
        };
        let stacks = Stacks::new(&self.reached.session);
        Ok(match stacks.prepare(&request, current).await? {
            Prepared::Changes { change_set, review } => Prepared::Changes {
                change_set,
                review: self.believed(review),
            },
            Prepared::Nothing => Prepared::Nothing,
        })
    }

    /// The review without replacements that only the embedded AWS's ignorance suggests.
    fn believed(&self, review: Review) -> Review {
        match self.reached.running {
            Some(_) => deployer::without_doubts(review),
            None => review,
        }
    }

    /// Deletes the change sets of proposals that are not carried out.
    pub(super) async fn discard(&self, proposals: &[Proposal<'_>]) -> anyhow::Result<()> {
        let stacks = Stacks::new(&self.reached.session);
        for change_set in proposals.iter().filter_map(|one| one.change_set.as_ref()) {
            stacks.discard(change_set).await?;
        }
        Ok(())
    }

    /// Shows what the embedded AWS leaves out of stacks that change.
    pub(super) fn show_unsupported(&self, proposals: &[Proposal<'_>]) {
        let changing = proposals.iter().filter(|proposal| proposal.plan.differs());
        for proposal in changing.filter(|_| self.reached.running.is_some()) {
            review::show_unsupported(self.context, proposal.artifact);
        }
    }
}

impl Proposals<'_> {
    /// The changes, for people and programs.
    pub(super) fn plan(&self, environment: &Environment) -> Plan {
        let stacks = self.stacks.iter().map(|proposal| proposal.plan.clone());
        let retired = self.retired.iter();
        let retired = retired
            .map(|retired| StackPlan::deleted(&retired.stack.name, retired.concerns.clone()));
        Plan::new(environment, self.mode, stacks.chain(retired).collect())
    }

    /// The stacks that are deleted.
    pub(super) fn deleted(&self) -> impl Iterator<Item = &Deployed> {
        let remains = self.stacks.iter().filter_map(|one| one.remains.as_ref());
        remains.chain(self.retired.iter().map(|retired| &retired.stack))
    }
}

/// Refuses a stack for which CloudFormation creates no change set.
fn comparable(stack: &Deployed) -> Result<(), Stop> {
    let Deployed { name, status, .. } = stack;
    let hint = if !stack.is_settled() {
        "a deploy is under way: run the command again when it is done"
    } else if status == "UPDATE_ROLLBACK_FAILED" {
        "`cargo xtask deploy` finishes the rollback first, and then shows what changes"
    } else {
        return Ok(());
    };
    Err(Stop::failed(format!(
        "stack `{name}` is `{status}`: its changes are unknown"
    ))
    .hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_that_is_being_changed_is_not_compared() {
        let stack = |status: &str| Deployed {
            name: "S".into(),
            status: status.into(),
            ..Deployed::default()
        };
        assert!(comparable(&stack("UPDATE_COMPLETE")).is_ok());
        for status in ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"] {
            let stop = comparable(&stack(status)).unwrap_err();
            assert!(stop.to_string().contains(status), "{stop}");
        }
    }
}
