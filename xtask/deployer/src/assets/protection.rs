//! The protection of the bucket. Every deploy sets it again, because the bucket may be older than
//! these settings, or have been changed by hand.

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketVersioningStatus,
    ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    NoncurrentVersionExpiration, PublicAccessBlockConfiguration, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
    VersioningConfiguration,
};
use serde_json::{Value, json};

use super::{BUSY, Bucket, CHANGE_SECONDS};
use crate::error::{Error, failed};
use crate::waiting::Patience;

/// Days after which a deleted version is gone for good, and an unfinished upload is aborted.
const DELETED_DAYS: i32 = 30;

impl Bucket {
    pub(super) async fn protect(&self) -> Result<(), Error> {
        self.change(async || self.encrypt().await).await?;
        self.change(async || self.close_to_the_public().await)
            .await?;
        self.change(async || self.allow_tls_only().await).await?;
        self.change(async || self.keep_versions().await).await?;
        self.change(async || self.forget_deleted().await).await
    }

    /// Makes a change, and repeats it while S3 is busy with the previous one.
    async fn change(&self, mut make: impl AsyncFnMut() -> Result<(), Error>) -> Result<(), Error> {
        let patience = Patience {
            poll: self.poll,
            seconds: CHANGE_SECONDS,
        };
        let what = || format!("another change of bucket `{}`", self.name);
        patience
            .until(what, async || match make().await {
                Ok(()) => Ok(Some(())),
                Err(error) if error.code() == Some(BUSY) => Ok(None),
                Err(error) => Err(error),
            })
            .await
    }

    async fn encrypt(&self) -> Result<(), Error> {
        let incomplete = |_| Error::Incomplete {
            operation: "PutBucketEncryption",
            member: "SSEAlgorithm",
        };
        let default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(ServerSideEncryption::Aes256)
            .build()
            .map_err(incomplete)?;
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(default)
            .build();
        let rules = ServerSideEncryptionConfiguration::builder()
            .rules(rule)
            .build()
            .map_err(incomplete)?;
        self.client
            .put_bucket_encryption()
            .bucket(&self.name)
            .expected_bucket_owner(self.owner.account())
            .server_side_encryption_configuration(rules)
            .send()
            .await
            .map_err(failed("PutBucketEncryption"))?;
        Ok(())
    }

    async fn close_to_the_public(&self) -> Result<(), Error> {
        let closed = PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .block_public_policy(true)
            .ignore_public_acls(true)
            .restrict_public_buckets(true)
            .build();
        self.client
            .put_public_access_block()
            .bucket(&self.name)
            .expected_bucket_owner(self.owner.account())
            .public_access_block_configuration(closed)
            .send()
            .await
            .map_err(failed("PutPublicAccessBlock"))?;
        Ok(())
    }

    async fn allow_tls_only(&self) -> Result<(), Error> {
        // A local AWS without TLS would refuse every call from now on.
        if self.base.starts_with("http://") {
            return Ok(());
        }
        let arn = format!("arn:{}:s3:::{}", self.owner.partition(), self.name);
        self.client
            .put_bucket_policy()
            .bucket(&self.name)
            .expected_bucket_owner(self.owner.account())
            .policy(tls_only(&arn).to_string())
            .send()
            .await
            .map_err(failed("PutBucketPolicy"))?;
        Ok(())
    }

    async fn keep_versions(&self) -> Result<(), Error> {
        let enabled = VersioningConfiguration::builder()
            .status(BucketVersioningStatus::Enabled)
            .build();
        self.client
            .put_bucket_versioning()
            .bucket(&self.name)
            .expected_bucket_owner(self.owner.account())
            .versioning_configuration(enabled)
            .send()
            .await
            .map_err(failed("PutBucketVersioning"))?;
        Ok(())
    }

    /// Lets every object expire after `days`, and nothing else.
    pub async fn keep_for(&self, days: i32) -> Result<(), Error> {
        self.change(async || self.expire(Some(days)).await).await
    }

    /// Only deleted objects expire: a stack that rolls back fetches its previous code, which may be
    /// old.
    async fn forget_deleted(&self) -> Result<(), Error> {
        self.expire(None).await
    }

    /// Lets objects expire after `days`, if given, and deleted ones in any case.
    async fn expire(&self, days: Option<i32>) -> Result<(), Error> {
        let incomplete = |_| Error::Incomplete {
            operation: "PutBucketLifecycleConfiguration",
            member: "Rules",
        };
        let versions = NoncurrentVersionExpiration::builder()
            .noncurrent_days(DELETED_DAYS)
            .build();
        let uploads = AbortIncompleteMultipartUpload::builder()
            .days_after_initiation(DELETED_DAYS)
            .build();
        let rule = LifecycleRule::builder()
            .id(if days.is_some() {
                "expire"
            } else {
                "forget-deleted"
            })
            .set_expiration(days.map(|days| LifecycleExpiration::builder().days(days).build()))
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix("").build())
            .noncurrent_version_expiration(versions)
            .abort_incomplete_multipart_upload(uploads)
            .build()
            .map_err(incomplete)?;
        let rules = BucketLifecycleConfiguration::builder()
            .rules(rule)
            .build()
            .map_err(incomplete)?;
        self.client
            .put_bucket_lifecycle_configuration()
            .bucket(&self.name)
            .expected_bucket_owner(self.owner.account())
            .lifecycle_configuration(rules)
            .send()
            .await
            .map_err(failed("PutBucketLifecycleConfiguration"))?;
        Ok(())
    }
}

/// Denies every call without TLS.
fn tls_only(bucket: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [bucket, format!("{bucket}/*")],
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_tls_is_denied_everything() {
        let policy = tls_only("arn:aws:s3:::b");
        let statement = policy.pointer("/Statement/0").unwrap();
        let member = |path: &str| statement.pointer(path).unwrap().clone();
        assert_eq!(member("/Effect"), "Deny");
        assert_eq!(member("/Action"), "s3:*");
        assert_eq!(member("/Condition/Bool/aws:SecureTransport"), "false");
        assert_eq!(
            member("/Resource"),
            json!(["arn:aws:s3:::b", "arn:aws:s3:::b/*"])
        );
    }
}
