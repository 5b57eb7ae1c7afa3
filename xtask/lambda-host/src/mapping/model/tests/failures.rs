//! The consequences when a batch, or part of it, fails.

use super::*;

// "by default Lambda checkpoints to the highest sequence number of a batch only when the batch is
// a complete success. Lambda treats all other results as a complete failure and retries
// processing the batch up to the retry limit." (Configuring partial batch response)
#[test]
fn a_failed_batch_is_retried_whole_and_blocks_the_shard() {
    let mut stream = Stream::new(settings(), records(0..20));
    let first = stream.last().records.clone();
    for _ in 0..3 {
        stream.finish_and_wait(Finished::Failure);
        assert_eq!(stream.last().records, first);
    }
    assert_eq!(
        stream.checkpoints[SHARD],
        Checkpoint::At(Position::TrimHorizon)
    );
    stream.finish(Finished::Success);
    assert!(stream.is_done_to("9"));
}

// "If the batchItemFailures array contains multiple items, Lambda uses the record with the lowest
// sequence number as the checkpoint. Lambda then retries all records starting from that
// checkpoint." (Configuring partial batch response)
#[test]
fn a_partial_failure_is_retried_from_the_lowest_number() {
    let mut stream = Stream::new(settings(), records(0..10));
    stream.finish_and_wait(failures(&["7", "4", "9"]));
    assert_eq!(stream.last().records, ["4", "5", "6", "7", "8", "9"]);
    assert!(stream.is_done_to("3"));
}

// Sequence numbers differ in length; the lowest is the one that comes first in the shard.
#[test]
fn the_lowest_number_is_the_first_in_the_shard_not_in_the_alphabet() {
    let mut stream = Stream::new(settings(), vec![record("99"), record("100"), record("101")]);
    stream.finish_and_wait(failures(&["101", "100"]));
    assert_eq!(stream.last().records, ["100", "101"]);
}

