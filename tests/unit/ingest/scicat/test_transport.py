"""HTTP with a server that misbehaves: on real sockets."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from urllib3 import HTTPConnectionPool, PoolManager
from urllib3.connection import HTTPConnection

from ingest.scicat import NotAllowed, SciCat, SciCatError, TooLarge, transport
from ingest.scicat.errors import Answer
from ingest.scicat.transport import Transport
from tests.servers.http_script import OK, Server, say
from tests.waiting import PATIENCE


def drip(connection: socket.socket) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:  # until the client gives up
        connection.sendall(b" ")
        time.sleep(0.02)


def silent(connection: socket.socket) -> bool:
    connection.recv(1)  # until the client gives up
    return False


def drip_headers(connection: socket.socket) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def go_on_forever(connection: socket.socket) -> bool:
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.02)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


@pytest.fixture
def http(server: Server) -> Transport:
    return Transport(server.url, PATIENCE, PATIENCE)


def test_an_answer(server: Server, http: Transport) -> None:
    server.scripts = [say(OK), say(OK)]
    assert http.send("GET", "/x", query={"filter": "{}"}).json() == {"a": 1}
    assert http.send("POST", "/x", b"{}", {"Content-Type": "application/merge-patch+json"}).good
    assert b"Content-Type: application/merge-patch+json\r\n" in server.requests[1]


def test_a_connection_that_the_server_has_closed_does_not_fail_a_read(server: Server, http: Transport) -> None:
    server.scripts = [say(OK), lambda _: False, say(OK)]
    http.send("GET", "/x")
    assert http.send("GET", "/x").good  # it closes without an answer
    assert len(server.requests) == 3


def test_but_a_write_is_not_made_twice(server: Server, http: Transport) -> None:
    server.scripts = [say(OK), lambda _: False, say(OK)]
    http.send("GET", "/x")
    with pytest.raises(SciCatError) as raised:
        http.send("POST", "/x", b"{}")
    assert raised.value.temporary
    assert len(server.requests) == 2


def test_a_connection_is_not_kept_for_as_long_as_the_server_would(
    server: Server, http: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_IDLE_SECONDS", 0.0)
    server.scripts = [say(OK), say(OK)]
    accepted = []
    serve = server._serve
    monkeypatch.setattr(server, "_serve", lambda connection: accepted.append(1) or serve(connection))
    http.send("GET", "/x")
    http.send("POST", "/x", b"{}")
    assert len(accepted) == 2


@pytest.mark.parametrize("script", [drip, drip_headers, go_on_forever, silent])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_never_ends_its_answer_is_given_up(
    server: Server, script: Callable[[socket.socket], bool], method: str
) -> None:
    server.scripts = [script, script]
    with pytest.raises(SciCatError) as raised:
        Transport(server.url, 0.3, 0.4).send(method, "/x")
    assert raised.value.temporary
    assert raised.value.status == 0


@pytest.mark.parametrize(
    "script",
    [
        say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1,", keep=False),
        say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,2,\r\n", keep=False),
        say(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
        say(b"not HTTP at all", keep=False),
        lambda _: False,
    ],
    ids=["cut off", "chunk cut off", "no gzip", "not HTTP", "closed"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_incomplete_answer_is_an_error_that_can_be_waited_out(
    server: Server, http: Transport, script: Callable[[socket.socket], bool], method: str
) -> None:
    server.scripts = [script, script]
    with pytest.raises(SciCatError) as raised:
        http.send(method, "/x")
    assert raised.value.temporary
    assert raised.value.status == 0


def test_nobody_there() -> None:
    with pytest.raises(SciCatError, match="no answer") as raised:
        Transport("http://127.0.0.1:9", PATIENCE, PATIENCE).send("GET", "/x")
    assert raised.value.temporary


def test_memory_is_bounded(server: Server, http: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 5)
    server.scripts = [say(OK), say(OK)]
    with pytest.raises(SciCatError, match="larger than 5 bytes"):
        http.send("GET", "/x")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_redirect_is_not_followed(server: Server, method: str) -> None:
    """Followed, a POST would become a GET, and one of a hundred redirects would take a hundred times as long."""
    server.scripts = [say(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")] * 2
    with pytest.raises(SciCatError, match="redirects to /x") as raised:
        SciCat(server.url, token="x").call(method, "/x")
    assert raised.value.temporary
    assert len(server.requests) == 1


def test_a_password_for_the_host_in_netrc_does_not_take_the_tokens_place(
    server: Server, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.scripts = [say(OK)]
    SciCat(server.url, token="ours").call("GET", "/x")
    assert b"Authorization: Bearer ours\r\n" in server.requests[0]


def test_the_environments_proxy_and_certificates_are_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "elsewhere")
    server.scripts = [say(OK)]
    SciCat("http://scicat.invalid").call("GET", "/x")
    assert server.requests[0].startswith(b"GET http://scicat.invalid/x ")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    with pytest.raises(SciCatError, match=r"/nowhere\.pem"):
        SciCat("https://127.0.0.1:1").call("GET", "/x")


def test_a_host_without_proxy_is_called_itself(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.scripts = [say(OK)]
    SciCat(server.url).call("GET", "/x")
    assert server.requests[0].startswith(b"GET /x ")


# -------------------------------------------------------------------- what answers become


def error(status: int, content: bytes) -> SciCatError:
    return Answer(status, content).error("GET /x")


@pytest.mark.parametrize("status", [404, 400, 403, 502, 503])
def test_a_proxys_page_is_waited_out(status: int) -> None:
    page = b"<html><head><style>b {}</style></head><body><h1>Sorry</h1>\n maintenance &amp; more</body></html>"
    found = error(status, page)
    assert found.temporary
    assert "Sorry maintenance" in str(found)
    assert "<" not in str(found)


def test_scicats_own_errors() -> None:
    assert not error(404, b'{"statusCode": 404, "message": "not found"}').temporary
    assert str(error(400, b'{"statusCode": 400, "message": ["a", "b"]}')) == "GET /x: 400 a; b"
    assert isinstance(error(403, b'{"message": "no"}'), NotAllowed)
    assert isinstance(error(413, b"<html>too large</html>"), TooLarge)
    assert not error(413, b"").temporary


def test_an_error_is_one_short_line() -> None:
    found = str(error(500, b'{"message": "' + b"x\\n\\u001b[31m" * 1000 + b'"}'))
    assert len(found) < 600
    assert found.isprintable()


def test_a_socks_proxy_makes_the_connection(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what urllib3 has for it, of which this stands in for the package that speaks SOCKS. The limits hold, too."""

    class ThroughProxy(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            assert (self.host, self.port) == ("scicat.invalid", 80)
            return socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), PATIENCE)

    class Pool(HTTPConnectionPool):
        ConnectionCls = ThroughProxy

    class SocksManager(PoolManager):
        def __init__(self, proxy: str, username: str, password: str, **options: Any) -> None:
            super().__init__(**options)
            self.pool_classes_by_scheme = {"http": Pool}

    monkeypatch.setattr("requests.adapters.SOCKSProxyManager", SocksManager)
    monkeypatch.setenv("all_proxy", "socks5h://127.0.0.1:1")
    server.scripts = [say(OK), drip_headers]
    assert Transport("http://scicat.invalid", PATIENCE, PATIENCE).send("GET", "/x").json() == {"a": 1}
    with pytest.raises(SciCatError):
        Transport("http://scicat.invalid", PATIENCE, 0.3).send("GET", "/x")
