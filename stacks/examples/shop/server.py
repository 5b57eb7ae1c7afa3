"""A small API that stands for your own: `openapi.yaml` beside it describes it.

Serves on a port of this machine: `python3 server.py 8080`. Needs nothing but Python.
It greets the user that the gateway names, and keeps its items in memory.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ITEMS = {1: {"name": "green tea"}, 2: {"name": "black tea"}, 3: {"name": "coffee"}}


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=None, **headers):
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.send_header("x-served-for", self.headers.get("x-usage-user", "nobody"))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def item(self, path):
        text = path.removeprefix("/items/")
        return int(text) if path.startswith("/items/") and text.isdigit() else None

    def do_GET(self):
        url = urlsplit(self.path)
        number = self.item(url.path)
        if url.path == "/health":
            self.answer(200, {"open": True})
        elif url.path == "/items":
            self.answer(200, ITEMS)
        elif url.path == "/search":
            asked = parse_qs(url.query).get("q", [""])[0]
            self.answer(200, {id: item for id, item in ITEMS.items() if asked in item["name"]})
        elif number in ITEMS:
            self.answer(200, ITEMS[number])
        else:
            self.answer(404, {"error": "notFound"})

    do_HEAD = do_GET

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            name = json.loads(body)["name"]
        except (ValueError, KeyError, TypeError):
            return self.answer(400, {"error": "badRequest"})
        number = max(ITEMS, default=0) + 1
        ITEMS[number] = {"name": str(name)}
        return self.answer(201, ITEMS[number], location=f"/items/{number}")

    def do_DELETE(self):
        self.answer(204 if ITEMS.pop(self.item(self.path), None) else 404)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Shop).serve_forever()
