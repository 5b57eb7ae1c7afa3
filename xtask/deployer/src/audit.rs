//! The log of operators' changes, by month, in the usage table.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::names::Names;
use domain::table::{self, ItemKey};
use domain::time::UnixMillis;

use crate::error::{Error, failed};
use crate::session::Session;
use crate::states::keyed;

/// The log of one environment.
#[derive(Debug, Clone)]
pub struct AuditLog {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl AuditLog {
    /// The log of an environment.
    pub fn new(session: &Session, names: &Names) -> Self {
        Self {
            client: aws_sdk_dynamodb::Client::new(session.config()),
            table: names.usage_table(),
        }
    }

    /// Records that `who` did `what` to `subject` at `now`. `number` distinguishes changes within
    /// one millisecond.
    pub async fn note(
        &self,
        now: UnixMillis,
        number: u64,
        who: &str,
        what: &str,
        subject: &str,
    ) -> Result<(), Error> {
        let mut item = keyed(&ItemKey::audit(now, number));
        for (name, value) in [
            (table::audit::WHO, who),
            (table::audit::ROLE, "operator"),
            (table::audit::WHAT, what),
            (table::audit::SUBJECT, subject),
        ] {
            item.insert(name.to_owned(), AttributeValue::S(value.to_owned()));
        }
        let request = self.client.put_item().table_name(&self.table);
        let sent = request.set_item(Some(item)).send().await;
        sent.map(|_| ()).map_err(failed("PutItem"))
    }
}
