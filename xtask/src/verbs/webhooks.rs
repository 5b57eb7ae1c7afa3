//! `webhooks`: deliveries of alerts, their signing secrets, and a test of an endpoint.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use deployer::{Queues, StateTable, WebhookSecrets};
use domain::alert::Alert;
use domain::bill::Bill;
use domain::calendar::Span;
use domain::meter::Amounts;
use domain::notice::Notice;
use domain::plan::Period;
use domain::report::{KeyFigures, ReportReady};
use domain::table;
use domain::tally::Totals;
use domain::time::{UnixMillis, Window};
use domain::webhook::{self, Delivery, DeliveryStatus, Format, Message, SECRET_BYTES, Secret};
use serde::Serialize;
use stacks::environment::Environment;

use crate::audit::{note, random};
use crate::aws::{Reached, reach};
use crate::clock;
use crate::consent::{Consent, agreed};
use crate::context::Context;
use crate::stop::{Exit, Stop};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) action: WebhookAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookAction {
    /// List the deliveries to each endpoint, latest first
    List,
    /// Retry deliveries that were given up
    Redrive {
        #[command(flatten)]
        consent: Consent,
    },
    /// Print the secret that signs deliveries to an endpoint
    Secret {
        /// The endpoint's name
        name: String,
        /// Create a new one; the previous one keeps signing for 24 h
        #[arg(long)]
        rotate: bool,
        #[command(flatten)]
        consent: Consent,
    },
    /// Post one signed event from this machine, and print the status of the response
    Test {
        /// A URL, or an endpoint's name
        #[arg(value_name = "URL|NAME")]
        target: String,
        /// The event to post
        #[arg(long, value_enum, default_value_t = SampleEvent::QuotaThreshold)]
        event: SampleEvent,
    },
}

/// An event that endpoints receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SampleEvent {
    /// `QUOTA_THRESHOLD_CROSSED`: a user crossed a threshold of its quota.
    QuotaThreshold,
    /// `period.closed`: a user's period is final.
    PeriodClosed,
    /// `report.ready`: a scheduled report is stored.
    ReportReady,
}

/// How long a secret keeps signing beside its replacement.
const GRACE_MILLIS: i64 = 24 * 3_600_000;
/// The timeout for an endpoint's response to a test.
const PATIENCE: Duration = Duration::from_secs(10);
/// The user of a sample event.
const SAMPLE_USER: &str = "test@example.com";

#[derive(Debug, Serialize)]
struct Listed {
    webhooks: Vec<Listing>,
}

/// An endpoint with its deliveries, latest first.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    name: String,
    url: String,
    deliveries: Vec<Shown>,
}

/// A delivery.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: String,
    status: DeliveryStatus,
    failures: u32,
    error: Option<String>,
    at: String,
}

#[derive(Debug, Serialize)]
struct Redriven {
    redriven: u64,
}

#[derive(Debug, Serialize)]
struct ShownSecret {
    name: String,
    secret: String,
}

#[derive(Debug, Serialize)]
struct Tested {
    id: String,
    status: u16,
    secret: String,
}

pub(crate) async fn run(context: &Context, action: WebhookAction) -> anyhow::Result<Exit> {
    match action {
        WebhookAction::List => list(context).await,
        WebhookAction::Redrive { consent } => redrive(context, consent).await,
        WebhookAction::Secret {
            name,
            rotate,
            consent,
        } => secret(context, &name, rotate, consent).await,
        WebhookAction::Test { target, event } => test(context, &target, event).await,
    }
}

async fn list(context: &Context) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    reached.deployed().await?;
    let mut webhooks = Vec::new();
    for webhook in reached.environment.webhooks.iter() {
        let name = webhook.name.as_str();
        webhooks.push(Listing {
            name: name.to_owned(),
            url: webhook.url.as_str().to_owned(),
            deliveries: deliveries(&reached, name)
                .await?
                .into_iter()
                .map(shown)
                .collect(),
        });
    }
    context.out.answer(&Listed { webhooks }, Listed::text)?;
    Ok(Exit::Done)
}

/// The deliveries to an endpoint, latest first.
async fn deliveries(reached: &Reached, name: &str) -> anyhow::Result<Vec<(String, Delivery)>> {
    let table = states(reached);
    let mut all: Vec<(String, Delivery)> = table.list(&table::deliveries(name)).await?;
    all.sort_by(|(one, first), (other, second)| (second.at, other).cmp(&(first.at, one)));
    Ok(all)
}

