//! Alerts and deliveries in virtual time, with endpoints that refuse and functions that die.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

use domain::alert::Alert;
use domain::bill::Bill;
use domain::notice::Kind;
use domain::plan::Period;
use domain::tally::Totals;
use domain::webhook::{Format, Secret, Secrets};
use runtime::memory::{self, MemoryStore};

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_363_445_000);

type Sent = Arc<Mutex<Vec<(String, u32)>>>;

#[derive(Debug, Clone, Default)]
struct Messages(Sent);

impl Queue for Messages {
    async fn send(&self, body: String, delay_seconds: u32) -> Result<(), SendError> {
        self.0.lock().unwrap().push((body, delay_seconds));
        Ok(())
    }
}

#[derive(Debug, Clone, Default)]
struct Mails(Arc<Mutex<Vec<String>>>);

impl Mail for Mails {
    async fn send(&self, _subject: &str, text: &str) -> Result<(), MailError> {
        self.0.lock().unwrap().push(text.to_owned());
        Ok(())
    }
}

/// What an endpoint got: its name, the headers, the body.
type Posted = (String, Vec<(&'static str, String)>, String);

#[derive(Debug, Clone, Default)]
struct Posts {
    got: Arc<Mutex<Vec<Posted>>>,
    refuses: Arc<Mutex<u32>>,
}

impl Post for Posts {
    async fn post(
        &self,
        endpoint: &Endpoint,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<(), PostError> {
        let mut refuses = self.refuses.lock().unwrap();
        if *refuses > 0 {
            *refuses -= 1;
            return Err(PostError::Status { status: 503 });
        }
        let posted = (endpoint.name.clone(), headers.to_vec(), body);
        self.got.lock().unwrap().push(posted);
        Ok(())
    }
}

/// Values of secrets by endpoint, and how many reads fail next.
#[derive(Debug, Clone, Default)]
struct Vaulted {
    values: Arc<Mutex<BTreeMap<String, String>>>,
    refuses: Arc<Mutex<u32>>,
    reads: Arc<Mutex<u32>>,
}

impl Vaulted {
    /// A value as CloudFormation generates it.
    fn generate(&self, endpoint: &str, letter: &str) {
        let value = serde_json::json!({ "current": letter.repeat(44) });
        self.put(endpoint, &value.to_string());
    }

    fn put(&self, endpoint: &str, value: &str) {
        let mut values = self.values.lock().unwrap();
        values.insert(endpoint.to_owned(), value.to_owned());
    }
}

impl Vault for Vaulted {
    async fn read(&self, endpoint: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
        *self.reads.lock().unwrap() += 1;
        let mut refuses = self.refuses.lock().unwrap();
        if *refuses > 0 {
            *refuses -= 1;
            return Err("the vault is locked".into());
        }
        let values = self.values.lock().unwrap();
        let found = values.get(endpoint);
        found.cloned().ok_or_else(|| "no such secret".into())
    }
}

struct World {
    store: MemoryStore,
    posts: Posts,
    mails: Mails,
    messages: Messages,
    vault: Vaulted,
    notifier: Notifier<MemoryStore, Messages, Mails, Posts, Vaulted>,
}

fn alert() -> Alert {
    let period = Period {
        start: UnixMillis(1_793_491_200_000),
        end: UnixMillis(1_796_083_200_000),
    };
    Alert::new(("ann@example.com", "free"), (50, 100, 50), period, NOW)
}

impl World {
    fn new() -> Self {
        let store = MemoryStore::default();
        let state = state::encode(&alert()).unwrap();
        store.plant(&ItemKey::alert(&alert().id()), 1, state);
        let endpoint = |name: &str, format| Endpoint {
            name: name.to_owned(),
            url: format!("https://{name}.example.com/"),
            format,
            allow_private: false,
            events: None,
        };
        let (posts, mails, messages) = (Posts::default(), Mails::default(), Messages::default());
        let vault = Vaulted::default();
        vault.generate("billing", "b");
        vault.generate("chat", "c");
        let endpoints = vec![
            endpoint("billing", Format::CloudEvents),
            endpoint("chat", Format::Slack),
        ];
        Self {
            notifier: Notifier {
                usage: store.clone(),
                queue: messages.clone(),
                mail: mails.clone(),
                post: posts.clone(),
                secrets: SigningSecrets::new(vault.clone()),
                endpoints: Endpoints(endpoints),
                source: "/complical/test/api".to_owned(),
            },
            store,
            posts,
            mails,
            messages,
            vault,
        }
    }

    /// Handles messages until none is left. Returns how long that took and how many were given up.
    async fn run(&self, first: &str) -> (i64, u32) {
        let mut waiting = vec![(NOW, first.to_owned())];
        let (mut last, mut given_up) = (NOW, 0);
        while let Some((at, body)) = waiting.pop() {
            last = last.max(at);
            match self.notifier.handle(&body, at).await {
                Ok(Handled::GivenUp) => given_up += 1,
                Ok(_) => {}
                // Its visibility ends.
                Err(_) => waiting.push((at.plus_millis(60_000), body)),
            }
            let sent = std::mem::take(&mut *self.messages.0.lock().unwrap());
            for (body, delay) in sent {
                waiting.push((at.plus_millis(i64::from(delay) * 1_000), body));
            }
            waiting.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        }
        (last.since(NOW), given_up)
    }

    fn message() -> String {
        serde_json::json!({ "alert": alert().id() }).to_string()
    }

    fn got(&self) -> Vec<Posted> {
        self.posts.got.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn an_alert_reaches_every_endpoint_and_the_topic_once_however_often_it_comes() {
    let world = World::new();
    for _ in 0..3 {
        assert_eq!(world.run(&World::message()).await, (0, 0));
    }
    assert_eq!(world.mails.0.lock().unwrap().len(), 1);
    let mut got = world.got();
    got.sort();
    assert_eq!(got.len(), 2);
    let (name, headers, body) = &got[0];
    assert_eq!(name, "billing");
    assert_eq!(headers[0], ("webhook-id", alert().id()));
    assert_eq!(*body, alert().cloud_event("/complical/test/api"));
    // An instance that starts later signs with the same secret.
    let other = SigningSecrets::new(world.vault.clone());
    let secrets = other.of("billing", NOW).await.unwrap();
    assert_eq!(secrets[0].reveal(), format!("whsec_{}", "b".repeat(44)));
    assert_eq!(headers[2].1, secrets[0].sign(&alert().id(), NOW, body));
    assert_eq!(got[1].0, "chat");
    assert_eq!(
        got[1].2,
        serde_json::json!({ "text": alert().text() }).to_string()
    );
}

fn bill() -> Bill {
    Bill {
        user: "ann@example.com".to_owned(),
        month: UnixMillis(1_793_491_200_000),
        plan: Some("free".to_owned()),
        timezone: "UTC".to_owned(),
        start: UnixMillis(1_793_491_200_000),
        end: UnixMillis(1_796_083_200_000),
        totals: Totals {
            calls: 7,
            ..Totals::default()
        },
        meters: domain::meter::Amounts::new(),
        digest: "00".repeat(32),
    }
}

#[tokio::test]
async fn a_closed_period_reaches_the_endpoints_that_receive_it_and_no_mailbox() {
    let only = |kind| Some(vec![kind]);
    for (events, receivers) in [
        (None, vec!["billing", "chat"]),
        (only(Kind::PeriodClosed), vec!["billing", "chat"]),
        (only(Kind::QuotaThreshold), vec!["billing"]),
    ] {
        let mut world = World::new();
        world.notifier.endpoints.0[1].events = events;
        let id = bill().id();
        let state = state::encode(&bill()).unwrap();
        world.store.plant(&ItemKey::alert(&id), 1, state);
        let message = serde_json::json!({ "alert": id }).to_string();
        for _ in 0..2 {
            assert_eq!(world.run(&message).await, (0, 0));
        }
        let mut got = world.got();
        got.sort();
        let names: Vec<_> = got.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, receivers);
        assert_eq!(got[0].1[0], ("webhook-id", id));
        assert_eq!(got[0].2, bill().cloud_event("/complical/test/api"));
        assert!(world.mails.0.lock().unwrap().is_empty());
        assert_eq!(world.run(&World::message()).await, (0, 0));
        let alerts = world.got().len() - receivers.len();
        let expected = if receivers.len() == 1 || world.notifier.endpoints.0[1].events.is_none() {
            2
        } else {
            1
        };
        assert_eq!(alerts, expected);
    }
}

#[tokio::test]
async fn a_failing_delivery_is_retried_for_more_than_a_day_and_then_given_up() {
    let world = World::new();
    *world.posts.refuses.lock().unwrap() = 7;
    let (millis, given_up) = world.run(&World::message()).await;
    assert_eq!((world.got().len(), given_up), (2, 0));
    assert!(millis > 0);
    let world = World::new();
    *world.posts.refuses.lock().unwrap() = u32::MAX;
    let (millis, given_up) = world.run(&World::message()).await;
    assert!(millis > 24 * 3_600_000, "{millis}");
    assert_eq!((world.got().len(), given_up), (0, 2));
    let (delivery, _) = world
        .notifier
        .delivery("billing", &alert().id())
        .await
        .unwrap();
    let delivery = delivery.unwrap();
    assert_eq!(delivery.status, DeliveryStatus::GivenUp);
    assert_eq!(delivery.failures, 10);
    assert!(delivery.error.unwrap().contains("503"));
    // A redrive begins anew.
    *world.posts.refuses.lock().unwrap() = 0;
    let again = Message {
        alert: alert().id(),
        endpoint: Some("billing".to_owned()),
        failures: 0,
        due: NOW,
    };
    world.run(&again.to_json()).await;
    assert_eq!(world.got().len(), 1);
}

#[tokio::test]
async fn wherever_it_dies_an_alert_is_delivered_and_never_under_another_id() {
    for dies_at in 0..40 {
        let world = World::new();
        world.store.inject(memory::dies_at(dies_at));
        world.run(&World::message()).await;
        let got = world.got();
        let of = |name: &str| got.iter().filter(|(of, ..)| of == name).count();
        assert!(of("billing") >= 1 && of("chat") >= 1, "{dies_at}");
        assert!(got.len() <= 3, "{dies_at}: {}", got.len());
        assert!(
            got.iter()
                .all(|(_, headers, _)| headers[0].1 == alert().id())
        );
        assert!(!world.mails.0.lock().unwrap().is_empty(), "{dies_at}");
    }
}

#[tokio::test]
async fn a_message_that_is_none_or_of_an_endpoint_that_went_holds_up_nothing() {
    let world = World::new();
    assert!(world.notifier.handle("{}", NOW).await.is_err());
    for body in [
        serde_json::json!({ "alert": "gone" }),
        serde_json::json!({ "alert": alert().id(), "endpoint": "gone", "failures": 1, "due": 5 }),
    ] {
        let handled = world.notifier.handle(&body.to_string(), NOW).await;
        assert_eq!(handled.unwrap(), Handled::Done);
    }
    assert!(world.got().is_empty());
}

#[tokio::test]
async fn while_a_secret_is_replaced_both_sign_within_a_minute() {
    let world = World::new();
    let secrets = &world.notifier.secrets;
    let first = secrets.of("billing", NOW).await.unwrap();
    let new = Secret::new([2; 32]);
    let until = NOW.plus_millis(24 * 3_600_000);
    let value = world.vault.values.lock().unwrap()["billing"].clone();
    let rotated = Secrets::parse(&value).unwrap().rotated(new.clone(), until);
    world.vault.put("billing", &rotated.to_json());
    let cached = secrets.of("billing", NOW.plus_millis(59_999)).await;
    assert_eq!(cached.unwrap(), first);
    assert_eq!(*world.vault.reads.lock().unwrap(), 1);
    let minute = NOW.plus_millis(60_000);
    let both = secrets.of("billing", minute).await.unwrap();
    assert_eq!(both, [new.clone(), first[0].clone()]);
    assert_eq!(secrets.of("billing", until).await.unwrap(), [new]);
    // The posted header carries both signatures.
    world.vault.put("chat", &rotated.to_json());
    world.run(&World::message()).await;
    let got = world.got();
    let (_, headers, body) = got.iter().find(|(name, ..)| name == "chat").unwrap();
    let signatures = both
        .iter()
        .map(|secret| secret.sign(&alert().id(), NOW, body));
    assert_eq!(headers[2].1, signatures.collect::<Vec<_>>().join(" "));
}

#[tokio::test]
async fn while_the_secrets_are_unavailable_deliveries_wait_and_none_is_lost() {
    let world = World::new();
    *world.vault.refuses.lock().unwrap() = 5;
    let (millis, given_up) = world.run(&World::message()).await;
    assert!(millis >= 60_000, "{millis}");
    assert_eq!((world.got().len(), given_up), (2, 0));
    assert_eq!(world.mails.0.lock().unwrap().len(), 1);
    let (delivery, _) = world
        .notifier
        .delivery("billing", &alert().id())
        .await
        .unwrap();
    // The endpoint refused nothing.
    assert_eq!(delivery.unwrap().failures, 0);
}

#[tokio::test]
async fn an_unreadable_secret_holds_up_its_own_endpoint_alone_and_is_not_logged() {
    let world = World::new();
    world.vault.put("billing", r#"{"current": "hunter2"}"#);
    let to = |endpoint: &str| Message {
        alert: alert().id(),
        endpoint: Some(endpoint.to_owned()),
        failures: 0,
        due: NOW,
    };
    let error = world.notifier.handle(&to("billing").to_json(), NOW).await;
    let error = Chain(&error.unwrap_err()).to_string();
    assert!(
        error.contains("`billing`") && !error.contains("hunter2"),
        "{error}"
    );
    let chat = world.notifier.handle(&to("chat").to_json(), NOW).await;
    assert_eq!(chat.unwrap(), Handled::Done);
    world.vault.generate("billing", "b");
    let billing = world.notifier.handle(&to("billing").to_json(), NOW).await;
    assert_eq!(billing.unwrap(), Handled::Done);
    assert_eq!(world.got().len(), 2);
}
