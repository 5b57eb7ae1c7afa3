//! The leaves of the analytics table, as its stream would report them.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::table::{LEAF_PREFIX, attribute};
use domain::time::UnixMillis;

use crate::error::{Error, failed};
use crate::session::Session;

/// An attribute in the JSON of table streams.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub enum Attribute {
    /// A text.
    S(String),
    /// A number.
    N(String),
    /// Bytes, base64.
    B(String),
}

/// An item in the JSON of table streams.
pub type Image = BTreeMap<String, Attribute>;

/// The leaves of one table.
#[derive(Debug, Clone)]
pub struct Leaves {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

/// Where the next page begins.
#[derive(Debug, Clone)]
pub struct NextLeaves(HashMap<String, AttributeValue>);

impl Leaves {
    /// Those in the table called `table`.
    pub fn new(session: &Session, table: &str) -> Self {
        Self {
            client: aws_sdk_dynamodb::Client::new(session.config()),
            table: table.to_owned(),
        }
    }

    /// Some leaves that may not go at `now`, from `from` on, or the first; and where to go on. Nothing in
    /// the table tells leaves apart but their keys: the whole table is read for them. What may go is
    /// deleted in no order, and its sums with it: what is left of them says nothing of the whole.
    pub async fn read(
        &self,
        from: Option<NextLeaves>,
        now: UnixMillis,
    ) -> Result<(Vec<Image>, Option<NextLeaves>), Error> {
        let page = self
            .client
            .scan()
            .table_name(&self.table)
            .filter_expression("begins_with(#pk, :leaf) AND #ttl > :now")
            .expression_attribute_names("#pk", attribute::PK)
            .expression_attribute_names("#ttl", attribute::TTL)
            .expression_attribute_values(":now", AttributeValue::N(now.seconds().to_string()))
            .expression_attribute_values(":leaf", AttributeValue::S(LEAF_PREFIX.to_owned()))
            .set_exclusive_start_key(from.map(|NextLeaves(key)| key))
            .send()
            .await
            .map_err(failed("Scan"))?;
        let images = page.items().iter().map(image).collect();
        Ok((images, page.last_evaluated_key.map(NextLeaves)))
    }
}

/// A leaf has texts, numbers and bytes; what else an item may hold is left out.
fn image(item: &HashMap<String, AttributeValue>) -> Image {
    let attribute = |value: &AttributeValue| match value {
        AttributeValue::S(text) => Some(Attribute::S(text.clone())),
        AttributeValue::N(number) => Some(Attribute::N(number.clone())),
        AttributeValue::B(bytes) => Some(Attribute::B(STANDARD.encode(bytes))),
        _ => None,
    };
    item.iter()
        .filter_map(|(name, value)| Some((name.clone(), attribute(value)?)))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use aws_sdk_dynamodb::primitives::Blob;

    use super::*;

    #[test]
    fn an_image_has_the_form_of_a_streams_record() {
        let item = HashMap::from([
            ("PK".to_owned(), AttributeValue::S("LEAF#a#0".to_owned())),
            ("version".to_owned(), AttributeValue::N("3".to_owned())),
            ("state".to_owned(), AttributeValue::B(Blob::new([1, 255]))),
        ]);
        assert_eq!(
            serde_json::to_string(&image(&item)).unwrap(),
            r#"{"PK":{"S":"LEAF#a#0"},"state":{"B":"Af8="},"version":{"N":"3"}}"#
        );
    }
}
