//! The connection to AWS and the identity of the caller.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sts::config::Credentials;

use crate::error::{Error, failed};

/// A region, an endpoint and credentials.
#[derive(Debug, Clone)]
pub struct Session {
    config: SdkConfig,
    endpoint: Option<String>,
    poll: std::time::Duration,
}

/// How often a stack on AWS is polled.
const AWS_POLL: std::time::Duration = std::time::Duration::from_secs(2);
/// How often a stack behind another endpoint is polled.
const ENDPOINT_POLL: std::time::Duration = std::time::Duration::from_millis(150);

/// The account of the credentials, and its partition of AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    account: String,
    partition: String,
}

impl Caller {
    /// The account of an embedded AWS.
    pub fn embedded(account: &str) -> Self {
        Self {
            account: account.to_owned(),
            partition: "aws".to_owned(),
        }
    }

    /// The account's number.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The partition, as ARNs name it: `aws`, `aws-cn`, `aws-us-gov`.
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The domain of the partition's services.
    pub(crate) fn url_suffix(&self) -> &'static str {
        match self.partition.as_str() {
            "aws-cn" => "amazonaws.com.cn",
            _ => "amazonaws.com",
        }
    }
}

impl Session {
    /// Connects to AWS with the caller's own credentials, as the AWS command line would find them,
    /// or to the substitute at `endpoint`.
    pub async fn connect(region: &str, endpoint: Option<&str>) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(region.to_owned()));
        if let Some(endpoint) = endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        Self::new(loader.load().await, endpoint)
    }

    /// The embedded AWS at `endpoint`: no credentials, no proxy, no profile.
    pub fn embedded(region: &str, endpoint: &str) -> Self {
        #[allow(
            deprecated,
            reason = "later versions send loopback calls through the proxy of the environment"
        )]
        let behaviour = BehaviorVersion::v2025_01_17();
        let credentials = Credentials::new("test", "test", None, None, "embedded");
        let config = SdkConfig::builder()
            .behavior_version(behaviour)
            .region(Region::new(region.to_owned()))
            .endpoint_url(endpoint)
            .credentials_provider(aws_sdk_sts::config::SharedCredentialsProvider::new(
                credentials,
            ))
            .build();
        Self::new(config, Some(endpoint))
    }

    fn new(config: SdkConfig, endpoint: Option<&str>) -> Self {
        Self {
            config,
            endpoint: endpoint.map(str::to_owned),
            poll: if endpoint.is_some() {
                ENDPOINT_POLL
            } else {
                AWS_POLL
            },
        }
    }

    /// The owner of the credentials.
    pub async fn caller(&self) -> Result<Caller, Error> {
        let identity = aws_sdk_sts::Client::new(&self.config)
            .get_caller_identity()
            .send()
            .await
            .map_err(failed("GetCallerIdentity"))?;
        let incomplete = |member| Error::Incomplete {
            operation: "GetCallerIdentity",
            member,
        };
        let account = identity.account.ok_or(incomplete("Account"))?;
        // `arn:aws-cn:sts::…`: the credentials themselves name the partition where they are valid.
        let arn = identity.arn.as_deref();
        let partition = arn.and_then(|arn| arn.split(':').nth(1));
        Ok(Caller {
            account,
            partition: partition.ok_or(incomplete("Arn"))?.to_owned(),
        })
    }

    /// The identity behind the credentials.
    pub async fn identity(&self) -> Result<String, Error> {
        aws_sdk_sts::Client::new(&self.config)
            .get_caller_identity()
            .send()
            .await
            .map_err(failed("GetCallerIdentity"))?
            .arn
            .ok_or(Error::Incomplete {
                operation: "GetCallerIdentity",
                member: "Arn",
            })
    }

    /// The region's name.
    pub fn region(&self) -> &str {
        self.config.region().map_or("", Region::as_ref)
    }

    /// The endpoint of the substitute for AWS.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    pub(crate) const fn config(&self) -> &SdkConfig {
        &self.config
    }

    pub(crate) const fn poll(&self) -> std::time::Duration {
        self.poll
    }
}
