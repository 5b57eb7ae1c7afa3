//! `docs/billing.md`: its example receiver turns a closed period into what Stripe documents as a
//! meter event.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use domain::alert::Alert;
use domain::bill::Bill;
use domain::meter::Amounts;
use domain::plan::Period;
use domain::tally::Totals;
use domain::time::UnixMillis;
use domain::webhook::{Secret, headers};
use serde_json::{Value, json};
use tests::synthesised::root;
use tests::tools::Tools;

const SOURCE: &str = "/complical/test/api";
/// 2026-12-11T00:00:00Z, when November is final in every zone.
const NOW: UnixMillis = UnixMillis(1_796_947_200_000);

/// Runs the receiver over deliveries, against a Stripe that refuses some of the first events.
const HARNESS: &str = "
import importlib.util, json, sys
given = json.load(sys.stdin)
spec = importlib.util.spec_from_file_location('receiver', given['file'])
receiver = importlib.util.module_from_spec(spec)
spec.loader.exec_module(receiver)
posted, refusals = [], given['refusals']
def post(fields):
    global refusals
    if refusals > 0:
        refusals -= 1
        raise OSError('refused')
    posted.append(fields)
of = receiver.Receiver(given['secret'], {'ann@example.com': 'cus_123'}, 'api_units', ':memory:', post)
statuses = [of.receive(one['headers'], one['body'].encode(), given['now']) for one in given['deliveries']]
json.dump({'statuses': statuses, 'posted': posted}, sys.stdout)
";

