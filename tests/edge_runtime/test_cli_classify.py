from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime import Classifier
from edge_runtime.cli import main
from edge_runtime.contract import load_sealed

cv2 = pytest.importorskip("cv2")

KEYS = ["path", "label", "index", "score", "top", "rejected", "latency_ms"]


@pytest.fixture(autouse=True)
def _released(released_model: Callable[[str], Path]) -> None:
    released_model("int8")


def ring() -> np.ndarray:
    """A zero, dark on light."""
    y, x = np.mgrid[-1:1:60j, -1:1:60j]
    radius = np.hypot(y / 0.8, x / 0.55)
    return np.where((radius > 0.75) & (radius < 1), 20, 240).astype(np.uint8)


def bar() -> np.ndarray:
    """A one, dark on light."""
    picture = np.full((60, 60), 240, np.uint8)
    picture[8:52, 27:33] = 20
    return picture


def write(path: Path, picture: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return str(path)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_has_exactly_the_keys_of_the_design(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "zero.png", ring())
    assert main(["classify", path, "--json"]) == 0
    (answer,) = lines(capsys.readouterr().out)
    assert list(answer) == KEYS
    assert answer["path"] == path
    assert (answer["label"], answer["index"]) == ("0", 0)
    assert answer["rejected"] is False
    assert answer["latency_ms"] > 0
    assert [list(one) for one in answer["top"]] == [["label", "index", "score"]] * 3
    assert answer["top"][0] == {key: answer[key] for key in ("label", "index", "score")}


def test_top_k_says_how_many_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "one.png", bar())
    main(["classify", path, "--json", "--top-k", "1"])
    main(["classify", path, "--json", "--top-k", "99"])
    one, ten = lines(capsys.readouterr().out)
    assert [len(one["top"]), len(ten["top"])] == [1, 10]
    assert one["label"] == "1"


def test_folder_stands_for_pictures_in_it_and_below_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("b.png", "a.png", "below/c.png", "below/deeper/d.png", ".hidden/e.png"):
        write(tmp_path / name, bar())
    (tmp_path / "notes.txt").write_text("no picture")
    assert main(["classify", str(tmp_path), "--json"]) == 0
    paths = [line["path"] for line in lines(capsys.readouterr().out)]
    assert [os.path.relpath(path, tmp_path) for path in paths] == [
        "a.png", "b.png", "below/c.png", "below/deeper/d.png",
    ]  # fmt: skip


def test_standard_input_is_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(write(tmp_path / "zero.png", ring())).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["classify", "-", "--json"]) == 0
    (answer,) = lines(capsys.readouterr().out)
    assert (answer["path"], answer["label"]) == ("-", "0")


def test_path_that_fails_has_a_line_of_its_own_and_the_rest_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write(tmp_path / "zero.png", ring())
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"not a picture")
    missing = str(tmp_path / "missing.png")
    assert main(["classify", missing, str(bad), good, "--json"]) == 1
    first, second, third = lines(capsys.readouterr().out)
    assert list(first) == list(second) == ["path", "error"]
    assert first["path"] == missing
    assert "does not exist" in first["error"]
    assert "not a picture" in second["error"]
    assert third["label"] == "0"


def test_errors_as_text_go_to_stderr_with_the_path_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, missing = write(tmp_path / "zero.png", ring()), str(tmp_path / "missing.png")
    assert main(["classify", missing, good]) == 1
    captured = capsys.readouterr()
    error, count = captured.err.splitlines()
    assert error.startswith(f"{missing}: error: does not exist; ")
    assert error.count(missing) == 1
    assert count == "1 of 2 pictures failed"
    assert captured.out.startswith(good)


def test_folder_without_pictures_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", str(tmp_path), "--json"]) == 1
    (answer,) = lines(capsys.readouterr().out)
    assert "holds no pictures" in answer["error"]


def test_text_is_aligned_and_names_the_runners_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "zero.png", ring())
    write(tmp_path / "below" / "one.png", bar())
    main(["classify", "zero.png", "below/one.png"])
    zero, one = capsys.readouterr().out.splitlines()
    assert zero[13:18] == "  0  "
    assert one[13:18] == "  1  "
    assert "%  then " in zero
    assert zero.startswith("zero.png ")


def test_threshold_rejects_what_is_below_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "zero.png", ring())
    main(["classify", path, "--threshold", "1", "--json"])
    main(["classify", path, "--threshold", "0", "--json"])
    main(["classify", path, "--threshold", "1"])
    strict, lenient, text = capsys.readouterr().out.splitlines()
    assert json.loads(strict)["rejected"] is True
    assert json.loads(lenient)["rejected"] is False
    assert text.endswith("(rejected)")


def test_empty_paper_is_rejected_and_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "paper.png", np.full((50, 50), 255, np.uint8))
    assert main(["classify", path, "--json"]) == 0
    assert lines(capsys.readouterr().out)[0]["rejected"] is True


