//! Log groups, read.

use domain::time::UnixMillis;

use crate::error::{Error, failed};
use crate::session::Session;

/// The account's log groups.
#[derive(Debug, Clone)]
pub struct Logs {
    client: aws_sdk_cloudwatchlogs::Client,
}

impl Logs {
    /// Log groups reached through `session`.
    pub fn new(session: &Session) -> Self {
        Self {
            client: aws_sdk_cloudwatchlogs::Client::new(session.config()),
        }
    }

    /// The group's lines from `from` on, oldest first; none where there is no such group yet.
    pub async fn since(
        &self,
        group: &str,
        from: UnixMillis,
    ) -> Result<Vec<(UnixMillis, String)>, Error> {
        let mut pages = self
            .client
            .filter_log_events()
            .log_group_name(group)
            .start_time(from.0)
            .into_paginator()
            .send();
        let mut lines = Vec::new();
        while let Some(page) = pages.next().await {
            let page = match page.map_err(failed("FilterLogEvents")) {
                Ok(page) => page,
                Err(error) if error.is_not_found() => break,
                Err(error) => return Err(error),
            };
            lines.extend(page.events().iter().filter_map(|event| {
                let time = UnixMillis(event.timestamp()?);
                Some((time, event.message()?.to_owned()))
            }));
        }
        lines.sort_by_key(|(time, _)| *time);
        Ok(lines)
    }
}
