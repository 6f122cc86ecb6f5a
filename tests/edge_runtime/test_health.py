from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime import health
from edge_runtime.health import Health, HealthWatch, read_health


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Kernel files of a cool Raspberry Pi whose firmware's tool cannot be asked."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    write(tmp_path, "proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    heat(tmp_path, 50)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def heat(root: Path, celsius: float) -> None:
    write(root, "sys/class/thermal/thermal_zone0/temp", f"{int(celsius * 1000)}\n")


def vcgencmd(root: Path, answer: str) -> None:
    write(root, "bin/vcgencmd", f"#!/bin/sh\necho '{answer}'\n")
    (root / "bin/vcgencmd").chmod(0o755)


def test_a_cool_board_has_no_troubles(board: Path) -> None:
    assert read_health(root=board) == Health(50.0, ())


def test_what_happens_now_is_a_trouble_and_what_happened_once_is_not(board: Path) -> None:
    vcgencmd(board, "throttled=0x50000")
    assert read_health(root=board).troubles == ()
    vcgencmd(board, "throttled=0x50005")
    assert read_health(root=board).troubles == ("under-voltage now", "throttled now")


def test_heat_is_a_trouble_until_the_board_has_cooled_down(board: Path) -> None:
    seen, now = [], Health()
    for celsius in (79, 81, 79, 76, 74, 79):
        heat(board, celsius)
        now = read_health(now, board)
        seen.append(bool(now.troubles))
    assert seen == [False, True, True, True, False, False]


def test_other_processors_may_be_hot(board: Path) -> None:
    (board / "proc/device-tree/model").unlink()
    heat(board, 95)
    assert read_health(root=board) == Health(95.0, ())


def test_the_kernel_tells_of_under_voltage_where_the_firmware_may_not_be_asked(board: Path) -> None:
    write(board, "sys/class/hwmon/hwmon0/name", "cpu_thermal\n")
    write(board, "sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    write(board, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
    assert read_health(root=board).troubles == ()
    write(board, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n")
    assert read_health(root=board).troubles == ("under-voltage now",)


def test_in_words_it_says_what_to_do_and_when_it_is_over() -> None:
    assert str(Health(82.4, ("throttled now", "too hot"))) == (
        "the board reports throttled now, too hot at 82 °C; check power supply and cooling"
    )
    assert str(Health(70.0)) == "the board is well again at 70 °C"
    assert str(Health()) == "the board is well again"


def test_a_watch_asks_again_with_what_it_found_before(wait_until) -> None:
    asked: list[Health] = []

    def ask(before: Health) -> Health:
        asked.append(before)
        return Health(float(len(asked)))

    watch = HealthWatch(ask, interval_s=0.01)
    wait_until(lambda: len(asked) >= 3, "three questions")
    watch.close()
    assert asked[:3] == [Health(), Health(1.0), Health(2.0)]
    assert watch.latest.temperature_c is not None


def test_the_limits_leave_room_between_them() -> None:
    assert health.COOL_C < health.HOT_C
