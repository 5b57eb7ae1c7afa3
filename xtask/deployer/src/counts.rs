//! Stored counts, item by item. The caller decodes their states.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::names::Names;
use domain::table::{ItemKey, attribute};

use crate::error::{Error, failed};
use crate::session::Session;

/// The counts in an item's plain attributes, and its state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredCounts {
    /// Accepted calls.
    pub total_calls: u64,
    /// Calls without a valid key.
    pub auth_failures: u64,
    /// Calls over the rate limit or the quota.
    pub rate_limited: u64,
    /// The state; empty if the item has none.
    pub state: Vec<u8>,
}

/// The tables that hold counts.
#[derive(Debug, Clone)]
pub struct CountTables {
    client: aws_sdk_dynamodb::Client,
    usage: String,
    analytics: String,
}

impl CountTables {
    /// The tables of an environment.
    pub fn new(session: &Session, names: &Names) -> Self {
        Self {
            client: aws_sdk_dynamodb::Client::new(session.config()),
            usage: names.usage_table(),
            analytics: names.analytics_table(),
        }
    }

    /// An item of the usage table.
    pub async fn usage(&self, key: &ItemKey) -> Result<Option<StoredCounts>, Error> {
        self.read(&self.usage, key).await
    }

    /// An item of the analytics table.
    pub async fn analytics(&self, key: &ItemKey) -> Result<Option<StoredCounts>, Error> {
        self.read(&self.analytics, key).await
    }

    async fn read(&self, table: &str, key: &ItemKey) -> Result<Option<StoredCounts>, Error> {
        let read = self
            .client
            .get_item()
            .table_name(table)
            .consistent_read(true)
            .key(attribute::PK, AttributeValue::S(key.pk.clone()))
            .key(attribute::SK, AttributeValue::S(key.sk.clone()))
            .send()
            .await
            .map_err(failed("GetItem"))?;
        Ok(read.item.as_ref().map(StoredCounts::of))
    }
}

impl StoredCounts {
    fn of(item: &HashMap<String, AttributeValue>) -> Self {
        let number = |name: &str| {
            let value = item.get(name).and_then(|value| value.as_n().ok());
            value.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        let state = item.get(attribute::STATE);
        let state = state.and_then(|state| state.as_b().ok());
        Self {
            total_calls: number(attribute::TOTAL_CALLS),
            auth_failures: number(attribute::AUTH_FAILURES),
            rate_limited: number(attribute::RATE_LIMITED),
            state: state
                .map(|state| state.as_ref().to_vec())
                .unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_without_a_count_has_none() {
        let item = HashMap::from([(
            attribute::TOTAL_CALLS.to_owned(),
            AttributeValue::N("12".to_owned()),
        )]);
        let counts = StoredCounts::of(&item);
        assert_eq!((counts.total_calls, counts.rate_limited), (12, 0));
        assert!(counts.state.is_empty());
    }
}
