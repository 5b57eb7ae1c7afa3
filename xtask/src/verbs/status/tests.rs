//! The status in words, and its troubles.

use super::*;

fn status() -> Status {
    Status {
        environment: "local".into(),
        mode: "stream",
        troubles: Vec::new(),
        stacks: vec![StackStatus {
            name: "S".into(),
            status: "CREATE_COMPLETE".into(),
        }],
        missing: Vec::new(),
        stream: Some(StreamStatus {
            shards: 2,
            iterator_age_ms: Some(0),
        }),
        calls_now: Some(7),
        lag_ms: Some(0),
        oldest_uncounted: None,
        alarms: vec![AlarmState {
            name: "a".into(),
            state: "OK".into(),
            description: "Wake up.".into(),
        }],
        dead_letters: Some(0),
        incoming: Some(5),
        processed: Some(5),
        last_deploy: Some("2026-11-27T20:00:00.000Z".into()),
    }
}

#[test]
fn the_json_has_the_members_of_the_contract() {
    let json = serde_json::to_value(status()).unwrap();
    for (member, value) in [
        ("environment", serde_json::json!("local")),
        ("mode", serde_json::json!("stream")),
        (
            "stacks",
            serde_json::json!([{"name": "S", "status": "CREATE_COMPLETE"}]),
        ),
        (
            "stream",
            serde_json::json!({"shards": 2, "iteratorAgeMs": 0}),
        ),
        ("deadLetters", serde_json::json!(0)),
        ("incoming", serde_json::json!(5)),
        ("processed", serde_json::json!(5)),
    ] {
        assert_eq!(json[member], value, "{member}");
    }
    assert_eq!(json["alarms"][0]["name"], "a");
    assert_eq!(json["alarms"][0]["state"], "OK");
}

#[test]
fn what_is_well_says_so_first_and_fits_one_screen() {
    let status = status();
    assert!(status.found_troubles().is_empty());
    let text = status.text();
    assert!(text.starts_with("local        well\n"), "{text}");
    assert!(text.lines().count() < 24);
    assert!(text.contains("alarms       none of 1"), "{text}");
    assert!(!text.contains("Wake up."));
}

#[test]
fn trouble_comes_first_and_an_alarm_says_what_to_do() {
    let mut status = status();
    status.stacks[0].status = "UPDATE_ROLLBACK_FAILED".into();
    status.alarms[0].state = "ALARM".into();
    status.dead_letters = Some(3);
    status.lag_ms = Some(180_000);
    status.oldest_uncounted = Some("2026-11-27T19:57:00.000Z".into());
    status.troubles = status.found_troubles();
    assert_eq!(
        status.troubles,
        [
            "stack `S` is `UPDATE_ROLLBACK_FAILED`",
            "1 alarm",
            "3 dead letters",
            "counts are 3 min behind"
        ]
    );
    let text = status.text();
    assert!(
        text.starts_with("local        NOT WELL: stack `S`"),
        "{text}"
    );
    assert!(text.ends_with("  a\n    Wake up."), "{text}");
}

/// The most lines of a terminal that nobody has resized.
const SCREEN: usize = 24;

#[test]
fn forty_alarms_fit_one_screen_and_say_how_many_are_left_out() {
    let mut status = status();
    let alarm = AlarmState {
        name: "a".into(),
        state: "ALARM".into(),
        description: "Wake up.".into(),
    };
    status.alarms = vec![alarm; 40];
    status.stacks = ["Data", "Kinesis", "API"]
        .map(|name| StackStatus {
            name: name.into(),
            status: "UPDATE_COMPLETE".into(),
        })
        .into();
    let text = status.text();
    assert!(text.lines().count() < SCREEN, "{text}");
    assert!(text.ends_with("  and 36 more: `cargo xtask status --json` lists all"));
}

#[test]
fn a_stack_that_the_mode_needs_and_that_is_gone_is_trouble() {
    let stack = |kind| (kind, Deployed::default());
    let api = |mode: &str| {
        let mut api = Deployed::default();
        api.outputs.insert("TrackingMode".into(), mode.into());
        (StackKind::Api, api)
    };
    let data = stack(StackKind::Data);
    assert_eq!(
        missing(&[data.clone(), api("stream")]),
        [StackKind::Kinesis]
    );
    assert_eq!(missing(&[data.clone(), api("synchronous")]), []);
    assert_eq!(
        missing(&[data, stack(StackKind::Kinesis)]),
        [StackKind::Api]
    );
    let mut status = status();
    status.missing = vec!["CompliCal-Kinesis-local".into()];
    assert_eq!(
        status.found_troubles(),
        ["stack `CompliCal-Kinesis-local` is missing"]
    );
}
