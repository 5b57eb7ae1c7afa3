//! Settings of keys, and keys of other systems.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use domain::key::{Quota, UserSettings};

use super::*;
use crate::Role;
use crate::memory::MemoryKeys;

const NOW: UnixMillis = UnixMillis(1_795_363_445_007);
const SLOW: Rate = Rate {
    per_second: 2,
    burst: 5,
};

fn actor(role: Role) -> Actor {
    Actor {
        name: "ann@example.com".to_owned(),
        role,
    }
}

/// A ring with a key of Ann's on the plan `free`.
fn ring() -> Keyring<MemoryKeys> {
    let ring = Keyring {
        table: MemoryKeys::default(),
        prefix: "complical".to_owned(),
        plans: ["free", "pro"].map(str::to_owned).into(),
    };
    ring.table.hold(KeyRecord {
        key_hash: domain::key::hash("key_a"),
        id: "key_a".to_owned(),
        prefix: "complical_abcd".to_owned(),
        email: "ann@example.com".to_owned(),
        plan: "free".to_owned(),
        created_at: NOW.plus_days(-40),
        expires_at: None,
        revoked_at: None,
        more: KeyDetails {
            user: UserSettings {
                monthly_quota: Some(Quota::Calls(7)),
                ..UserSettings::default()
            },
            ..KeyDetails::default()
        },
    });
    ring
}

fn order(hash: &str) -> Import {
    Import {
        hash: hash.to_owned(),
        email: " Ann@Example.com".to_owned(),
        plan: "pro".to_owned(),
        expires: None,
    }
}

#[tokio::test]
async fn a_setting_changes_what_it_names_and_is_recorded_with_it() {
    let (ring, admin) = (ring(), actor(Role::Admin));
    let set = |setting: Setting| ring.set("key_a", setting, &admin, NOW);
    let rate = Setting {
        plan: None,
        rate: RateSetting::To(SLOW),
    };
    let said = set(rate).await.unwrap();
    assert_eq!(
        (said.plan.as_str(), said.rate_per_second, said.burst),
        ("free", Some(2), Some(5))
    );
    let plan = Setting {
        plan: Some("pro".to_owned()),
        rate: RateSetting::Unchanged,
    };
    let said = set(plan).await.unwrap();
    assert_eq!((said.plan.as_str(), said.burst), ("pro", Some(5)));
    let held = ring.table.key("key_a");
    assert_eq!((held.plan.as_str(), held.more.rate), ("pro", Some(SLOW)));
    assert_eq!(held.more.user.monthly_quota, Some(Quota::Calls(7)));
    let none = Setting {
        plan: None,
        rate: RateSetting::None,
    };
    assert_eq!(set(none).await.unwrap().rate_per_second, None);
    assert_eq!(ring.table.key("key_a").more.rate, None);
    let log = ring.table.log();
    assert_eq!(log.len(), 3);
    assert!(
        log.iter()
            .all(|entry| (entry.what, entry.subject.as_str()) == ("keys set", "key_a"))
    );
}

#[tokio::test]
async fn a_setting_that_cannot_be_made_changes_and_records_nothing() {
    let ring = ring();
    let before = ring.table.keys();
    let plan = |name: &str| Setting {
        plan: Some(name.to_owned()),
        rate: RateSetting::Unchanged,
    };
    let (admin, user) = (actor(Role::Admin), actor(Role::User));
    let refused = ring
        .set("key_a", plan("pro"), &user, NOW)
        .await
        .unwrap_err();
    assert!(matches!(refused, KeyError::OfAdministrators), "{refused}");
    let refused = ring
        .set("key_a", plan("gold"), &admin, NOW)
        .await
        .unwrap_err();
    assert!(matches!(refused, KeyError::UnknownPlan { .. }), "{refused}");
    let refused = ring
        .set("key_z", plan("pro"), &admin, NOW)
        .await
        .unwrap_err();
    assert!(matches!(refused, KeyError::Unknown), "{refused}");
    let refused = ring
        .set("key_a", Setting::default(), &admin, NOW)
        .await
        .unwrap_err();
    assert!(matches!(refused, KeyError::NoChange), "{refused}");
    // The index shows a key that somebody else has just changed.
    ring.table.set_behind(true);
    let mut changed = before[0].clone();
    changed.more.rate = Some(SLOW);
    ring.table.hold(changed.clone());
    let refused = ring
        .set("key_a", plan("pro"), &admin, NOW)
        .await
        .unwrap_err();
    assert!(matches!(refused, KeyError::Conflict), "{refused}");
    assert_eq!(ring.table.key("key_a"), changed);
    assert_eq!(ring.table.log(), []);
}

#[tokio::test]
async fn an_imported_key_has_the_settings_of_its_user_and_comes_once() {
    let ring = ring();
    let admin = actor(Role::Admin);
    let hash = domain::key::hash("a key of another system");
    let imported = ring
        .import(order(&hash.to_ascii_uppercase()), &admin, NOW)
        .await
        .unwrap();
    let held = ring.table.key(&imported.id);
    assert_eq!((held.key_hash, held.plan.as_str()), (hash.clone(), "pro"));
    assert_eq!(held.email, "ann@example.com");
    assert_eq!(held.more.user.monthly_quota, Some(Quota::Calls(7)));
    let log = ring.table.log();
    assert_eq!(
        (log[0].what, &log[0].subject),
        ("keys import", &imported.id)
    );
    let again = ring.import(order(&hash), &admin, NOW).await.unwrap_err();
    assert!(matches!(again, KeyError::Exists), "{again}");
    assert_eq!((ring.table.keys().len(), ring.table.log().len()), (2, 1));
}

#[tokio::test]
async fn an_import_is_checked_and_never_repeats_what_may_be_the_key() {
    let ring = ring();
    let (admin, user) = (actor(Role::Admin), actor(Role::User));
    let hash = domain::key::hash("a key of another system");
    let refused = ring.import(order(&hash), &user, NOW).await.unwrap_err();
    assert!(matches!(refused, KeyError::OfAdministrators), "{refused}");
    for given in [
        "",
        "complical_secret",
        &hash[1..],
        &hash.replace('a', "g"),
        &format!("{hash}0"),
    ] {
        let refused = ring.import(order(given), &admin, NOW).await.unwrap_err();
        assert!(matches!(refused, KeyError::NotAHash), "{given}: {refused}");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
    let gold = Import {
        plan: "gold".to_owned(),
        ..order(&hash)
    };
    let refused = ring.import(gold, &admin, NOW).await.unwrap_err();
    assert!(matches!(refused, KeyError::UnknownPlan { .. }), "{refused}");
    let over = Import {
        expires: Some(NOW),
        ..order(&hash)
    };
    let refused = ring.import(over, &admin, NOW).await.unwrap_err();
    assert!(matches!(refused, KeyError::Expired), "{refused}");
    assert_eq!(ring.table.keys().len(), 1);
}
