//! Where and in which order shards are read, and their progress.

use super::*;

// "Lambda polls each shard in your Kinesis stream for records at a base rate of once per second."
#[test]
fn an_empty_shard_is_read_once_a_second() {
    let mut stream = Stream::new(settings(), Vec::new());
    for _ in 0..40 {
        stream.advance(100);
    }
    let times: Vec<Millis> = stream.polls.iter().map(|(at, ..)| at - 100_000).collect();
    assert_eq!(times, [0, 1_000, 2_000, 3_000, 4_000]);
}

// A child's records come after its parents' (Kinesis developer guide, "After Resharding"): Lambda
// "processes records in each shard in order", and a key's records go on in a child.
#[test]
fn a_child_is_read_when_its_parents_are_done() {
    let (left, right, child) = ("left", "right", "child");
    let shards = BTreeMap::from([
        (left.to_owned(), (vec![record("1")], 0, true)),
        (right.to_owned(), (vec![record("2")], 0, true)),
        (child.to_owned(), (vec![record("3")], 0, false)),
    ]);
    let listing = vec![
        shard(child, &[left, right]),
        shard(left, &[]),
        shard(right, &[]),
    ];
    let mut stream = Stream::of(settings(), shards, listing);
    assert_eq!(stream.invoked.len(), 2, "both parents, not the child");
    let ids: Vec<u64> = stream
        .invoked
        .iter()
        .map(|invocation| invocation.id)
        .collect();
    stream.event(Event::Finished {
        id: ids[0],
        outcome: Finished::Success,
    });
    assert!(!stream.polls.iter().any(|(_, shard, _)| shard == child));
    stream.event(Event::Finished {
        id: ids[1],
        outcome: Finished::Success,
    });
    assert_eq!(stream.last().shard, child);
    assert_eq!(stream.checkpoints[left], Checkpoint::Finished);
}

// "Latest – Process new records that are added to the stream. Trim horizon – Process all records
// in the stream. At timestamp – Process records starting from a specific time." (Configuring a
// stream as an event source)
#[test]
fn each_starting_position_is_where_the_first_read_begins() {
    for (starting, kept) in [
        (Position::TrimHorizon, Position::TrimHorizon),
        (Position::AtTimestamp(5), Position::AtTimestamp(5)),
        (Position::Latest, Position::AtTimestamp(100_000)),
    ] {
        let stream = Stream::new(
            Settings {
                starting_position: starting.clone(),
                ..settings()
            },
            Vec::new(),
        );
        assert_eq!(stream.polls[0].2, starting);
        assert_eq!(
            stream.checkpoints[SHARD],
            Checkpoint::At(kept),
            "what a restart resumes at"
        );
    }
}

// A shard that appears later comes from resharding: nothing of it is missed, even with LATEST.
#[test]
fn a_shard_that_appears_later_is_read_from_its_beginning() {
    let latest = Settings {
        starting_position: Position::Latest,
        ..settings()
    };
    let mut stream = Stream::new(latest, Vec::new());
    stream
        .shards
        .insert("new".to_owned(), (records(0..2), 0, false));
    stream.listing.push(shard("new", &[]));
    stream.advance(10_000);
    assert_eq!(stream.last().shard, "new");
    let (.., from) = stream
        .polls
        .iter()
        .find(|(_, shard, _)| shard == "new")
        .unwrap();
    assert_eq!(*from, Position::TrimHorizon);
}

// Checkpoints survive a restart: the mapping resumes after the finished records, and repeats the
// rest.
#[test]
fn a_restarted_mapping_resumes_at_its_checkpoints() {
    let mut stream = Stream::new(settings(), records(0..20));
    stream.finish(Finished::Success);
    let mut again = Mapping::<String>::new(settings(), stream.checkpoints.clone());
    let listed = again.handle(0, Event::Listed(vec![shard(SHARD, &[])]));
    let from = Position::After("9".to_owned());
    assert!(listed.contains(&Action::Poll {
        shard: SHARD.to_owned(),
        from
    }));
}

// A mapping that cannot keep up reads only a few batches ahead.
#[test]
fn a_blocked_shard_is_not_read_without_end() {
    let mut stream = Stream::new(settings(), records(0..20));
    let read = stream.polls.len();
    stream.put(records(20..40));
    for _ in 0..50 {
        stream.advance(1_000);
    }
    assert_eq!(
        stream.polls.len(),
        read,
        "the first batch is still being invoked"
    );
    for _ in 0..4 {
        stream.finish(Finished::Success);
        stream.advance(1_000);
    }
    assert!(stream.is_done_to("39"));
}

#[test]
fn the_oldest_record_that_is_not_done_gives_the_iterator_age() {
    let mut stream = Stream::new(settings(), records(0..5));
    stream.advance(7_000);
    assert_eq!(stream.mapping.status(stream.now)[0].iterator_age_ms, 7_000);
    stream.finish(Finished::Success);
    assert_eq!(stream.mapping.status(stream.now)[0].iterator_age_ms, 0);
}
