//! Items of the usage table that operators read and change, each under the version that was read.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::names::Names;
use domain::state::{self, StateError};
use domain::table::{ItemKey, attribute};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, failed};
use crate::session::Session;

type Item = HashMap<String, AttributeValue>;

/// How often an item is read again after a concurrent change.
const MOST_CONFLICTS: u32 = 20;

/// The usage table's items with a state.
#[derive(Debug, Clone)]
pub struct StateTable {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl StateTable {
    /// The usage table of an environment.
    pub fn new(session: &Session, names: &Names) -> Self {
        Self {
            client: aws_sdk_dynamodb::Client::new(session.config()),
            table: names.usage_table(),
        }
    }

    /// Changes an item: `change` gets the current value and returns the new one, or `None` to leave
    /// it. Returns the value after the change.
    pub async fn change<T: Serialize + DeserializeOwned>(
        &self,
        key: &ItemKey,
        mut change: impl FnMut(Option<&T>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        for _ in 0..MOST_CONFLICTS {
            let (held, version) = self.versioned(key).await?;
            let Some(next) = change(held.as_ref()) else {
                return Ok(held);
            };
            if self.put(key, &next, version).await? {
                return Ok(Some(next));
            }
        }
        Err(Error::Incomplete {
            operation: "PutItem",
            member: "an item that others leave alone",
        })
    }

    /// The items of a partition, by sort key.
    pub async fn list<T: DeserializeOwned>(&self, pk: &str) -> Result<Vec<(String, T)>, Error> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", attribute::PK)
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
            .into_paginator()
            .items()
            .send();
        let mut items = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(failed("Query"))?;
            let sk = item.get(attribute::SK).and_then(|sk| sk.as_s().ok());
            if let Some(sk) = sk {
                items.push((sk.clone(), decoded(&item)?));
            }
        }
        Ok(items)
    }

    async fn versioned<T: DeserializeOwned>(
        &self,
        key: &ItemKey,
    ) -> Result<(Option<T>, u64), Error> {
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keyed(key)))
            .consistent_read(true)
            .send()
            .await
            .map_err(failed("GetItem"))?;
        let Some(item) = found.item() else {
            return Ok((None, 0));
        };
        let version = item
            .get(attribute::VERSION)
            .and_then(|version| version.as_n().ok()?.parse().ok());
        let version = version.ok_or(Error::Incomplete {
            operation: "GetItem",
            member: attribute::VERSION,
        })?;
        Ok((Some(decoded(item)?), version))
    }

    /// Writes an item over the version that was read. Returns whether that version was still
    /// current.
    async fn put<T: Serialize>(
        &self,
        key: &ItemKey,
        value: &T,
        version: u64,
    ) -> Result<bool, Error> {
        let bytes = state::encode(value).map_err(|error| unusable(&error))?;
        let mut item = keyed(key);
        let number = |number: u64| AttributeValue::N(number.to_string());
        item.insert(attribute::VERSION.to_owned(), number(version + 1));
        item.insert(attribute::FORMAT.to_owned(), number(state::FORMAT.into()));
        let bytes = AttributeValue::B(Blob::new(bytes));
        item.insert(attribute::STATE.to_owned(), bytes);
        let request = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item));
        let request = if version == 0 {
            request
                .condition_expression("attribute_not_exists(#pk)")
                .expression_attribute_names("#pk", attribute::PK)
        } else {
            request
                .condition_expression("#version = :version")
                .expression_attribute_names("#version", attribute::VERSION)
                .expression_attribute_values(":version", number(version))
        };
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(failed("PutItem")(error)),
        }
    }
}

fn decoded<T: DeserializeOwned>(item: &Item) -> Result<T, Error> {
    let bytes = item
        .get(attribute::STATE)
        .and_then(|state| state.as_b().ok())
        .map(AsRef::<[u8]>::as_ref);
    state::decode(bytes.unwrap_or_default()).map_err(|error| unusable(&error))
}

fn unusable(_: &StateError) -> Error {
    Error::Incomplete {
        operation: "GetItem",
        member: "a state that this release reads",
    }
}

pub(crate) fn keyed(key: &ItemKey) -> Item {
    Item::from([
        (attribute::PK.to_owned(), AttributeValue::S(key.pk.clone())),
        (attribute::SK.to_owned(), AttributeValue::S(key.sk.clone())),
    ])
}
