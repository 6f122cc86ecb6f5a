from __future__ import annotations

import io
import json
from typing import Any

from edge_runtime.frames import CameraState
from edge_runtime.health import Health
from edge_runtime.outputs.lines import JsonLines, TextLines, one_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_lines_have_results_and_states(live_reading: Any, source_status: Any) -> None:
    stream = io.StringIO()
    lines = JsonLines(stream)
    lines.status(source_status(CameraState.ABSENT, "it is gone"), Health(82.0, ("too hot",)))
    result = live_reading("47", changed=True)
    lines.reading(result)
    state, reading = map(json.loads, stream.getvalue().splitlines())
    assert state["state"] == "absent"
    assert state["reason"] == "it is gone"
    assert state["machine"] == {"temperature_c": 82.0, "troubles": ["too hot"]}
    assert reading == result.to_dict()


def test_json_lines_are_ascii_whatever_the_labels_are(source_status: Any) -> None:
    stream = io.StringIO()
    JsonLines(stream).status(source_status(CameraState.ABSENT, "Kamera fehlt: Küche"), Health())
    assert stream.getvalue().isascii()


def test_on_change_leaves_out_what_is_no_news(live_reading: Any) -> None:
    for kind in (JsonLines, TextLines):
        stream = io.StringIO()
        lines = kind(stream, on_change=True)
        for text, changed in (("", False), ("", False), ("4", True), ("4", False), ("5", True)):
            lines.reading(live_reading(text, changed))
        assert len(stream.getvalue().splitlines()) == 3, kind


def test_a_line_for_a_person_tells_what_was_read_and_how_old_it_is(live_reading: Any) -> None:
    stream = io.StringIO()
    TextLines(stream).reading(live_reading("12\n3", age_ms=23.4))
    assert "  12 / 3  (3 read, 0 rejected, 23 ms old, 0 dropped)\n" in stream.getvalue()


def test_an_empty_page_is_called_so(live_reading: Any) -> None:
    stream = io.StringIO()
    TextLines(stream).reading(live_reading(""))
    assert "(nothing)" in stream.getvalue()


def test_on_a_terminal_the_latest_line_is_written_over_and_changes_stay(
    live_reading: Any, source_status: Any
) -> None:
    terminal = Terminal()
    lines = TextLines(terminal)
    lines.reading(live_reading("4", changed=True))
    lines.reading(live_reading("4"))
    assert terminal.getvalue().count("\r\x1b[K") == 2
    assert "\n" not in terminal.getvalue()
    lines.reading(live_reading("5", changed=True))
    assert terminal.getvalue().count("\n") == 1
    # Before a state goes to standard error the line is ended, and only once.
    lines.status(source_status(CameraState.ABSENT), Health())
    lines.close()
    assert terminal.getvalue().count("\n") == 2


def test_a_label_cannot_steer_the_terminal() -> None:
    assert one_line("4\x1b[2J\n7") == "4\\x1b[2J / 7"