/// Runs the receiver against a Stripe on loopback that refuses the first request, and sends the same
/// fields with Stripe's own client. Its parameters come from the `OpenAPI` document that Stripe
/// publishes.
const BESIDE_STRIPES_CLIENT: &str = "
import importlib.util, json, os, sys, threading, urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer
import stripe
from stripe.params.billing import MeterEventCreateParams
given = json.load(sys.stdin)
requests = []
class Stub(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['content-length'])).decode()
        requests.append({
            'path': self.path,
            'form': dict(urllib.parse.parse_qsl(body, strict_parsing=True)),
            'type': self.headers['content-type'],
            'authorization': self.headers['authorization'],
            'idempotencyKey': self.headers['idempotency-key'],
        })
        answer = b'{}'
        self.send_response(402 if len(requests) == 1 else 200)
        self.send_header('content-type', 'application/json')
        self.send_header('content-length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_):
        pass
stub = HTTPServer(('127.0.0.1', 0), Stub)
threading.Thread(target=stub.serve_forever, daemon=True).start()
api = f'http://127.0.0.1:{stub.server_port}'
spec = importlib.util.spec_from_file_location('receiver', given['file'])
receiver = importlib.util.module_from_spec(spec)
spec.loader.exec_module(receiver)
path = receiver.METER_EVENTS.removeprefix('https://api.stripe.com')
receiver.METER_EVENTS = api + path
os.environ['STRIPE_KEY'] = 'sk_test_loopback'
of = receiver.Receiver(given['secret'], {'ann@example.com': 'cus_123'}, 'api_units', ':memory:')
one = given['deliveries'][0]
statuses = [of.receive(one['headers'], one['body'].encode(), given['now']) for _ in range(3)]
fields = dict(requests[1]['form'])
payload = {name[len('payload['):-1]: fields.pop(name) for name in list(fields) if name.startswith('payload[')}
fields['timestamp'] = int(fields['timestamp'])
client = stripe.StripeClient('sk_test_loopback', base_addresses={'api': api}, max_network_retries=0)
client.v1.billing.meter_events.create(
    {**fields, 'payload': payload}, {'idempotency_key': fields['identifier']}
)
unknown = sorted({*fields, 'payload'} - set(MeterEventCreateParams.__annotations__))
json.dump({'statuses': statuses, 'requests': requests, 'unknown': unknown}, sys.stdout)
";

fn bill(user: &str) -> Bill {
    Bill {
        user: user.to_owned(),
        month: UnixMillis(1_793_491_200_000),
        plan: Some("free".to_owned()),
        timezone: "Asia/Kolkata".to_owned(),
        start: UnixMillis(1_793_471_400_000),
        end: UnixMillis(1_796_063_400_000),
        totals: Totals {
            calls: 7,
            units: 34,
            ..Totals::default()
        },
        meters: Amounts::new(),
        digest: "00".repeat(32),
    }
}

fn secret() -> Secret {
    Secret::new([7; 32])
}

/// A delivery as the notifier signs it.
fn delivery(id: &str, body: &str) -> Value {
    let headers = headers(&[secret()], id, NOW, body);
    json!({"headers": headers.into_iter().collect::<BTreeMap<_, _>>(), "body": body})
}

fn received(deliveries: &[Value], refusals: u32) -> Value {
    run(&Tools::ensure().python, HARNESS, deliveries, refusals)
}

fn run(python: &Path, harness: &str, deliveries: &[Value], refusals: u32) -> Value {
    let mut script = Command::new(python)
        .args(["-c", harness])
        // No cache beside the example.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let given = json!({
        "file": root().join("docs/examples/stripe.py"),
        "secret": secret().reveal(),
        "now": NOW.seconds(),
        "refusals": refusals,
        "deliveries": deliveries,
    });
    let mut stdin = script.stdin.take().unwrap();
    stdin.write_all(given.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = script.wait_with_output().unwrap();
    assert!(output.status.success(), "the receiver fails");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_closed_period_becomes_one_meter_event_of_stripe_however_often_it_comes() {
    let ann = bill("ann@example.com");
    let closed = delivery(&ann.id(), &ann.cloud_event(SOURCE));
    let mut forged = closed.clone();
    forged["body"] = json!(ann.cloud_event("/forged"));
    let stranger = bill("eve@example.com");
    let period = Period {
        start: ann.start,
        end: ann.end,
    };
    let alert = Alert::new(("ann@example.com", "free"), (50, 100, 50), period, NOW);
    let deliveries = [
        closed.clone(),
        closed.clone(),
        closed,
        forged,
        delivery(&stranger.id(), &stranger.cloud_event(SOURCE)),
        delivery(&alert.id(), &alert.cloud_event(SOURCE)),
    ];
    let received = received(&deliveries, 1);
    assert_eq!(received["statuses"], json!([502, 204, 204, 401, 422, 204]));
    let expected = json!([{
        "event_name": "api_units",
        "payload[stripe_customer_id]": "cus_123",
        "payload[value]": "34",
        "identifier": ann.id(),
        "timestamp": "1796063399",
    }]);
    assert_eq!(received["posted"], expected);
}

#[test]
fn the_request_is_that_of_stripes_own_client() {
    let ann = bill("ann@example.com");
    let python = Tools::ensure().moto_server.with_file_name("python");
    let closed = [delivery(&ann.id(), &ann.cloud_event(SOURCE))];
    let ran = run(&python, BESIDE_STRIPES_CLIENT, &closed, 0);
    assert_eq!(ran["unknown"], json!([]));
    // The refused request is sent again, the accepted one is not.
    assert_eq!(ran["statuses"], json!([502, 204, 204]));
    let requests = ran["requests"].as_array().unwrap();
    let [refused, accepted, of_the_client] = requests.as_slice() else {
        panic!("expected three requests: {requests:?}");
    };
    assert_eq!(accepted, of_the_client);
    assert_eq!(accepted, refused);
    assert_eq!(accepted["idempotencyKey"], json!(ann.id()));
}

/// The limits that <https://docs.stripe.com/api/billing/meter-event/create> states.
#[test]
fn a_meter_event_keeps_the_limits_that_stripe_documents() {
    let ann = bill("ann@example.com");
    let received = received(&[delivery(&ann.id(), &ann.cloud_event(SOURCE))], 0);
    let fields = received["posted"][0].as_object().unwrap();
    let text = |name: &str| fields[name].as_str().unwrap();
    assert!((1..=100).contains(&text("event_name").len()));
    assert!((1..=100).contains(&text("identifier").len()));
    text("payload[value]").parse::<u64>().unwrap();
    let at: i64 = text("timestamp").parse().unwrap();
    let age = NOW.seconds() - at;
    // Retries and a redrive take days.
    assert!(
        (0..20 * 86_400).contains(&age),
        "{age} s, Stripe accepts 35 days"
    );
    // Usage of the period, not of the next.
    assert!((ann.start.seconds()..ann.end.seconds()).contains(&at));
    let others = ["event_name", "identifier", "timestamp"];
    for name in fields
        .keys()
        .filter(|name| !others.contains(&name.as_str()))
    {
        assert!(
            name.starts_with("payload[") && name.ends_with(']'),
            "{name}"
        );
    }
}
