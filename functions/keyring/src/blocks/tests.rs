#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use super::*;
use crate::actor::Role;
use crate::memory::MemoryKeys;
use domain::key::KeyDetails;

const NOW: UnixMillis = UnixMillis(1_795_363_445_007);
const ANN: &str = "ann@example.com";

fn actor(role: Role) -> Actor {
    Actor {
        name: "root@example.com".to_owned(),
        role,
    }
}

fn ring(keys: usize) -> Keyring<MemoryKeys> {
    let ring = Keyring {
        table: MemoryKeys::default(),
        prefix: "complical".to_owned(),
        plans: ["free".to_owned()].into(),
    };
    for number in 0..keys {
        ring.table.hold(key(&format!("key_{number:04}"), ANN));
    }
    ring
}

fn key(id: &str, email: &str) -> KeyRecord {
    KeyRecord {
        key_hash: domain::key::hash(id),
        id: id.to_owned(),
        prefix: "complical_abcd".to_owned(),
        email: email.to_owned(),
        plan: "free".to_owned(),
        created_at: NOW,
        expires_at: None,
        revoked_at: None,
        more: KeyDetails::default(),
    }
}

async fn set(ring: &Keyring<MemoryKeys>, whom: &str, blocked: bool) -> Result<String, KeyError> {
    let whom = Whom::read(whom)?;
    let result = ring
        .set_blocked(&whom, blocked, &actor(Role::Admin), NOW)
        .await?;
    assert_eq!(result.blocked, blocked);
    Ok(result.whom)
}

async fn listed(ring: &Keyring<MemoryKeys>) -> (Vec<String>, Vec<String>) {
    let blocks = ring.blocks(None, &actor(Role::Operator)).await.unwrap();
    let addresses = blocks.addresses.into_iter().map(|of| of.address);
    let users = blocks.users.into_iter().map(|of| of.email);
    (addresses.collect(), users.collect())
}

#[test]
fn an_address_is_its_network_and_all_else_an_email_or_an_error() {
    let name = |given| Whom::read(given).ok().map(|whom| whom.name().to_owned());
    for (given, expected) in [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("Ann@Example.com", ANN),
    ] {
        assert_eq!(name(given).as_deref(), Some(expected), "{given}");
    }
    for bad in [
        "",
        "192.0.2",
        "192.0.2.0/24",
        "192.0.2.1/64",
        "2001:db8::/64/64",
        "ann",
        "a@b@c",
    ] {
        assert_eq!(name(bad), None, "{bad}");
    }
}

#[tokio::test]
async fn an_address_is_listed_until_it_is_unblocked_and_each_change_is_recorded_once() {
    let ring = ring(0);
    for _ in 0..2 {
        assert_eq!(
            set(&ring, "2001:db8:1:2::9", true).await.unwrap(),
            "2001:db8:1:2::/64"
        );
    }
    set(&ring, "192.0.2.1", true).await.unwrap();
    let both = vec!["192.0.2.1".to_owned(), "2001:db8:1:2::/64".to_owned()];
    assert_eq!(listed(&ring).await, (both, Vec::new()));
    for _ in 0..2 {
        set(&ring, "2001:db8:1:2:7::1", false).await.unwrap();
    }
    assert_eq!(listed(&ring).await.0, ["192.0.2.1"]);
    let log = ring.table.log();
    let log: Vec<_> = log
        .iter()
        .map(|entry| (entry.what, entry.subject.as_str()))
        .collect();
    assert_eq!(
        log,
        [
            ("block", "2001:db8:1:2::/64"),
            ("block", "192.0.2.1"),
            ("unblock", "2001:db8:1:2::/64"),
        ]
    );
}

#[tokio::test]
async fn a_user_is_blocked_on_every_key_and_unblocked_again() {
    let ring = ring(MOST_AT_ONCE + 5);
    ring.table.hold(key("key_b", "bob@example.com"));
    let blocked = || {
        let keys = ring.table.keys().into_iter();
        keys.filter(|key| key.more.user.blocked_at == Some(NOW))
            .count()
    };
    assert_eq!(set(&ring, "Ann@example.com", true).await.unwrap(), ANN);
    assert_eq!(blocked(), MOST_AT_ONCE + 5);
    assert_eq!(listed(&ring).await.1, [ANN]);
    let log = ring.table.log();
    assert!(
        log.iter()
            .all(|entry| (entry.what, entry.subject.as_str()) == ("block", ANN))
    );
    assert_eq!(log.len(), 2, "one for each transaction");
    set(&ring, ANN, false).await.unwrap();
    assert_eq!((blocked(), listed(&ring).await.1), (0, Vec::new()));
    let nobody = set(&ring, "dan@example.com", true).await.unwrap_err();
    assert!(matches!(nobody, KeyError::NoKey { email } if email == "dan@example.com"));
}

#[tokio::test]
async fn users_block_and_see_nobody() {
    let ring = ring(1);
    let ann = Actor {
        name: ANN.to_owned(),
        role: Role::User,
    };
    let whom = Whom::read("192.0.2.1").unwrap();
    for blocked in [true, false] {
        let refused = ring.set_blocked(&whom, blocked, &ann, NOW).await;
        assert!(matches!(refused, Err(KeyError::OfAdministrators)));
    }
    assert!(matches!(
        ring.blocks(None, &ann).await,
        Err(KeyError::OfAdministrators)
    ));
    assert_eq!(
        (listed(&ring).await.0, ring.table.log()),
        (Vec::new(), Vec::new())
    );
}

#[tokio::test]
async fn the_list_is_bounded_and_a_concurrent_change_is_kept() {
    let ring = ring(0);
    let list = |count: usize| Blocked {
        since: (0..count)
            .map(|number| (format!("10.0.{}.{}", number / 256, number % 256), NOW))
            .collect(),
    };
    ring.table.hold_blocked(list(Blocked::MOST));
    assert!(matches!(
        set(&ring, "192.0.2.1", true).await,
        Err(KeyError::TooManyBlocked)
    ));
    set(&ring, "10.0.0.7", false).await.unwrap();
    // Somebody else changes the list between the read and the write.
    ring.table.meet(list(3));
    set(&ring, "192.0.2.1", true).await.unwrap();
    assert_eq!(
        listed(&ring).await.0,
        ["10.0.0.0", "10.0.0.1", "10.0.0.2", "192.0.2.1"]
    );
}

#[tokio::test]
async fn blocked_users_are_listed_by_pages() {
    let ring = ring(KEYS_PER_PAGE + 1);
    ring.table.hold(key("key_b", "bob@example.com"));
    for whom in [ANN, "bob@example.com", "192.0.2.1"] {
        set(&ring, whom, true).await.unwrap();
    }
    let root = actor(Role::Admin);
    let first = ring.blocks(None, &root).await.unwrap();
    assert_eq!((first.addresses.len(), first.users.len()), (1, 1));
    let after = ring.table.key(&first.next.unwrap());
    let second = ring.blocks(Some(after), &root).await.unwrap();
    let users: Vec<_> = second.users.iter().map(|of| of.email.as_str()).collect();
    assert_eq!(users, [ANN, "bob@example.com"]);
    assert_eq!((second.addresses.len(), second.next), (0, None));
}
