//! Tables that outlived their stacks.

use crate::error::{Error, failed};
use crate::session::Session;

/// The account's tables.
#[derive(Debug, Clone)]
pub struct Tables {
    client: aws_sdk_dynamodb::Client,
}

impl Tables {
    /// Tables reached through `session`.
    pub fn new(session: &Session) -> Self {
        Self {
            client: aws_sdk_dynamodb::Client::new(session.config()),
        }
    }

    /// Whether the table is there.
    pub async fn exists(&self, table: &str) -> Result<bool, Error> {
        let described = self.client.describe_table().table_name(table).send().await;
        match described.map_err(failed("DescribeTable")) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes the table with all its data, deletion protection or not; says whether it was there.
    pub async fn delete(&self, table: &str) -> Result<bool, Error> {
        let described = self.client.describe_table().table_name(table).send().await;
        let described = match described.map_err(failed("DescribeTable")) {
            Ok(described) => described,
            Err(error) if error.is_not_found() => return Ok(false),
            Err(error) => return Err(error),
        };
        let protected = described
            .table()
            .and_then(aws_sdk_dynamodb::types::TableDescription::deletion_protection_enabled);
        if protected == Some(true) {
            self.client
                .update_table()
                .table_name(table)
                .deletion_protection_enabled(false)
                .send()
                .await
                .map_err(failed("UpdateTable"))?;
        }
        self.client
            .delete_table()
            .table_name(table)
            .send()
            .await
            .map_err(failed("DeleteTable"))?;
        Ok(true)
    }
}
