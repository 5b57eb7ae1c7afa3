#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::rejection::LONGEST_MESSAGE;
use super::*;
use crate::dimension::is_name;

fn record() -> Value {
    json!({
        "specversion": "1.0",
        "id": "01a20400-190f-7fff-bfff-ffffffffffff",
        "source": "/complical/test/api",
        "type": "API_CALL",
        "time": "2026-11-22T16:04:05.007Z",
        "subject": "ann@example.com",
        "traceparent": "a field of tomorrow",
        "data": {
            "keyId": "key_1", "plan": "free", "method": "GET", "endpoint": "/v1/deadlines",
            "ip": "192.0.2.1", "userAgent": "curl", "requestId": "r", "stage": "test",
            "another": 1,
        },
    })
}

fn decode(record: &Value) -> Result<UsageEvent, Rejection> {
    UsageEvent::decode(record.to_string().as_bytes())
}

/// The record with another value at a JSON pointer.
fn changed(pointer: &str, value: Value) -> Value {
    let mut record = record();
    *record.pointer_mut(pointer).unwrap() = value;
    record
}

fn rejected(pointer: &str, value: Value) -> Rejection {
    decode(&changed(pointer, value)).unwrap_err()
}

fn event() -> UsageEvent {
    decode(&record()).unwrap()
}

/// Any text of at most `most` bytes: with quotes, control characters and four-byte characters.
fn text(least: usize, most: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), least..=most / 4).prop_map(String::from_iter)
}

fn optional(most: usize) -> impl Strategy<Value = Option<String>> {
    option::of(text(0, most))
}

fn any_labels() -> impl Strategy<Value = Vec<Label<'static>>> {
    let values = proptest::collection::btree_map("[a-z]{1,9}", ("\\PC{1,9}", 1_u8..=50), 0..4);
    values.prop_map(|values| {
        let values = values.into_iter();
        let values = values.filter(|(name, _)| is_name(name));
        let labels = values.map(|(name, (value, values))| Label {
            name: name.into(),
            value: value.into(),
            values,
        });
        labels.collect()
    })
}

prop_compose! {
    fn any_data()(
        (key_id, plan, stage) in (optional(64), optional(64), optional(256)),
        (method, endpoint, ip) in (text(1, 512), text(1, 512), text(0, 64)),
        units in prop_oneof![Just(1), any::<u32>()],
        (user_agent, request_id) in (optional(256), optional(256)),
        mode in select(vec![TrackingMode::Stream, TrackingMode::Synchronous]),
        reason in option::of(select(Why::ALL.to_vec())),
        dimensions in any_labels(),
    ) -> EventData {
        EventData { key_id, plan, method, endpoint, units, dimensions, ip, user_agent, request_id, stage, mode, reason }
    }
}

prop_compose! {
    fn any_event()(
        id in (0_u64..=253_402_207_200_000, any::<[u8; 10]>()),
        source in text(0, 256),
        event_type in select(EventType::ALL.to_vec()),
        subject in text(1, 254),
        data in any_data(),
    ) -> UsageEvent {
        let id = EventId::mint(id.0, id.1);
        let subject = Subject::as_carried(&subject);
        UsageEvent { id, source, event_type, time: id.minted_at(), subject, data }
    }
}

