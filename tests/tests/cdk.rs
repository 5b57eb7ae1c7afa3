//! The CDK command line accepts the cloud assembly: `ls`, `diff`, `deploy` and `destroy` of the
//! pinned npm `aws-cdk`, on the test's own embedded AWS.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use stacks::{Assembly, assets_bucket, synthesise};
use tempfile::TempDir;
use tests::server::Server;
use tests::synthesised::{assets, environment};
use tests::tools::Tools;

const STACKS: [&str; 3] = [
    "CompliCal-API-local",
    "CompliCal-Data-local",
    "CompliCal-Kinesis-local",
];

/// Assets need an existing bucket: `deploy` creates it, the CDK does not.
async fn make_bucket(aws: &Server, name: &str) {
    let put = reqwest::Client::new().put(format!("{}/{name}", aws.endpoint));
    assert!(put.send().await.unwrap().status().is_success());
}

/// The CDK command line, in its own home folder.
struct Cdk<'a> {
    tools: &'a Tools,
    aws: &'a Server,
    assembly: &'a Path,
    home: TempDir,
}

impl Cdk<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(&self.tools.node)
            .arg(&self.tools.cdk)
            .arg("--app")
            .arg(self.assembly)
            .args(["--no-color", "--no-notices", "--no-version-reporting"])
            .args(arguments)
            .current_dir(self.home.path())
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", self.tools.node.parent().unwrap())
            .env("AWS_ENDPOINT_URL", &self.aws.endpoint)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "ap-south-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("CDK_DISABLE_CLI_TELEMETRY", "true")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Its output, expecting success.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = text(&output);
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    }

    /// Whether a deploy would change anything, and the output about it.
    fn differs(&self) -> (bool, String) {
        let output = self.run(&["diff", "--all", "--fail"]);
        let said = text(&output);
        match output.status.code() {
            Some(0) => (false, said),
            Some(1) => (true, said),
            other => panic!("{other:?}: {said}"),
        }
    }
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()];
    String::from_utf8_lossy(&both.concat()).into_owned()
}

/// Removes from the templates what the embedded AWS refuses, as `deploy` to `local` does.
fn without_refused(assembly: &Assembly, folder: &Path) {
    for stack in &assembly.stacks {
        let path = folder.join(format!("{}.template.json", stack.name));
        let mut template: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let resources = template.get_mut("Resources").unwrap();
        for alarm in stack.metric_math_alarms() {
            let removed = resources.as_object_mut().unwrap().remove(alarm.as_str());
            assert!(removed.is_some(), "{alarm}");
        }
        std::fs::write(path, template.to_string()).unwrap();
    }
}

#[tokio::test]
async fn the_cdk_lists_compares_deploys_and_destroys_the_assembly() {
    let folder = tempfile::tempdir().unwrap();
    let zips = tempfile::tempdir().unwrap();
    let local = environment("local");
    let assembly = synthesise(&local, &assets(zips.path())).unwrap();
    assembly.write(folder.path()).unwrap();
    without_refused(&assembly, folder.path());
    let tools = Tools::ensure();
    let aws = Server::ministack().await;
    make_bucket(&aws, &assets_bucket(&local)).await;
    let cdk = Cdk {
        tools: &tools,
        aws: &aws,
        assembly: folder.path(),
        home: tempfile::tempdir().unwrap(),
    };

    assert_eq!(cdk.says(&["--version"]).split(' ').next(), Some("2.1148.1"));
    let listed = cdk.says(&["ls"]);
    assert_eq!(listed.lines().collect::<Vec<_>>(), STACKS);

    let (differs, said) = cdk.differs();
    assert!(differs, "{said}");
    assert!(
        said.contains("[+] AWS::Kinesis::Stream UsageStream"),
        "{said}"
    );

    let said = cdk.says(&["deploy", "--all", "--require-approval", "never"]);
    for stack in STACKS {
        assert!(said.contains(&format!("✅  {stack}")), "{said}");
    }
    assert!(
        said.contains("CompliCal-API-local.ApiUrl = https://"),
        "{said}"
    );
    let (differs, said) = cdk.differs();
    assert!(!differs, "{said}");

    let said = cdk.says(&["destroy", "--all", "--force"]);
    for stack in STACKS {
        assert!(said.contains(&format!("✅  {stack}: destroyed")), "{said}");
    }
    let (differs, said) = cdk.differs();
    assert!(differs, "{said}");
}
