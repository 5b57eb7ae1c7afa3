//! [`KeyTable`] on DynamoDB.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Put, TransactWriteItem, Update};
use domain::address::Blocked;
use domain::key::{KeyRecord, attribute};
use domain::names::{KEYS_BY_EMAIL_INDEX, KEYS_BY_ID_INDEX};
use domain::state::{self, StateError};
use domain::table::{ItemKey, attribute as item, audit};

use crate::change::{Change, Entry, Guard};
use crate::error::{TableError, failed};
use crate::table::{KeyTable, Page, Pages};

/// How often a transaction is tried that meets another one, such as the authorizer's note of a
/// key's use.
const ATTEMPTS: usize = 5;

type Item = HashMap<String, AttributeValue>;

/// The table of keys, and the usage table with the audit log.
#[derive(Debug, Clone)]
pub struct DynamoKeys {
    client: Client,
    keys: String,
    usage: String,
}

impl DynamoKeys {
    /// The tables called `keys` and `usage`.
    pub fn new(client: Client, keys: impl Into<String>, usage: impl Into<String>) -> Self {
        Self {
            client,
            keys: keys.into(),
            usage: usage.into(),
        }
    }

    fn record(&self, item: &Item) -> Result<KeyRecord, TableError> {
        let get = |name: &str| item.get(name)?.as_s().ok().map(String::as_str);
        KeyRecord::from_attributes(get).map_err(|source| TableError::KeyItem {
            table: self.keys.clone(),
            source,
        })
    }

    /// The parts of a transaction.
    fn parts(&self, change: &Change) -> Result<Vec<TransactWriteItem>, BuildError> {
        let mut parts = Vec::new();
        if let Some(record) = &change.insert {
            let put = Put::builder()
                .table_name(&self.keys)
                .set_item(Some(texts(record.attributes())))
                .condition_expression("attribute_not_exists(#hash)")
                .expression_attribute_names("#hash", attribute::KEY_HASH)
                .build()?;
            parts.push(TransactWriteItem::builder().put(put).build());
        }
        for guard in &change.guards {
            parts.push(self.guarded(guard)?);
        }
        parts.push(self.recorded(&change.entry)?);
        Ok(parts)
    }

