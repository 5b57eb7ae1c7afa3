#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use domain::key::{ApiKey, KeyDetails, KeyRecord, KeyStatus, UserSettings};
use domain::limit::Rate;
use domain::time::UnixMillis;

use crate::memory::MemoryKeys;
use crate::{
    Actor, KeyError, KeyTable as _, Keyring, ListedKey, MOST_A_DAY, MOST_WORKING, Order, Role,
};

const NOW: UnixMillis = UnixMillis(1_795_363_445_007);
const DAY: Duration = Duration::from_hours(24);
const DAY_MILLIS: i64 = 86_400_000;

fn ring() -> Keyring<MemoryKeys> {
    Keyring {
        table: MemoryKeys::default(),
        prefix: "complical".to_owned(),
        plans: ["free", "pro"].map(str::to_owned).into(),
    }
}

fn ann() -> Actor {
    Actor {
        name: "ann@example.com".to_owned(),
        role: Role::User,
    }
}

fn admin() -> Actor {
    Actor {
        name: "root@example.com".to_owned(),
        role: Role::Admin,
    }
}

/// A working key of Ann's on the plan `free`.
fn key(id: &str) -> KeyRecord {
    KeyRecord {
        key_hash: domain::key::hash(id),
        id: id.to_owned(),
        prefix: "complical_abcd".to_owned(),
        email: ann().name,
        plan: "free".to_owned(),
        created_at: NOW.plus_millis(-40 * DAY_MILLIS),
        expires_at: None,
        revoked_at: None,
        more: KeyDetails::default(),
    }
}

async fn create(
    ring: &Keyring<MemoryKeys>,
    order: Order,
    actor: &Actor,
) -> Result<KeyRecord, KeyError> {
    let plan = ring.plan_creation(order, actor, NOW).await?;
    let new = ring.create(plan, actor, NOW).await?;
    Ok(ring.table.key(&new.id))
}

async fn rotate(
    ring: &Keyring<MemoryKeys>,
    id: &str,
    grace: Duration,
    actor: &Actor,
) -> Result<(KeyRecord, KeyRecord), KeyError> {
    let plan = ring.plan_rotation(id, grace, actor, NOW).await?;
    let new = ring.rotate(plan, actor, NOW).await?.new;
    Ok((ring.table.key(id), ring.table.key(&new.id)))
}

fn for_ann(plan: &str) -> Order {
    Order {
        email: Some(" Ann@Example.com".to_owned()),
        plan: Some(plan.to_owned()),
        expires: None,
    }
}

#[tokio::test]
async fn a_created_key_is_stored_by_its_hash_and_recorded() {
    let ring = ring();
    let plan = ring.plan_creation(for_ann("pro"), &admin(), NOW).await;
    let new = ring.create(plan.unwrap(), &admin(), NOW).await.unwrap();
    let held = ring.table.key(&new.id);
    assert_eq!(held.key_hash, ApiKey::parse(&new.key).unwrap().hash());
    assert_eq!((held.email, held.plan), (ann().name, "pro".to_owned()));
    let log = ring.table.log();
    assert_eq!((log[0].what, log[0].at), ("keys create", NOW));
    assert_eq!((&log[0].actor, &log[0].subject), (&admin(), &new.id));
    let printed = format!("{new:?} {:?} {log:?}", ring.table.keys());
    assert!(!printed.contains(&new.key), "{printed}");
}

