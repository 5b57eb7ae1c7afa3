//! Compares existing resources with what was deployed.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::KeySchemaElement;
use aws_sdk_kinesis::types::EncryptionType;
use aws_sdk_lambda::types::State;
use serde_json::Value;

use crate::error::{Error, failed};
use crate::session::Session;
use crate::stacks::{Deployed, Stacks};

/// The actual state of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFacts {
    /// `ACTIVE`, unless it is being created or changed.
    pub status: String,
    /// Open shards.
    pub shards: i32,
    /// How long it keeps records.
    pub retention_hours: i32,
    /// Whether its records are encrypted.
    pub encrypted: bool,
}

/// The actual state of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    /// `ACTIVE`, unless it is being created or changed.
    pub status: String,
    /// Its key: `PK, SK`.
    pub key: String,
    /// Whether its changes are streamed.
    pub streams: bool,
}

/// The actual state of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionFacts {
    /// Whether it can be invoked with its latest code and settings.
    pub ready: bool,
    /// Its `Description`.
    pub description: String,
    /// The processor architecture that it runs on.
    pub architecture: String,
}

/// Inspects single resources.
#[derive(Debug, Clone)]
pub struct Inspector {
    dashboards: aws_sdk_cloudwatch::Client,
    functions: aws_sdk_lambda::Client,
    streams: aws_sdk_kinesis::Client,
    tables: aws_sdk_dynamodb::Client,
}

impl Inspector {
    /// An inspector that uses `session`.
    pub fn new(session: &Session) -> Self {
        Self {
            dashboards: aws_sdk_cloudwatch::Client::new(session.config()),
            functions: aws_sdk_lambda::Client::new(session.config()),
            streams: aws_sdk_kinesis::Client::new(session.config()),
            tables: aws_sdk_dynamodb::Client::new(session.config()),
        }
    }

    /// The stream; `None` if it does not exist.
    pub async fn stream(&self, name: &str) -> Result<Option<StreamFacts>, Error> {
        let summary = self.streams.describe_stream_summary().stream_name(name);
        let summary = summary.send().await;
        let Some(described) = there(summary.map_err(failed("DescribeStreamSummary")))? else {
            return Ok(None);
        };
        Ok(described
            .stream_description_summary
            .map(|stream| StreamFacts {
                status: stream.stream_status.as_str().to_owned(),
                shards: stream.open_shard_count,
                retention_hours: stream.retention_period_hours,
                encrypted: stream.encryption_type == Some(EncryptionType::Kms),
            }))
    }

    /// The table; `None` if it does not exist.
    pub async fn table(&self, name: &str) -> Result<Option<TableFacts>, Error> {
        let described = self.tables.describe_table().table_name(name).send().await;
        let described = there(described.map_err(failed("DescribeTable")))?;
        Ok(described
            .and_then(|described| described.table)
            .map(|table| {
                let key = table.key_schema().iter();
                let key = key.map(KeySchemaElement::attribute_name);
                TableFacts {
                    status: table
                        .table_status()
                        .map_or("UNKNOWN", |status| status.as_str())
                        .to_owned(),
                    key: key.collect::<Vec<_>>().join(", "),
                    streams: table
                        .stream_specification()
                        .is_some_and(|stream| stream.stream_enabled),
                }
            }))
    }

    /// The function; `None` if it does not exist.
    pub async fn function(&self, name: &str) -> Result<Option<FunctionFacts>, Error> {
        let described = self.functions.get_function_configuration();
        let described = described.function_name(name).send().await;
        let described = there(described.map_err(failed("GetFunctionConfiguration")))?;
        Ok(described.map(|function| FunctionFacts {
            ready: matches!(
                function.state(),
                None | Some(State::Active | State::Inactive)
            ) && function
                .last_update_status()
                .is_none_or(|status| status.as_str() == "Successful"),
            description: function.description().unwrap_or_default().to_owned(),
            architecture: function
                .architectures()
                .first()
                .map_or("x86_64", |architecture| architecture.as_str())
                .to_owned(),
        }))
    }

