//! The bucket that templates' code comes from.

use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, Delete, ObjectIdentifier,
    PublicAccessBlockConfiguration, ServerSideEncryption, ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration, ServerSideEncryptionRule,
};

use crate::error::{Error, failed};
use crate::session::Session;

/// A bucket of one environment's assets.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: aws_sdk_s3::Client,
    name: String,
    region: String,
    base: String,
}

impl Bucket {
    /// The bucket called `name`, which need not be there yet.
    pub fn new(session: &Session, name: &str) -> Self {
        let own_endpoint = session.endpoint();
        let config = aws_sdk_s3::config::Builder::from(session.config())
            .force_path_style(own_endpoint.is_some())
            .build();
        let base = match own_endpoint {
            Some(endpoint) => format!("{}/{name}", endpoint.trim_end_matches('/')),
            None => format!("https://{name}.s3.{}.amazonaws.com", session.region()),
        };
        Self {
            client: aws_sdk_s3::Client::from_conf(config),
            name: name.to_owned(),
            region: session.region().to_owned(),
            base,
        }
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the bucket unless it is there: encrypted, closed to the public.
    pub async fn ensure(&self) -> Result<(), Error> {
        if self.exists().await? {
            return Ok(());
        }
        let mut create = self.client.create_bucket().bucket(&self.name);
        if self.region != "us-east-1" {
            create = create.create_bucket_configuration(
                CreateBucketConfiguration::builder()
                    .location_constraint(BucketLocationConstraint::from(self.region.as_str()))
                    .build(),
            );
        }
        create.send().await.map_err(failed("CreateBucket"))?;
        self.encrypt().await?;
        self.close_to_the_public().await
    }

    async fn exists(&self) -> Result<bool, Error> {
        let head = self.client.head_bucket().bucket(&self.name).send().await;
        match head.map_err(failed("HeadBucket")) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
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
            .public_access_block_configuration(closed)
            .send()
            .await
            .map_err(failed("PutPublicAccessBlock"))?;
        Ok(())
    }

    /// Puts the file under `key` unless the bucket holds that key; says whether it did. Keys name
    /// their content, so a key that is there is never written again.
    pub async fn publish(&self, key: &str, file: &Path) -> Result<bool, Error> {
        let bytes = tokio::fs::read(file).await.map_err(|source| Error::Asset {
            path: file.display().to_string(),
            source: Box::new(source),
        })?;
        self.publish_bytes(key, bytes).await
    }

    /// Puts the bytes under `key` unless the bucket holds that key; says whether it did.
    pub async fn publish_bytes(&self, key: &str, bytes: Vec<u8>) -> Result<bool, Error> {
        let head = self.client.head_object().bucket(&self.name).key(key);
        match head.send().await.map_err(failed("HeadObject")) {
            Ok(_) => return Ok(false),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        self.client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(failed("PutObject"))?;
        Ok(true)
    }

    /// The address of a key, as CloudFormation takes it for a template.
    pub fn url(&self, key: &str) -> String {
        format!("{}/{key}", self.base)
    }

    /// Empties and deletes the bucket; says whether it was there.
    pub async fn remove(&self) -> Result<bool, Error> {
        if !self.exists().await? {
            return Ok(false);
        }
        loop {
            let page = self
                .client
                .list_objects_v2()
                .bucket(&self.name)
                .send()
                .await
                .map_err(failed("ListObjectsV2"))?;
            let keys: Vec<_> = page
                .contents()
                .iter()
                .filter_map(|object| ObjectIdentifier::builder().key(object.key()?).build().ok())
                .collect();
            if keys.is_empty() {
                break;
            }
            self.delete_objects(keys).await?;
        }
        self.client
            .delete_bucket()
            .bucket(&self.name)
            .send()
            .await
            .map_err(failed("DeleteBucket"))?;
        Ok(true)
    }

    async fn delete_objects(&self, keys: Vec<ObjectIdentifier>) -> Result<(), Error> {
        let delete = Delete::builder()
            .set_objects(Some(keys))
            .quiet(true)
            .build()
            .map_err(|_| Error::Incomplete {
                operation: "DeleteObjects",
                member: "Objects",
            })?;
        let answer = self
            .client
            .delete_objects()
            .bucket(&self.name)
            .delete(delete)
            .send()
            .await
            .map_err(failed("DeleteObjects"))?;
        match answer.errors().first() {
            None => Ok(()),
            Some(error) => Err(Error::Refused {
                operation: "DeleteObjects",
                code: error.code().unwrap_or("Unknown").to_owned(),
                message: error.message().unwrap_or("no reason given").to_owned(),
            }),
        }
    }
}