#[tokio::test]
async fn orders_of_an_administrator_are_checked() {
    let ring = ring();
    let refused = |order: Order| {
        let ring = ring.clone();
        async move { create(&ring, order, &admin()).await.unwrap_err() }
    };
    assert!(matches!(
        refused(for_ann("gold")).await,
        KeyError::UnknownPlan { .. }
    ));
    let no_email = Order {
        email: None,
        ..for_ann("pro")
    };
    assert!(matches!(refused(no_email).await, KeyError::NoEmail));
    let bad = Order {
        email: Some("ann".to_owned()),
        ..for_ann("pro")
    };
    assert!(matches!(refused(bad).await, KeyError::Email(_)));
    let no_plan = Order {
        plan: None,
        ..for_ann("pro")
    };
    assert!(matches!(refused(no_plan).await, KeyError::NoPlan { .. }));
    let late = Order {
        expires: Some(NOW),
        ..for_ann("pro")
    };
    assert!(matches!(refused(late).await, KeyError::Expired));
    assert!(ring.table.keys().is_empty() && ring.table.log().is_empty());
}

#[tokio::test]
async fn a_users_key_has_the_terms_of_a_working_one() {
    let ring = ring();
    let order = Order::default;
    let first = create(&ring, order(), &ann()).await.unwrap_err();
    assert!(matches!(first, KeyError::NoWorkingKey { .. }), "{first}");
    let rate = Some(Rate {
        per_second: 2,
        burst: 3,
    });
    let mut trial = key("key_1");
    trial.expires_at = Some(NOW.plus_millis(DAY_MILLIS));
    trial.more.rate = rate;
    ring.table.hold(trial.clone());
    let made = create(&ring, order(), &ann()).await.unwrap();
    assert_eq!(made.expires_at, trial.expires_at);
    assert_eq!((made.plan.as_str(), made.more.rate), ("free", rate));
    // It may end earlier, but not later.
    let until = |millis| Order {
        expires: Some(NOW.plus_millis(millis)),
        ..order()
    };
    let short = create(&ring, until(1_000), &ann()).await.unwrap();
    assert_eq!(short.expires_at, Some(NOW.plus_millis(1_000)));
    let long = create(&ring, until(DAY_MILLIS + 1), &ann()).await;
    assert!(matches!(long, Err(KeyError::Outlives { .. })), "{long:?}");
    // A key that is being replaced ends with its grace period.
    trial.more.grace_until = Some(NOW.plus_millis(5_000));
    let ring = self::ring();
    ring.table.hold(trial);
    let made = create(&ring, order(), &ann()).await.unwrap();
    assert_eq!(made.expires_at, Some(NOW.plus_millis(5_000)));
}

#[tokio::test]
async fn a_user_creates_on_the_plans_of_their_working_keys_only() {
    let ring = ring();
    ring.table.hold(key("key_1"));
    let mut revoked = key("key_2");
    revoked.plan = "pro".to_owned();
    revoked.revoked_at = Some(NOW);
    ring.table.hold(revoked);
    let of_plan = |plan: &str| Order {
        plan: Some(plan.to_owned()),
        ..Order::default()
    };
    assert!(create(&ring, of_plan("free"), &ann()).await.is_ok());
    let other = create(&ring, of_plan("pro"), &ann()).await;
    assert!(
        matches!(other, Err(KeyError::OtherPlan { .. })),
        "{other:?}"
    );
    let foreign = Order {
        email: Some("bob@example.com".to_owned()),
        ..Order::default()
    };
    let foreign = create(&ring, foreign, &ann()).await;
    assert!(
        matches!(foreign, Err(KeyError::Foreign { .. })),
        "{foreign:?}"
    );
}

