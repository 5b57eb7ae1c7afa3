//! [`Store`] on a DynamoDB table.

use std::collections::HashMap;
use std::error::Error;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use domain::state::{self, StateError};
use domain::table::{ItemKey, attribute};

use crate::store::{
    Condition, Document, NewItem, Page, Query, Row, Store, StoreError, Stored, Value, Written,
};

type Item = HashMap<String, AttributeValue>;

/// Codes with which DynamoDB throttles.
const THROTTLED: [&str; 3] = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
];

/// A table, by name.
#[derive(Debug, Clone)]
pub struct DynamoStore {
    client: Client,
    table: String,
}

impl DynamoStore {
    /// The table `table`, reached by `client`.
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

    fn error<E, R>(&self, key: Option<&ItemKey>, error: SdkError<E, R>) -> StoreError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let table = self.table.clone();
        let code = error.code().unwrap_or_default();
        let is_too_large = error
            .message()
            .is_some_and(|message| message.contains("size has exceeded"));
        match (code, key) {
            ("ResourceNotFoundException", _) => StoreError::TableMissing { table },
            ("ValidationException", Some(key)) if is_too_large => {
                StoreError::TooLarge { key: key.clone() }
            }
            (code, _) if THROTTLED.contains(&code) => StoreError::Throttled {
                table,
                source: Box::new(error),
            },
            _ => StoreError::Unavailable {
                table,
                source: Box::new(error),
            },
        }
    }

    async fn put_item(&self, key: &ItemKey, item: Item) -> Result<(), StoreError> {
        let request = self.client.put_item().table_name(&self.table);
        let sent = request.set_item(Some(item)).send().await;
        sent.map(|_| ())
            .map_err(|error| self.error(Some(key), error))
    }
}

impl Store for DynamoStore {
    async fn get(&self, key: &ItemKey) -> Result<Option<Stored>, StoreError> {
        let request = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keyed(key)))
            .consistent_read(true);
        let output = request
            .send()
            .await
            .map_err(|error| self.error(Some(key), error))?;
        output.item.map(|item| stored(key, item)).transpose()
    }

    async fn put(&self, key: &ItemKey, item: NewItem) -> Result<Written, StoreError> {
        let condition = Conditional::of(&item);
        let request = self
            .client
            .put_item()
            .table_name(&self.table)
            .condition_expression(condition.expression)
            .set_expression_attribute_names(Some(condition.names))
            .set_expression_attribute_values(condition.values)
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .set_item(Some(attributes(key, item)));
        let error = match request.send().await {
            Ok(output) => {
                let before = output.attributes.filter(|item| !item.is_empty());
                let before = before.map(|item| stored(key, item)).transpose()?;
                return Ok(Written::Done { before });
            }
            Err(error) => error,
        };
        let Some(PutItemError::ConditionalCheckFailedException(refused)) = error.as_service_error()
        else {
            return Err(self.error(Some(key), error));
        };
        let current = match refused.item().filter(|item| !item.is_empty()) {
            Some(item) => Some(stored(key, item.clone())?),
            None => self.get(key).await?,
        };
        Ok(Written::Refused { current })
    }

    async fn put_both(
        &self,
        (one, item): (&ItemKey, NewItem),
        (other, second): (&ItemKey, NewItem),
    ) -> Result<bool, StoreError> {
        let put = |key: &ItemKey, item: NewItem| {
            let condition = Conditional::of(&item);
            let put = Put::builder()
                .table_name(&self.table)
                .condition_expression(condition.expression)
                .set_expression_attribute_names(Some(condition.names))
                .set_expression_attribute_values(condition.values)
                .set_item(Some(attributes(key, item)))
                .build();
            put.map(|put| TransactWriteItem::builder().put(put).build())
        };
        let puts = [put(one, item), put(other, second)];
        let puts = puts.into_iter().collect::<Result<Vec<_>, _>>();
        let puts = puts.map_err(|error| StoreError::Unavailable {
            table: self.table.clone(),
            source: Box::new(error),
        })?;
        let request = self.client.transact_write_items();
        let Err(error) = request.set_transact_items(Some(puts)).send().await else {
            return Ok(true);
        };
        let service = error.as_service_error();
        if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = service {
            let reasons = cancelled.cancellation_reasons().iter();
            let mut codes = reasons.filter_map(|reason| reason.code());
            if codes.any(|code| ["ConditionalCheckFailed", "TransactionConflict"].contains(&code)) {
                return Ok(false);
            }
        }
        Err(self.error(Some(one), error))
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
        self.put_item(key, item).await
    }

    async fn delete(&self, key: &ItemKey) -> Result<(), StoreError> {
        let request = self.client.delete_item().table_name(&self.table);
        let sent = request.set_key(Some(keyed(key))).send().await;
        sent.map(|_| ())
            .map_err(|error| self.error(Some(key), error))
    }

    async fn query(&self, query: &Query) -> Result<Page, StoreError> {
        let start = query.after.as_ref();
        let start = start.map(|sk| keyed(&ItemKey::new(&query.pk, sk)));
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :from AND :to")
            .projection_expression("#sk, #version, #bytes")
            .expression_attribute_names("#pk", attribute::PK)
            .expression_attribute_names("#sk", attribute::SK)
            .expression_attribute_names("#version", attribute::VERSION)
            .expression_attribute_names("#bytes", query.attribute)
            .expression_attribute_values(":pk", AttributeValue::S(query.pk.clone()))
            .expression_attribute_values(":from", AttributeValue::S(query.from.clone()))
            .expression_attribute_values(":to", AttributeValue::S(query.to.clone()))
            .set_exclusive_start_key(start);
        let output = request
            .send()
            .await
            .map_err(|error| self.error(None, error))?;
        let next = output.last_evaluated_key.and_then(|mut key| {
            let sk = key.remove(attribute::SK);
            sk.and_then(|sk| sk.as_s().ok().cloned())
        });
        let rows = output.items.unwrap_or_default().into_iter();
        let items = rows.map(|item| row(item, query.attribute)).collect();
        Ok(Page { items, next })
    }
}

