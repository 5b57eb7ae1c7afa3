//! A text where a number is wanted.
use stacks::cfn::kinesis;

fn main() {
    let _ = kinesis::Stream::new().shard_count("two");
}
