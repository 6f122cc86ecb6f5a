"""Several processes of this machine train together, as several machines would."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from edge_runtime import ModelContract
from train import fit, model
from train.cluster import ALONE, Worker
from train.config import CONFIGS
from train.dataset import DataSet
from train.errors import WorkerError
from train.workers import lost_workers, replica

ROOT = Path(__file__).resolve().parents[2]
# All that could tell workers apart: augmentation, pictures of nothing, a teacher, batch
# normalization, dropout, and a last batch of an odd size (335 images: 5 of 64 and one of 15).
CONFIG = {
    "base": "nano", "name": "tiny", "epochs": 12, "batch_size": 64, "dropout": 0.2, "seed": 4,
    "varied_epochs": 2, "min_steps": 0,
    # Adam divides a gradient by its size: where that is but rounding, it takes a whole step up
    # or down. Small steps keep two runs that round differently together for longer.
    "learning_rate": 0.0003,
}  # fmt: skip
# Adds to the command: after each epoch it writes down a hash of all the network's weights.
HASHING = """
import hashlib, os, sys
from train.quiet import import_tensorflow
import_tensorflow()
import numpy as np
from train.loop import Trainer
def epoch(self, *arguments, plain=Trainer.epoch):
    figures = plain(self, *arguments)
    content = b"".join(np.asarray(value).tobytes() for value in self.network.variables)
    with open(os.environ["HASHES"], "a") as file:
        print(hashlib.sha256(content).hexdigest(), file=file)
    return figures
