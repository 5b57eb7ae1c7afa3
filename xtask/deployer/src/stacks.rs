//! Stacks. They are changed through change sets and in no other way.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;
use aws_sdk_cloudformation::types::{self, Capability, ChangeSetStatus, ChangeSetType};
use serde_json::Value;

use crate::assets::Bucket;
use crate::certainty::settled;
use crate::changes::{Change, Review};
use crate::description::{change, deployed, parameters, tags};
use crate::error::{Error, failed};
use crate::events::Progress;
use crate::recover::{Settled, is_settled, never_came_up};
use crate::session::Session;

/// The longest template that a request may carry; a longer one must be in a bucket (CloudFormation
/// quotas, "Template body size in a request").
const INLINE_BYTES: usize = 51_200;
/// How long CloudFormation may take to create a change set.
const CHANGE_SET_SECONDS: u64 = 600;
/// Prefix of the names of our change sets.
const CHANGE_SET_PREFIX: &str = "xtask-";

/// A template in a place where CloudFormation finds it.
#[derive(Debug, Clone)]
pub struct Template {
    parsed: Value,
    body: String,
    url: Option<String>,
}

impl Template {
    /// The template of `stack`; uploaded to the bucket if it is too long for a request.
    pub async fn new(stack: &str, parsed: Value, bucket: &Bucket) -> Result<Self, Error> {
        let body = serde_json::to_string(&parsed).map_err(|source| Error::Template {
            stack: stack.to_owned(),
            source,
        })?;
        let url = if body.len() > INLINE_BYTES {
            let key = format!("templates/{}.json", domain::key::hash(&body));
            bucket
                .publish_bytes(&key, body.clone().into_bytes())
                .await?;
            Some(bucket.url(&key))
        } else {
            None
        };
        Ok(Self { parsed, body, url })
    }

    /// The template's JSON.
    pub const fn parsed(&self) -> &Value {
        &self.parsed
    }

    /// The parameters that the template declares.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &String> {
        let declared = self.parsed.get("Parameters").and_then(Value::as_object);
        declared.into_iter().flat_map(|declared| declared.keys())
    }

    #[cfg(test)]
    pub(crate) fn inline(parsed: Value) -> Self {
        Self {
            body: parsed.to_string(),
            parsed,
            url: None,
        }
    }
}

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

/// An existing stack.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// Its name.
    pub name: String,
    /// Its id, which still identifies it after it is deleted.
    pub id: String,
    /// Its status, such as `CREATE_COMPLETE`.
    pub status: String,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// The current values of its parameters.
    pub parameters: BTreeMap<String, String>,
}

/// The stacks of an account and region.
#[derive(Debug, Clone)]
pub struct Stacks {
    pub(crate) client: Client,
    pub(crate) poll: std::time::Duration,
}

impl Stacks {
    /// Stacks reached through `session`.
    pub fn new(session: &Session) -> Self {
        Self {
            client: Client::new(session.config()),
            poll: session.poll(),
        }
    }

