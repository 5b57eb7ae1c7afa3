//! What the commands say in each state in which a deployment may be found: exit code and both
//! streams.

use domain::time::UnixMillis;
use tests::cloud::Cloud;
use tests::place::Ended;
use tests::server::Server;
use tests::terminal::{CTRL_C, Terminal};

const API: &str = "CompliCal-API-test";
const DATA: &str = "CompliCal-Data-test";

/// The code and both streams, without what differs from run to run.
fn shown(cloud: &Cloud, ended: &Ended) -> String {
    let place = cloud.place.dir().display().to_string();
    let text = format!(
        "exit code {}\n--- stdout\n{}--- stderr\n{}",
        ended.code.unwrap(),
        ended.stdout,
        ended.stderr
    );
    let text = text.replace(&place, "PLACE").replace(&cloud.address, "AWS");
    let lines = text.lines().map(|line| {
        let words = line.split(' ').map(|word| {
            let is_time = word.parse::<UnixMillis>().is_ok();
            if is_time { "TIME" } else { word }
        });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Runs a command in the state that the cloud plays, and leaves that state.
fn said(cloud: &Cloud, arguments: &str) -> String {
    let ended = tokio::task::block_in_place(|| cloud.place.run(arguments));
    cloud.play_nothing();
    shown(cloud, &ended)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_state_is_said_with_its_way_on() {
    let mut cloud = Cloud::start(Server::ministack().await).await;
    cloud.place.set("ENABLE_KINESIS_ANALYTICS", "false");
    let deployed = tokio::task::block_in_place(|| cloud.place.run("deploy --env test --yes"));
    assert_eq!(deployed.code, Some(0), "{deployed:#?}");

    insta::assert_snapshot!("nothing-changed", said(&cloud, "deploy --env test --yes"));

    cloud.play_protected(DATA);
    insta::assert_snapshot!("protected", said(&cloud, "destroy --env test --yes"));

    cloud.play_status(API, "UPDATE_IN_PROGRESS");
    insta::assert_snapshot!("someone-deploys", said(&cloud, "diff --env test"));

    cloud.play_status(API, "UPDATE_ROLLBACK_FAILED");
    insta::assert_snapshot!("stuck-diff", said(&cloud, "diff --env test"));
    cloud.play_status(API, "UPDATE_ROLLBACK_FAILED");
    insta::assert_snapshot!("stuck-deploy", said(&cloud, "deploy --env test"));
    cloud.play_status(API, "UPDATE_ROLLBACK_FAILED");
    insta::assert_snapshot!("stuck-status", said(&cloud, "status --env test"));

    let refused = "cloudformation:CreateChangeSet";
    let message = format!(
        "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: {refused} on resource: {DATA}"
    );
    cloud.play_refusal(refused, "AccessDenied", &message);
    insta::assert_snapshot!("not-allowed", said(&cloud, "deploy --env test --yes"));
    cloud.play_refusal(refused, "Throttling", "Rate exceeded");
    insta::assert_snapshot!("throttled", said(&cloud, "deploy --env test --yes"));
    let expired = "The security token included in the request is expired";
    cloud.play_refusal("sts:GetCallerIdentity", "ExpiredToken", expired);
    insta::assert_snapshot!("expired", said(&cloud, "deploy --env test --yes"));

    // What a question is about is shown even with `--quiet`; production asks for its name.
    cloud.play_status(API, "UPDATE_ROLLBACK_FAILED");
    let asked = said(&cloud, "deploy --env test --quiet");
    assert!(asked.contains("first: finish the rollback"), "{asked}");
    let file = cloud.place.dir().join("environments/test.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}production: true\n")).unwrap();
    cloud.place.set("ENABLE_KINESIS_ANALYTICS", "true");
    let asked = said(&cloud, "deploy --env test --quiet");
    assert!(asked.starts_with("exit code 1\n"), "{asked}");
    for part in [
        "what changes:",
        "CompliCal-Kinesis-test",
        "[type `test`] no",
    ] {
        assert!(asked.contains(part), "`{part}` is not in {asked}");
    }
    for (answer, code, said) in [
        (CTRL_C, 130, "error: interrupted"),
        ("\n", 1, "declined: nothing was changed"),
        ("y\n", 1, "declined: nothing was changed"),
    ] {
        answered(&cloud, answer, code, said).await;
    }
    cloud.place.set("ENABLE_KINESIS_ANALYTICS", "false");

    // Nothing of all this changed anything.
    let standing = said(&cloud, "diff --env test --exit-code");
    assert!(standing.starts_with("exit code 0\n"), "{standing}");

    let mut terminal = Terminal::start(&cloud.place, "destroy --env test");
    terminal.wait_for("[type `test`]");
    terminal.type_in("test\n");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
}

/// Answers the question of a deploy on a terminal. No answer but yes leaves a change set.
async fn answered(cloud: &Cloud, answer: &str, code: i32, said: &str) {
    let client = aws_sdk_cloudformation::Client::new(&cloud.sdk().await);
    let prepared = async || {
        let listed = client.list_change_sets().stack_name(API).send().await;
        let listed = listed.unwrap();
        let waiting = listed.summaries().iter().filter(|one| {
            one.execution_status()
                == Some(&aws_sdk_cloudformation::types::ExecutionStatus::Available)
        });
        waiting.count()
    };
    let mut terminal = Terminal::start(&cloud.place, "deploy --env test");
    terminal.wait_for("[type `test`]");
    assert_eq!(prepared().await, 1, "the question is about a change set");
    terminal.type_in(answer);
    let (ended, shown) = terminal.end();
    assert_eq!(ended, Some(code), "{shown}");
    assert!(shown.contains(said), "no `{said}` in {shown}");
    assert_eq!(prepared().await, 0, "{shown}");
}