fn shown((id, delivery): (String, Delivery)) -> Shown {
    Shown {
        id,
        status: delivery.status,
        failures: delivery.failures,
        error: delivery.error,
        at: delivery.at.to_string(),
    }
}

impl Listed {
    fn text(&self) -> String {
        let mut text = String::new();
        for webhook in &self.webhooks {
            let _ = writeln!(text, "{}  {}", webhook.name, webhook.url);
            for delivery in &webhook.deliveries {
                let status = match delivery.status {
                    DeliveryStatus::Waiting => "waiting",
                    DeliveryStatus::Delivered => "delivered",
                    DeliveryStatus::GivenUp => "given up",
                };
                let error = delivery.error.as_deref().unwrap_or_default();
                let _ = writeln!(
                    text,
                    "  {}  {status:<9}  {}  {} failures  {error}",
                    delivery.at, delivery.id, delivery.failures
                );
            }
        }
        text
    }
}

/// Retries every delivery that was given up.
async fn redrive(context: &Context, consent: Consent) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    reached.deployed().await?;
    let mut given_up = Vec::new();
    for webhook in reached.environment.webhooks.iter() {
        let name = webhook.name.as_str();
        let all = deliveries(&reached, name).await?.into_iter();
        let of_endpoint = all.filter(|(_, delivery)| delivery.status == DeliveryStatus::GivenUp);
        given_up.extend(of_endpoint.map(|(id, _)| (id, name.to_owned())));
    }
    let count = given_up.len();
    if consent.dry_run {
        context
            .out
            .step(&format!("would deliver {count} alerts again"));
        return Ok(Exit::Done);
    }
    let question = format!("deliver {count} alerts again?");
    if count > 0 && !agreed(context, &reached.environment, consent, &question).await? {
        return Ok(Exit::Failed);
    }
    let name = reached.environment.names().alert_queue();
    let queue = Queues::new(&reached.session).find(&name).await?;
    let queue = queue.with_context(|| format!("there is no queue `{name}`"))?;
    for (alert, endpoint) in given_up {
        let message = Message {
            alert,
            endpoint: Some(endpoint),
            failures: 0,
            due: UnixMillis(0),
        };
        queue.send(&message.to_json()).await?;
    }
    let redriven = Redriven {
        redriven: count as u64,
    };
    context.out.answer(&redriven, |redriven| {
        format!("{} alerts are delivered again", redriven.redriven)
    })?;
    Ok(Exit::Done)
}

/// Shows an endpoint's secret, after replacing it if requested.
async fn secret(
    context: &Context,
    name: &str,
    rotate: bool,
    consent: Consent,
) -> anyhow::Result<Exit> {
    check_name(&context.environment()?, name)?;
    let reached = reach(context).await?;
    reached.deployed().await?;
    if consent.dry_run {
        context.out.step(&format!(
            "would {} the secret of `{name}`",
            if rotate { "replace" } else { "show" }
        ));
        return Ok(Exit::Done);
    }
    let question = format!("replace the secret of webhook `{name}`?");
    if rotate && !agreed(context, &reached.environment, consent, &question).await? {
        return Ok(Exit::Failed);
    }
    let secret = current(&reached, name, rotate).await?;
    let shown = ShownSecret {
        name: name.to_owned(),
        secret: secret.reveal(),
    };
    context.out.answer(&shown, |shown| shown.secret.clone())?;
    if rotate {
        context
            .out
            .step("the new secret signs within a minute; the previous one keeps signing for 24 h");
        // Only after the secret is shown: if this fails, nothing shows the secret again.
        note(&reached, "webhooks secret --rotate", name).await?;
    }
    Ok(Exit::Done)
}

/// The current secret of an endpoint, a new one if it is rotated.
async fn current(reached: &Reached, name: &str, rotate: bool) -> anyhow::Result<Secret> {
    let store = WebhookSecrets::new(&reached.session, reached.environment.names());
    let secrets = if rotate {
        let new = Secret::new(random::<SECRET_BYTES>()?);
        let until = clock::now().plus_millis(GRACE_MILLIS);
        store.rotate(name, &new, until).await?
    } else {
        store.read(name).await?
    };
    let secrets = secrets.ok_or_else(|| {
        let environment = &reached.environment.name;
        Stop::failed(format!(
            "webhook `{name}` is not deployed, so it has no secret"
        ))
        .hint(format!("cargo xtask deploy --env {environment}"))
    })?;
    Ok(secrets.current().clone())
}

