"""What Python's clients make of a server: httpx-sse, and h11 as a strict reader of its answers. Called by .ci/clients.

Usage: clients.py URL    prints a line of JSON per check: client, check, and what is wrong or null
"""
import json
import socket
import sys
import traceback
from urllib.parse import urlsplit

import h11
import httpx
from httpx_sse import EventSource, connect_sse

BASE = sys.argv[1]
HOST = urlsplit(BASE).netloc
PATIENCE = 40.0


def same(got, wanted, where=""):
    for place, (is_, should) in enumerate(zip(got, wanted)):
        assert is_ == should, f"event {place}{where} is {str(is_)[:300]!r} and not {str(should)[:300]!r}"
    assert len(got) == len(wanted), f"{len(got)} events{where}, not {len(wanted)}"


def expected():
    """What httpx-sse makes of the events at /awkward.json, which keeps the last id, and of the one that ends the stream."""
    wanted, last_id = [], ""
    for event in httpx.get(f"{BASE}/awkward.json").json():
        last_id = event["id"] or last_id
        wanted.append((event["name"], event["data"], last_id, event["retry"]))
    return [*wanted, ("sse-end", "{}", last_id, None)]


def events_of(source):
    return [(event.event, event.data, event.id, event.retry) for event in source.iter_sse()]


def httpx_as_published(client):
    wanted = expected()
    with connect_sse(client, "GET", f"{BASE}/awkward/httpx") as source:
        same(events_of(source), wanted)
    stream = client.get(f"{BASE}/awkward/httpx-again").content
    few = stream[: len(stream) - (1 << 20)]  # all but the largest event and the end
    for part, size in ((few, 1), (few, 7), (stream, 1000), (stream, len(stream))):
        pieces = (part[at : at + size] for at in range(0, len(part), size))
        response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=pieces)
        same(events_of(EventSource(response)), wanted[:-2] if part is few else wanted, f" in pieces of {size}")


def httpx_read(client, url, count, meanwhile=lambda: None, **headers):
    """The first events with data: a block without is handed on as well (docs/clients.md)."""
    got = []
    with connect_sse(client, "GET", url, headers=headers) as source:
        meanwhile()
        for event in source.iter_sse():
            if event.data:
                got.append(event)
            if len(got) == count:
                return got
    raise AssertionError(f"{len(got)} events, not {count}")


def post(client, url, *texts):
    for text in texts:
        assert client.post(url, content=text).status_code in (201, 202)


def httpx_resumes(client):
    url = f"{BASE}/kept/httpx"
    got = httpx_read(client, url, 2, lambda: post(client, url, "1", "2", "3"))
    post(client, url, "4")
    got += httpx_read(client, url, 2, **{"Last-Event-ID": got[-1].id})
    same([(event.event, event.data) for event in got], [("message", text) for text in "1234"])


def httpx_gap(client):
    url = f"{BASE}/short/httpx"  # keeps 4
    got = httpx_read(client, url, 1, lambda: post(client, url, "1"))
    post(client, url, *"234567")
    got = httpx_read(client, url, 5, **{"Last-Event-ID": got[-1].id})
    gap = '{"topic":"/short/httpx","missed":null,"why":"expired"}'
    same([(event.event, event.data) for event in got], [("sse-gap", gap), *(("message", text) for text in "4567")])


