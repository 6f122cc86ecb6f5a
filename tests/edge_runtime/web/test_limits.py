from __future__ import annotations

from edge_runtime.web import limits
from edge_runtime.web.limits import RateLimiter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_burst_then_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(2, 3, clock)
    assert [limiter.wait_s("a") for _ in range(3)] == [0, 0, 0]
    assert limiter.wait_s("a") == 0.5
    clock.now = 0.5
    assert limiter.wait_s("a") == 0
    assert limiter.wait_s("a") == 0.5
    clock.now = 1000
    assert [limiter.wait_s("a") == 0 for _ in range(4)] == [True, True, True, False]


def test_refused_requests_do_not_push_the_next_chance_away() -> None:
    clock = Clock()
    limiter = RateLimiter(1, 1, clock)
    assert [limiter.wait_s("a") for _ in range(5)] == [0, 1, 1, 1, 1]
    clock.now = 1
    assert limiter.wait_s("a") == 0


def test_clients_do_not_share_a_bucket_but_a_network_of_one_client_does() -> None:
    limiter = RateLimiter(1, 1, Clock())
    assert limiter.wait_s("10.0.0.1") == limiter.wait_s("10.0.0.2") == 0
    assert limiter.wait_s("fe80::1%eth0") == 0
    assert limiter.wait_s("2001:db8:1:2::1") == 0
    assert limiter.wait_s("2001:db8:1:2:ffff::9") == 1
    assert limiter.wait_s("2001:db8:1:3::1") == 0


def test_memory_is_bounded_and_the_longest_silent_is_forgotten() -> None:
    limiter = RateLimiter(1, 1, Clock())
    for number in range(limits.MAX_CLIENTS + 50):
        limiter.wait_s(f"client {number}")
    assert len(limiter._buckets) == limits.MAX_CLIENTS
    assert limiter.wait_s(f"client {limits.MAX_CLIENTS + 49}") == 1
    assert limiter.wait_s("client 0") == 0
