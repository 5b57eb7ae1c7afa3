//! The content of a batch, and when it is invoked.

use super::*;

// "Lambda reads records in batches and invokes your function to process records from the batch."
// (Polling and batching streams); BatchSize: "The maximum number of records in each batch".
#[test]
fn a_batch_holds_at_most_its_size_and_batches_follow_each_other() {
    let mut stream = Stream::new(settings(), records(0..25));
    assert_eq!(stream.last().records.len(), 10);
    assert_eq!(
        stream.invoked.len(),
        1,
        "one batch at a time from each shard"
    );
    stream.finish(Finished::Success);
    stream.finish(Finished::Success);
    assert_eq!(stream.last().records, ["20", "21", "22", "23", "24"]);
    stream.finish(Finished::Success);
    assert!(stream.is_done_to("24"));
}

// "Before invoking the function, Lambda continues to read records from the event source until it
// has gathered a full batch, the batching window expires, or the batch reaches the payload limit
// of 6 MB." (Using AWS Lambda with Amazon Kinesis)
#[test]
fn a_batching_window_ends_by_time_by_size_or_by_payload() {
    let window = Settings {
        window: 5_000,
        ..settings()
    };
    let mut by_time = Stream::new(window.clone(), records(0..3));
    by_time.advance(4_900);
    assert!(by_time.invoked.is_empty());
    by_time.advance(100);
    assert_eq!(by_time.last().records.len(), 3);

    let by_size = Stream::new(window.clone(), records(0..10));
    assert_eq!(by_size.last().records.len(), 10);

    let by_payload = Stream::new(
        Settings {
            max_payload: 550,
            ..window
        },
        records(0..6),
    );
    assert_eq!(by_payload.last().records.len(), 5);
}

// "By default, Lambda invokes your function as soon as records are available." (Using AWS Lambda
// with Amazon Kinesis)
#[test]
fn without_a_window_a_record_is_not_held_back() {
    let stream = Stream::new(settings(), records(0..1));
    assert_eq!(stream.invoked.len(), 1);
}

// "To increase concurrency, you can also process multiple batches from each shard in parallel.
// Lambda can process up to 10 batches in each shard simultaneously. If you increase the number of
// concurrent batches per shard, Lambda still ensures in-order processing at the partition-key
// level." (Polling and batching streams)
#[test]
fn parallel_batches_never_hold_the_same_key_and_keep_its_order() {
    let many: Vec<_> = (0..100)
        .map(|number| keyed(&number.to_string(), &format!("key-{}", number % 20)))
        .collect();
    let keys: BTreeMap<String, String> = many
        .iter()
        .map(|record| (record.sequence.clone(), record.partition_key.clone()))
        .collect();
    let mut stream = Stream::new(
        Settings {
            parallelization: 4,
            batch_size: 5,
            ..settings()
        },
        many,
    );
    assert_eq!(stream.invoked.len(), 4);

    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut open: Vec<Invocation<String>> = std::mem::take(&mut stream.invoked);
    let mut total = 0;
    while !open.is_empty() {
        let lanes: Vec<BTreeSet<&String>> = open
            .iter()
            .map(|invocation| {
                invocation
                    .records
                    .iter()
                    .map(|record| &keys[record])
                    .collect()
            })
            .collect();
        let distinct: BTreeSet<_> = lanes.iter().flatten().collect();
        assert_eq!(
            distinct.len(),
            lanes.iter().map(BTreeSet::len).sum::<usize>()
        );
        // The lanes finish in another order than they began.
        let invocation = open.pop().unwrap();
        total += invocation.records.len();
        for sequence in &invocation.records {
            let number: u32 = sequence.parse().unwrap();
            let before = seen.insert(keys[sequence].clone(), number);
            assert!(
                before.is_none_or(|before| before < number),
                "order of a key"
            );
        }
        stream.event(Event::Finished {
            id: invocation.id,
            outcome: Finished::Success,
        });
        stream.advance(1_000);
        open.append(&mut stream.invoked);
    }
    assert_eq!(total, 100);
    assert!(stream.is_done_to("99"));
}

// The checkpoint never passes a record that is not done, even if other lanes are further.
#[test]
fn the_checkpoint_waits_for_the_slowest_lane() {
    let mut stream = Stream::new(
        Settings {
            parallelization: 2,
            ..settings()
        },
        vec![keyed("0", "a"), keyed("1", "b"), keyed("2", "b")],
    );
    let of = |stream: &Stream, first: &str| {
        let invocation = stream.invoked.iter().find(|one| one.records[0] == first);
        invocation.map(|invocation| invocation.id)
    };
    let (slow, fast) = (of(&stream, "0").unwrap(), of(&stream, "1").unwrap());
    stream.event(Event::Finished {
        id: fast,
        outcome: Finished::Success,
    });
    assert_eq!(
        stream.checkpoints[SHARD],
        Checkpoint::At(Position::TrimHorizon)
    );
    stream.event(Event::Finished {
        id: slow,
        outcome: Finished::Success,
    });
    assert!(stream.is_done_to("2"));
}

// "Once your filter criteria processes an Kinesis or DynamoDB record, the streams iterator advances
// past this record." and "If you're using batching windows, Lambda applies your filter criteria to
// each new event to determine whether to add it to the current batch." (Lambda event filtering)
#[test]
fn filtered_records_are_passed_over_and_fill_no_batch() {
    let mut all = records(0..20);
    for record in all.iter_mut().step_by(2) {
        record.matches = false;
    }
    let mut stream = Stream::new(settings(), all);
    assert_eq!(stream.last().records.len(), 10);
    assert!(
        stream
            .last()
            .records
            .iter()
            .all(|record| record.parse::<u32>().unwrap() % 2 == 1)
    );
    stream.finish(Finished::Success);
    assert!(stream.is_done_to("19"));
}

#[test]
fn a_shard_of_which_nothing_matches_is_done_without_an_invocation() {
    let mut all = records(0..3);
    for record in &mut all {
        record.matches = false;
    }
    let stream = Stream::new(settings(), all);
    assert!(stream.invoked.is_empty());
    assert!(stream.is_done_to("2"));
}