fn check_name(environment: &Environment, name: &str) -> Result<(), Stop> {
    let mut known = environment
        .webhooks
        .iter()
        .map(|webhook| webhook.name.as_str());
    if known.any(|known| known == name) {
        return Ok(());
    }
    let known = environment.webhooks.iter();
    let known: Vec<_> = known.map(|webhook| format!("`{}`", webhook.name)).collect();
    Err(Stop::usage(format!(
        "there is no webhook `{name}`: environment `{}` has {}",
        environment.name,
        if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        }
    )))
}

/// Posts one signed event from this machine, to a URL or to an endpoint of the environment.
async fn test(context: &Context, target: &str, event: SampleEvent) -> anyhow::Result<Exit> {
    let environment = context.environment()?;
    let now = clock::now();
    let (url, format, secret) = if target.contains("://") {
        let secret = Secret::new(random::<SECRET_BYTES>()?);
        (target.to_owned(), Format::CloudEvents, secret)
    } else {
        check_name(&environment, target)?;
        let reached = reach(context).await?;
        reached.deployed().await?;
        let mut webhooks = environment.webhooks.iter();
        let webhook = webhooks.find(|webhook| webhook.name.as_str() == target);
        let webhook = webhook.context("the webhook is gone")?;
        (
            webhook.url.as_str().to_owned(),
            webhook.format.into(),
            current(&reached, target, false).await?,
        )
    };
    let notice = sample(event, now);
    let id = notice.id();
    let body = format.body(&notice, &environment.names().event_source());
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context("making an HTTP client")?;
    let mut request = client
        .post(&url)
        .header("content-type", format.media_type());
    for (name, value) in webhook::headers(std::slice::from_ref(&secret), &id, now, &body) {
        request = request.header(name, value);
    }
    let sent = request.body(body).send().await;
    let answer = sent.map_err(|error| anyhow::Error::from(error.without_url()));
    let status = answer
        .with_context(|| format!("posting to `{url}`"))?
        .status();
    let tested = Tested {
        id,
        status: status.as_u16(),
        secret: secret.reveal(),
    };
    context.out.answer(&tested, |tested| {
        format!(
            "{} answered with {}\nsigned with {}",
            tested.id, tested.status, tested.secret
        )
    })?;
    Ok(if status.is_success() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// A sample event.
pub(super) fn sample(event: SampleEvent, now: UnixMillis) -> Notice {
    match event {
        SampleEvent::QuotaThreshold => {
            let period = Period {
                start: now,
                end: now.plus_days(30),
            };
            let alert = Alert::new((SAMPLE_USER, "test"), (50, 100, 50), period, now);
            Notice::Threshold(alert)
        }
        SampleEvent::PeriodClosed => {
            let month = Window::Month.start(Window::Month.start(now).plus_days(-1));
            Notice::Closed(Bill {
                user: SAMPLE_USER.to_owned(),
                month,
                plan: Some("test".to_owned()),
                timezone: "UTC".to_owned(),
                start: month,
                end: Window::Month.end(month),
                totals: Totals {
                    calls: 50,
                    auth_failures: 1,
                    rate_limited: 2,
                    units: 50,
                },
                meters: Amounts::new(),
                digest: domain::key::hash(SAMPLE_USER),
            })
        }
        SampleEvent::ReportReady => Notice::Report(sample_report(now)),
    }
}

/// A report of last month, which names no file that exists.
fn sample_report(now: UnixMillis) -> ReportReady {
    let month = Span::month(now).previous();
    let last = month.in_utc().end.plus_days(-1);
    ReportReady {
        environment: "test".to_owned(),
        period: month.to_string(),
        first: month.first().to_string(),
        last: Window::Day.label(last),
        bucket: "test".to_owned(),
        keys: domain::report::Format::ALL
            .map(|format| format.key(month))
            .into(),
        figures: KeyFigures {
            users: 1,
            total_calls: 50,
            auth_failures: 1,
            rate_limited: 2,
            units: 50,
        },
        previous: None,
        at: domain::report::final_at(last),
    }
}

fn states(reached: &Reached) -> StateTable {
    StateTable::new(&reached.session, &reached.environment.names())
}