#[tokio::test]
async fn a_user_has_a_limited_number_of_keys() {
    let ring = ring();
    ring.table.hold(key("key_1"));
    for _ in 1..MOST_WORKING {
        create(&ring, Order::default(), &ann()).await.unwrap();
    }
    let more = create(&ring, Order::default(), &ann()).await;
    assert!(matches!(more, Err(KeyError::TooMany { .. })), "{more:?}");
    let more = rotate(&ring, "key_1", DAY, &ann()).await;
    assert!(matches!(more, Err(KeyError::TooMany { .. })), "{more:?}");
    assert!(create(&ring, for_ann("free"), &admin()).await.is_ok());
    // Revoking makes room, but not without end.
    let mut made = MOST_WORKING;
    while made < MOST_A_DAY {
        let last = ring.table.keys().pop().unwrap().id;
        ring.revoke(&last, &ann(), NOW).await.unwrap();
        let again = create(&ring, Order::default(), &ann()).await;
        made += usize::from(again.is_ok());
        if again.is_err() {
            let second = ring.table.keys()[1].id.clone();
            ring.revoke(&second, &ann(), NOW).await.unwrap();
        }
        assert!(ring.table.keys().len() < 3 * MOST_A_DAY);
    }
    for id in ring.table.keys().iter().skip(1).map(|key| key.id.clone()) {
        ring.revoke(&id, &ann(), NOW).await.unwrap();
    }
    let more = create(&ring, Order::default(), &ann()).await;
    assert!(
        matches!(more, Err(KeyError::TooManyToday { .. })),
        "{more:?}"
    );
}

#[tokio::test]
async fn a_rotated_key_works_until_its_grace_ends_but_never_longer_than_before() {
    let ring = ring();
    ring.table.hold(key("key_1"));
    let (old, new) = rotate(&ring, "key_1", DAY, &ann()).await.unwrap();
    assert_eq!(old.more.grace_until, Some(NOW.plus_millis(DAY_MILLIS)));
    assert_eq!(new.more.replaces.as_deref(), Some("key_1"));
    assert_eq!(new.status(NOW), KeyStatus::Active);
    let mut ending = key("key_2");
    ending.expires_at = Some(NOW.plus_millis(1_000));
    ring.table.hold(ending);
    let (old, new) = rotate(&ring, "key_2", DAY, &ann()).await.unwrap();
    assert_eq!(old.more.grace_until, old.expires_at);
    assert_eq!(new.expires_at, old.expires_at);
    let subjects: Vec<_> = ring
        .table
        .log()
        .into_iter()
        .map(|one| one.subject)
        .collect();
    assert_eq!(subjects, ["key_1", "key_2"]);
}

#[tokio::test]
async fn only_a_working_key_is_replaced_and_by_a_user_only_once() {
    let ring = ring();
    let mut revoked = key("key_1");
    revoked.revoked_at = Some(NOW);
    ring.table.hold(revoked);
    let mut expired = key("key_2");
    expired.expires_at = Some(NOW);
    ring.table.hold(expired);
    ring.table.hold(key("key_3"));
    for (id, status) in [("key_1", "revoked"), ("key_2", "expired")] {
        for actor in [ann(), admin()] {
            let error = rotate(&ring, id, DAY, &actor).await.unwrap_err();
            assert!(error.to_string().contains(status), "{error}");
        }
    }
    rotate(&ring, "key_3", DAY, &ann()).await.unwrap();
    let again = rotate(&ring, "key_3", DAY, &ann()).await;
    assert!(matches!(again, Err(KeyError::Replaced)), "{again:?}");
    assert!(rotate(&ring, "key_3", DAY, &admin()).await.is_ok());
}

#[tokio::test]
async fn of_two_concurrent_rotations_one_takes_effect() {
    let ring = ring();
    ring.table.hold(key("key_1"));
    let actor = admin();
    let plan = || ring.plan_rotation("key_1", DAY, &actor, NOW);
    let (one, other) = (plan().await.unwrap(), plan().await.unwrap());
    assert!(ring.rotate(one, &admin(), NOW).await.is_ok());
    let second = ring.rotate(other, &admin(), NOW).await;
    assert!(matches!(second, Err(KeyError::Conflict)), "{second:?}");
    assert_eq!((ring.table.keys().len(), ring.table.log().len()), (2, 1));
}

