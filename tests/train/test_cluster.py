from __future__ import annotations

import json

import pytest

from train.__main__ import main
from train.cluster import ALONE, Worker, read_cluster

TWO = {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}


def configured(monkeypatch: pytest.MonkeyPatch, cluster: object, **task: object) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))


@pytest.mark.parametrize("text", [None, ""])
def test_without_tf_config_a_process_is_alone(
    text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    assert read_cluster().worker == ALONE
    assert read_cluster().first


def test_worker_finds_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, TWO, type="worker", index=1)
    cluster = read_cluster()
    assert cluster.addresses == ("10.0.0.1:2222", "10.0.0.2:2222")
    assert cluster.worker == Worker(1, 2)
    assert not cluster.first


def test_chief_comes_before_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {**TWO, "chief": ["10.0.0.9:2222"]}
    configured(monkeypatch, cluster, type="chief", index=0)
    assert read_cluster().worker == Worker(0, 3)
    assert read_cluster().addresses[0] == "10.0.0.9:2222"
    configured(monkeypatch, cluster, type="worker", index=1)
    assert read_cluster().worker == Worker(2, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "TF_CONFIG is not JSON"),
        ("[" * 100_000, "TF_CONFIG is not JSON"),
        ("7", 'TF_CONFIG has no "cluster"'),
        ("{}", 'TF_CONFIG has no "cluster"'),
        ('{"cluster": ["a:1"]}', 'TF_CONFIG has no "cluster"'),
        ('{"cluster": {"worker": ["a:1"]}}', 'TF_CONFIG has no "task"'),
    ],
)
def test_text_that_is_no_description_is_refused(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    assert main([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"python -m train: error: {message}")
    assert '{"worker": ["HOST:PORT", …]}' in line


@pytest.mark.parametrize(
    ("cluster", "task", "message"),
    [
        (TWO, {"type": "worker", "index": 2}, "TF_CONFIG has no task worker 2 in its cluster"),
        (TWO, {"type": "worker", "index": -1}, "TF_CONFIG has no task worker -1"),
        (TWO, {"type": "worker", "index": True}, "TF_CONFIG has no task worker True"),
        (TWO, {"type": "worker"}, "TF_CONFIG has no task worker None"),
        (TWO, {"type": "chief", "index": 0}, "TF_CONFIG has no task chief 0"),
        (TWO, {"type": "evaluator", "index": 0}, "TF_CONFIG has no task evaluator 0"),
        (TWO, {"type": ["worker"], "index": 0}, "TF_CONFIG has no task ['worker'] 0"),
        ({}, {"type": "worker", "index": 0}, "TF_CONFIG has no task worker 0"),
        (
            {**TWO, "ps": ["10.0.0.3:2222"]}, {"type": "worker", "index": 0},
            "TF_CONFIG names a 'ps'; a cluster of workers alone was expected",
        ),
        ({"worker": "a:1"}, {"type": "worker", "index": 0}, "\"worker\" in TF_CONFIG is 'a:1'"),
        ({"worker": ["a"]}, {"type": "worker", "index": 0}, "TF_CONFIG has the address 'a'"),
        ({"worker": ["a:0"]}, {"type": "worker", "index": 0}, "has the address 'a:0'; HOST:PORT"),
        ({"worker": ["a:70000"]}, {"type": "worker", "index": 0}, "has the address 'a:70000'"),
        ({"worker": [7]}, {"type": "worker", "index": 0}, "has the address 7"),
        ({"worker": ["a:1", "a:1"]}, {"type": "worker", "index": 0}, "an address twice"),
        (
            {**TWO, "chief": ["a:1", "b:1"]}, {"type": "worker", "index": 0}, "or two chiefs",
        ),
    ],
)  # fmt: skip
def test_impossible_cluster_is_refused_before_anything_is_loaded(
    cluster: object, task: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    configured(monkeypatch, cluster, **task)
    assert main(["--data", "nowhere"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