proptest! {
    #[test]
    fn an_event_reads_back_as_written(event in any_event()) {
        let json = event.to_json();
        let read = EventRef::decode(&json).unwrap();
        prop_assert_eq!(&read, &event.borrowed());
        prop_assert_eq!(read.time(), event.time);
        prop_assert_eq!(read.to_owned(), event);
    }

    #[test]
    fn any_bytes_are_rejected_or_are_an_event(
        bytes in vec(any::<u8>(), 0..200),
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        prop_assert!(EventRef::decode(&bytes).is_err());
        let mut json = event().to_json();
        for (at, byte) in changes {
            *at.get_mut(&mut json) = byte;
        }
        if let Ok(read) = UsageEvent::decode(&json) {
            prop_assert_eq!(UsageEvent::decode(&read.to_json()), Ok(read));
        }
    }

    #[test]
    fn a_time_other_than_the_ids_is_malformed(event in any_event(), millis in 1_i64..1 << 40) {
        let mut other = event;
        let earlier = other.time.plus_millis(-millis);
        let later = other.time.plus_millis(millis);
        for time in [earlier, later] {
            if time == other.id.minted_at() {
                continue;
            }
            other.time = time;
            let rejection = UsageEvent::decode(&other.to_json()).unwrap_err();
            prop_assert_eq!(rejection.reason, Reason::Malformed);
            prop_assert!(rejection.message.starts_with("`time`: "), "{}", rejection);
        }
    }
}

#[test]
fn dimensions_are_sorted_and_those_that_no_authorizer_writes_are_malformed() {
    let label = |name: &str, value: &str, values: u32| json!({"name": name, "value": value, "values": values});
    let mut record = record();
    record["data"]["dimensions"] = json!([label("tenant", "acme", 20), label("region", "eu", 3)]);
    let event = decode(&record).unwrap();
    let names: Vec<_> = event
        .data
        .dimensions
        .iter()
        .map(|of| of.name.as_ref())
        .collect();
    assert_eq!(names, ["region", "tenant"]);
    for dimensions in [
        json!([label("status", "a", 1)]),
        json!([label("tenant", "", 1)]),
        json!([label("tenant", &"a".repeat(65), 1)]),
        json!([label("tenant", "a\nb", 1)]),
        json!([label("tenant", "a", 0)]),
        json!([label("tenant", "a", 51)]),
        json!([label("tenant", "a", 300)]),
        json!([label("tenant", "a", 1), label("tenant", "b", 1)]),
        json!(["a", "b", "c", "d"].map(|name| label(name, "a", 1))),
        json!([{"name": "tenant", "value": "a"}]),
    ] {
        record["data"]["dimensions"] = dimensions;
        let rejection = decode(&record).unwrap_err();
        assert_eq!(
            rejection.reason,
            Reason::Malformed,
            "{}",
            record["data"]["dimensions"]
        );
    }
}

#[test]
fn unknown_fields_are_ignored_and_so_are_the_lanes_of_an_older_release() {
    let mut older = record();
    older["data"]["lanes"] = json!(16);
    assert_eq!(decode(&older), Ok(event()));
    let written = String::from_utf8(event().to_json()).unwrap();
    for member in ["traceparent", "another", "lanes"] {
        assert!(!written.contains(member), "{written}");
    }
}

#[test]
fn the_stream_is_the_mode_of_an_event_that_names_none() {
    let mut event = event();
    assert_eq!(event.data.mode, TrackingMode::Stream);
    assert!(!String::from_utf8(event.to_json()).unwrap().contains("mode"));
    event.data.mode = TrackingMode::Synchronous;
    let written: Value = serde_json::from_slice(&event.to_json()).unwrap();
    assert_eq!(written["data"]["mode"], "synchronous");
}

#[test]
fn only_a_text_with_escapes_is_copied() {
    let mut record = record();
    record["data"]["userAgent"] = json!("curl \"8\"");
    let json = record.to_string();
    let event = EventRef::decode(json.as_bytes()).unwrap();
    let required = [
        &event.source,
        &event.subject,
        &event.method,
        &event.endpoint,
        &event.ip,
    ];
    let optional = [&event.key_id, &event.plan, &event.request_id, &event.stage];
    let optional = optional.into_iter().map(|text| text.as_ref().unwrap());
    for text in required.into_iter().chain(optional) {
        assert!(matches!(text, Cow::Borrowed(_)), "{text}");
    }
    assert!(matches!(event.user_agent, Some(Cow::Owned(text)) if text == "curl \"8\""));
}