#[tokio::test]
async fn a_key_that_was_just_revoked_or_blocked_lends_its_terms_to_none() {
    let ends: [fn(&mut KeyRecord); 3] = [
        |key| key.revoked_at = Some(NOW),
        |key| key.plan = "pro".to_owned(),
        |key| key.more.user.blocked_at = Some(NOW),
    ];
    for end in ends {
        let ring = ring();
        ring.table.hold(key("key_1"));
        // The index does not show it yet.
        ring.table.set_behind(true);
        let mut ended = key("key_1");
        end(&mut ended);
        ring.table.hold(ended);
        for result in [
            create(&ring, Order::default(), &ann()).await.map(|_| ()),
            rotate(&ring, "key_1", DAY, &ann()).await.map(|_| ()),
        ] {
            assert!(matches!(result, Err(KeyError::Conflict)), "{result:?}");
        }
        ring.table.set_behind(false);
        assert_eq!((ring.table.keys().len(), ring.table.log().len()), (1, 0));
    }
}

#[tokio::test]
async fn a_blocked_user_gets_no_key_and_new_keys_carry_the_users_settings() {
    let ring = ring();
    let user = UserSettings {
        rate_per_second: Some(7),
        blocked_at: Some(NOW),
        ..UserSettings::default()
    };
    let mut blocked = key("key_1");
    blocked.more.user = user;
    ring.table.hold(blocked);
    for result in [
        create(&ring, Order::default(), &ann()).await.map(|_| ()),
        rotate(&ring, "key_1", DAY, &ann()).await.map(|_| ()),
    ] {
        assert!(
            matches!(result, Err(KeyError::Blocked { .. })),
            "{result:?}"
        );
    }
    let made = create(&ring, for_ann("pro"), &admin()).await.unwrap();
    assert_eq!(made.more.user, user);
    let (_, new) = rotate(&ring, "key_1", DAY, &admin()).await.unwrap();
    assert_eq!(new.more.user, user);
}

#[tokio::test]
async fn a_key_is_revoked_once_and_by_its_user_or_whoever_manages_all() {
    let ring = ring();
    ring.table.hold(key("key_1"));
    let bob = Actor {
        name: "bob@example.com".to_owned(),
        role: Role::User,
    };
    for id in ["key_1", "key_2"] {
        let refused = ring.revoke(id, &bob, NOW).await;
        assert!(matches!(refused, Err(KeyError::Unknown)), "{refused:?}");
        let refused = rotate(&ring, id, DAY, &bob).await;
        assert!(matches!(refused, Err(KeyError::Unknown)), "{refused:?}");
    }
    let first = ring.revoke("key_1", &ann(), NOW).await.unwrap();
    let later = NOW.plus_millis(5_000);
    assert_eq!(ring.revoke("key_1", &admin(), later).await.unwrap(), first);
    assert_eq!(ring.table.key("key_1").revoked_at, Some(NOW));
    assert_eq!(ring.table.log().len(), 1);
}

#[tokio::test]
async fn nothing_changes_while_the_table_is_down() {
    let ring = ring();
    ring.table.hold(key("key_1"));
    ring.table.set_down(true);
    let failed = ring.revoke("key_1", &ann(), NOW).await;
    assert!(matches!(failed, Err(KeyError::Table(_))), "{failed:?}");
    ring.table.set_down(false);
    assert_eq!(ring.table.key("key_1").status(NOW), KeyStatus::Active);
    assert!(ring.table.find("key_1").await.unwrap().is_some());
}

#[test]
fn a_listed_key_has_the_members_of_the_contract_and_no_hash() {
    let mut record = key("key_1");
    record.created_at = UnixMillis(0);
    record.expires_at = Some(UnixMillis(1_000));
    record.more.last_used_at = Some(UnixMillis(500_000));
    assert_eq!(
        serde_json::to_value(ListedKey::of(&record, UnixMillis(2_000))).unwrap(),
        serde_json::json!({
            "id": "key_1", "prefix": "complical_abcd", "email": "ann@example.com", "plan": "free",
            "status": "expired", "createdAt": "1970-01-01T00:00:00Z",
            "expiresAt": "1970-01-01T00:00:01Z", "lastUsedAt": "1970-01-01T00:08:20Z",
        })
    );
}