// "Lambda treats a batch as a complete success if you return any of the following: an empty
// batchItemFailure list; a null batchItemFailure list; an empty EventResponse; a null
// EventResponse." and "as a complete failure if you return any of the following: an empty string
// itemIdentifier; a null itemIdentifier; an itemIdentifier with a bad key name." (Success and
// failure conditions)
#[test]
fn responses_mean_what_the_documentation_says() {
    for success in [
        "",
        "null",
        "{}",
        r#"{"batchItemFailures": []}"#,
        r#"{"batchItemFailures": null}"#,
    ] {
        assert_eq!(
            read_response(success.as_bytes()),
            Finished::Success,
            "{success}"
        );
    }
    for failure in [
        r#"{"batchItemFailures": [{"itemIdentifier": ""}]}"#,
        r#"{"batchItemFailures": [{"itemIdentifier": null}]}"#,
        r#"{"batchItemFailures": [{"bad": "1"}]}"#,
        r#"{"batchItemFailures": "all"}"#,
        "\"done\"",
        "{",
    ] {
        assert_eq!(
            read_response(failure.as_bytes()),
            Finished::Failure,
            "{failure}"
        );
    }
    assert_eq!(
        read_response(br#"{"batchItemFailures": [{"itemIdentifier": "5"}]}"#),
        failures(&["5"])
    );
}

// A number that is not in the batch names no position to resume at: the batch has failed.
#[test]
fn an_unknown_identifier_fails_the_whole_batch() {
    let mut stream = Stream::new(settings(), records(0..10));
    stream.finish_and_wait(failures(&["5", "unknown"]));
    assert_eq!(stream.last().records.len(), 10);
}

// "Even when your function code returns partial batch failure responses, these responses will not
// be processed by Lambda unless the ReportBatchItemFailures feature is explicitly turned on".
#[test]
fn without_the_response_type_failures_are_not_looked_at() {
    let mut stream = Stream::new(
        Settings {
            report_item_failures: false,
            ..settings()
        },
        records(0..10),
    );
    stream.finish(failures(&["4"]));
    assert!(stream.is_done_to("9"));
}

// "If your invocation fails and BisectBatchOnFunctionError is turned on, the batch is bisected
// regardless of your ReportBatchItemFailures setting." (Configuring partial batch response) and
// "Splitting batches doesn't consume the retry quota." (Retain discarded batch records)
#[test]
fn bisecting_isolates_a_poison_record_and_uses_no_retries() {
    let one_retry = Settings {
        bisect: true,
        max_retries: Some(1),
        ..settings()
    };
    let mut stream = Stream::new(one_retry, records(0..10));
    let mut poison_runs = 0;
    while !stream.is_done_to("9") {
        let outcome = if stream.last().records.iter().any(|record| record == "6") {
            poison_runs += usize::from(stream.last().records.len() == 1);
            Finished::Failure
        } else {
            Finished::Success
        };
        let before = stream.invoked.len();
        stream.finish(outcome);
        while stream.invoked.len() == before && !stream.is_done_to("9") {
            stream.advance(100);
        }
    }
    assert_eq!(
        poison_runs, 2,
        "one run and one retry, whatever was split before"
    );
    assert_eq!(stream.discarded.len(), 1);
    let discarded = &stream.discarded[0];
    assert_eq!((discarded.first.as_str(), discarded.records), ("6", 1));
    assert_eq!(discarded.condition, Condition::RetryAttemptsExhausted);
}

// "When a partial batch success response is received and both BisectBatchOnFunctionError and
// ReportBatchItemFailures are turned on, the batch is bisected at the returned sequence number
// and Lambda retries only the remaining records."
#[test]
fn with_bisect_a_partial_failure_splits_where_the_function_said() {
    let no_retries = Settings {
        bisect: true,
        max_retries: Some(0),
        ..settings()
    };
    let mut stream = Stream::new(no_retries, records(0..10));
    stream.finish_and_wait(failures(&["3"]));
    assert_eq!(stream.last().records, ["3", "4", "5", "6", "7", "8", "9"]);
    assert!(stream.discarded.is_empty(), "the split used no retry");
}

// "If the error handling measures fail, Lambda discards the records and continues processing
// batches from the stream." (Retain discarded batch records)
#[test]
fn records_are_given_up_after_the_retries_and_the_shard_goes_on() {
    let mut stream = Stream::new(
        Settings {
            max_retries: Some(2),
            ..settings()
        },
        records(0..20),
    );
    stream.finish_and_wait(Finished::Failure);
    stream.finish_and_wait(Finished::Failure);
    stream.finish(Finished::Failure);
    assert_eq!(
        stream.discarded,
        [Discarded {
            condition: Condition::RetryAttemptsExhausted,
            shard: SHARD.to_owned(),
            first: "0".to_owned(),
            last: "9".to_owned(),
            first_arrived: 100_000,
            last_arrived: 100_000,
            records: 10,
            invocations: 3,
        }]
    );
    assert!(stream.is_done_to("9"));
    assert_eq!(stream.last().records[0], "10");
}

// "During invocation: If the function is invoked but returns an error, Lambda retries until the
// records expire, exceed the maximum age (MaximumRecordAgeInSeconds), or reach the configured
// retry quota".
#[test]
fn records_are_given_up_when_they_are_too_old() {
    let mut stream = Stream::new(
        Settings {
            max_age: Some(60_000),
            ..settings()
        },
        records(0..5),
    );
    stream.finish(Finished::Failure);
    stream.advance(61_000);
    assert_eq!(stream.discarded[0].condition, Condition::RecordAgeExceeded);
    assert_eq!(stream.discarded[0].invocations, 1);
    assert_eq!(stream.invoked.len(), 1, "an old batch is not tried again");
    assert!(stream.is_done_to("4"));
}

// "Before invocation: If a Lambda event source mapping is unable to invoke the function due to
// throttling or other issues, it retries until the records expire or exceed the maximum age".
#[test]
fn throttling_uses_no_retries() {
    let mut stream = Stream::new(
        Settings {
            max_retries: Some(0),
            max_age: Some(60_000),
            ..settings()
        },
        records(0..5),
    );
    for _ in 0..20 {
        stream.finish_and_wait(Finished::NotInvoked);
    }
    assert!(stream.discarded.is_empty());
    stream.finish(Finished::NotInvoked);
    stream.advance(120_000);
    assert_eq!(stream.discarded[0].condition, Condition::RecordAgeExceeded);
    assert_eq!(stream.discarded[0].invocations, 0);
}
