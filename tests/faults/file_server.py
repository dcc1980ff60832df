"""A web server on the loopback device that misbehaves as it is told, and remembers what it was asked."""

from __future__ import annotations

import gzip
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    """One request: its path, the first byte it asked for, the status of the answer, and the bytes that were sent."""

    path: str
    first: int
    status: int = 0
    sent: int = 0


@dataclass
class FileServer:
    """What is served, and how.

    `moods[path]` is a list that answers are taken from, one a request; when it is empty, files are served properly.
    Moods: a status such as "503", "cut" (half of the body, then the line is cut), "stall" (half of the body, then
    silence), "long" and "short" (Content-Length lies), "no ranges", "cut, no ranges", "other part" (the wrong range),
    "corrupt", "to ADDRESS" (a redirect), "encoded" (compressed on the way, unasked), "endless" (no length, no end),
    "drip" (one byte now and then), "petabytes" (so says Content-Length).

    `tags[path]` is the entity tag of a file; a request for a part of another version is answered with all of it.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    moods: dict[str, list[str]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str) -> str:
        return self.address + path

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]


@contextmanager
def serving() -> Iterator[FileServer]:
    state = FileServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            request = Request(self.path, int(match[1]) if match else 0)
            state.requests.append(request)
            moods = state.moods.get(self.path, [])
            _Answer(self, state, request).give(moods.pop(0) if moods else "serve")
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class _Answer:
    handler: BaseHTTPRequestHandler
    state: FileServer
    request: Request

    def give(self, mood: str) -> None:
        content = self.state.files.get(self.request.path)
        if mood.isdecimal() or content is None:
            self._head(int(mood) if mood.isdecimal() else 404, 0)
            return
        if mood.startswith("to "):
            self._head(302, 0, {"Location": mood.removeprefix("to ")})
            return
        if mood in ("endless", "drip"):
            self._without_end(mood)
            return
        if mood == "petabytes":
            self._head(200, 10**15)
            return
        if mood == "corrupt":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if mood == "encoded":
            content = gzip.compress(content, mtime=0)
            self._head(200, len(content), {"Content-Encoding": "gzip"})
            self._send(content)
            return
        other = self.handler.headers.get("If-Range", self._tag) != self._tag
        first = 0 if "no ranges" in mood or other else self.request.first
        if first and first >= len(content):
            self._head(416, 0, {"Content-Range": f"bytes */{len(content)}"})
            return
        body = content[first:]
        stated = {"long": len(body) + 1000, "short": len(body) - 1000}.get(mood, len(body))
        begin = first + 1 if mood == "other part" else first
        extent = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if begin else {}
        self._head(206 if begin else 200, stated, extent)
        self._send(body[: len(body) // 2] if mood.startswith(("cut", "stall")) else body)
        if mood == "stall":
            self.state.released.wait()
        if mood.startswith(("cut", "stall", "long")):
            self.handler.connection.shutdown(socket.SHUT_RDWR)

    @property
    def _tag(self) -> str | None:
        return self.state.tags.get(self.request.path)

    def _without_end(self, mood: str) -> None:
        self._head(200, None)
        piece, wait = (bytes(2**16), 0.0) if mood == "endless" else (b"x", 0.02)
        while not self.state.released.wait(wait):
            try:
                self.handler.wfile.write(piece)
                self.handler.wfile.flush()
            except OSError:
                return
            self.request.sent += len(piece)

    def _head(self, status: int, length: int | None, extra: dict[str, str] | None = None) -> None:
        self.request.status = status
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", self.state.types.get(self.request.path, "application/octet-stream"))
        self.handler.send_header("Connection", "close")
        if length is not None:
            self.handler.send_header("Content-Length", str(length))
        if self._tag:
            self.handler.send_header("ETag", self._tag)
        for name, value in (extra or {}).items():
            self.handler.send_header(name, value)
        self.handler.end_headers()

    def _send(self, body: bytes) -> None:
        try:
            self.handler.wfile.write(body)
            self.handler.wfile.flush()
        except OSError:
            return  # the other side was killed
        self.request.sent = len(body)
