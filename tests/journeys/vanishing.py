"""Peers that are gone without a word, as far as the other side can tell.

Way:      test_live.py, benchmarks/half_open.py → here
Source:   socket(7) for SO_ATTACH_FILTER: a filter that lets nothing pass drops what comes in before
          the machine's TCP sees it, so nothing is confirmed. Linux only; needs no rights.
"""

import ctypes
import socket
import struct

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_DROP = struct.pack("HBBI", 0x06, 0, 0, 0)  # linux/filter.h: BPF_RET | BPF_K, 0 bytes pass


def vanish(peer: socket.socket) -> None:
    """From now on this end hears nothing and confirms nothing. Don't close it before the other
    end has noticed: its FIN would still go out.
    """
    program = ctypes.create_string_buffer(_DROP)
    peer.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program))
    )


def websocket_request(job_id: str) -> bytes:
    """How a WebSocket on the job begins, for a client that does nothing else."""
    lines = (
        f"GET /ws/progress?jobId={job_id} HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade",
        "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode()
