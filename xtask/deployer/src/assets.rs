//! The bucket that holds the templates and the code of functions.
//!
//! A bucket's name can be guessed, and someone else may own it. So every call names the account
//! that must own the bucket, and S3 refuses a bucket of another account
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html>). Creating
//! the bucket is the only call that cannot name it; there S3 itself reports who owns the name.

mod protection;

use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::head_bucket::HeadBucketError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, Delete, ObjectIdentifier,
};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, failed};
use crate::events::Progress;
use crate::session::{Caller, Session};
use crate::waiting::Patience;

/// How long S3 may hold back the name of a deleted bucket: "about an hour", plus a margin.
const NAME_SECONDS: u64 = 5_400;
/// How long one change of a bucket may block another.
const CHANGE_SECONDS: u64 = 120;
/// S3's error code while an earlier change of the same bucket, or its deletion, is under way.
const BUSY: &str = "OperationAborted";

/// The bucket of one environment's assets. `deploy` determines its settings and reverts manual
/// changes.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: aws_sdk_s3::Client,
    name: String,
    owner: Caller,
    region: String,
    base: String,
    poll: Duration,
}

impl Bucket {
    /// The bucket called `name`, which need not exist yet. If it exists, it must belong to the
    /// caller's account.
    pub fn new(session: &Session, name: &str, owner: &Caller) -> Self {
        let own_endpoint = session.endpoint();
        let config = aws_sdk_s3::config::Builder::from(session.config())
            .force_path_style(own_endpoint.is_some())
            .build();
        let base = match own_endpoint {
            Some(endpoint) => format!("{}/{name}", endpoint.trim_end_matches('/')),
            None => format!(
                "https://{name}.s3.{}.{}",
                session.region(),
                owner.url_suffix()
            ),
        };
        Self {
            client: aws_sdk_s3::Client::from_conf(config),
            name: name.to_owned(),
            owner: owner.clone(),
            region: session.region().to_owned(),
            base,
            poll: session.poll(),
        }
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Creates the bucket unless it exists, and sets its protection in either case: encryption, no
    /// public access, TLS only, versioning.
    pub async fn ensure(&self, progress: &dyn Progress) -> Result<(), Error> {
        if !self.exists().await? {
            self.create(progress).await?;
        }
        self.protect().await
    }

    /// Creates the bucket. If a bucket of this name was deleted recently, waits until S3 releases
    /// the name.
    async fn create(&self, progress: &dyn Progress) -> Result<(), Error> {
        let mut told = false;
        let patience = Patience {
            poll: self.poll * 8,
            seconds: NAME_SECONDS,
        };
        let what = || {
            format!(
                "S3 giving the name of the deleted bucket `{}` back",
                self.name
            )
        };
        patience
            .until(what, async || {
                let Err(error) = self.create_now().await else {
                    return Ok(Some(()));
                };
                match error.code() {
                    Some("BucketAlreadyOwnedByYou") => Ok(Some(())),
                    Some("BucketAlreadyExists") => Err(self.foreign()),
                    Some(BUSY) => {
                        if !std::mem::replace(&mut told, true) {
                            progress.note(&format!(
                                "bucket `{}` was deleted a short time ago: S3 gives its name back \
                                 within about an hour; waiting (the command may be interrupted, and run again later)",
                                self.name
                            ));
                        }
                        Ok(None)
                    }
                    _ => Err(error),
                }
            })
            .await
    }

    async fn create_now(&self) -> Result<(), Error> {
        let mut create = self.client.create_bucket().bucket(&self.name);
        if self.region != "us-east-1" {
            create = create.create_bucket_configuration(
                CreateBucketConfiguration::builder()
                    .location_constraint(BucketLocationConstraint::from(self.region.as_str()))
                    .build(),
            );
        }
        create.send().await.map_err(failed("CreateBucket"))?;
        Ok(())
    }

    /// Whether the bucket exists. One of another account is an error.
    pub async fn exists(&self) -> Result<bool, Error> {
        let head = self
            .client
            .head_bucket()
            .bucket(&self.name)
            .expected_bucket_owner(self.owner.account())
            .send()
            .await;
        let Err(error) = head else { return Ok(true) };
        // A response to HEAD has no body that could give the reason.
        if status(&error) == Some(403) {
            return Err(self.foreign());
        }
        match failed("HeadBucket")(error) {
            error if error.is_not_found() => Ok(false),
            error => Err(error),
        }
    }

    fn foreign(&self) -> Error {
        Error::ForeignBucket {
            bucket: self.name.clone(),
            account: self.owner.account().to_owned(),
        }
    }

    /// Uploads the file under `key` unless the bucket holds that key. Returns whether it did. Keys
    /// name their content, so an existing key is never written again: a file that has changed since
    /// its digest was taken is refused.
    pub async fn publish(&self, key: &str, file: &Path, sha256: &str) -> Result<bool, Error> {
        let path = || file.display().to_string();
        let bytes = tokio::fs::read(file).await.map_err(|source| Error::Asset {
            path: path(),
            source: Box::new(source),
        })?;
        if format!("{:x}", Sha256::digest(&bytes)) != sha256 {
            return Err(Error::AssetChanged { path: path() });
        }
        self.publish_bytes(key, bytes).await
    }

    /// Uploads the bytes under `key` unless the bucket holds that key. Returns whether it did.
    pub async fn publish_bytes(&self, key: &str, bytes: Vec<u8>) -> Result<bool, Error> {
        let head = self.client.head_object().bucket(&self.name).key(key);
        let head = head.expected_bucket_owner(self.owner.account());
        match head.send().await.map_err(failed("HeadObject")) {
            Ok(_) => return Ok(false),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        self.client
            .put_object()
            .bucket(&self.name)
            .expected_bucket_owner(self.owner.account())
            .key(key)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(failed("PutObject"))?;
        Ok(true)
    }

    /// The URL of a key, in the form that CloudFormation accepts for a template.
    pub fn url(&self, key: &str) -> String {
        format!("{}/{key}", self.base)
    }

    /// Deletes every version of every key. Returns whether there were any.
    pub async fn empty(&self) -> Result<bool, Error> {
        let mut emptied = false;
        if !self.exists().await? {
            return Ok(emptied);
        }
        loop {
            let page = self
                .client
                .list_object_versions()
                .bucket(&self.name)
                .expected_bucket_owner(self.owner.account())
                .send()
                .await
                .map_err(failed("ListObjectVersions"))?;
            let versions = page.versions().iter();
            let versions = versions.map(|version| (version.key(), version.version_id()));
            let markers = page.delete_markers().iter();
            let markers = markers.map(|marker| (marker.key(), marker.version_id()));
            let all: Vec<_> = versions
                .chain(markers)
                .filter_map(|(key, version)| {
                    let object = ObjectIdentifier::builder().key(key?);
                    let object = object.set_version_id(version.map(str::to_owned));
                    object.build().ok()
                })
                .collect();
            if all.is_empty() {
                return Ok(emptied);
            }
            self.delete_objects(all).await?;
            emptied = true;
        }
    }

    /// Empties and deletes the bucket. Returns whether it existed.
    pub async fn remove(&self) -> Result<bool, Error> {
        if !self.exists().await? {
            return Ok(false);
        }
        self.empty().await?;
        self.client
            .delete_bucket()
            .bucket(&self.name)
            .expected_bucket_owner(self.owner.account())
            .send()
            .await
            .map_err(failed("DeleteBucket"))?;
        Ok(true)
    }

    async fn delete_objects(&self, objects: Vec<ObjectIdentifier>) -> Result<(), Error> {
        let delete = Delete::builder()
            .set_objects(Some(objects))
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
            .expected_bucket_owner(self.owner.account())
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

/// The status of an error response.
fn status(error: &SdkError<HeadBucketError>) -> Option<u16> {
    match error {
        SdkError::ServiceError(context) => Some(context.raw().status().as_u16()),
        _ => None,
    }
}
