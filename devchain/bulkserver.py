"""An HTTP server for long prepared answers: one thread a client, and no copy of what is sent.

Requests are read as `httpserver` reads them. What differs is the way back: an answer comes in
pieces, long ones are views of a buffer that goes to the socket as it is, and the interpreter's
lock is free meanwhile.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable

from .httpserver import Connection
from .jsonrpc import Buffer, Reply

_BACKLOG = 256
_READ_SIZE = 1 << 18
# Shorter pieces are joined, since each one sent alone costs a system call.
_LONG = 1 << 16


class BulkServer:
    """Serves from the moment it is made until the process ends."""

    def __init__(self, handler: Callable[[bytes], Reply], port: int) -> None:
        self._handler = handler
        self._socket = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._socket.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        stream = _Stream(client)
        connection = Connection(self._answer)
        connection.connection_made(stream)
        try:
            while not stream.is_closing() and (data := client.recv(_READ_SIZE)):
                connection.data_received(data)
        except OSError:
            pass  # the client has gone
        finally:
            client.close()

    def _answer(self, body: bytes) -> Reply:
        """The handler's reply, after its delay: this thread has nothing else to do."""
        reply = self._handler(body)
        time.sleep(reply.delay_seconds)
        return Reply(reply.status, reply.body, rest=reply.rest)


class _Stream:
    """A blocking socket that a `Connection` writes to as to a transport."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._closing = False

    def write(self, data: Buffer) -> None:
        self._client.sendall(data)

    def writelines(self, pieces: Iterable[Buffer]) -> None:
        waiting: list[Buffer] = []
        for piece in pieces:
            if len(piece) < _LONG:
                waiting.append(piece)
                continue
            self._client.sendall(b"".join(waiting), socket.MSG_MORE)
            self._client.sendall(piece)
            waiting.clear()
        if waiting:
            self._client.sendall(b"".join(waiting))

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    abort = close
