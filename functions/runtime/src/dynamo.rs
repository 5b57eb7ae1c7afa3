//! [`Store`] on a DynamoDB table.

use std::collections::HashMap;
use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::names::BY_TIME_INDEX;
use domain::state::StateError;
use domain::table::{ItemKey, attribute};
use domain::time::Window;

use crate::store::{Document, NewItem, Store, StoreError, Stored, Value};

type Item = HashMap<String, AttributeValue>;

/// A table, by name.
#[derive(Debug, Clone)]
pub struct DynamoStore {
    client: Client,
    table: String,
}

impl DynamoStore {
    /// The table `table` as `client` reaches it.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self {
            client,
            table: table.into(),
        }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    async fn query(
        &self,
        query: aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder,
        sort_key: &str,
    ) -> Result<Vec<(String, Stored)>, StoreError> {
        let mut found = Vec::new();
        let mut pages = query.into_paginator().items().send();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| self.error(None, error))?;
            let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
            let key = ItemKey::new(
                text(attribute::PK).unwrap_or_default(),
                text(attribute::SK).unwrap_or_default(),
            );
            let sort_key = text(sort_key).unwrap_or_default();
            found.push((sort_key, stored(&key, &item)?));
        }
        Ok(found)
    }

    fn error<E, R>(&self, key: Option<&ItemKey>, error: SdkError<E, R>) -> StoreError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        match (error.code(), key) {
            (Some("ConditionalCheckFailedException"), Some(key)) => {
                StoreError::Conflict { key: key.clone() }
            }
            (Some("ResourceNotFoundException"), _) => StoreError::TableMissing {
                table: self.table.clone(),
            },
            _ => StoreError::Unavailable {
                table: self.table.clone(),
                source: Box::new(error),
            },
        }
    }
}

impl Store for DynamoStore {
    async fn get(&self, key: &ItemKey) -> Result<Option<Stored>, StoreError> {
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(attribute::PK, AttributeValue::S(key.pk.clone()))
            .key(attribute::SK, AttributeValue::S(key.sk.clone()))
            .consistent_read(true);
        let output = request
            .send()
            .await
            .map_err(|error| self.error(None, error))?;
        output.item.map(|item| stored(key, &item)).transpose()
    }

    async fn put(&self, key: &ItemKey, item: NewItem) -> Result<(), StoreError> {
        let read = item.version.saturating_sub(1);
        let request = self.client.put_item().table_name(&self.table);
        let request = if read == 0 {
            request
                .condition_expression("attribute_not_exists(#pk)")
                .expression_attribute_names("#pk", attribute::PK)
        } else {
            request
                .condition_expression("#version = :read")
                .expression_attribute_names("#version", attribute::VERSION)
                .expression_attribute_values(":read", number(read))
        };
        let request = request.set_item(Some(attributes(key, item)));
        request
            .send()
            .await
            .map(|_| ())
            .map_err(|error| self.error(Some(key), error))
    }

    async fn keep(&self, key: &ItemKey, document: Document) -> Result<(), StoreError> {
        let mut item = keyed(key);
        for (name, value) in document.attributes {
            let value = match value {
                Value::Text(text) => AttributeValue::S(text),
                Value::Number(value) => number(value),
                Value::Bytes(bytes) => AttributeValue::B(Blob::new(bytes)),
            };
            item.insert(name.to_owned(), value);
        }
        if let Some(at) = document.expires_at {
            item.insert(attribute::TTL.to_owned(), number(at.seconds()));
        }
        let request = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item));
        request
            .send()
            .await
            .map(|_| ())
            .map_err(|error| self.error(None, error))
    }

    async fn partition(
        &self,
        pk: &str,
        from: &str,
        to: &str,
    ) -> Result<Vec<(String, Stored)>, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :from AND :to")
            .expression_attribute_names("#pk", attribute::PK)
            .expression_attribute_names("#sk", attribute::SK)
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
            .expression_attribute_values(":from", AttributeValue::S(from.to_owned()))
            .expression_attribute_values(":to", AttributeValue::S(to.to_owned()));
        self.query(query, attribute::SK).await
    }

    async fn by_time(
        &self,
        window: Window,
        from: &str,
        to: &str,
    ) -> Result<Vec<(String, Stored)>, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_TIME_INDEX)
            .key_condition_expression("#window = :window AND #start BETWEEN :from AND :to")
            .expression_attribute_names("#window", attribute::WINDOW)
            .expression_attribute_names("#start", attribute::START)
            .expression_attribute_values(":window", AttributeValue::S(window.as_str().to_owned()))
            .expression_attribute_values(":from", AttributeValue::S(from.to_owned()))
            .expression_attribute_values(":to", AttributeValue::S(to.to_owned()));
        self.query(query, attribute::START).await
    }
}

/// A whole number as DynamoDB carries it.
fn number(value: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

fn keyed(key: &ItemKey) -> Item {
    Item::from([
        (attribute::PK.to_owned(), AttributeValue::S(key.pk.clone())),
        (attribute::SK.to_owned(), AttributeValue::S(key.sk.clone())),
    ])
}

fn attributes(key: &ItemKey, item: NewItem) -> Item {
    let mut attributes = keyed(key);
    attributes.insert(attribute::VERSION.to_owned(), number(item.version));
    let state = AttributeValue::B(Blob::new(item.state));
    attributes.insert(attribute::STATE.to_owned(), state);
    if let Some(tally) = item.shown.tally {
        attributes.insert(attribute::TOTAL_CALLS.to_owned(), number(tally.calls));
        attributes.insert(
            attribute::AUTH_FAILURES.to_owned(),
            number(tally.auth_failures),
        );
        attributes.insert(
            attribute::RATE_LIMITED.to_owned(),
            number(tally.rate_limited),
        );
    }
    if let Some(at) = item.shown.expires_at {
        attributes.insert(attribute::TTL.to_owned(), number(at.seconds()));
    }
    if let Some((window, start)) = item.shown.by_time {
        let text = AttributeValue::S(window.as_str().to_owned());
        attributes.insert(attribute::WINDOW.to_owned(), text);
        let text = AttributeValue::S(window.label(start));
        attributes.insert(attribute::START.to_owned(), text);
    }
    attributes
}

/// The version and state among an item's attributes.
fn stored(key: &ItemKey, item: &Item) -> Result<Stored, StoreError> {
    let version = item
        .get(attribute::VERSION)
        .and_then(|value| value.as_n().ok())
        .and_then(|text| text.parse().ok());
    let state = item
        .get(attribute::STATE)
        .and_then(|value| value.as_b().ok());
    version
        .zip(state)
        .map(|(version, state)| Stored {
            version,
            state: state.as_ref().to_vec(),
        })
        .ok_or_else(|| StoreError::Unreadable {
            key: key.clone(),
            source: StateError::Format { found: 0 },
        })
}
