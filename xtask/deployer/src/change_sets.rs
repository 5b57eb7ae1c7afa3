//! Change sets: CloudFormation works out what changes, and nothing happens before they are executed.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{
    self, Capability, ChangeSetStatus, ChangeSetType, DeploymentMode, EventFilter, OperationEvent,
    ValidationStatus,
};

use crate::certainty::settled;
use crate::changes::{Change, Review};
use crate::description::{change, parameters, tags};
use crate::error::{Error, failed};
use crate::events::Progress;
use crate::follow::Failures;
use crate::stacks::{Deployed, Stacks, Template};

/// How long CloudFormation may take to create a change set.
const CHANGE_SET_SECONDS: u64 = 600;
/// Prefix of the names of our change sets; the time in milliseconds follows.
const CHANGE_SET_PREFIX: &str = "xtask-";
/// The age at which an unused change set of ours was left behind by an interrupted run. A younger one
/// may be what a colleague is asked about.
const FORGOTTEN_MILLIS: i64 = 24 * 3_600_000;

/// The target state of a stack.
#[derive(Debug)]
pub struct Request<'a> {
    /// The stack's name.
    pub stack: &'a str,
    /// Its template.
    pub template: &'a Template,
    /// Values of parameters. A parameter that the template declares and that is missing here keeps
    /// its value, or takes its default.
    pub parameters: &'a BTreeMap<String, String>,
    /// Tags of the stack and all its resources.
    pub tags: &'a BTreeMap<String, String>,
    /// Whether to change back what was changed outside the stack.
    pub reverts_drift: bool,
}

/// A finished change set.
#[derive(Debug)]
pub enum Prepared {
    /// There are no differences.
    Nothing,
    /// It would make changes.
    Changes {
        /// The change set's id.
        change_set: String,
        /// Its content.
        review: Review,
    },
}

impl Stacks {
    /// Creates a change set. An existing stack must be settled: see [`settled`](Self::settled).
    /// Retained resources that outlived an earlier stack are adopted.
    pub async fn prepare(
        &self,
        request: &Request<'_>,
        current: Option<&Deployed>,
    ) -> Result<Prepared, Error> {
        let now = jiff::Timestamp::now().as_millisecond();
        let kind = if current.is_some() {
            ChangeSetType::Update
        } else {
            ChangeSetType::Create
        };
        let create = self
            .client
            .create_change_set()
            .stack_name(request.stack)
            .change_set_name(format!("{CHANGE_SET_PREFIX}{now}"))
            .change_set_type(kind)
            .capabilities(Capability::CapabilityNamedIam)
            .import_existing_resources(true)
            // A stack that does not exist yet cannot have drifted.
            .set_deployment_mode(
                (request.reverts_drift && current.is_some()).then_some(DeploymentMode::RevertDrift),
            )
            .set_parameters(Some(parameters(request, current)))
            .set_tags(Some(tags(request.tags)));
        let create = match &request.template.url {
            Some(url) => create.template_url(url),
            None => create.template_body(&request.template.body),
        };
        let created = create.send().await.map_err(failed("CreateChangeSet"))?;
        let change_set = created.id.ok_or(Error::Incomplete {
            operation: "CreateChangeSet",
            member: "Id",
        })?;
        self.worked_out(request, current, change_set).await
    }

    /// Waits for the change set and reads it.
    async fn worked_out(
        &self,
        request: &Request<'_>,
        current: Option<&Deployed>,
        change_set: String,
    ) -> Result<Prepared, Error> {
        let started = tokio::time::Instant::now();
        let mut failures = Failures::default();
        let answer = loop {
            let answer = match self.describe_change_set(&change_set, None).await {
                Err(error) if !failures.bear(&error) => return Err(error),
                answer => answer.ok(),
            };
            let status = answer.as_ref().and_then(|answer| answer.status().cloned());
            match (status, answer) {
                (Some(ChangeSetStatus::CreateComplete), Some(answer)) => break answer,
                (Some(ChangeSetStatus::Failed), Some(answer)) => {
                    return self
                        .change_set_failed(request.stack, &change_set, &answer)
                        .await;
                }
                _ if started.elapsed().as_secs() > CHANGE_SET_SECONDS => {
                    return Err(Error::TimedOut {
                        what: format!("the change set of stack `{}`", request.stack),
                        seconds: CHANGE_SET_SECONDS,
                    });
                }
                _ => tokio::time::sleep(self.poll).await,
            }
        };
        let old = match current {
            Some(stack) => Some(self.template(&stack.id).await?),
            None => None,
        };
        let (mut changes, followers) = settled(self.changes(&change_set, answer).await?);
        for change in &mut changes {
            change.complete(old.as_ref(), &request.template.parsed);
        }
        let review = Review {
            stack: request.stack.to_owned(),
            exists: current.is_some(),
            changes,
            followers,
            widened: crate::widened(old.as_ref(), &request.template.parsed),
        };
        Ok(Prepared::Changes { change_set, review })
    }

