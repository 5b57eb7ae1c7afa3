//! The cloud assembly, which both the CDK command line and this project's own deploy.
//!
//! Layout of `@aws-cdk/cloud-assembly-schema` 36.0.0: `manifest.json`, a template and an asset
//! manifest per stack, the zips beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::names::TrackingMode;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::assets::FileAsset;
use crate::cfn::LogicalId;
use crate::local::Unsupported;

/// The layout's version.
const VERSION: &str = "36.0.0";
/// The largest template that CloudFormation accepts from S3.
const TEMPLATE_BYTES: usize = 1024 * 1024;

/// Everything that one environment deploys.
#[derive(Clone, Debug)]
pub struct Assembly {
    /// The environment's name.
    pub environment: String,
    /// The account, or `unknown-account` for the account of the credentials.
    pub account: String,
    /// The region.
    pub region: String,
    /// How usage is reported.
    pub mode: TrackingMode,
    /// In the order of deployment.
    pub stacks: Vec<StackArtifact>,
}

/// One stack.
#[derive(Clone, Debug)]
pub struct StackArtifact {
    /// Its name.
    pub name: String,
    /// Its template, JSON.
    pub template: String,
    /// The stacks that are deployed before it. Nothing refers to them: this is an order, not a
    /// dependency that would prevent the deletion of one.
    pub depends_on: Vec<String>,
    /// The files to publish before it is deployed.
    pub assets: Vec<FileAsset>,
    /// The parts of it that the embedded AWS does not support.
    pub unsupported_locally: Vec<Unsupported>,
    /// Tags of the stack; every taggable resource also carries them itself.
    pub tags: BTreeMap<String, String>,
}

impl StackArtifact {
    /// The alarms on metric math: the embedded AWS rolls the stack back for one. A deploy to it
    /// removes these from the template, and reports that.
    pub fn metric_math_alarms(&self) -> Vec<LogicalId> {
        let refused = self.unsupported_locally.iter().filter(|u| u.refused);
        refused.map(|u| u.logical_id.clone()).collect()
    }
}

/// Why an assembly could not be written or compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssemblyError {
    /// A file could not be read or written.
    #[error("cannot access `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A manifest could not be serialised.
    #[error("the manifest of `{artifact}` cannot be written as JSON")]
    Manifest {
        /// The artifact.
        artifact: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// CloudFormation does not accept a template of this size.
    #[error("the template of `{stack}` has {bytes} bytes, {TEMPLATE_BYTES} are allowed")]
    TooLarge {
        /// The stack.
        stack: String,
        /// Its size.
        bytes: usize,
    },
}

impl Assembly {
    /// Writes the assembly into a folder, including the zips. Files that an earlier assembly left
    /// there are removed; others are not touched.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or written, or a template is larger than CloudFormation accepts.
    pub fn write(&self, dir: &Path) -> Result<(), AssemblyError> {
        std::fs::create_dir_all(dir).map_err(|source| file(dir, source))?;
        let files = self.files()?;
        for path in leftovers(dir, &files, &self.zips())? {
            std::fs::remove_file(&path).map_err(|source| file(&path, source))?;
        }
        for (name, text) in files {
            let path = dir.join(name);
            std::fs::write(&path, text).map_err(|source| file(&path, source))?;
        }
        for (name, zip) in self.zips() {
            let path = dir.join(name);
            // It is named by its digest: an existing file is the same.
            if !path.exists() {
                std::fs::copy(&zip, &path).map_err(|source| file(&zip, source))?;
            }
        }
        Ok(())
    }

    /// The files of a folder that differ from what [`Assembly::write`] would write there; writes
    /// nothing. Zips are compared by their names, which are their digests.
    ///
    /// # Errors
    ///
    /// As [`Assembly::write`].
    pub fn differences(&self, dir: &Path) -> Result<Vec<PathBuf>, AssemblyError> {
        let files = self.files()?;
        let mut differing = leftovers(dir, &files, &self.zips())?;
        for (name, text) in &files {
            let path = dir.join(name);
            if std::fs::read_to_string(&path).ok().as_deref() != Some(text) {
                differing.push(path);
            }
        }
        for name in self.zips().into_keys() {
            let path = dir.join(name);
            if !path.exists() {
                differing.push(path);
            }
        }
        differing.sort();
        Ok(differing)
    }

    /// Templates and manifests by file name.
    fn files(&self) -> Result<BTreeMap<String, String>, AssemblyError> {
        let mut files = BTreeMap::new();
        let mut artifacts = BTreeMap::new();
        for stack in &self.stacks {
            if stack.template.len() > TEMPLATE_BYTES {
                return Err(AssemblyError::TooLarge {
                    stack: stack.name.clone(),
                    bytes: stack.template.len(),
                });
            }
            files.insert(stack.template_file(), stack.template.clone());
            if !stack.assets.is_empty() {
                let manifest = stack.asset_manifest(&self.region);
                files.insert(stack.assets_file(), pretty(&stack.name, &manifest)?);
                artifacts.insert(stack.assets_id(), stack.assets_artifact());
            }
            artifacts.insert(stack.name.clone(), self.artifact(stack));
        }
        let manifest = Manifest {
            version: VERSION,
            artifacts,
        };
        files.insert(
            "manifest.json".to_owned(),
            pretty("manifest.json", &manifest)?,
        );
        Ok(files)
    }