def test_many_pictures_are_answered_as_single_ones_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.RandomState(0)
    for index in range(75):
        picture = np.roll((ring, bar)[index % 2](), random.randint(-6, 7), axis=1)
        write(tmp_path / f"{index:03}.png", picture)
    (tmp_path / "040.png").write_bytes(b"spoilt")
    assert main(["classify", str(tmp_path), "--json"]) == 1
    answers = lines(capsys.readouterr().out)
    assert [Path(answer["path"]).stem for answer in answers] == [f"{i:03}" for i in range(75)]
    assert "error" in answers[40]
    classifier = Classifier()
    for answer in answers[:40] + answers[41:]:
        alone = classifier.classify(answer["path"])
        assert answer["label"] == alone.label
        assert answer["score"] == pytest.approx(alone.score, abs=3 / 256)


def test_no_more_pictures_wait_than_a_batch_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[int] = []
    predict = Classifier.predict

    def counted(self: Classifier, fitted: Any, **options: Any) -> Any:
        waiting.append(len(fitted))
        return predict(self, fitted, **options)

    monkeypatch.setattr(Classifier, "predict", counted)
    for index in range(70):
        write(tmp_path / f"{index}.png", bar())
    assert main(["classify", str(tmp_path), "--json"]) == 0
    assert sum(waiting) == 70
    assert max(waiting) <= 32


def test_reader_that_goes_away_ends_it_without_a_traceback(tmp_path: Path) -> None:
    for index in range(80):
        write(tmp_path / f"{index}.png", bar())
    child = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "classify", str(tmp_path), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stderr is not None
    assert json.loads(child.stdout.readline())["label"] == "1"
    child.stdout.close()
    errors = child.stderr.read().decode()
    child.stderr.close()
    child.wait(timeout=60)
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors


def test_file_names_that_are_no_text_come_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = os.fsdecode(bytes(tmp_path) + b"/\xff\n1.png")
    try:
        write(Path(name), bar())
    except OSError:
        pytest.skip("this file system takes text alone for file names")
    assert main(["classify", name, "--json"]) == 0
    assert main(["classify", name]) == 0
    as_json, *as_text = capsys.readouterr().out.splitlines()
    assert json.loads(as_json)["path"] == name
    assert len(as_text) == 1
    assert r"\udcff\n1.png  1 " in as_text[0]


@pytest.fixture
def bare_model(released_model: Callable[[str], Path], tmp_path: Path) -> tuple[str, str]:
    """The released model without its contract, and a file of its labels."""
    sealed = load_sealed(released_model("int8"))
    assert sealed.contract is not None
    model, labels = tmp_path / "bare.tflite", tmp_path / "labels.txt"
    model.write_bytes(sealed.flatbuffer)
    labels.write_text("\n".join(f"digit {label}" for label in sealed.contract.labels) + "\n\n")
    return str(model), str(labels)


def test_model_without_contract_is_described_by_options(
    bare_model: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, labels = bare_model
    path = write(tmp_path / "zero.png", ring())
    released = Classifier()
    options = ["--labels", labels, "--fit", "ink", "--polarity", "light-on-dark"]
    options += ["--output", released.contract.output]
    assert main(["classify", path, "--model", model, *options, "--json"]) == 0
    (answer,) = lines(capsys.readouterr().out)
    expected = released.classify(path)
    assert answer["label"] == f"digit {expected.label}"
    assert answer["score"] == pytest.approx(expected.score)


def test_scale_reaches_the_model(
    bare_model: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, labels = bare_model
    path = write(tmp_path / "zero.png", 255 - ring())
    call = ["classify", path, "--model", model, "--labels", labels, "--json"]
    for scale in ("255", "25500"):
        assert main([*call, "--scale", scale]) == 0
    seen, unseen = lines(capsys.readouterr().out)
    # Divided by a hundred times too much, every picture is black.
    assert seen["top"] != unseen["top"]


def test_model_without_contract_and_labels_says_what_to_add(
    bare_model: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "zero.png", ring())
    assert main(["classify", path, "--model", bare_model[0]]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("edge-run classify: error: ")
    assert "carries no contract" in line
    assert "--labels FILE" in line


def test_damaged_model_without_contract_does_no_harm(
    bare_model: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, labels = bare_model
    data = Path(model).read_bytes()
    Path(model).write_bytes(data[:8] + os.urandom(4000))
    path = write(tmp_path / "zero.png", ring())
    assert main(["classify", path, "--model", model, "--labels", labels]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "error: the model" in line


def test_option_overrides_the_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corner = np.zeros((280, 280), np.uint8)
    corner[:60, :60] = 255 - ring()
    path = write(tmp_path / "corner.png", corner)
    main(["classify", path, "--json"])
    main(["classify", path, "--json", "--fit", "stretch"])
    fitted, stretched = lines(capsys.readouterr().out)
    assert fitted["label"] == "0"
    assert stretched["score"] != fitted["score"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--top-k", "0"], "'0' is not a whole number from 1"),
        (["--top-k", "many"], "'many' is not a whole number from 1"),
        (["--threshold", "1.5"], "'1.5' is not a probability from 0 to 1"),
        (["--mean", "a,b"], "'a,b' is not a number, or one for each channel"),
        (["--backend", "onnx"], "invalid choice: 'onnx'"),
        ([], "the following arguments are required: PATH"),
    ],
)
def test_wrong_usage_is_status_2(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = ["x.png"] if options else []
    assert main(["classify", *paths, *options]) == 2
    assert message in capsys.readouterr().err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", "--help"]) == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert "edge-run classify photos/" in text