#[test]
fn an_address_is_not_a_user_and_eight_bytes_tell_subjects_apart() {
    let user = Subject::user("Ann@Example.com");
    assert_eq!(user.email(), Some("ann@example.com"));
    assert_eq!(Subject::address("192.0.2.1").email(), None);
    // The first example of FIPS 180-4.
    let digest = [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea];
    assert_eq!(Subject::as_carried("abc").digest(), digest);
}

#[test]
fn each_text_has_a_longest_length_and_a_rejection_names_it() {
    for (pointer, name, least, most) in [
        ("/subject", "subject", 1, 254),
        ("/source", "source", 0, 256),
        ("/data/method", "data.method", 1, 512),
        ("/data/endpoint", "data.endpoint", 1, 512),
        ("/data/keyId", "data.keyId", 0, 64),
        ("/data/plan", "data.plan", 0, 64),
        ("/data/ip", "data.ip", 0, 64),
        ("/data/userAgent", "data.userAgent", 0, 256),
        ("/data/requestId", "data.requestId", 0, 256),
        ("/data/stage", "data.stage", 0, 256),
    ] {
        for length in [least, most] {
            let record = changed(pointer, json!("a".repeat(length)));
            assert!(decode(&record).is_ok(), "{pointer} of {length} bytes");
        }
        let rejection = rejected(pointer, json!("a".repeat(most + 1)));
        assert_eq!(rejection.reason, Reason::Malformed);
        let expected = if least == 0 {
            format!("at most {most}")
        } else {
            format!("1 to {most}")
        };
        let message = format!("`{name}`: expected {expected} bytes, found {}", most + 1);
        assert_eq!(rejection.message, message);
        if least == 1 {
            assert!(rejected(pointer, json!("")).message.ends_with("found 0"));
        }
    }
}

#[test]
fn a_required_member_that_is_missing_is_named() {
    let required = [
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "subject",
        "data",
    ];
    let required = required.map(|member| ("", member));
    let of_data = ["method", "endpoint", "ip"].map(|member| ("/data", member));
    for (object, member) in required.into_iter().chain(of_data) {
        let mut record = record();
        let object = record.pointer_mut(object).unwrap().as_object_mut().unwrap();
        object.remove(member).unwrap();
        let rejection = decode(&record).unwrap_err();
        assert_eq!(rejection.reason, Reason::Malformed);
        assert!(
            rejection.message.contains(&format!("`{member}`")),
            "{rejection}"
        );
    }
}

#[test]
fn an_optional_member_may_be_missing_or_null() {
    for member in ["keyId", "plan", "userAgent", "requestId", "stage"] {
        let null = changed(&format!("/data/{member}"), Value::Null);
        let mut missing = record();
        missing["data"].as_object_mut().unwrap().remove(member);
        let decoded = decode(&missing).unwrap();
        assert_eq!(decode(&null).as_ref(), Ok(&decoded), "{member}");
        let read_back = serde_json::to_value(&decoded.data).unwrap();
        assert_eq!(read_back.get(member), None);
    }
}

#[test]
fn a_member_of_the_wrong_kind_is_malformed() {
    for (pointer, value) in [
        ("/specversion", json!("0.3")),
        ("/id", json!("chosen-by-the-client")),
        ("/id", json!(7)),
        ("/source", json!(null)),
        ("/type", json!(1)),
        ("/time", json!("yesterday")),
        ("/time", json!(1_795_363_445_007_i64)),
        ("/subject", json!(["ann@example.com"])),
        ("/data", json!(null)),
        ("/data", json!("GET")),
        ("/data/method", json!(null)),
        ("/data/plan", json!(5)),
    ] {
        let rejection = rejected(pointer, value);
        assert_eq!(rejection.reason, Reason::Malformed, "{pointer}");
    }
    let mut record = record();
    record["data"]["mode"] = json!("fast");
    assert_eq!(decode(&record).unwrap_err().reason, Reason::Malformed);
}