    /// The record in the audit log.
    fn recorded(&self, entry: &Entry) -> Result<TransactWriteItem, BuildError> {
        let put = Put::builder()
            .table_name(&self.usage)
            .set_item(Some(logged(entry)))
            .build()?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// The list of blocked addresses in place of the one with `version`.
    fn listed(&self, bytes: Vec<u8>, version: u64) -> Result<Put, BuildError> {
        let number = |number: u64| AttributeValue::N(number.to_string());
        let key = ItemKey::blocked_addresses();
        let mut content = texts([(item::PK, key.pk), (item::SK, key.sk)]);
        content.insert(item::VERSION.to_owned(), number(version + 1));
        content.insert(item::FORMAT.to_owned(), number(state::FORMAT.into()));
        content.insert(item::STATE.to_owned(), AttributeValue::B(Blob::new(bytes)));
        let put = Put::builder()
            .table_name(&self.usage)
            .set_item(Some(content));
        let put = if version == 0 {
            put.condition_expression("attribute_not_exists(#pk)")
                .expression_attribute_names("#pk", item::PK)
        } else {
            put.condition_expression("#version = :version")
                .expression_attribute_names("#version", item::VERSION)
                .expression_attribute_values(":version", number(version))
        };
        put.build()
    }

    /// Runs a transaction, again if it meets another one. Returns whether its conditions held.
    async fn transact(&self, parts: Vec<TransactWriteItem>) -> Result<bool, TableError> {
        let mut attempts = 1..=ATTEMPTS;
        loop {
            let request = self.client.transact_write_items();
            let request = request.set_transact_items(Some(parts.clone()));
            let Err(error) = request.send().await else {
                return Ok(true);
            };
            let reasons = reasons(error.as_service_error());
            if reasons.iter().any(|code| code == "ConditionalCheckFailed") {
                return Ok(false);
            }
            let met_another = reasons.iter().any(|code| code == "TransactionConflict");
            if !met_another || attempts.next().is_none() {
                return Err(failed("TransactWriteItems")(error));
            }
        }
    }

    /// The condition that a key is as it was read, with the attribute to set if there is one.
    fn guarded(&self, guard: &Guard) -> Result<TransactWriteItem, BuildError> {
        let key = texts([(attribute::KEY_HASH, guard.key.key_hash.clone())]);
        let (condition, mut names, mut values) = condition(guard);
        if guard.set.is_empty() {
            let check = ConditionCheck::builder()
                .table_name(&self.keys)
                .set_key(Some(key))
                .condition_expression(condition)
                .set_expression_attribute_names(Some(names))
                .set_expression_attribute_values((!values.is_empty()).then_some(values))
                .build()?;
            return Ok(TransactWriteItem::builder().condition_check(check).build());
        }
        let (mut set, mut removed) = (Vec::new(), Vec::new());
        for (number, (name, value)) in guard.set.iter().enumerate() {
            let alias = format!("#s{number}");
            names.insert(alias.clone(), (*name).to_owned());
            match value {
                Some(value) => {
                    set.push(format!("{alias} = :s{number}"));
                    values.insert(format!(":s{number}"), AttributeValue::S(value.clone()));
                }
                None => removed.push(alias),
            }
        }
        let clauses = [("SET", set), ("REMOVE", removed)].into_iter();
        let clauses = clauses.filter(|(_, parts)| !parts.is_empty());
        let clauses = clauses.map(|(verb, parts)| format!("{verb} {}", parts.join(", ")));
        let expression = clauses.collect::<Vec<_>>().join(" ");
        let update = Update::builder()
            .table_name(&self.keys)
            .set_key(Some(key))
            .update_expression(expression)
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values((!values.is_empty()).then_some(values))
            .build()?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    async fn page_of_user(
        &self,
        email: &str,
        start: Option<Item>,
        limit: i32,
    ) -> Result<(Vec<Item>, Option<Item>), TableError> {
        let query = self
            .client
            .query()
            .table_name(&self.keys)
            .index_name(KEYS_BY_EMAIL_INDEX)
            .key_condition_expression("#email = :email")
            .expression_attribute_names("#email", attribute::EMAIL)
            .expression_attribute_values(":email", AttributeValue::S(email.to_owned()))
            .scan_index_forward(false)
            .limit(limit)
            .set_exclusive_start_key(start);
        let found = query.send().await.map_err(failed("Query"))?;
        Ok((found.items.unwrap_or_default(), found.last_evaluated_key))
    }

    async fn page_of_all(
        &self,
        start: Option<Item>,
        limit: i32,
    ) -> Result<(Vec<Item>, Option<Item>), TableError> {
        let scan = self
            .client
            .scan()
            .table_name(&self.keys)
            .consistent_read(true)
            .limit(limit)
            .set_exclusive_start_key(start);
        let found = scan.send().await.map_err(failed("Scan"))?;
        Ok((found.items.unwrap_or_default(), found.last_evaluated_key))
    }
}

impl KeyTable for DynamoKeys {
    async fn find(&self, id: &str) -> Result<Option<KeyRecord>, TableError> {
        let found = self
            .client
            .query()
            .table_name(&self.keys)
            .index_name(KEYS_BY_ID_INDEX)
            .key_condition_expression("#id = :id")
            .expression_attribute_names("#id", attribute::ID)
            .expression_attribute_values(":id", AttributeValue::S(id.to_owned()))
            .send()
            .await
            .map_err(failed("Query"))?;
        let first = found.items().first();
        first.map(|item| self.record(item)).transpose()
    }

    async fn of_user(&self, email: &str) -> Result<Vec<KeyRecord>, TableError> {
        let mut keys = Vec::new();
        let mut start = None;
        loop {
            let (items, next) = self.page_of_user(email, start, 1_000).await?;
            for item in &items {
                keys.push(self.record(item)?);
            }
            start = next;
            if start.is_none() {
                break;
            }
        }
        keys.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        Ok(keys)
    }

    async fn page(&self, pages: &Pages) -> Result<Page, TableError> {
        let limit = i32::try_from(pages.limit).unwrap_or(i32::MAX);
        let mut start = pages.after.as_ref().map(|key| place(key, pages));
        let mut page = Page::default();
        // A page of unreadable items alone has no place to go on from.
        loop {
            let (items, next) = match &pages.email {
                Some(email) => self.page_of_user(email, start, limit).await?,
                None => self.page_of_all(start, limit).await?,
            };
            let readable = items.iter().filter_map(|item| self.record(item).ok());
            page.keys.extend(readable);
            page.is_more = next.is_some();
            start = next;
            if start.is_none() || !page.keys.is_empty() {
                return Ok(page);
            }
        }
    }

    async fn commit(&self, change: &Change) -> Result<bool, TableError> {
        let parts = self.parts(change).map_err(unbuilt)?;
        self.transact(parts).await
    }

    async fn blocked(&self) -> Result<(Blocked, u64), TableError> {
        let key = ItemKey::blocked_addresses();
        let found = self
            .client
            .get_item()
            .table_name(&self.usage)
            .set_key(Some(texts([(item::PK, key.pk), (item::SK, key.sk)])))
            .consistent_read(true)
            .send()
            .await
            .map_err(failed("GetItem"))?;
        let Some(found) = found.item else {
            return Ok((Blocked::default(), 0));
        };
        let bytes = found.get(item::STATE).and_then(|state| state.as_b().ok());
        let bytes = bytes.map(AsRef::as_ref).unwrap_or_default();
        let list = state::decode(bytes).map_err(TableError::Blocked)?;
        let version = found.get(item::VERSION).and_then(|version| {
            let version = version.as_n().ok()?;
            version.parse().ok()
        });
        let unversioned = StateError::Inconsistent { bytes: bytes.len() };
        Ok((list, version.ok_or(TableError::Blocked(unversioned))?))
    }

    async fn set_blocked(
        &self,
        list: &Blocked,
        version: u64,
        entry: &Entry,
    ) -> Result<bool, TableError> {
        let bytes = state::encode(list).map_err(TableError::Blocked)?;
        let put = self.listed(bytes, version).map_err(unbuilt)?;
        let recorded = self.recorded(entry).map_err(unbuilt)?;
        let listed = TransactWriteItem::builder().put(put).build();
        self.transact(vec![listed, recorded]).await
    }
}

/// A request that lacks a part.
fn unbuilt(error: BuildError) -> TableError {
    TableError::Unreachable {
        operation: "TransactWriteItems",
        source: Box::new(error),
    }
}

/// The codes with which a transaction was cancelled.
fn reasons(error: Option<&TransactWriteItemsError>) -> Vec<String> {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error else {
        return Vec::new();
    };
    let reasons = cancelled.cancellation_reasons().iter();
    reasons
        .filter_map(|reason| reason.code().map(str::to_owned))
        .collect()
}

/// The condition that a key is as it was read.
fn condition(guard: &Guard) -> (String, HashMap<String, String>, Item) {
    let mut parts = vec!["attribute_exists(#hash)".to_owned()];
    let mut names = HashMap::from([("#hash".to_owned(), attribute::KEY_HASH.to_owned())]);
    let mut values = Item::new();
    for (number, (name, value)) in guard.expected().into_iter().enumerate() {
        let alias = format!("#n{number}");
        names.insert(alias.clone(), name.to_owned());
        match value {
            Some(value) => {
                parts.push(format!("{alias} = :v{number}"));
                values.insert(format!(":v{number}"), AttributeValue::S(value));
            }
            None => parts.push(format!("attribute_not_exists({alias})")),
        }
    }
    (parts.join(" AND "), names, values)
}

/// Where a list goes on behind a key: the keys of the table and of the index.
fn place(key: &KeyRecord, pages: &Pages) -> Item {
    let mut place = texts([(attribute::KEY_HASH, key.key_hash.clone())]);
    if pages.email.is_some() {
        place.extend(texts([
            (attribute::EMAIL, key.email.clone()),
            (attribute::CREATED_AT, key.created_at.to_string()),
        ]));
    }
    place
}

/// An entry of the audit log.
fn logged(entry: &Entry) -> Item {
    let key = ItemKey::audit(entry.at, entry.number);
    texts([
        (item::PK, key.pk),
        (item::SK, key.sk),
        (audit::WHO, entry.actor.name.clone()),
        (audit::ROLE, entry.actor.role.as_str().to_owned()),
        (audit::WHAT, entry.what.to_owned()),
        (audit::SUBJECT, entry.subject.clone()),
    ])
}

fn texts(attributes: impl IntoIterator<Item = (&'static str, String)>) -> Item {
    let attributes = attributes.into_iter();
    attributes
        .map(|(name, value)| (name.to_owned(), AttributeValue::S(value)))
        .collect()
}
