//! A shard count with on-demand capacity.
use stacks::environment::StreamCapacity;

fn main() {
    let _ = StreamCapacity::OnDemand { shards: 2 };
}
