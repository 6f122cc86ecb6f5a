"""How much one client, and all of them together, may ask for."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Limits", "RateLimiter"]


@dataclass(frozen=True)
class Limits:
    """The limits of a page. They are set for a Raspberry Pi with 512 MB, shared by a household.

    Attributes:
        body_bytes: The largest picture file accepted; phones make 3 to 15 MB. More gives 413.
        pixels: The largest picture decoded: 50 megapixels are 150 MB as RGB. More gives 413.
        rate: Pictures a second that one client may send over time, ...
        burst: ... and how many at once after a pause. More gives 429.
        waiting: Pictures in memory, all clients together: one at work, the others next. More
            gives 503.
        answer_s: Seconds a request waits for the classifier before it is given up with 503.
        connections: Open connections; the one that has been idle for longest makes room.
        request_s: Seconds a client has for sending a request whole.
        send_s: Seconds a viewer of the stream has for taking one frame.
        stream_fps: Frames a second that are encoded for viewers: more cost the camera loop time.
        stream_side: Frames longer than this many pixels are made smaller for viewers.
    """

    body_bytes: int = 16 * 2**20
    pixels: int = 50_000_000
    rate: float = 10.0
    burst: int = 20
    waiting: int = 4
    answer_s: float = 30.0
    connections: int = 256
    request_s: float = 30.0
    send_s: float = 10.0
    stream_fps: float = 15.0
    stream_side: int = 1280


# Addresses remembered; whoever has not been heard of for longest is forgotten first.
MAX_CLIENTS = 1024


class RateLimiter:
    """A token bucket for each client.

    >>> limiter = RateLimiter(rate=1, burst=2, clock=lambda: 0.0)
    >>> [limiter.wait_s("127.0.0.1") for _ in range(3)]
    [0.0, 0.0, 1.0]
    """

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._lock = threading.Lock()
        # Of each client: what is left in its bucket, and when that was true.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Takes one request from a client's bucket.

        Args:
            address: The client's IP address. An IPv6 client has 2^64 of them: its network counts.

        Returns:
            0 if the request may go on, else the seconds after which one would.
        """
        client, now = _client(address), self._clock()
        with self._lock:
            left, since = self._buckets.pop(client, (float(self._burst), now))
            left = min(self._burst, left + (now - since) * self._rate)
            allowed = left >= 1
            self._buckets[client] = (left - allowed, now)
            while len(self._buckets) > MAX_CLIENTS:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate


def _client(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
    return str(ip)
