"""A server of HTTP that answers, and misbehaves, as it is written down: on real sockets."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable

OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"a": 1}'


class Server:
    """Serves each connection with the next of `scripts`, which gets the socket after each request's head."""

    def __init__(self) -> None:
        self.scripts: list[Callable[[socket.socket], bool]] = []
        self.requests: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while True:
                try:
                    head = self._request(connection)
                    if not head:
                        return
                    self.requests.append(head)
                    if not self.scripts.pop(0)(connection):
                        return
                except OSError:
                    return

    @staticmethod
    def _request(connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65_536)
            if not part:
                return b""
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        while length and len(body) < int(length[1]):
            body += connection.recv(65_536)
        return head + b"\r\n\r\n"

    def close(self) -> None:
        self._listening.close()


def say(data: bytes, keep: bool = True) -> Callable[[socket.socket], bool]:
    def script(connection: socket.socket) -> bool:
        connection.sendall(data)
        return keep

    return script
