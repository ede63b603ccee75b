"""The server answers this machine only, refuses other pages, and never shares."""

import socket
import urllib.error
import urllib.request

import pytest

from nerf.foundation.errors import UserError
from nerf.viewer.guard import check_port, describe, open_server, refusal

LOCAL = "127.0.0.1"


@pytest.fixture(scope="module")
def server():
    server = open_server(LOCAL, 0, "a run")
    yield server
    server.stop()


def ask(server, path="/", **headers):
    """Return the status of a request."""
    url = f"http://{LOCAL}:{server.get_port()}{path}"
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def handshake(server, origin):
    """Return the status line of a request for a websocket from a page of an origin."""
    port = server.get_port()
    lines = [
        "GET / HTTP/1.1",
        f"Host: {LOCAL}:{port}",
        f"Origin: {origin.format(port=port)}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: viser-v1.1.1",
    ]
    with socket.create_connection((LOCAL, port), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection.recv(200).split(b"\r\n")[0].decode()


@pytest.mark.long
def test_pages_of_this_server_are_answered_and_others_are_refused(server):
    assert "101" in handshake(server, "http://127.0.0.1:{port}")
    assert "403" in handshake(server, "http://evil.example")
    assert "403" in handshake(server, "http://127.0.0.1:1")
    assert ask(server) == 200
    assert ask(server, Host="evil.example") == 403


@pytest.mark.long
def test_the_server_is_bound_to_one_address_and_is_not_shared(server):
    assert server.get_host() == LOCAL
    assert server.request_share_url() is None
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", server.get_port()), 2):
        pass


@pytest.mark.long
def test_a_port_in_use_is_one_line_that_names_another(server):
    port = server.get_port()
    for check in (check_port, lambda host, port: open_server(host, port, "")):
        with pytest.raises(UserError, match=f"--port={port}: in use .*--port={port + 1}$"):
            check(LOCAL, port)
    with pytest.raises(UserError, match="--host=192.0.2.1 .*address of this machine"):
        check_port("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("host", "asked", "origin", "refused"),
    [
        (LOCAL, "127.0.0.1:8080", None, False),
        (LOCAL, "localhost:9000", "http://localhost:9000", False),  # through a tunnel
        (LOCAL, "localhost:9000", "http://localhost:9001", True),
        (LOCAL, "a.example:8080", "http://a.example:8080", True),  # a name that points here
        ("0.0.0.0", "a.example:8080", "http://a.example:8080", False),
        ("0.0.0.0", "a.example:8080", "http://b.example", True),
        (LOCAL, "127.0.0.1:8080", "null", True),
    ],
)
def test_origins(host, asked, origin, refused):
    headers = {"Host": asked} | ({} if origin is None else {"Origin": origin})
    assert bool(refusal(host, headers)) == refused


def test_the_tunnel_is_told_and_an_open_address_is_a_warning():
    assert "ssh -L 8080:127.0.0.1:8080 " in describe(LOCAL, 8080)[1]
    assert describe("0.0.0.0", 80)[0].startswith("viewer: http://127.0.0.1:80")
    assert describe("0.0.0.0", 80)[1].startswith("warning: everyone")


@pytest.mark.long
def test_a_viser_that_cannot_be_checked_is_refused(monkeypatch):
    import websockets.asyncio.server as module

    from nerf.viewer import guard

    monkeypatch.setattr(guard, "_checked", lambda host, process: process)
    serve = module.serve
    # A viser that started its server in another way would leave the list of uses empty.
    monkeypatch.setattr(guard, "_guarded", lambda host: _Nothing())
    with pytest.raises(UserError, match="cannot be checked"):
        open_server(LOCAL, 0, "")
    assert module.serve is serve


class _Nothing:
    def __enter__(self):
        return []

    def __exit__(self, *_):
        return None
