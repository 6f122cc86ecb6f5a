"""What the fleet's plugins make of a device's words; Ansible is imported, and not run."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edge_runtime.manifest import FileRecord, Manifest
from flash.fleet.engine import PLAYBOOK

FLEET = PLAYBOOK.parent
SHA = "ab" * 32
CONTRACT = {"height": 28, "width": 28, "channels": 1, "labels": ["0", "1"]}
SHAPE = [28, 28, 1, ["0", "1"]]


def load(path: Path, require_tool: Callable[[str], str]) -> ModuleType:
    require_tool("ansible-playbook")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def action(require_tool: Callable[[str], str]) -> ModuleType:
    return load(FLEET / "roles/edge_runtime/action_plugins/edge_bundle.py", require_tool)


@pytest.fixture(scope="module")
def callback(require_tool: Callable[[str], str]) -> ModuleType:
    return load(FLEET / "callback_plugins/edge_fleet.py", require_tool)


def manifest(**changes: Any) -> dict[str, Any]:
    import json

    record = FileRecord(1000, SHA)
    values: dict[str, Any] = {"counter": 7, "contract": CONTRACT, "minimum_runtime": "0.2"}
    made = Manifest("m", "int8", 0.1, record, FileRecord(500, SHA), **(values | changes))
    return dict(json.loads(made.to_json()))


def status(**changes: Any) -> dict[str, Any]:
    return {
        "active": None, "problem": None, "signed_only": True, "device_type": "raspberrypi",
        "runtime": "0.2.0", "counter": 7, "free_bytes": 1500, "shape": None,
    } | changes  # fmt: skip


def test_check_says_what_would_change(action):
    assert action.compare(manifest(), True, status())["outcome"] == "would-activate"
    active = {"sha256": SHA}
    found = action.compare(manifest(), True, status(active=active, shape=SHAPE))
    assert found == {"outcome": "unchanged", "active": active}
    damaged = status(active=active, problem="its bytes have changed")
    assert action.compare(manifest(), True, damaged)["outcome"] == "would-activate"
    assert action.compare(manifest(), False, status(signed_only=False))


@pytest.mark.parametrize(
    ("changes", "signed", "reason"),
    [
        ({}, False, "the bundle is not signed"),
        ({"device_type": "esp32"}, True, "its type is 'esp32', the bundle is for 'raspberrypi'"),
        ({"runtime": "0.1.9"}, True, "it has edge-runtime 0.1.9, the bundle needs 0.2"),
        ({"counter": 8}, True, "it takes counters from 8, the bundle has 7"),
        ({"free_bytes": 1499}, True, "its disk has 1,499 bytes left"),
        ({"shape": [32, 28, 1, ["0", "1"]]}, True, "another input or other labels"),
        ({"shape": [28, 28, 1, ["0", "2"]]}, True, "another input or other labels"),
    ],
)
def test_check_says_why_a_bundle_would_be_refused(action, changes, signed, reason):
    from ansible.errors import AnsibleActionFail

    with pytest.raises(AnsibleActionFail, match=f"it would refuse the bundle: .*{reason}"):
        action.compare(manifest(), signed, status(**changes))


def test_other_labels_are_welcome_with_force(action):
    other = status(shape=[28, 28, 1, ["a"]])
    assert action.compare(manifest(), True, other, force=True)["outcome"] == "would-activate"


def receipt(**changes: Any) -> dict[str, Any]:
    return {"outcome": "activated", "active": {"sha256": SHA}, "previous": None} | changes


def test_receipt_must_be_one_of_this_model(action):
    assert action.is_receipt(receipt(), SHA)
    assert action.is_receipt(receipt(outcome="unchanged", previous={"sha256": "cd" * 32}), SHA)


@pytest.mark.parametrize(
    "answer",
    [
        receipt(outcome="weird"),
        receipt(outcome="would-activate"),
        receipt(outcome=["activated"]),
        receipt(active="x"),
        receipt(active=None),
        receipt(active={"sha256": "cd" * 32}),
        receipt(active={"sha256": 7}),
        receipt(previous="x"),
        {"outcome": "activated"},
        [],
        None,
    ],
)
def test_anything_else_is_no_receipt(action, answer):
    assert not action.is_receipt(answer, SHA)


@pytest.mark.parametrize(
    "changes",
    [
        {"active": "x"},
        {"active": {"sha256": None}},
        {"problem": 1},
        {"signed_only": 1},
        {"device_type": None},
        {"runtime": "new"},
        {"counter": True},
        {"counter": "7"},
        {"free_bytes": 1e9},
        {"shape": "28"},
    ],
)
def test_status_with_a_field_of_another_kind_is_none(action, changes):
    assert action.is_status(status())
    assert not action.is_status(status() | changes)


def test_answer_is_found_among_what_login_scripts_print(action):
    said = 'Welcome!\n{"a": 1}\n{"outcome": 1}\n' + "[" * 100_000 + "\nbye\n"
    assert action.find_answer(said, lambda value: "a" in value) == {"a": 1}
    assert action.find_answer(said, lambda value: "b" in value) is None


def test_record_that_cannot_be_written_ends_the_run(callback, monkeypatch, capsys):
    monkeypatch.setenv("EDGE_FLEET_RECORD", "/dev/full")
    with pytest.raises(KeyboardInterrupt):
        callback.CallbackModule().v2_playbook_on_play_start(None)
    assert "the record /dev/full cannot be written: No space left" in capsys.readouterr().err


def test_words_of_a_device_keep_their_lines_and_lose_what_moves_a_cursor(callback):
    said = {"msg": "Task failed: Failed to connect to the host via ssh: one\x1b[2J\ntwo"}
    assert callback._words(said) == "one\\x1b[2J\ntwo"
    assert len(callback._words({"msg": "x" * 100_000})) == callback.MAX_REASON
