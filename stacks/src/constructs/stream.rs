//! A Kinesis stream: encrypted, its capacity by type.

use super::encryption::Encryption;
use super::grants::Grantee;
use super::metric::{Metric, Period, Statistic};
use super::stack::Stack;
use crate::cfn::policy::Statement;
use crate::cfn::{Arn, LogicalId, Val, existing, kinesis, sub};

/// The capacity of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// AWS adapts it to the traffic.
    OnDemand,
    /// A number of shards, each for 1,000 records or 1 MB a second.
    Provisioned {
        /// The number of shards.
        shards: u32,
    },
}

/// The settings of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// Hours for which it keeps its records: 24 to 8,760.
    pub retention_hours: u32,
    /// Its capacity.
    pub capacity: Capacity,
}

/// A stream, of this stack or known by its name.
#[derive(Clone, Debug)]
pub struct Stream {
    name: String,
    arn: Val<Arn<kinesis::Stream>>,
    key: Encryption,
}

impl Stream {
    /// Declares an encrypted stream.
    pub fn new(
        stack: &mut Stack,
        id: impl Into<LogicalId>,
        name: &str,
        settings: &StreamSettings,
        key: Encryption,
    ) -> Self {
        let key_id = match &key {
            Encryption::Managed => existing("alias/aws/kinesis").into(),
            Encryption::Key(arn) => arn.clone().into(),
        };
        let mut stream = kinesis::Stream::new()
            .name(name)
            .retention_period_hours(settings.retention_hours)
            .stream_encryption(kinesis::StreamStreamEncryption::new(
                kinesis::StreamStreamEncryptionRequired {
                    encryption_type: kinesis::StreamStreamEncryptionEncryptionType::Kms.into(),
                    key_id,
                },
            ));
        let mode = match settings.capacity {
            Capacity::OnDemand => kinesis::StreamStreamModeDetailsStreamMode::OnDemand,
            Capacity::Provisioned { shards } => {
                stream = stream.shard_count(shards);
                kinesis::StreamStreamModeDetailsStreamMode::Provisioned
            }
        };
        stream = stream.stream_mode_details(kinesis::StreamStreamModeDetails::new(mode));
        let handle = stack.template().add(id, stream);
        Self {
            name: name.to_owned(),
            arn: handle.arn(),
            key,
        }
    }

    /// A stream of another stack, in this account and region, under AWS's own key. It need not
    /// exist: nothing ties the stacks together.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            arn: sub(format!(
                "arn:${{AWS::Partition}}:kinesis:${{AWS::Region}}:${{AWS::AccountId}}:stream/{name}"
            )),
            key: Encryption::Managed,
        }
    }

    /// The same stream, if its own stack encrypts it with a key.
    #[must_use]
    pub fn encrypted(mut self, key: Encryption) -> Self {
        self.key = key;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its ARN.
    pub fn arn(&self) -> Val<Arn<kinesis::Stream>> {
        self.arn.clone()
    }

    /// One of AWS's metrics about it: `IncomingRecords`, `WriteProvisionedThroughputExceeded`.
    pub fn metric(&self, name: &'static str, statistic: Statistic, period: Period) -> Metric {
        Metric::new("AWS/Kinesis", name, statistic, period).dimension("StreamName", &self.name)
    }

    /// Allows a grantee to put records, one at a time.
    pub fn grant_write(&self, to: &impl Grantee) {
        self.grant_put(to, "kinesis:PutRecord");
    }

    /// Allows a grantee to put records, up to 500 at a time.
    pub fn grant_write_batches(&self, to: &impl Grantee) {
        self.grant_put(to, "kinesis:PutRecords");
    }

    fn grant_put(&self, to: &impl Grantee, action: &'static str) {
        to.grants().allow(Statement::allow([action], self.arn()));
        self.key.allow(to, ["kms:GenerateDataKey"]);
    }

    /// Allows a grantee to change the number of shards. AWS's Service Authorization Reference lists no
    /// resource for `UpdateShardCount`; AWS's own samples name the stream.
    pub fn grant_scale(&self, to: &impl Grantee) {
        to.grants().allow(Statement::allow(
            ["kinesis:DescribeStreamSummary", "kinesis:UpdateShardCount"],
            self.arn(),
        ));
    }

    /// Allows a function's event source mapping to read, as Lambda's documentation requires.
    pub fn grant_read(&self, to: &impl Grantee) {
        to.grants().allow(Statement::allow(
            [
                "kinesis:DescribeStream",
                "kinesis:DescribeStreamSummary",
                "kinesis:GetRecords",
                "kinesis:GetShardIterator",
                "kinesis:ListShards",
            ],
            self.arn(),
        ));
        self.key.allow(to, ["kms:Decrypt"]);
    }
}