/// A condition in DynamoDB's form.
struct Conditional {
    expression: &'static str,
    names: HashMap<String, String>,
    values: Option<HashMap<String, AttributeValue>>,
}

impl Conditional {
    fn of(item: &NewItem) -> Self {
        let (expression, names, values) = match item.condition {
            Condition::Version(0) => (
                "attribute_not_exists(#pk)",
                vec![("#pk", attribute::PK)],
                Vec::new(),
            ),
            Condition::Version(read) => (
                "#version = :version",
                vec![("#version", attribute::VERSION)],
                vec![(":version", number(read))],
            ),
            Condition::Lower => (
                "attribute_not_exists(#pk) OR (#version < :version AND #format <= :format)",
                vec![
                    ("#pk", attribute::PK),
                    ("#version", attribute::VERSION),
                    ("#format", attribute::FORMAT),
                ],
                vec![
                    (":version", number(item.version)),
                    // Of this release's own formats, any replaces any.
                    (":format", number(state::LATEST)),
                ],
            ),
        };
        let names = names.into_iter();
        let values = values.into_iter();
        let values: HashMap<_, _> = values.map(|(name, of)| (name.to_owned(), of)).collect();
        Self {
            expression,
            names: names
                .map(|(name, of)| (name.to_owned(), of.to_owned()))
                .collect(),
            values: (!values.is_empty()).then_some(values),
        }
    }
}

/// A whole number in DynamoDB's form.
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
    attributes.insert(attribute::FORMAT.to_owned(), number(item.format()));
    let state = AttributeValue::B(Blob::new(item.state));
    attributes.insert(attribute::STATE.to_owned(), state);
    if let Some(totals) = item.shown.totals {
        for (name, value) in [
            (attribute::TOTAL_CALLS, totals.calls),
            (attribute::AUTH_FAILURES, totals.auth_failures),
            (attribute::RATE_LIMITED, totals.rate_limited),
            (attribute::UNITS, totals.units),
        ] {
            attributes.insert(name.to_owned(), number(value));
        }
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

fn version(item: &Item) -> Option<u64> {
    let version = item.get(attribute::VERSION)?.as_n().ok()?;
    version.parse().ok()
}

fn bytes(item: &mut Item, attribute: &str) -> Option<Vec<u8>> {
    match item.remove(attribute)? {
        AttributeValue::B(bytes) => Some(bytes.into_inner()),
        _ => None,
    }
}

fn row(mut item: Item, attribute: &str) -> Row {
    let sk = item.get(attribute::SK).and_then(|sk| sk.as_s().ok());
    Row {
        sk: sk.cloned().unwrap_or_default(),
        version: version(&item).unwrap_or(0),
        bytes: bytes(&mut item, attribute),
    }
}

/// The version and state among an item's attributes.
fn stored(key: &ItemKey, mut item: Item) -> Result<Stored, StoreError> {
    let state = bytes(&mut item, attribute::STATE);
    version(&item)
        .zip(state)
        .map(|(version, state)| Stored { version, state })
        .ok_or_else(|| StoreError::Unreadable {
            key: key.clone(),
            source: StateError::Format { found: 0 },
        })
}
