//! cfn-lint finds nothing in any template that can be deployed, in any region of note, a validator
//! nothing in environment files, and a spell checker nothing in any text.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use domain::gateway::Gateway;
use stacks::attach::Language;
use tests::synthesised::{OWN_API, environment, root, secured, snippet, variants};
use tests::tools::Tools;

/// The default region, the one whose limits differ most often, and one in Europe.
const REGIONS: [&str; 3] = ["ap-south-1", "us-east-1", "eu-west-1"];

/// Runs cfn-lint on all templates of a folder. Its exit code is 0 if it finds neither an error nor
/// a warning.
fn lint(tools: &Tools, folder: &Path) -> Output {
    Command::new(&tools.cfn_lint)
        .current_dir(folder)
        .args(["--format", "parseable", "--regions"])
        .args(REGIONS)
        .args(["--template", "*.json"])
        .output()
        .unwrap()
}

#[test]
fn the_linter_finds_neither_error_nor_warning() {
    // A template that two variants share is linted once.
    let mut templates: BTreeMap<String, String> = BTreeMap::new();
    for (variant, assembly) in variants() {
        for stack in assembly.stacks {
            let name = format!("{}-{variant}.json", stack.name);
            templates.entry(stack.template).or_insert(name);
        }
    }
    for (environment, name) in [
        (environment("test"), "roles.json"),
        (secured(), "secured.json"),
    ] {
        templates.insert(stacks::roles(&environment).unwrap(), name.to_owned());
    }
    let folder = tempfile::tempdir().unwrap();
    for (template, name) in &templates {
        std::fs::write(folder.path().join(name), template).unwrap();
    }
    let said = lint(&Tools::ensure(), folder.path());
    let found = String::from_utf8_lossy(&said.stdout);
    let failed = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{found}{failed}");
    assert_eq!(found, "");
}

#[test]
fn what_attach_prints_for_sam_and_cloudformation_is_a_template() {
    let (tools, folder) = (Tools::ensure(), tempfile::tempdir().unwrap());
    for gateway in [Gateway::Rest, Gateway::Http] {
        for language in [Language::Sam, Language::CloudFormation] {
            let file = format!("{}-{language:?}.yaml", gateway.as_str());
            let lint = |text: &str| {
                std::fs::write(folder.path().join(&file), text).unwrap();
                let said = Command::new(&tools.cfn_lint)
                    .current_dir(folder.path())
                    .args(["--format", "parseable", "--template", &file])
                    .output()
                    .unwrap();
                let found = String::from_utf8_lossy(&said.stdout).into_owned();
                (said.status.success(), found)
            };
            let snippet = snippet(gateway, language);
            assert_eq!(lint(&snippet), (true, String::new()), "{gateway:?}");
            let (passed, found) = lint(&snippet.replace("Principal:", "Principle:"));
            assert!(!passed && found.contains("Principle"), "{found}");
        }
    }
}

#[test]
fn the_linter_does_look() {
    let folder = tempfile::tempdir().unwrap();
    let template = r#"{"Resources": {"Rule": {"Type": "AWS::Events::Rule",
        "Properties": {"ScheduleExpression": "rate(1 minutes)"}}}}"#;
    std::fs::write(folder.path().join("faulty.json"), template).unwrap();
    let said = lint(&Tools::ensure(), folder.path());
    assert!(!said.status.success());
    let found = String::from_utf8_lossy(&said.stdout);
    assert!(found.contains("faulty.json:2:24:"), "{found}");
    assert!(found.contains("'minutes' is not one of"), "{found}");
}

#[test]
fn no_word_is_misspelt() {
    let check = |folder: &Path| {
        let said = Command::new(&Tools::ensure().typos)
            .current_dir(folder)
            .args(["--format", "brief"])
            .output()
            .unwrap();
        (
            said.status.success(),
            String::from_utf8_lossy(&said.stdout).into_owned(),
        )
    };
    assert_eq!(check(&root()), (true, String::new()));
    // It does look.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("text.md"),
        concat!("It is rec", "ieved.\n"),
    )
    .unwrap();
    let (passed, found) = check(folder.path());
    assert!(!passed && found.contains("text.md:1:7"), "{found}");
}

/// Validates YAML files against the schema that editors use. Prints what it finds, and the number of
/// files. Python's patterns have no Unicode properties, which those of JSON Schema have.
const VALIDATE: &str = r"
import json, sys, jsonschema, yaml
schema = json.loads(open(sys.argv[1]).read().replace(r'\\p{L}\\p{N}', r'\\w'))
kind = jsonschema.validators.validator_for(schema)
kind.check_schema(schema)
for file in sys.argv[2:]:
    for error in kind(schema).iter_errors(yaml.safe_load(open(file))):
        print(f'{file}: {error.json_path}')
print(len(sys.argv) - 2)
";

#[test]
fn the_schema_for_editors_accepts_what_the_commands_accept() {
    let environments = root().join("stacks/environments");
    let text = std::fs::read_to_string(environments.join("test.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, more: &str| {
        std::fs::write(folder.path().join(name), format!("{text}\n{more}\n")).unwrap();
    };
    write("own-api.yaml", OWN_API);
    write(
        "wrong.yaml",
        "upstream: {url: 'https://a.example', retries: 3}",
    );
    for name in ["local.yaml", "test.yaml", "prod.yaml"] {
        std::fs::copy(environments.join(name), folder.path().join(name)).unwrap();
    }
    let said = Command::new(Tools::ensure().cfn_lint.with_file_name("python"))
        .current_dir(folder.path())
        .args(["-c", VALIDATE])
        .arg(environments.join("environment.schema.json"))
        .args([
            "local.yaml",
            "test.yaml",
            "prod.yaml",
            "own-api.yaml",
            "wrong.yaml",
        ])
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&said.stdout);
    let failed = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{failed}");
    assert_eq!(found, "wrong.yaml: $.upstream\n5\n");
}
