"""The server's socket, opened: by the server itself, or by the parent of several.

Rule 1:  the parent of several servers needs no more of them than this, and loads no more.
"""

import errno
import socket

from bookline.errors import TryLater

BACKLOG = 2_048


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections. Raises: TryLater when it cannot be had."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise TryLater(f"cannot serve at {host}: {error.strerror}") from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(where)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise TryLater(
                f"port {port} is taken: another Bookline may run there; "
                "take another by --port, or --port 0 for a free one"
            ) from error
        raise TryLater(f"cannot serve at {host}:{port}: {error.strerror}") from error
    return listening
