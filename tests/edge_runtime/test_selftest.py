from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, FileRecord, Manifest
from edge_runtime.classifier import Classifier
from edge_runtime.errors import DeviceError
from edge_runtime.selftest import run_self_test
from edge_runtime.selftest_child import check_answers, main

ROOT = Path(__file__).resolve().parents[2]
PIXELS = np.random.default_rng(7).integers(0, 256, (4, 28, 28, 1), np.uint8)


@pytest.fixture(scope="module")
def golden(released_model) -> tuple[bytes, np.ndarray]:
    model = released_model("int8").read_bytes()
    return model, Classifier(model).scores(PIXELS)


@pytest.fixture
def release(tmp_path: Path, golden) -> Path:
    (tmp_path / MODEL_FILE).write_bytes(golden[0])
    np.savez(tmp_path / GOLDEN_FILE, pixels=PIXELS, scores=golden[1])
    return tmp_path


@pytest.fixture(autouse=True)
def _no_limits_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the child takes from itself would be gone for all tests after these."""
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)


def put_interpreter(folder: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Lets the child, and only the child, find `program` instead of every interpreter."""
    for package in ("ai_edge_litert", "tflite_runtime", "tensorflow"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_right_answers_pass_and_name_the_interpreter(release):
    found = run_self_test(release, 0.01)
    assert (found.inputs, found.largest_difference, found.tolerance) == (4, 0.0, 0.01)
    with_same = Classifier(release / MODEL_FILE).interpreter
    assert (found.backend, found.backend_version) == (with_same.name, with_same.version)


def test_wrong_answers_fail_with_the_labels(release, golden):
    scores = golden[1].copy()
    scores[2] = 0
    scores[2, (golden[1][2].argmax() + 1) % 10] = 1
    np.savez(release / GOLDEN_FILE, pixels=PIXELS, scores=scores)
    with pytest.raises(
        DeviceError,
        match=r"answers 1 of 4 golden inputs with another label "
        r"\(input 2: '\d'\); '\d' was expected",
    ):
        run_self_test(release, 0.01)


def test_crash_of_the_interpreter_is_survived(release, tmp_path, monkeypatch):
    put_interpreter(tmp_path / "fake", monkeypatch, "import os; os.kill(os.getpid(), 11)")
    with pytest.raises(DeviceError, match=r"crashed the interpreter in its self-test \(SIGSEGV\)"):
        run_self_test(release, 0.01)


def test_model_that_hangs_is_given_up(release, tmp_path, monkeypatch):
    put_interpreter(tmp_path / "fake", monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(DeviceError, match="did not answer its golden inputs within 3 s"):
        run_self_test(release, 0.01, time_limit_s=3)


def test_missing_interpreter_is_named_with_the_command_that_installs_it(
    release, tmp_path, monkeypatch
):
    put_interpreter(tmp_path / "fake", monkeypatch, "raise ImportError('not here')")
    with pytest.raises(DeviceError, match=r"no interpreter can be imported .*pip install"):
        run_self_test(release, 0.01)


def test_module_of_the_working_folder_is_not_imported(release, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('taken from the working folder')")
    monkeypatch.chdir(tmp_path)
    assert run_self_test(release, 0.01).inputs == 4


def test_damaged_model_is_refused(release):
    data = bytearray((release / MODEL_FILE).read_bytes())
    data[5000] ^= 1
    (release / MODEL_FILE).write_bytes(data)
    with pytest.raises(DeviceError, match="was changed after it was sealed"):
        run_self_test(release, 0.01)


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pixels.npy", bytes(100 * 2**20))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"not a zip" * 100,
        npz(pixels=PIXELS),
        npz(pixels=PIXELS, scores=PIXELS),
        npz(pixels=PIXELS, scores=np.zeros((3, 10), np.float32)),
        npz(pixels=PIXELS[:0], scores=np.zeros((0, 10), np.float32)),
        npz(pixels=PIXELS, scores=np.zeros((4, 0), np.float32)),
        npz(pixels=PIXELS, scores=np.float32(1)),
        npz(pixels=PIXELS[0, 0, 0], scores=np.zeros((1, 10), np.float32)),
        npz(pixels=np.array([{}], object), scores=np.zeros((1, 10), np.float32)),
    ],
    ids=[
        "empty",
        "short",
        "text",
        "lacks-scores",
        "types",
        "counts",
        "none",
        "no-class",
        "number",
        "flat",
        "pickle",
    ],
)
def test_unreadable_golden_inputs_fail(release, capsys, content):
    (release / GOLDEN_FILE).write_bytes(content)
    assert main([str(release), "0.01", "1000000000000"]) == 1
    assert "the golden inputs cannot be read" in capsys.readouterr().err


def test_golden_inputs_that_unpack_to_too_much_are_refused(release, capsys):
    (release / GOLDEN_FILE).write_bytes(zip_bomb())
    assert main([str(release), "0.01", "1000000000000"]) == 1
    assert "it unpacks to too much" in capsys.readouterr().err


def test_child_reports_as_json(release, capsys):
    assert main([str(release), "0.01", "1000000000000"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"] == 4


def test_scores_within_the_tolerance_pass_and_beyond_it_fail():
    golden = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    near = golden + np.array([[-0.02, 0.02], [0, 0]], np.float32)
    assert check_answers(near, golden, ("a", "b"), 0.03) == pytest.approx(0.02)
    with pytest.raises(DeviceError, match=r"lies 0\.0200 from the golden one; at most 0\.0100"):
        check_answers(near, golden, ("a", "b"), 0.01)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_golden_scores_that_are_no_numbers_fail(release, golden, value):
    """A comparison with NaN is never true: whoever asks "too far away?" hears no."""
    scores = golden[1].copy()
    scores[np.arange(4), scores.argmax(axis=1)] = value
    np.savez(release / GOLDEN_FILE, pixels=PIXELS, scores=scores)
    with pytest.raises(DeviceError, match="a golden score is no number; finite scores was"):
        run_self_test(release, 0.01)


@pytest.mark.parametrize("classes", [1, 3, 11])
def test_golden_scores_of_other_classes_fail_with_one_line(release, classes):
    np.savez(release / GOLDEN_FILE, pixels=PIXELS, scores=np.ones((4, classes), np.float32))
    with pytest.raises(DeviceError, match=rf"with \[4, 10\] scores; \[4, {classes}\] finite ones"):
        run_self_test(release, 0.01)


@pytest.mark.parametrize("changes", [{"name": "other"}, {"variant": "float64"}])
def test_manifest_that_names_another_model_is_refused(release, golden, changes):
    facts = {"name": "digits", "variant": "int8", "tolerance": 0.01} | changes
    record = FileRecord.of(golden[0])
    (release / MANIFEST_FILE).write_text(Manifest(**facts, model=record, golden=record).to_json())
    with pytest.raises(DeviceError, match="the manifest names the model .*; digits int8, which"):
        run_self_test(release, 0.01)


def test_child_may_leave_no_core_file_and_not_compute_for_ever(release, monkeypatch):
    taken = {}
    monkeypatch.setattr("resource.setrlimit", lambda what, most: taken.update({what: most}))
    assert main([str(release), "0.01", "1000000000000"]) == 0
    assert taken[resource.RLIMIT_CORE] == (0, 0)
    assert taken[resource.RLIMIT_CPU] == (120, 120)
    assert taken[resource.RLIMIT_DATA] == (10**12, 10**12)


def test_child_ends_with_the_process_that_started_it(release, tmp_path, monkeypatch, wait_until):
    number = tmp_path / "number"
    hang = f"import os, time; open({str(number)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    put_interpreter(tmp_path / "fake", monkeypatch, hang)
    call = (
        "import pathlib; from edge_runtime.selftest import run_self_test; "
        f"run_self_test(pathlib.Path({str(release)!r}), 1)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", call],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}/fake"},
    ) as process:
        wait_until(lambda: number.exists() and number.read_text(), "the child")
        child = Path("/proc", number.read_text())
        assert child.exists()
        process.kill()
        # One that has ended and waits for its parent's parent to notice is as good as gone.
        wait_until(lambda: not child.exists() or " Z " in (child / "stat").read_text(), "its end")


def test_child_whose_parent_is_gone_already_ends_at_once():
    call = "from edge_runtime.child import end_with_parent; end_with_parent(2**22 + 1); print('on')"
    done = subprocess.run([sys.executable, "-c", call], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


def test_answers_that_are_not_numbers_or_of_another_shape_fail():
    golden = np.array([[0.9, 0.1]], np.float32)
    for scores in (np.array([[np.nan, 0.1]], np.float32), np.ones((1, 3), np.float32)):
        with pytest.raises(DeviceError, match=r"\[1, 2\] finite ones was expected"):
            check_answers(scores, golden, ("a", "b"), 0.5)
