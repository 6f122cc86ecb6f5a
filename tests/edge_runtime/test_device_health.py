"""What each proof has of the time, and what the way back has."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from edge_runtime import device_activation, device_health
from edge_runtime.device import receive, status
from edge_runtime.device_health import prove
from edge_runtime.device_settings import Settings
from edge_runtime.errors import DeviceError
from edge_runtime.selftest import SelfTestTimeoutError

SLOW_RESTART = ("/bin/sh", "-c", "sleep 0.9")


@pytest.fixture
def limits(monkeypatch):
    """The seconds that each self-test was given; its model answers."""
    given: list[float] = []
    monkeypatch.setattr(
        device_health, "run_self_test", lambda *_, time_limit_s: given.append(time_limit_s)
    )
    return given


def test_slow_restart_leaves_the_golden_inputs_a_fair_time(limits, tmp_path):
    prove(tmp_path, 0.1, Settings(restart=SLOW_RESTART, health_timeout_s=1), lambda _: None)
    assert limits == [30.0]
    prove(tmp_path, 0.1, Settings(health_timeout_s=100), lambda _: None)
    assert limits[1] == pytest.approx(100, abs=5)


def test_slow_restart_leaves_the_health_command_a_fair_time(limits, tmp_path, fast_health):
    health = ("/bin/sh", "-c", f"test -e {tmp_path}/asked || ! touch {tmp_path}/asked")
    settings = Settings(restart=SLOW_RESTART, health=health, health_timeout_s=1)
    prove(tmp_path, 0.1, settings, lambda _: None)
    assert (tmp_path / "asked").exists()


def test_model_that_is_too_slow_is_named_with_the_restart_beside_it(tmp_path, monkeypatch):
    def slow(*_: object, time_limit_s: float) -> None:
        raise SelfTestTimeoutError(f"no answer within {time_limit_s:.0f} s")

    monkeypatch.setattr(device_health, "run_self_test", slow)
    settings = Settings(restart=SLOW_RESTART, health_timeout_s=1)
    with pytest.raises(DeviceError, match="within 30 s, beside a service whose restart took 1 s"):
        prove(tmp_path, 0.1, settings, lambda _: None)
    with pytest.raises(DeviceError, match="within 100 s$"):
        prove(tmp_path, 0.1, Settings(health_timeout_s=100), lambda _: None)


def test_way_back_with_its_restart_is_over_within_thirty_seconds(
    installed, write_settings, make_bundle, monkeypatch
):
    given: list[tuple[str, float]] = []

    def restart(_: object, limit_s: float) -> None:
        given.append((Path(installed / "active").readlink().name, limit_s))

    old = status(installed).active.sha256
    monkeypatch.setattr(device_activation, "restart", restart)
    write_settings(installed, restart=["false"], health_timeout_s=300)
    with pytest.raises(DeviceError, match="the old model is active again"):
        receive(io.BytesIO(make_bundle("float16", 2)), installed)
    assert [name for name, _ in given] == [old]
    assert given[0][1] <= 28
