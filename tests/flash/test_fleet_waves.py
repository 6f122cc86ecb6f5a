"""How a fleet is cut into waves, and what is left of it on a resume. No Ansible needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flash.fleet.rollout import Plan, Work, _forks, _variables, plan_work
from flash.fleet.waves import DEFAULT_MAX_FAIL_PERCENTAGE, next_waves, wave_sizes


@pytest.mark.parametrize(
    ("total", "sizes"),
    [
        (1, (1,)),
        (2, (1, 1)),
        (3, (1, 1, 1)),
        (8, (1, 1, 2, 4)),
        (50, (1, 2, 12, 35)),
        (100, (1, 5, 25, 69)),
        (10_000, (1, 500, 2500, 6999)),
    ],
)
def test_waves_are_one_device_a_twentieth_a_quarter_and_the_rest(total, sizes):
    assert wave_sizes(total) == sizes
    assert sum(sizes) == total


@pytest.mark.parametrize(
    ("done", "left", "sizes"),
    [
        (0, 100, (1, 5, 25, 69)),  # no canary has succeeded: again one device
        (1, 99, (5, 25, 69)),
        (5, 95, (1, 25, 69)),  # one of the second wave failed
        (6, 94, (25, 69)),
        (31, 69, (69,)),
        (99, 1, (1,)),
        (100, 0, ()),
    ],
)
def test_resume_goes_on_with_the_wave_that_comes_next(done, left, sizes):
    assert next_waves(100, done, left) == sizes


def event(device: str, outcome: str) -> dict[str, Any]:
    return {"event": "device", "device": device, "outcome": outcome, "wave": 1}


def test_devices_that_failed_come_last_once_a_canary_has_succeeded():
    names = ("a", "b", "c", "d e", "f")
    work = plan_work(names, [event("a", "activated"), event("b", "unreachable")])
    assert work == Work(left=("b", "c", "d e", "f"), first=("c", "f"), sizes=(1, 1, 2))


def test_canary_that_failed_stays_the_canary():
    work = plan_work(("a", "b", "c"), [event("a", "failed")])
    assert work == Work(left=("a", "b", "c"), first=(), sizes=(1, 1, 1))


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "inventory": "hosts.ini", "bundle": Path("m.edge"), "limit": None, "check": False,
        "resume": False, "forks": None, "max_fail_percentage": DEFAULT_MAX_FAIL_PERCENTAGE,
        "record": Path("record"),
    }  # fmt: skip
    return Plan(**(values | changes))


def test_fifty_devices_are_served_at_a_time_or_as_many_as_are_asked_for():
    many = plan_work([f"pi-{number}" for number in range(80)], [])
    assert _forks(plan(), many) == 50
    assert _forks(plan(forks=7), many) == 7
    assert _forks(plan(), plan_work(["pi-1", "pi-2"], [])) == 2


def test_playbook_is_given_the_rule_and_a_check_has_none():
    work = plan_work([f"pi-{number}" for number in range(50)], [])
    given = _variables(plan(), work, Path("sent.edge"))
    assert given["edge_runtime_waves"] == [1, 2, 12, "100%"]
    assert given["edge_runtime_max_fail_percentage"] == 10
    assert _variables(plan(max_fail_percentage=3.5), work, Path("sent.edge"))[
        "edge_runtime_max_fail_percentage"
    ] == pytest.approx(3.5)
    asked = _variables(plan(check=True), work, Path("sent.edge"))
    assert (asked["edge_runtime_waves"], asked["edge_runtime_max_fail_percentage"]) == (
        ["100%"],
        100,
    )