    /// Zips by file name.
    fn zips(&self) -> BTreeMap<String, PathBuf> {
        let assets = self.stacks.iter().flat_map(|stack| &stack.assets);
        assets
            .map(|asset| (zip_file(asset), asset.zip.clone()))
            .collect()
    }

    fn artifact<'a>(&'a self, stack: &'a StackArtifact) -> Artifact<'a> {
        let mut dependencies = stack.depends_on.clone();
        if !stack.assets.is_empty() {
            dependencies.push(stack.assets_id());
        }
        Artifact {
            kind: "aws:cloudformation:stack",
            environment: Some(format!("aws://{}/{}", self.account, self.region)),
            dependencies,
            display_name: Some(&stack.name),
            properties: ArtifactProperties::Stack {
                template_file: stack.template_file(),
                stack_template_asset_object_url: stack.template_address(),
                stack_name: &stack.name,
                validate_on_synth: false,
                tags: &stack.tags,
            },
        }
    }
}

impl StackArtifact {
    fn template_file(&self) -> String {
        format!("{}.template.json", self.name)
    }

    /// The template's key in the bucket of the stack's assets, if it has any. CloudFormation
    /// accepts at most 51,200 bytes in a request, and more from S3.
    fn template_key(&self) -> String {
        let digest = Sha256::digest(&self.template);
        let digits = digest.iter().map(|byte| format!("{byte:02x}"));
        digits.collect::<Vec<_>>().concat()
    }

    fn template_address(&self) -> Option<String> {
        let bucket = &self.assets.first()?.bucket;
        Some(format!("s3://{bucket}/{}.json", self.template_key()))
    }

    fn assets_id(&self) -> String {
        format!("{}.assets", self.name)
    }

    fn assets_file(&self) -> String {
        format!("{}.assets.json", self.name)
    }

    fn assets_artifact(&self) -> Artifact<'_> {
        Artifact {
            kind: "cdk:asset-manifest",
            environment: None,
            dependencies: Vec::new(),
            display_name: None,
            properties: ArtifactProperties::Assets {
                file: self.assets_file(),
            },
        }
    }

    fn asset_manifest<'a>(&'a self, region: &'a str) -> AssetManifest<'a> {
        let file = |path: String, bucket_name: &'a str, object_key: String| {
            let destination = Destination {
                bucket_name,
                object_key,
                region,
            };
            AssetFile {
                source: Source {
                    path,
                    packaging: "file",
                },
                destinations: BTreeMap::from([("target", destination)]),
            }
        };
        let zips = self.assets.iter().map(|asset| {
            let zip = file(zip_file(asset), &asset.bucket, asset.key.clone());
            (asset.sha256.clone(), zip)
        });
        let mut files: BTreeMap<String, AssetFile<'a>> = zips.collect();
        if let Some(asset) = self.assets.first() {
            let key = self.template_key();
            let object = format!("{key}.json");
            files.insert(key, file(self.template_file(), &asset.bucket, object));
        }
        AssetManifest {
            version: VERSION,
            files,
            docker_images: NoImages {},
        }
    }
}

#[derive(Serialize)]
struct Manifest<'a> {
    version: &'a str,
    artifacts: BTreeMap<String, Artifact<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Artifact<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    properties: ArtifactProperties<'a>,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum ArtifactProperties<'a> {
    Stack {
        template_file: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        stack_template_asset_object_url: Option<String>,
        stack_name: &'a str,
        validate_on_synth: bool,
        tags: &'a BTreeMap<String, String>,
    },
    Assets {
        file: String,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AssetManifest<'a> {
    version: &'a str,
    files: BTreeMap<String, AssetFile<'a>>,
    docker_images: NoImages,
}

/// No stack here has a container image; the layout requires the member nevertheless.
#[derive(Serialize)]
struct NoImages {}

#[derive(Serialize)]
struct AssetFile<'a> {
    source: Source,
    destinations: BTreeMap<&'a str, Destination<'a>>,
}

#[derive(Serialize)]
struct Source {
    path: String,
    packaging: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Destination<'a> {
    bucket_name: &'a str,
    object_key: String,
    region: &'a str,
}

fn zip_file(asset: &FileAsset) -> String {
    format!("asset.{}.zip", asset.sha256)
}

fn pretty(artifact: &str, value: &impl Serialize) -> Result<String, AssemblyError> {
    let text = serde_json::to_string_pretty(value).map_err(|source| AssemblyError::Manifest {
        artifact: artifact.to_owned(),
        source,
    })?;
    Ok(text + "\n")
}

/// Files of earlier assemblies.
fn leftovers(
    dir: &Path,
    files: &BTreeMap<String, String>,
    zips: &BTreeMap<String, PathBuf>,
) -> Result<Vec<PathBuf>, AssemblyError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(file(dir, source)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| file(dir, source))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = name.ends_with(".template.json")
            || name.ends_with(".assets.json")
            || (name.starts_with("asset.") && name.to_ascii_lowercase().ends_with(".zip"));
        if ours && !files.contains_key(&name) && !zips.contains_key(&name) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn file(path: &Path, source: std::io::Error) -> AssemblyError {
    AssemblyError::File {
        path: path.to_owned(),
        source,
    }
}