Trainer.epoch = epoch
from train.__main__ import main
sys.exit(main())
"""


def start(command: list[str], arguments: list[object], **environment: str) -> subprocess.Popen[str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("TF_CONFIG", "TF_CPP_MIN_LOG_LEVEL")
    }
    return subprocess.Popen(
        [sys.executable, *command, *map(str, arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


def start_workers(
    arguments_of_each: list[list[object]], command: tuple[str, ...] = ("-m", "train"),
    **environment: str,
) -> list[subprocess.Popen[str]]:  # fmt: skip
    """A process for each; "{}" in a value of the environment becomes its number."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in arguments_of_each]
    addresses = ["{}:{}".format(*opened.getsockname()) for opened in sockets]
    for opened in sockets:
        opened.close()
    return [
        start(
            [*command], arguments,
            TF_CONFIG=json.dumps(
                {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            ),
            **{name: value.format(index) for name, value in environment.items()},
        )
        for index, arguments in enumerate(arguments_of_each)
    ]  # fmt: skip


def ends(processes: list[subprocess.Popen[str]], seconds: float = 400) -> list[tuple[str, str]]:
    """What the processes wrote to stdout and stderr."""
    try:
        return [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()


def wait_until(happened: Callable[[], bool], processes: list[subprocess.Popen[str]]) -> None:
    deadline = time.monotonic() + 400
    while not happened():
        early = [process for process in processes if process.poll() is not None]
        assert not early, early[0].communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def folder(few_digits: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, a configuration and a teacher that knows nothing but never changes."""
    folder = tmp_path_factory.mktemp("workers")
    np.savez(
        folder / "few.npz", x_train=few_digits.x_train[..., 0], y_train=few_digits.y_train,
        x_test=few_digits.x_test[..., 0], y_test=few_digits.y_test,
    )  # fmt: skip
    (folder / "tiny.json").write_text(json.dumps(CONFIG))
    keras.utils.set_random_seed(1)
    teacher = model.build(CONFIGS["nano"], (28, 28, 1), 10)
    contract = ModelContract("teacher", few_digits.labels, 28, 28, 1, output="logits")
    fit.save_keras(teacher, contract, folder / "teacher.keras")
    return folder


@pytest.fixture(scope="module")
def arguments(folder: Path) -> list[object]:
    return [
        "--config", folder / "tiny.json", "--data", folder / "few.npz", "--fit", "ink",
        "--teacher", folder / "teacher.keras",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def alone(folder: Path, arguments: list[object]) -> Path:
    """The output folder of one process."""
    process = start(["-m", "train"], [*arguments, "--out", folder / "alone"])
    ((_, told),) = ends([process])
    assert process.returncode == 0, told
    return folder / "alone"


@pytest.fixture(scope="module")
def together(folder: Path, arguments: list[object]) -> list[tuple[str, str]]:
    """What two processes wrote to stdout and stderr; they shared the folder "together"."""
    processes = start_workers(
        [[*arguments, "--out", folder / "together"]] * 2,
        ("-c", HASHING),
        HASHES=str(folder / "hashes-{}"),
    )
    told = ends(processes)
    assert [process.returncode for process in processes] == [0, 0], told
    return told


def metrics_in(out: Path) -> dict[str, Any]:
    return json.loads((out / "tiny.metrics.json").read_text())


def weights_in(out: Path) -> list[np.ndarray]:
    return keras.saving.load_model(out / "tiny.keras").get_weights()


def test_two_workers_learn_what_one_process_learns(
    folder: Path, alone: Path, together: list[tuple[str, str]]
) -> None:
    """But for the order of summation.

    Measured in 72 steps: 6e-6 of the loss, 2e-4 of the weights' norm; of the validation's loss 2e-5
    and 3e-4 with two seeds, because the batch averages' small differences count in full there.
    """
    one, two = metrics_in(alone), metrics_in(folder / "together")
    assert (one["workers"], two["workers"]) == (1, 2)
    tolerances = {"loss": 5e-5, "val_loss": 1e-3, "accuracy": 0.02, "val_accuracy": 0.05}
    for name, tolerance in tolerances.items():
        assert len(two["history"][name]) == 12
        np.testing.assert_allclose(two["history"][name], one["history"][name], rtol=tolerance)
    ours, others = (
        np.concatenate([values.ravel() for values in weights_in(out)])
        for out in (alone, folder / "together")
    )
    assert np.linalg.norm(ours - others) < 0.002 * np.linalg.norm(ours)


def test_workers_have_the_same_weights_bit_for_bit(
    folder: Path, together: list[tuple[str, str]]
) -> None:
    first, second = ((folder / f"hashes-{index}").read_text().split() for index in (0, 1))
    assert len(set(first)) == 12
    assert first == second


def test_only_the_first_worker_writes_the_model(
    folder: Path, together: list[tuple[str, str]]
) -> None:
    written = sorted(path.name for path in (folder / "together").iterdir())
    assert written == [
        "tiny.confusion.png", "tiny.contract.json", "tiny.curves.png", "tiny.keras",
        "tiny.metrics.json",
    ]  # fmt: skip
    (first, _), (second, words) = together
    assert str(folder / "together" / "tiny.keras") in first
    assert second == ""
    assert words.endswith("this worker is done; the first writes the model\n")


def test_workers_say_nothing_but_our_own_words(together: list[tuple[str, str]]) -> None:
    ours = re.compile(r"tiny: |worker \d|asking (a|the) teacher|epoch \d+/12  |next: |this worker")
    lines = [line for _, told in together for line in told.splitlines() if line]
    assert [line for line in lines if not ours.match(line)] == []


def test_saved_model_is_the_plain_one(folder: Path, together: list[tuple[str, str]]) -> None:
    with zipfile.ZipFile(folder / "together" / "tiny.keras") as archive:
        saved = json.loads(archive.read("config.json"))
    layers = {layer["class_name"]: layer["config"] for layer in saved["config"]["layers"]}
    assert layers["BatchNormalization"]["synchronized"] is False
    assert "Dropout" in layers


def test_killed_worker_ends_the_others_and_all_can_resume(
    folder: Path, arguments: list[object], together: list[tuple[str, str]]
) -> None:
    folders = [folder / "first", folder / "second"]
    each = [[*arguments, "--out", out] for out in folders]
    history = folders[0] / "tiny.backup" / "history.json"
    processes = start_workers(each)
    wait_until(history.exists, processes)
    processes[1].kill()
    began = time.monotonic()
    (_, told), _ = ends(processes)
    # TensorFlow waits 10 s for a sign of life, and looks at times.
    assert time.monotonic() - began < 120
    assert processes[0].returncode == 1, told
    assert told.splitlines()[-1].startswith("python -m train: error: another worker has stopped")
    assert "Traceback" not in told
    assert len(json.loads(history.read_text())) < 12

    # The machine that was lost may come back empty: what counts is the first worker's backup.
    shutil.rmtree(folders[1])
    processes = start_workers([[*words, "--resume"] for words in each])
    (_, told), (_, others) = ends(processes)
    assert [process.returncode for process in processes] == [0, 0], told + others
    assert re.search(r"epochs done already: \d+ of 12", told)
    assert re.search(r"epochs done already: \d+ of 12", others)
    whole, resumed = weights_in(folder / "together"), weights_in(folders[0])
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not list(folders[0].glob("*.backup"))
    assert list(folders[1].iterdir()) == []


def test_workers_with_other_settings_are_refused(folder: Path, arguments: list[object]) -> None:
    common = [*arguments, "--out", folder / "refused"]
    processes = start_workers([common, [*common, "--seed", 9]])
    told = ends(processes)
    assert [process.returncode for process in processes] == [1, 1], told
    for _, words in told:
        assert "error: worker 1 has another seed than worker 0" in words.splitlines()[-1]


def test_replica_of_one_is_the_same_network() -> None:
    config = replace(CONFIGS["nano"], dropout=0.3)
    network = model.build(config, (28, 28, 1), 10)
    copy = replica(network, ALONE)
    assert copy.get_config() == network.get_config()
    assert all(one is not other for one, other in zip(copy.layers, network.layers, strict=True))


def test_replica_of_several_normalizes_and_drops_as_one(few_digits: DataSet) -> None:
    network = keras.Sequential([keras.Input((50,)), keras.layers.Dropout(0.4, seed=3)])
    whole = np.ones((7, 50), np.float32)
    alone = replica(network, ALONE)(whole, training=True).numpy()
    for index in range(3):
        part = replica(network, Worker(index, 3))(whole[index::3], training=True)
        np.testing.assert_array_equal(part, alone[index::3])
    copy = replica(model.build(CONFIGS["nano"], (28, 28, 1), 10), Worker(0, 2))
    assert {
        layer.synchronized
        for layer in copy.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    } == {True}


def test_error_of_a_lost_worker_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = tf.errors.UnavailableError(None, None, "Collective ops is aborted by: ...")
    with pytest.raises(tf.errors.UnavailableError), lost_workers():
        raise lost
    task = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    with pytest.raises(WorkerError, match="has stopped .* --resume"), lost_workers():
        raise lost
    with pytest.raises(tf.errors.ResourceExhaustedError), lost_workers():
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
