//! A bucket of files that outlive their stack.

use super::encryption::Encryption;
use super::grants::Grantee;
use super::stack::Stack;
use crate::cfn::policy::{self, Statement};
use crate::cfn::s3::{
    self, BucketServerSideEncryptionByDefaultSSEAlgorithm as Algorithm,
    BucketVersioningConfigurationStatus as Versions,
};
use crate::cfn::{Handle, Id, LogicalId, Val, account_id, sub};
use crate::rules;

/// Days after which a deleted or replaced version is gone for good, and an unfinished upload is
/// aborted.
const REPLACED_DAYS: i64 = 30;

/// A private bucket of this stack.
#[derive(Clone, Debug)]
pub struct Bucket {
    handle: Handle<s3::Bucket>,
    /// In the form of `Fn::Sub`.
    arn: String,
    key: Encryption,
}

/// The settings in which buckets differ.
#[derive(Clone, Debug)]
pub struct BucketSettings<'a> {
    /// Its name, in which `${AWS::AccountId}` and `${AWS::Region}` stand for those of the stack: names
    /// are the same for all accounts.
    pub name: &'a str,
    /// Days for which a file is kept.
    pub days: u32,
    /// The key that encrypts it.
    pub encryption: Encryption,
    /// Whether calls without TLS are refused.
    pub tls_only: bool,
}

impl Bucket {
    /// Declares a bucket that outlives its stack: encrypted, closed to the public, without access
    /// lists, and with the versions of replaced files. Its policy `{id}Policy` refuses calls without
    /// TLS.
    pub fn new(stack: &mut Stack, id: &'static str, settings: &BucketSettings<'_>) -> Self {
        let closed = s3::BucketPublicAccessBlockConfiguration::new()
            .block_public_acls(true)
            .block_public_policy(true)
            .ignore_public_acls(true)
            .restrict_public_buckets(true);
        let owned = s3::BucketOwnershipControlsRule::new()
            .object_ownership(s3::BucketOwnershipControlsRuleObjectOwnership::BucketOwnerEnforced);
        let bucket = s3::Bucket::new()
            .bucket_name(sub::<String>(settings.name.to_owned()))
            .bucket_encryption(encrypted(&settings.encryption))
            .public_access_block_configuration(closed)
            .ownership_controls(s3::BucketOwnershipControls::new([owned]))
            .versioning_configuration(s3::BucketVersioningConfiguration::new(Versions::Enabled))
            .lifecycle_configuration(s3::BucketLifecycleConfiguration::new([expiry(
                settings.days,
            )]));
        let handle = stack.template().add(id, bucket);
        stack.template().retain(&handle);
        let arn = format!("arn:${{AWS::Partition}}:s3:::{}", settings.name);
        if settings.tls_only {
            let required = s3::BucketPolicyRequired {
                bucket: handle.reference(),
                policy_document: policy::tls_only(&arn),
            };
            let policy = stack.template().add(
                LogicalId::from(format!("{id}Policy")),
                s3::BucketPolicy::new(required),
            );
            stack.template().explain(
                &policy,
                rules::ANY_RESOURCE,
                "it denies everybody everything without TLS, and allows nothing",
            );
        }
        Self {
            handle,
            arn,
            key: settings.encryption.clone(),
        }
    }

    /// Its name.
    pub fn name(&self) -> Val<Id<s3::Bucket>> {
        self.handle.reference()
    }

    /// Allows a grantee to write files, as long as the bucket belongs to this account.
    pub fn grant_put(&self, to: &impl Grantee) {
        let files = sub::<String>(format!("{}/*", self.arn));
        let put = Statement::allow_each(["s3:PutObject"], [files]);
        to.grants()
            .allow(put.when_equal("aws:ResourceAccount", account_id()));
        self.key.allow(to, ["kms:GenerateDataKey"]);
    }
}

fn encrypted(key: &Encryption) -> s3::BucketBucketEncryption {
    let default = match key {
        Encryption::Managed => s3::BucketServerSideEncryptionByDefault::new(Algorithm::Aes256),
        Encryption::Key(key) => s3::BucketServerSideEncryptionByDefault::new(Algorithm::AwsKms)
            .kms_master_key_id(key.clone()),
    };
    let rule = s3::BucketServerSideEncryptionRule::new()
        .bucket_key_enabled(matches!(key, Encryption::Key(_)))
        .server_side_encryption_by_default(default);
    s3::BucketBucketEncryption::new([rule])
}

fn expiry(days: u32) -> s3::BucketRule {
    s3::BucketRule::new(s3::BucketRuleStatus::Enabled)
        .id("expire")
        .expiration_in_days(i64::from(days))
        .noncurrent_version_expiration(s3::BucketNoncurrentVersionExpiration::new(REPLACED_DAYS))
        .abort_incomplete_multipart_upload(s3::BucketAbortIncompleteMultipartUpload::new(
            REPLACED_DAYS,
        ))
}