    async fn change_set_failed(
        &self,
        stack: &str,
        change_set: &str,
        answer: &DescribeChangeSetOutput,
    ) -> Result<Prepared, Error> {
        let reason = answer.status_reason().unwrap_or("no reason given");
        // CloudFormation has no code for this; these are its two wordings.
        let empty = reason.contains("didn't contain changes")
            || reason.contains("No updates are to be performed");
        if empty {
            self.discard(change_set).await?;
            return Ok(Prepared::Nothing);
        }
        // A discarded change set has no events.
        let findings = self.findings(change_set).await;
        self.discard(change_set).await?;
        let reason = if findings.is_empty() {
            reason.to_owned()
        } else {
            format!("{} ({reason})", findings.join("; "))
        };
        Err(Error::ChangeSetFailed {
            stack: stack.to_owned(),
            reason,
        })
    }

    /// What CloudFormation's validation found in a change set, by resource. Nothing if the
    /// credentials may not ask, or the endpoint does not know the question: the refusal itself is
    /// what matters.
    async fn findings(&self, change_set: &str) -> Vec<String> {
        let answer = self
            .client
            .describe_events()
            .change_set_name(change_set)
            .filters(EventFilter::builder().failed_events(true).build())
            .send()
            .await;
        let events = answer.map(|answer| answer.operation_events.unwrap_or_default());
        let mut findings: Vec<_> = events.iter().flatten().filter_map(finding).collect();
        findings.dedup();
        findings
    }

    async fn describe_change_set(
        &self,
        change_set: &str,
        page: Option<String>,
    ) -> Result<DescribeChangeSetOutput, Error> {
        self.client
            .describe_change_set()
            .change_set_name(change_set)
            .include_property_values(true)
            .set_next_token(page)
            .send()
            .await
            .map_err(failed("DescribeChangeSet"))
    }

    async fn changes(
        &self,
        change_set: &str,
        first: DescribeChangeSetOutput,
    ) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        let mut page = first;
        loop {
            changes.extend(
                page.changes()
                    .iter()
                    .filter_map(types::Change::resource_change)
                    .map(change),
            );
            match page.next_token() {
                Some(next) => {
                    page = self
                        .describe_change_set(change_set, Some(next.to_owned()))
                        .await?;
                }
                None => return Ok(changes),
            }
        }
    }

    /// Deletes a change set.
    pub async fn discard(&self, change_set: &str) -> Result<(), Error> {
        self.client
            .delete_change_set()
            .change_set_name(change_set)
            .send()
            .await
            .map_err(failed("DeleteChangeSet"))?;
        Ok(())
    }

    /// Deletes change sets that an interrupted run left behind.
    pub async fn forget_change_sets(&self, stack: &str) -> Result<(), Error> {
        let now = jiff::Timestamp::now().as_millisecond();
        let listed = self
            .client
            .list_change_sets()
            .stack_name(stack)
            .send()
            .await
            .map_err(failed("ListChangeSets"))?;
        for summary in listed.summaries() {
            let ours = summary
                .change_set_name()
                .is_some_and(|name| is_forgotten(name, now));
            let unused = summary
                .execution_status()
                .is_some_and(|status| matches!(status.as_str(), "AVAILABLE" | "UNAVAILABLE"));
            if let (true, true, Some(id)) = (ours, unused, summary.change_set_id()) {
                self.discard(id).await?;
            }
        }
        Ok(())
    }

    /// Executes a change set and follows it to its end.
    pub async fn execute(
        &self,
        review: &Review,
        change_set: &str,
        progress: &dyn Progress,
    ) -> Result<Deployed, Error> {
        let stack = review.stack.as_str();
        let mark = self.newest_event(stack).await?;
        self.client
            .execute_change_set()
            .change_set_name(change_set)
            .send()
            .await
            .map_err(failed("ExecuteChangeSet"))?;
        let total = review.changes.len();
        let ended = self.follow(stack, mark, Some(total), progress).await?;
        let succeeded = matches!(
            ended.status.as_str(),
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE"
        );
        match self.find(stack).await? {
            Some(deployed) if succeeded => Ok(deployed),
            _ => Err(ended.failure(stack)),
        }
    }
}

/// A failed validation, as a sentence.
fn finding(event: &OperationEvent) -> Option<String> {
    let failed = event.validation_status() == Some(&ValidationStatus::Failed);
    let words = event.validation_status_reason().filter(|_| failed);
    let words = words.or_else(|| event.resource_status_reason())?;
    let resource = event.logical_resource_id()?;
    let kind = event.resource_type().unwrap_or("?");
    let path = event.validation_path().map(|path| format!(" at `{path}`"));
    Some(format!(
        "`{resource}` ({kind}){}: {words}",
        path.unwrap_or_default()
    ))
}

/// Whether a change set of this name is ours and so old that no run still waits with it.
fn is_forgotten(name: &str, now: i64) -> bool {
    let made = name.strip_prefix(CHANGE_SET_PREFIX);
    let made = made.and_then(|made| made.parse::<i64>().ok());
    made.is_some_and(|made| now - made > FORGOTTEN_MILLIS)
}

#[cfg(test)]
mod tests;
