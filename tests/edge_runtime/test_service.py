from __future__ import annotations

import os
from typing import Any

import pytest

from edge_runtime.frames import CameraState
from edge_runtime.service import Service


class Manager:
    """Notes what it is told, with a clock that tests move."""

    def __init__(self, **environment: str) -> None:
        self.now = 100.0
        self.told: list[dict[str, str]] = []
        self.service = Service(
            lambda **fields: self.told.append(fields), environment, lambda: self.now
        )

    def count(self, field: str) -> int:
        return sum(field in fields for fields in self.told)


@pytest.fixture
def manager() -> Manager:
    return Manager(WATCHDOG_USEC="8000000", WATCHDOG_PID=str(os.getpid()))


def test_ready_comes_with_the_first_result_and_once(
    manager: Manager, live_reading: Any, source_status: Any
) -> None:
    manager.service.status(source_status(CameraState.OPENING))
    manager.service.status(source_status(CameraState.RUNNING))
    manager.service.idle()
    assert manager.count("READY") == manager.count("WATCHDOG") == 0
    manager.service.reading(live_reading("4"))
    manager.service.reading(live_reading("5"))
    assert manager.count("READY") == 1


@pytest.mark.parametrize("state", [CameraState.ABSENT, CameraState.STALLED])
def test_a_camera_that_is_declared_away_makes_the_service_ready_too(
    state: CameraState, manager: Manager, source_status: Any
) -> None:
    manager.service.status(source_status(state, "unplugged"))
    assert manager.count("READY") == 1
    for _ in range(10):
        manager.now += 2
        manager.service.idle()
    assert manager.count("WATCHDOG") == 11


def test_a_running_camera_without_results_gets_no_ping(
    manager: Manager, live_reading: Any, source_status: Any
) -> None:
    manager.service.status(source_status(CameraState.RUNNING))
    manager.service.reading(live_reading("4"))
    pings = manager.count("WATCHDOG")
    for _ in range(10):
        manager.now += 2
        manager.service.idle()
    assert manager.count("WATCHDOG") == pings == 1


def test_a_camera_that_came_back_must_give_results_again(
    manager: Manager, live_reading: Any, source_status: Any
) -> None:
    manager.service.status(source_status(CameraState.ABSENT))
    manager.service.status(source_status(CameraState.RUNNING))
    pings = manager.count("WATCHDOG")
    manager.now += 60
    manager.service.idle()
    assert manager.count("WATCHDOG") == pings


def test_pings_come_four_times_a_period_at_most(manager: Manager, live_reading: Any) -> None:
    for _ in range(800):
        manager.service.reading(live_reading("4"))
        manager.now += 0.01
    assert manager.count("WATCHDOG") == 4


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "nonsense"}, {"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": "1"}],
)
def test_without_a_watchdog_for_us_there_are_no_pings(
    environment: dict[str, str], live_reading: Any
) -> None:
    manager = Manager(**environment)
    manager.service.reading(live_reading("4"))
    assert manager.count("READY") == 1
    assert manager.count("WATCHDOG") == 0


def test_the_status_line_is_for_people_and_does_not_hurry(
    manager: Manager, live_reading: Any
) -> None:
    for n in range(100):
        manager.service.reading(live_reading(str(n)))
        manager.now += 0.05
    assert 4 <= manager.count("STATUS") <= 6
    first = next(fields["STATUS"] for fields in manager.told if "STATUS" in fields)
    assert first == "reads '0', 12 ms old, 0 dropped"


def test_the_end_is_told(manager: Manager) -> None:
    manager.service.stopping()
    assert manager.told[-1]["STOPPING"] == "1"
