//! Tables that outlive their stacks.

use std::time::Duration;

use aws_sdk_dynamodb::types::{TableDescription, TableStatus};

use crate::error::{Error, failed};
use crate::session::Session;
use crate::waiting::Patience;

/// How long a change of a table may take; a new index of a large table takes hours.
const CHANGE_SECONDS: u64 = 6 * 3_600;
/// How long the deletion of a table may take.
const DELETION_SECONDS: u64 = 1_800;
/// DynamoDB's error code while a change of the table is under way.
const BUSY: &str = "ResourceInUseException";

/// The account's tables.
#[derive(Debug, Clone)]
pub struct Tables {
    pub(crate) client: aws_sdk_dynamodb::Client,
    poll: Duration,
}

impl Tables {
    /// Tables reached through `session`.
    pub fn new(session: &Session) -> Self {
        Self {
            client: aws_sdk_dynamodb::Client::new(session.config()),
            poll: session.poll(),
        }
    }

    /// Whether the table exists.
    pub async fn exists(&self, table: &str) -> Result<bool, Error> {
        Ok(self.described(table).await?.is_some())
    }

    async fn described(&self, table: &str) -> Result<Option<TableDescription>, Error> {
        let described = self.client.describe_table().table_name(table).send().await;
        match described.map_err(failed("DescribeTable")) {
            Ok(described) => described.table.map(Some).ok_or(Error::Incomplete {
                operation: "DescribeTable",
                member: "Table",
            }),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The table, once no change of it is under way; `None` if it does not exist.
    pub(crate) async fn settled(&self, table: &str) -> Result<Option<TableDescription>, Error> {
        let what = || format!("a change of table `{table}`");
        let settled = self.patience(CHANGE_SECONDS).until(what, async || {
            let described = self.described(table).await?;
            let busy = described.as_ref().is_some_and(is_busy);
            Ok((!busy).then_some(described))
        });
        settled.await
    }

    /// Makes a change of a table, and repeats it while DynamoDB is busy with the previous one.
    pub(crate) async fn change(
        &self,
        table: &str,
        mut make: impl AsyncFnMut() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let what = || format!("another change of table `{table}`");
        self.patience(CHANGE_SECONDS)
            .until(what, async || match make().await {
                Ok(()) => Ok(Some(())),
                Err(error) if error.code() == Some(BUSY) => Ok(None),
                Err(error) => Err(error),
            })
            .await
    }

    /// Deletes the table with all its data, whether or not it has deletion protection, and waits
    /// until it is gone. Returns whether it existed.
    pub async fn delete(&self, table: &str) -> Result<bool, Error> {
        let Some(found) = self.settled(table).await? else {
            return Ok(false);
        };
        if found.deletion_protection_enabled == Some(true) {
            self.change(table, async || self.unprotect(table).await)
                .await?;
            self.settled(table).await?;
        }
        let deleted = self
            .change(table, async || {
                let delete = self.client.delete_table().table_name(table);
                delete.send().await.map_err(failed("DeleteTable"))?;
                Ok(())
            })
            .await;
        match deleted {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        let what = || format!("the deletion of table `{table}`");
        let gone = self.patience(DELETION_SECONDS).until(what, async || {
            let there = self.described(table).await?.is_some();
            Ok((!there).then_some(()))
        });
        gone.await?;
        Ok(true)
    }

    async fn unprotect(&self, table: &str) -> Result<(), Error> {
        self.client
            .update_table()
            .table_name(table)
            .deletion_protection_enabled(false)
            .send()
            .await
            .map_err(failed("UpdateTable"))?;
        Ok(())
    }

    const fn patience(&self, seconds: u64) -> Patience {
        Patience {
            poll: self.poll,
            seconds,
        }
    }
}

/// Whether a change of the table or of one of its indexes is under way, after which it can be
/// changed again; a table that is being deleted is busy until it is gone.
fn is_busy(table: &TableDescription) -> bool {
    use aws_sdk_dynamodb::types::IndexStatus;
    let status = table.table_status();
    let settling = matches!(
        status,
        Some(TableStatus::Creating | TableStatus::Updating | TableStatus::Deleting)
    );
    let mut indexes = table.global_secondary_indexes().iter();
    settling
        || indexes.any(|index| {
            matches!(
                index.index_status(),
                Some(IndexStatus::Creating | IndexStatus::Updating | IndexStatus::Deleting)
            )
        })
}
