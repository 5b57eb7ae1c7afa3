//! Reads deployed dashboards.

use crate::error::{Error, failed};
use crate::session::Session;

/// The account's dashboards.
#[derive(Debug, Clone)]
pub struct Dashboards {
    client: aws_sdk_cloudwatch::Client,
}

impl Dashboards {
    /// Dashboards reached through `session`.
    pub fn new(session: &Session) -> Self {
        Self {
            client: aws_sdk_cloudwatch::Client::new(session.config()),
        }
    }

    /// The body of a dashboard, JSON.
    pub async fn body(&self, name: &str) -> Result<String, Error> {
        let dashboard = self.client.get_dashboard().dashboard_name(name);
        let answer = dashboard.send().await.map_err(failed("GetDashboard"))?;
        Ok(answer.dashboard_body().unwrap_or_default().to_owned())
    }
}