    /// The number of widgets on the dashboard; `None` if it does not exist.
    pub async fn dashboard(&self, name: &str) -> Result<Option<usize>, Error> {
        let described = self.dashboards.get_dashboard().dashboard_name(name);
        let described = described.send().await.map_err(failed("GetDashboard"));
        let Some(described) = there(described)? else {
            return Ok(None);
        };
        let body = described.dashboard_body().unwrap_or_default();
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let widgets = body.get("widgets").and_then(Value::as_array);
        Ok(Some(widgets.map_or(0, Vec::len)))
    }
}

/// The description; `None` if the resource does not exist.
fn there<T>(described: Result<T, Error>) -> Result<Option<T>, Error> {
    match described {
        Ok(described) => Ok(Some(described)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The resources of a stack's template, compared with those that the stack has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Number of resources in the template.
    pub resources: usize,
    /// Resources that are missing or unfinished, each with its status.
    pub lacking: Vec<(String, String)>,
}

impl Declared {
    fn of(template: &Value, statuses: &BTreeMap<String, String>) -> Self {
        let declared = template.get("Resources").and_then(Value::as_object);
        let declared: Vec<&String> = declared.into_iter().flat_map(|all| all.keys()).collect();
        let lacking = declared.iter().filter_map(|id| {
            let status = statuses.get(*id).map_or("not there", String::as_str);
            let done = status.ends_with("_COMPLETE") && !status.starts_with("DELETE");
            (!done).then(|| ((*id).clone(), status.to_owned()))
        });
        Self {
            resources: declared.len(),
            lacking: lacking.collect(),
        }
    }
}

impl Stacks {
    /// Compares the template of the last deploy with the stack's resources.
    pub async fn declared(&self, stack: &Deployed) -> Result<Declared, Error> {
        let template = self.template(&stack.id).await?;
        let mut pages = self
            .client
            .list_stack_resources()
            .stack_name(&stack.id)
            .into_paginator()
            .items()
            .send();
        let mut statuses = BTreeMap::new();
        while let Some(resource) = pages.next().await {
            let resource = resource.map_err(failed("ListStackResources"))?;
            let status = resource.resource_status();
            let status = status.map_or("UNKNOWN", |status| status.as_str());
            let id = resource.logical_resource_id().unwrap_or_default();
            statuses.insert(id.to_owned(), status.to_owned());
        }
        Ok(Declared::of(&template, &statuses))
    }

    /// When the stack was last changed, or created.
    pub async fn changed_at(
        &self,
        stack: &Deployed,
    ) -> Result<Option<domain::time::UnixMillis>, Error> {
        let answer = self.client.describe_stacks().stack_name(&stack.id);
        let answer = answer.send().await.map_err(failed("DescribeStacks"))?;
        let described = answer.stacks().first();
        let time = described.and_then(|stack| stack.last_updated_time().or(stack.creation_time()));
        let millis = time.and_then(|time| time.to_millis().ok());
        Ok(millis.map(domain::time::UnixMillis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_resource_that_is_declared_and_not_done_is_named() {
        let template = json!({"Resources": {"A": {}, "B": {}, "C": {}, "D": {}}});
        let statuses = BTreeMap::from(
            [
                ("A", "CREATE_COMPLETE"),
                ("B", "UPDATE_FAILED"),
                ("D", "DELETE_COMPLETE"),
                ("Other", "CREATE_COMPLETE"),
            ]
            .map(|(id, status)| (id.to_owned(), status.to_owned())),
        );
        let declared = Declared::of(&template, &statuses);
        assert_eq!(declared.resources, 4);
        let lacking: Vec<_> = declared
            .lacking
            .iter()
            .map(|(id, status)| (id.as_str(), status.as_str()))
            .collect();
        assert_eq!(
            lacking,
            [
                ("B", "UPDATE_FAILED"),
                ("C", "not there"),
                ("D", "DELETE_COMPLETE")
            ]
        );
    }
}