    /// The stack called `name`, or with that id.
    pub async fn find(&self, name: &str) -> Result<Option<Deployed>, Error> {
        let answer = self.client.describe_stacks().stack_name(name).send().await;
        let answer = match answer.map_err(failed("DescribeStacks")) {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(answer.stacks().first().map(deployed))
    }

    /// Physical ids of the stack's resources of one type.
    pub async fn resources(&self, stack: &str, kind: &str) -> Result<Vec<String>, Error> {
        let mut pages = self
            .client
            .list_stack_resources()
            .stack_name(stack)
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(resource) = pages.next().await {
            let resource = resource.map_err(failed("ListStackResources"))?;
            if resource.resource_type() == Some(kind) {
                found.extend(resource.physical_resource_id);
            }
        }
        Ok(found)
    }

    /// Creates a change set. An existing stack must be settled: see [`recover`](Self::recover).
    /// Retained resources that outlived an earlier stack are adopted.
    pub async fn prepare(
        &self,
        request: &Request<'_>,
        current: Option<&Deployed>,
    ) -> Result<Prepared, Error> {
        let now = jiff::Timestamp::now().as_millisecond();
        let kind = if current.is_some() {
            self.forget_change_sets(request.stack).await?;
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
        let answer = loop {
            let answer = self.describe_change_set(&change_set, None).await?;
            match answer.status() {
                Some(ChangeSetStatus::CreateComplete) => break answer,
                Some(ChangeSetStatus::Failed) => {
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
        self.discard(change_set).await?;
        let reason = answer.status_reason().unwrap_or("no reason given");
        // CloudFormation has no code for this; these are its two wordings.
        let empty = reason.contains("didn't contain changes")
            || reason.contains("No updates are to be performed");
        if empty {
            return Ok(Prepared::Nothing);
        }
        Err(Error::ChangeSetFailed {
            stack: stack.to_owned(),
            reason: reason.to_owned(),
        })
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

    /// The template of the stack's last deploy.
    pub(crate) async fn template(&self, stack: &str) -> Result<Value, Error> {
        let answer = self
            .client
            .get_template()
            .stack_name(stack)
            .send()
            .await
            .map_err(failed("GetTemplate"))?;
        let body = answer.template_body().unwrap_or("{}");
        serde_json::from_str(body).map_err(|source| Error::Template {
            stack: stack.to_owned(),
            source,
        })
    }

    /// A whole number of the template that a stack was last deployed from: a property of a resource.
    pub async fn deployed_number(
        &self,
        stack: &Deployed,
        resource: &str,
        property: &str,
    ) -> Result<Option<u64>, Error> {
        let template = self.template(&stack.id).await?;
        let value = template.pointer(&format!("/Resources/{resource}/Properties/{property}"));
        Ok(value.and_then(Value::as_u64))
    }

    /// The sum of a property over all resources of the template that a stack was last deployed from.
    pub async fn deployed_sum(&self, stack: &Deployed, property: &str) -> Result<u64, Error> {
        let template = self.template(&stack.id).await?;
        let resources = template.get("Resources").and_then(Value::as_object);
        let path = format!("/Properties/{property}");
        let numbers = resources
            .into_iter()
            .flatten()
            .filter_map(|(_, resource)| resource.pointer(&path).and_then(Value::as_u64));
        Ok(numbers.sum())
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
    async fn forget_change_sets(&self, stack: &str) -> Result<(), Error> {
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
                .is_some_and(|name| name.starts_with(CHANGE_SET_PREFIX));
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
        stack: &str,
        change_set: &str,
        progress: &dyn Progress,
    ) -> Result<Deployed, Error> {
        let mark = self.newest_event(stack).await?;
        self.client
            .execute_change_set()
            .change_set_name(change_set)
            .send()
            .await
            .map_err(failed("ExecuteChangeSet"))?;
        let ended = self.follow(stack, mark, progress).await?;
        let succeeded = matches!(
            ended.status.as_str(),
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE"
        );
        match self.find(stack).await? {
            Some(deployed) if succeeded => Ok(deployed),
            _ => Err(stack_failed(stack, ended)),
        }
    }

    /// Deletes a stack and follows it to its end. Retained resources stay.
    pub async fn delete(&self, stack: &Deployed, progress: &dyn Progress) -> Result<(), Error> {
        let mark = self.newest_event(&stack.id).await?;
        self.client
            .delete_stack()
            .stack_name(&stack.id)
            .send()
            .await
            .map_err(failed("DeleteStack"))?;
        let ended = self.follow(&stack.id, mark, progress).await?;
        if ended.status == "DELETE_COMPLETE" {
            Ok(())
        } else {
            Err(stack_failed(&stack.name, ended))
        }
    }
}

fn stack_failed(stack: &str, ended: Settled) -> Error {
    let (resource, kind, reason) = match ended.cause {
        Some(event) => (event.logical_id, event.kind, event.reason),
        None => (stack.to_owned(), "AWS::CloudFormation::Stack".into(), None),
    };
    Error::StackFailed {
        stack: stack.to_owned(),
        status: ended.status,
        resource,
        kind,
        reason: reason.unwrap_or_else(|| "no reason given".to_owned()),
    }
}

impl Deployed {
    /// Whether nothing is under way on the stack.
    pub fn is_settled(&self) -> bool {
        is_settled(&self.status)
    }

    /// Whether a deploy deletes the remains of the stack and creates it again.
    pub fn never_came_up(&self) -> bool {
        never_came_up(&self.status)
    }
}
