//! The table of API keys, for the commands that read all of it or change keys regardless of the
//! rules of [`keyring`].

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::key::{KeyRecord, attribute};

use crate::error::{Error, failed};
use crate::session::Session;

/// The table of API keys of one environment.
#[derive(Debug, Clone)]
pub struct KeyTable {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

/// The content of the table.
#[derive(Debug, Default)]
pub struct KeyListing {
    /// The keys, oldest first.
    pub records: Vec<KeyRecord>,
    /// Items that are not valid key records.
    pub unreadable: Vec<Error>,
}

impl KeyTable {
    /// The table called `table`.
    pub fn new(session: &Session, table: &str) -> Self {
        Self {
            client: aws_sdk_dynamodb::Client::new(session.config()),
            table: table.to_owned(),
        }
    }

    /// Stores a new key's record.
    ///
    /// # Errors
    /// A record with the same hash exists: `ConditionalCheckFailedException`.
    pub async fn insert(&self, record: &KeyRecord) -> Result<(), Error> {
        let item: HashMap<_, _> = record
            .attributes()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), AttributeValue::S(value)))
            .collect();
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#hash)")
            .expression_attribute_names("#hash", attribute::KEY_HASH)
            .send()
            .await
            .map_err(failed("PutItem"))?;
        Ok(())
    }

    /// Changes attributes of a key's item and leaves the others; `None` removes an attribute.
    ///
    /// # Errors
    /// The item does not exist: `ConditionalCheckFailedException`.
    pub async fn change(
        &self,
        hash: &str,
        changes: &[(&str, Option<String>)],
    ) -> Result<(), Error> {
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(attribute::KEY_HASH, AttributeValue::S(hash.to_owned()))
            .condition_expression("attribute_exists(#hash)")
            .expression_attribute_names("#hash", attribute::KEY_HASH);
        let (mut set, mut removed) = (Vec::new(), Vec::new());
        for (number, (name, value)) in changes.iter().enumerate() {
            let alias = format!("#n{number}");
            request = request.expression_attribute_names(&alias, *name);
            match value {
                Some(value) => {
                    let place = format!(":v{number}");
                    set.push(format!("{alias} = {place}"));
                    let value = AttributeValue::S(value.clone());
                    request = request.expression_attribute_values(place, value);
                }
                None => removed.push(alias),
            }
        }
        let clauses = [("SET", set), ("REMOVE", removed)].into_iter();
        let clauses = clauses.filter(|(_, parts)| !parts.is_empty());
        let clauses = clauses.map(|(verb, parts)| format!("{verb} {}", parts.join(", ")));
        request
            .update_expression(clauses.collect::<Vec<_>>().join(" "))
            .send()
            .await
            .map_err(failed("UpdateItem"))?;
        Ok(())
    }

    /// Every key of a user, oldest first. It reads the whole table, which is never behind as an
    /// index may be.
    pub async fn of_user(&self, email: &str) -> Result<Vec<KeyRecord>, Error> {
        let mut records = self.all().await?.records;
        records.retain(|record| record.email == email);
        Ok(records)
    }

    /// Every key's record, oldest first. An invalid item does not keep the others from being
    /// listed.
    pub async fn all(&self) -> Result<KeyListing, Error> {
        let mut pages = self
            .client
            .scan()
            .table_name(&self.table)
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut listing = KeyListing::default();
        while let Some(item) = pages.next().await {
            match self.record(&item.map_err(failed("Scan"))?) {
                Ok(record) => listing.records.push(record),
                Err(error) => listing.unreadable.push(error),
            }
        }
        listing
            .records
            .sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        Ok(listing)
    }

    /// The key with this SHA-256.
    pub async fn by_hash(&self, hash: &str) -> Result<Option<KeyRecord>, Error> {
        let found = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(attribute::KEY_HASH, AttributeValue::S(hash.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(failed("GetItem"))?;
        found.item().map(|item| self.record(item)).transpose()
    }

    /// The rules of creating, rotating and revoking keys, on this table and the audit log in the
    /// usage table.
    pub fn ruled(session: &Session, keys: &str, usage: &str) -> keyring::DynamoKeys {
        let client = aws_sdk_dynamodb::Client::new(session.config());
        keyring::DynamoKeys::new(client, keys, usage)
    }

    fn record(&self, item: &HashMap<String, AttributeValue>) -> Result<KeyRecord, Error> {
        let get = |name: &str| {
            item.get(name)
                .and_then(|value| value.as_s().ok())
                .map(String::as_str)
        };
        KeyRecord::from_attributes(get).map_err(|source| Error::KeyItem {
            table: self.table.clone(),
            source,
        })
    }
}
