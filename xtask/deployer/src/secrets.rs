//! The secrets of webhooks in Secrets Manager.

use aws_sdk_secretsmanager::Client;
use domain::names::Names;
use domain::time::UnixMillis;
use domain::webhook::{Secret, Secrets};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, failed};
use crate::session::Session;

/// How often a secret is read again after a concurrent rotation.
const MOST_CONFLICTS: u32 = 20;

/// The secrets of an environment's webhooks.
#[derive(Debug, Clone)]
pub struct WebhookSecrets {
    client: Client,
    names: Names,
}

impl WebhookSecrets {
    /// The secrets of an environment.
    pub fn new(session: &Session, names: Names) -> Self {
        Self {
            client: Client::new(session.config()),
            names,
        }
    }

    /// The secrets of an endpoint; `None` if none is deployed.
    pub async fn read(&self, endpoint: &str) -> Result<Option<Secrets>, Error> {
        let held = self.versioned(endpoint).await?;
        Ok(held.map(|(secrets, _)| secrets))
    }

    /// Replaces the current secret of an endpoint; the previous one keeps signing until `until`.
    /// `None` if none is deployed. Of two concurrent rotations, the second replaces what the first
    /// wrote.
    pub async fn rotate(
        &self,
        endpoint: &str,
        new: &Secret,
        until: UnixMillis,
    ) -> Result<Option<Secrets>, Error> {
        for _ in 0..MOST_CONFLICTS {
            let Some((held, version)) = self.versioned(endpoint).await? else {
                return Ok(None);
            };
            let next = held.rotated(new.clone(), until);
            if self.put(endpoint, &next, &version).await? {
                return Ok(Some(next));
            }
        }
        Err(Error::Incomplete {
            operation: "PutSecretValue",
            member: "a secret that others leave alone",
        })
    }

    async fn versioned(&self, endpoint: &str) -> Result<Option<(Secrets, String)>, Error> {
        const OPERATION: &str = "GetSecretValue";
        let name = self.names.webhook_secret(endpoint);
        let found = self.client.get_secret_value().secret_id(name).send().await;
        let found = match found.map_err(failed("GetSecretValue")) {
            Ok(found) => found,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let incomplete = |member| Error::Incomplete {
            operation: OPERATION,
            member,
        };
        let value = found.secret_string.ok_or(incomplete("SecretString"))?;
        let secrets = Secrets::parse(&value);
        let secrets = secrets.map_err(|_| incomplete("a secret that this release reads"))?;
        let version = found.version_id.ok_or(incomplete("VersionId"))?;
        Ok(Some((secrets, version)))
    }

    /// Writes the version after `version`. Returns whether no one else wrote one.
    async fn put(&self, endpoint: &str, next: &Secrets, version: &str) -> Result<bool, Error> {
        let request = self
            .client
            .put_secret_value()
            .secret_id(self.names.webhook_secret(endpoint))
            .client_request_token(token_after(version))
            .secret_string(next.to_json());
        match request.send().await.map_err(failed("PutSecretValue")) {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ResourceExistsException") => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The id of a secret's current version; `None` if there is no such secret.
pub async fn secret_version(session: &Session, name: &str) -> Result<Option<String>, Error> {
    /// The label of the version that a reference without one means.
    const CURRENT: &str = "AWSCURRENT";
    let client = Client::new(session.config());
    let found = client.describe_secret().secret_id(name).send().await;
    let found = match found.map_err(failed("DescribeSecret")) {
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let versions = found.version_ids_to_stages.unwrap_or_default();
    let current = versions
        .into_iter()
        .find(|(_, labels)| labels.iter().any(|label| label == CURRENT));
    Ok(current.map(|(id, _)| id))
}

/// The token of the version that follows `version`, which becomes its id. Secrets Manager refuses a
/// second value under the same token.
fn token_after(version: &str) -> String {
    format!("{:x}", Sha256::digest(version))
}