#[test]
fn what_is_not_one_json_object_is_malformed() {
    let sound = record().to_string();
    let mut not_utf8 = sound.clone().into_bytes();
    not_utf8[sound.find("curl").unwrap()] = 0xff;
    for payload in [
        &b""[..],
        b"\xff{",
        b"null",
        b"{}",
        sound.get(1..).unwrap().as_bytes(),
        sound.repeat(2).as_bytes(),
        sound.replacen('{', r#"{"type":"API_CALL","#, 1).as_bytes(),
        &not_utf8,
    ] {
        let rejection = UsageEvent::decode(payload).unwrap_err();
        assert_eq!(rejection.reason, Reason::Malformed);
        assert!(rejection.message.starts_with("not a usage event: "));
    }
}

#[test]
fn an_unknown_type_is_quoted_but_not_at_any_length() {
    let unknown = rejected("/type", json!("API_GUESS"));
    assert_eq!(unknown.reason, Reason::UnknownType);
    assert!(unknown.message.contains("`API_GUESS`"), "{unknown}");
    let endless = rejected("/type", json!("é".repeat(1_000_000)));
    assert_eq!(endless.reason, Reason::UnknownType);
    assert!(endless.message.len() <= LONGEST_MESSAGE && endless.message.ends_with('é'));
}

#[test]
fn the_time_of_the_id_may_be_written_in_another_zone() {
    let elsewhere = changed("/time", json!("2026-11-22T21:34:05.007+05:30"));
    assert_eq!(decode(&elsewhere), Ok(event()));
}

#[test]
fn details_are_cut_between_characters() {
    assert_eq!(cut("curl/8.1"), "curl/8.1");
    assert_eq!(cut(&"é".repeat(200)), "é".repeat(128));
    assert_eq!(cut(&format!("a{}", "é".repeat(200))).len(), 255);
}

#[test]
fn types_and_reasons_are_named_as_documented() {
    for (event_type, name) in [
        (EventType::ApiCall, "API_CALL"),
        (EventType::AuthFailed, "API_AUTH_FAILED"),
        (EventType::RateLimited, "API_RATE_LIMITED"),
    ] {
        assert_eq!(event_type.as_str(), name);
        assert_eq!(EventType::parse(name), Some(event_type));
        assert_eq!(serde_json::to_value(event_type).unwrap(), name);
    }
    assert_eq!(EventType::parse("api_call"), None);
    for (reason, name) in [
        (Reason::Malformed, "malformed"),
        (Reason::UnknownType, "unknownType"),
        (Reason::FromTheFuture, "fromTheFuture"),
        (Reason::TooOld, "tooOld"),
    ] {
        assert_eq!(reason.as_str(), name);
    }
}

#[test]
fn time_is_accepted_from_seven_days_ago_to_five_minutes_ahead() {
    let event = event();
    let time = event.time;
    for (now, expected) in [
        (time, Ok(())),
        (time.plus_millis(-300_000), Ok(())),
        (time.plus_millis(-300_001), Err(Reason::FromTheFuture)),
        (time.plus_days(7), Ok(())),
        (time.plus_days(7).plus_millis(1), Err(Reason::TooOld)),
    ] {
        let checked = event.check_time(now);
        assert_eq!(checked, event.borrowed().check_time(now));
        assert_eq!(checked.map_err(|rejection| rejection.reason), expected);
    }
}

#[test]
fn a_busy_subject_has_several_partition_keys() {
    let event = event();
    for (spread, key) in [
        (0, "ann@example.com"),
        (1, "ann@example.com"),
        (8, "ann@example.com#7"),
    ] {
        assert_eq!(event.partition_key(spread), key);
    }
}

#[test]
fn the_longest_subject_has_a_partition_key_that_a_stream_accepts() {
    let mut event = event();
    event.subject = Subject::user(&"é".repeat(LONGEST_SUBJECT / 2));
    let key = event.partition_key(64);
    // One byte less than there is room for, since a character has two.
    assert!(
        key.len() == LONGEST_PARTITION_KEY - 1 && key.ends_with("é#63"),
        "{key}"
    );
}
