//! Files that are published before a stack is deployed: the functions' zips.

use std::collections::BTreeMap;
use std::path::PathBuf;

use domain::names::{Function, Names};

use crate::environment::{Architecture, Environment, LOCAL_ACCOUNT};

/// One built zip of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionAsset {
    /// Digest of the zip's bytes, in hexadecimal.
    pub sha256: String,
    /// The path of the zip.
    pub zip: PathBuf,
    /// The architecture of the binary inside, read from the binary. The template declares the same
    /// architecture for the function, even if the environment file requests another.
    pub architecture: Architecture,
}

/// The zip of every function.
pub type FunctionAssets = BTreeMap<Function, FunctionAsset>;

/// Placeholders for zips that are not built.
pub(crate) fn unbuilt(architecture: Architecture) -> FunctionAssets {
    let asset = |function: Function| FunctionAsset {
        sha256: format!("not-built/{}", function.folder()),
        zip: PathBuf::new(),
        architecture,
    };
    Function::ALL
        .into_iter()
        .map(|function| (function, asset(function)))
        .collect()
}

/// A file to publish to S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAsset {
    /// Digest of its bytes, in hexadecimal.
    pub sha256: String,
    /// Its path.
    pub zip: PathBuf,
    /// The bucket, in which `${AWS::AccountId}` and `${AWS::Region}` stand for the target account
    /// and region, as in the CDK's asset manifests.
    pub bucket: String,
    /// The object's key.
    pub key: String,
}

impl FileAsset {
    /// A zip of this digest, published to a bucket under `{sha256}.zip`.
    pub fn new(
        zip: impl Into<PathBuf>,
        sha256: impl Into<String>,
        bucket: impl Into<String>,
    ) -> Self {
        let sha256 = sha256.into();
        Self {
            zip: zip.into(),
            bucket: bucket.into(),
            key: format!("{sha256}.zip"),
            sha256,
        }
    }
}

/// The bucket for the environment's files. It belongs to this environment alone: deleting it with
/// the environment leaves every other environment its code.
///
/// If the account is known neither from the file nor because it is `local`, the name contains
/// `${AWS::AccountId}`: the publisher fills in the account of the credentials.
pub fn assets_bucket(environment: &Environment) -> String {
    let account = match &environment.account {
        Some(account) => account.as_str(),
        None if environment.is_local() => LOCAL_ACCOUNT,
        None => "${AWS::AccountId}",
    };
    named(&environment.names(), account, environment.region.as_str())
}

/// The same for every account and region, as templates and manifests hold it.
pub(crate) fn bucket_pattern(names: &Names) -> String {
    named(names, "${AWS::AccountId}", "${AWS::Region}")
}

/// The bucket's name in an account and region.
pub(crate) fn named(names: &Names, account: &str, region: &str) -> String {
    let prefix = names.resource_prefix();
    let environment = names.environment();
    format!("{prefix}-assets-{environment}-{account}-{region}")
}