def answer(method, target, headers=(), body=b"", raw=None):
    """One answer as h11 reads it, to the end of the connection; `raw` goes over the wire instead of what h11 would send."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 22)
    fields = [("Host", HOST), *headers]
    if body:
        fields.append(("Content-Length", str(len(body))))
    sent = connection.send(h11.Request(method=method, target=target, headers=fields))
    if body:
        sent += connection.send(h11.Data(data=body))
    sent += connection.send(h11.EndOfMessage())
    name, port = HOST.split(":")
    head, data = None, bytearray()
    with socket.create_connection((name, int(port)), PATIENCE) as wire:
        wire.sendall(raw or sent)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(wire.recv(1 << 16))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                data += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                raise AssertionError(f"{method} {target}: {event!r}")
        # One request per connection: h11 must know that nothing more comes, and nothing does.
        assert connection.their_state is h11.MUST_CLOSE or connection.their_state is h11.CLOSED, connection.their_state
        trailing = connection.trailing_data[0]
        while more := wire.recv(1 << 16):
            trailing += more
        assert not trailing, f"{method} {target}: {trailing[:200]!r} after the end"
    return head.status_code, {bytes(name).decode(): bytes(value).decode() for name, value in head.headers}, bytes(data)


def h11_answers(_):
    """Every kind of answer is framed as its head says."""
    long = "x" * 20_000
    evil = [("Origin", "http://evil.example")]
    cases = [
        ("GET", "/stats", {}, 200),
        ("GET", "/awkward.json", {}, 200),
        ("HEAD", "/kept/h11", {}, 200),
        ("HEAD", "/stats", {}, 200),
        ("OPTIONS", "/kept/h11", {}, 204),
        ("POST", "/kept/h11", {"body": b"hello"}, 202),
        ("POST", "/kept/h11", {"body": b"\xff"}, 400),
        ("POST", "/kept/h11", {"raw": f"POST /kept/h11 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()}, 411),
        ("POST", "/kept/h11", {"raw": f"POST /kept/h11 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 99999999\r\n\r\n".encode()}, 413),
        ("POST", "/awkward/h11", {"body": b"hello"}, 405),
        ("DELETE", "/kept/h11", {}, 405),
        ("BREW", "/kept/h11", {}, 501),
        ("GET", "/enough/h11", {}, 204),
        ("GET", "/cookie/h11", {}, 401),
        ("GET", "/nowhere", {}, 404),
        ("GET", "/a%2Fb", {}, 400),
        ("GET", f"/{long}", {}, 414),
        ("GET", "/stats", {"headers": [("X", long)]}, 431),
        ("GET", "/stats", {"headers": [("Expect", "everything")]}, 417),
        ("GET", "/kept/h11", {"headers": evil}, 403),
        ("POST", "/kept/h11", {"headers": evil, "body": b"hello"}, 403),
        ("GET", "/kept/h11", {"raw": b"GET /kept/h11 HTTP/1.1\r\nHost: evil.example\r\n\r\n"}, 421),
        ("GET", "/kept/h11", {"raw": b"GET /kept/h11 HTTP/1.1\nHost: localhost\n\n"}, 400),
        ("GET", "/kept/h11", {"raw": b"GET /kept/h11 HTTP/3.0\r\nHost: localhost\r\n\r\n"}, 505),
    ]
    for method, target, more, status in cases:
        got, fields, body = answer(method, target, **more)
        what = f"{method} {target[:40]} {str(more)[:80]}"
        assert got == status, f"{what}: {got} and not {status}"
        assert fields["connection"] == "close", f"{what}: {fields}"
        if method == "HEAD" or status == 204:
            assert not body, f"{what}: {body!r}"
        elif status != 200:
            assert int(fields["content-length"]) == len(body) > 0, f"{what}: {fields} {body!r}"


def h11_stream(client):
    """A stream that ends with its connection, read whole."""
    status, fields, body = answer("GET", "/awkward/h11")
    assert (status, fields["content-type"]) == (200, "text/event-stream")
    assert "content-length" not in fields and "transfer-encoding" not in fields, fields
    response = httpx.Response(200, headers=fields, content=body)
    same(events_of(EventSource(response)), expected())


CHECKS = {
    "httpx-sse": {"as published": httpx_as_published, "resumes where it left": httpx_resumes, "is told of a gap": httpx_gap},
    "h11": {"as published": h11_stream, "answers": h11_answers},
}

with httpx.Client(timeout=PATIENCE) as client:
    for name, checks in CHECKS.items():
        for check, run in checks.items():
            try:
                run(client)
                error = None
            except Exception:  # whatever is wrong is told, and the other checks go on
                error = traceback.format_exc(limit=-2)
            print(json.dumps({"client": name, "check": check, "error": error}), flush=True)
