"""Turns each `period.closed` event into one meter event of Stripe. Needs Python 3.10 and nothing else.

    WEBHOOK_SECRET=whsec_… STRIPE_KEY=sk_… CUSTOMERS=customers.json python3 stripe.py

`customers.json` maps the emails of API keys to Stripe's customers: {"ann@example.com": "cus_123"}.
"""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import time
import urllib.parse
import urllib.request
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

# A signature is valid for five minutes, as Standard Webhooks recommends.
TOLERANCE_SECONDS = 300
# https://docs.stripe.com/api/billing/meter-event/create
METER_EVENTS = "https://api.stripe.com/v1/billing/meter_events"


def is_signed(secret, headers, body, now):
    """Whether a delivery is signed with the endpoint's secret (https://www.standardwebhooks.com)."""
    timestamp = headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers.get('webhook-id', '')}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in given)


def meter_event(event, customer, meter):
    """The fields of the meter event that bills the units of a period."""
    end = datetime.fromisoformat(event["data"]["periodEnd"].replace("Z", "+00:00"))
    return {
        "event_name": meter,
        "payload[stripe_customer_id]": customer,
        "payload[value]": str(event["data"]["units"]),
        "identifier": event["id"],
        # The period's last second. Stripe accepts the past 35 days; a period is final after 11.
        "timestamp": str(int(end.timestamp()) - 1),
    }


def post_to_stripe(fields):
    """Raises an error unless Stripe accepts the meter event."""
    request = urllib.request.Request(METER_EVENTS, urllib.parse.urlencode(fields).encode())
    request.add_header("Authorization", "Bearer " + os.environ["STRIPE_KEY"])
    # Within a day, Stripe answers a repeated request as it answered the first.
    request.add_header("Idempotency-Key", fields["identifier"])
    urllib.request.urlopen(request, timeout=8).close()


class Receiver:
    """Remembers the events that Stripe accepted: Stripe itself knows an identifier for a day only."""

    def __init__(self, secret, customers, meter, database, post=post_to_stripe):
        self.secret, self.customers, self.meter, self.post = secret, customers, meter, post
        self.done = sqlite3.connect(database)
        self.done.execute("CREATE TABLE IF NOT EXISTS done (id TEXT PRIMARY KEY)")

    def receive(self, headers, body, now=None):
        """The status to answer with. Everything but 2xx is delivered again."""
        if not is_signed(self.secret, headers, body, time.time() if now is None else now):
            return 401
        event = json.loads(body)
        if event["type"] != "period.closed":
            return 204
        if self.done.execute("SELECT 1 FROM done WHERE id = ?", [event["id"]]).fetchone():
            return 204
        customer = self.customers.get(event["subject"])
        if customer is None:
            return 422
        try:
            self.post(meter_event(event, customer, self.meter))
        except OSError:
            return 502
        with self.done:
            self.done.execute("INSERT OR IGNORE INTO done VALUES (?)", [event["id"]])
        return 204


def main():
    with open(os.environ["CUSTOMERS"], encoding="utf-8") as file:
        customers = json.load(file)
    meter = os.environ.get("STRIPE_METER", "api_units")
    receiver = Receiver(os.environ["WEBHOOK_SECRET"], customers, meter, "done.sqlite")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(receiver.receive(self.headers, body))
            self.end_headers()

    HTTPServer(("", int(os.environ.get("PORT", "8080"))), Handler).serve_forever()


if __name__ == "__main__":
    main()
