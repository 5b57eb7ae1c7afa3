//! Stacks as they are. They are changed through [change sets](crate::change_sets) and in no other
//! way.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use serde_json::Value;

use crate::assets::Bucket;
use crate::description::deployed;
use crate::error::{Error, failed};
use crate::session::Session;

/// The longest template that a request may carry; a longer one must be in a bucket (CloudFormation
/// quotas, "Template body size in a request").
const INLINE_BYTES: usize = 51_200;
/// A template in a place where CloudFormation finds it.
#[derive(Debug, Clone)]
pub struct Template {
    pub(crate) parsed: Value,
    pub(crate) body: String,
    pub(crate) url: Option<String>,
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

/// An existing stack.
#[derive(Debug, Clone, Default)]
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
    /// Whether it has termination protection: AWS refuses to delete it.
    pub protected: bool,
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
}
