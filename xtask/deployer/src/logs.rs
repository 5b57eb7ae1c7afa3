//! Log groups: reads them, and finds those whose stack is gone.

use std::collections::BTreeSet;

use domain::time::UnixMillis;

use crate::error::{Error, failed};
use crate::session::Session;
use serde_json::Value;

/// The type of a log group.
const LOG_GROUP: &str = "AWS::Logs::LogGroup";

/// A log group that outlived its stack, or was recreated after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOver {
    /// Its name.
    pub group: String,
    /// Its size when CloudWatch Logs last measured it.
    pub bytes: i64,
}

/// A line of a log group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// CloudWatch's id of it.
    pub id: String,
    /// When it was written.
    pub at: UnixMillis,
    /// Its text.
    pub text: String,
}

/// A subscription to the lines of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The ARN that receives the lines.
    pub destination: String,
    /// The filter pattern; empty for all lines.
    pub pattern: String,
}

/// The account's log groups.
#[derive(Debug, Clone)]
pub struct Logs {
    client: aws_sdk_cloudwatchlogs::Client,
}

impl Logs {
    /// Log groups reached through `session`.
    pub fn new(session: &Session) -> Self {
        Self {
            client: aws_sdk_cloudwatchlogs::Client::new(session.config()),
        }
    }

    /// The log groups that a template declares by name and that exist, although none of them is a
    /// resource of the stack, whose groups are `owned`.
    ///
    /// Services continue to write for a while after a stack is deleted, and the next line recreates
    /// a deleted group. Such a group has no retention and no tags, and CloudFormation refuses every
    /// change set that declares it.
    pub async fn left_over(
        &self,
        template: &Value,
        owned: &[String],
    ) -> Result<Vec<LeftOver>, Error> {
        let mut found = Vec::new();
        for group in declared_groups(template) {
            if owned.contains(&group) {
                continue;
            }
            if let Some(bytes) = self.stored_bytes(&group).await? {
                found.push(LeftOver { group, bytes });
            }
        }
        Ok(found)
    }

    /// The size of a group; `None` if it does not exist.
    async fn stored_bytes(&self, group: &str) -> Result<Option<i64>, Error> {
        let mut pages = self
            .client
            .describe_log_groups()
            .log_group_name_prefix(group)
            .into_paginator()
            .items()
            .send();
        while let Some(found) = pages.next().await {
            let found = found.map_err(failed("DescribeLogGroups"))?;
            if found.log_group_name() == Some(group) {
                return Ok(Some(found.stored_bytes.unwrap_or_default()));
            }
        }
        Ok(None)
    }

    /// The subscriptions of a group; none if the group does not exist.
    pub async fn subscriptions(&self, group: &str) -> Result<Vec<Subscription>, Error> {
        let mut pages = self
            .client
            .describe_subscription_filters()
            .log_group_name(group)
            .into_paginator()
            .items()
            .send();
        let mut found = Vec::new();
        while let Some(filter) = pages.next().await {
            match filter.map_err(failed("DescribeSubscriptionFilters")) {
                Ok(filter) => found.push(Subscription {
                    destination: filter.destination_arn.unwrap_or_default(),
                    pattern: filter.filter_pattern.unwrap_or_default(),
                }),
                Err(error) if error.is_not_found() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Deletes a group with all its lines.
    pub async fn remove(&self, group: &str) -> Result<(), Error> {
        let delete = self.client.delete_log_group().log_group_name(group);
        match delete.send().await.map_err(failed("DeleteLogGroup")) {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// The group's lines from `from` on, oldest first; none if the group does not exist yet.
    pub async fn since(&self, group: &str, from: UnixMillis) -> Result<Vec<LogLine>, Error> {
        let mut pages = self
            .client
            .filter_log_events()
            .log_group_name(group)
            .start_time(from.0)
            .into_paginator()
            .send();
        let mut lines = Vec::new();
        while let Some(page) = pages.next().await {
            let page = match page.map_err(failed("FilterLogEvents")) {
                Ok(page) => page,
                Err(error) if error.is_not_found() => break,
                Err(error) => return Err(error),
            };
            lines.extend(page.events().iter().filter_map(|event| {
                Some(LogLine {
                    id: event.event_id().unwrap_or_default().to_owned(),
                    at: UnixMillis(event.timestamp()?),
                    text: event.message()?.to_owned(),
                })
            }));
        }
        lines.sort_by_key(|line| line.at);
        Ok(lines)
    }
}

/// The names of the log groups that a template declares, if they are literals.
fn declared_groups(template: &Value) -> BTreeSet<String> {
    let resources = template.get("Resources").and_then(Value::as_object);
    let groups = resources
        .into_iter()
        .flat_map(|all| all.values())
        .filter(|resource| resource.get("Type").and_then(Value::as_str) == Some(LOG_GROUP));
    groups
        .filter_map(|group| group.pointer("/Properties/LogGroupName")?.as_str())
        .map(str::to_owned)
        .collect()
}
