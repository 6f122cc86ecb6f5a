"""`make release`, with a stand-in for Python that writes what each command would, in no time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Notes its arguments, fails once where it is told to, and leaves a file that says who wrote it.
STAND_IN = """\
#!{python}
import os, sys
from pathlib import Path

words = sys.argv[1:]
if words[0] == "-c":
    print("nano")
    sys.exit()
room, rest = words[1], words[2:]
verb = rest[0] if not rest[0].startswith("-") and room == "benchmarks" else ""
option = lambda name: Path(rest[rest.index(name) + 1])
with open("said.txt", "a") as said:
    print(room, *rest, file=said)
stop = Path("stop.txt")
if stop.is_file() and stop.read_text() in " ".join(words):
    stop.unlink()
    sys.exit(1)
if room == "train":
    name = str(option("--name" if "--name" in rest else "--config"))
    files = [option("--out") / (name + end) for end in (".keras", ".metrics.json")]
    assert name not in ("digits", "nano") or Path("models/teacher/teacher.keras").is_file()
elif room == "convert":
    keras = Path(rest[0])
    assert keras.is_file()
    files = [option("--out") / (keras.stem + "_int8.tflite")]
else:
    files = {{
        "": lambda: [option("--out") / "report.json"],
        "card": lambda: [option("--models") / "README.md"],
        "overview": lambda: [option("--models") / "README.md"],
        "robustness": lambda: [option("--out") / "robustness.json"],
        "seed-record": lambda: [Path(rest[1]) / "seeds" / "1.json"],
        "speed": lambda: [option("--out") / "speed.json"],
    }}[verb]()
for path in files:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("new " + path.name)
"""


class Checkout:
    """A folder in which `make release` can run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "setup.cfg", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder)
        for name in (
            "models/README.md", "models/seed/seed.keras", "models/seed/seed_int8.tflite",
            "models/seed/gone.png", "models/nano/nano_int8.tflite", "models/nano/seeds/7.json",
            "models/teacher/teacher.keras", "models/teacher/teacher-2.keras",
            "edge_runtime/models/seed_int8.tflite", "edge_runtime/models/__init__.py",
        ):  # fmt: skip
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("old")
        python = folder / "venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(STAND_IN.format(python=sys.executable))
        python.chmod(0o755)
        (folder / "venv" / ".installed").touch()

    def make(self, *words: str) -> int:
        environ = {name: value for name, value in os.environ.items() if "MAKE" not in name}
        command = ["make", *words, "VENV=venv"]
        return subprocess.run(command, cwd=self.folder, env=environ, check=False).returncode

    def said(self) -> list[str]:
        """The commands since this was last asked: the room, the verb and the model."""
        notes = self.folder / "said.txt"
        text = notes.read_text()
        notes.unlink()
        return text.splitlines()

    def files(self, *places: str) -> dict[str, str]:
        """Every file below some folders, with its content."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_text()
            for place in places
            for path in sorted((self.folder / place).rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_release_makes_every_model_and_leaves_nothing_behind(checkout: Checkout) -> None:
    assert checkout.make("release") == 0
    made = {
        f"models/{name}/{file}": f"new {Path(file).name}"
        for name in ("digits", "nano", "seed")
        for file in (
            f"{name}.keras", f"{name}.metrics.json", f"{name}_int8.tflite", "report.json",
            "robustness.json", "README.md", "seeds/1.json",
        )
    }  # fmt: skip
    assert checkout.files("models", "edge_runtime") == {
        **made,
        "models/README.md": "new README.md",
        "models/speed.json": "new speed.json",
        "models/nano/seeds/7.json": "old",
        "models/teacher/teacher.keras": "old",
        "models/teacher/teacher-2.keras": "old",
        "edge_runtime/models/__init__.py": "old",
        "edge_runtime/models/nano_int8.tflite": "new nano_int8.tflite",
    }
    assert not (checkout.folder / "build" / "release").exists()
    said = checkout.said()
    assert [line for line in said if line.startswith("train")] == [
        f"train --config {name} --resume --out build/release/{name}"
        for name in ("seed", "digits", "nano")
    ]
    assert said[-2].startswith("benchmarks speed --models build/release/models/digits/digits_int8")
    assert said[-1] == "benchmarks overview --models build/release/models"


@pytest.mark.parametrize(
    ("step", "resumed"),
    [
        ("train --config digits", "train --config digits"),
        ("convert build/release/digits/", "convert build/release/digits/"),
        ("robustness", "benchmarks robustness"),
        ("seed-record", "benchmarks card"),
        ("speed", "benchmarks speed"),
        ("overview", "benchmarks speed"),
    ],
)
def test_failed_release_changes_nothing_and_the_next_goes_on(
    checkout: Checkout, step: str, resumed: str
) -> None:
    before = checkout.files("models", "edge_runtime")
    (checkout.folder / "stop.txt").write_text(step)
    assert checkout.make("release") != 0
    assert checkout.files("models", "edge_runtime") == before
    first = checkout.said()
    assert step in first.pop()
    assert checkout.make("release") == 0
    second = checkout.said()
    assert second[0].startswith(resumed)
    trained = [line.split()[2] for line in first + second if line.startswith("train")]
    assert trained == ["seed", "digits", "nano"]
    assert checkout.files("models")["models/seed/seed.keras"] == "new seed.keras"


def test_release_after_a_finished_one_begins_afresh(checkout: Checkout) -> None:
    assert checkout.make("release") == 0
    first = checkout.said()
    assert checkout.make("release") == 0
    assert checkout.said() == first


def test_one_model_can_be_released_alone(checkout: Checkout) -> None:
    before = checkout.files("models/seed", "models/teacher")
    assert checkout.make("release", "RELEASED=nano") == 0
    assert checkout.files("models/seed", "models/teacher") == before
    after = checkout.files("models")
    assert after["models/nano/nano.keras"] == "new nano.keras"
    assert after["models/README.md"] == "new README.md"
    assert "models/digits/digits.keras" not in after


TEACHERS = [
    f"train --config teacher --name {name} --seed {seed} --resume --out build/teacher"
    for seed, name in ((1, "teacher"), (2, "teacher-2"))
]


@pytest.mark.parametrize("missing", ["teacher*.keras", "teacher-2.keras"])
def test_teachers_are_trained_if_one_is_missing(checkout: Checkout, missing: str) -> None:
    for path in (checkout.folder / "models" / "teacher").glob(missing):
        path.unlink()
    assert checkout.make("release", "RELEASED=nano") == 0
    said = checkout.said()
    assert said[:2] == TEACHERS
    assert said[2] == "train --config nano --resume --out build/release/nano"
    assert [line for line in said[3:] if "teacher" in line] == []
    # The baseline learns from none.
    (checkout.folder / "models" / "teacher" / "teacher.keras").unlink()
    assert checkout.make("release", "RELEASED=seed") == 0
    assert not set(TEACHERS) & set(checkout.said())


def test_teachers_are_trained_anew_when_asked(checkout: Checkout) -> None:
    (checkout.folder / "stop.txt").write_text("teacher-2")
    assert checkout.make("teacher") != 0
    assert set(checkout.files("models/teacher").values()) == {"old"}
    assert checkout.make("teacher") == 0
    # The first was done.
    assert checkout.said() == [*TEACHERS, TEACHERS[1]]
    assert checkout.files("models/teacher") == {
        f"models/teacher/{name}{end}": f"new {name}{end}"
        for name in ("teacher", "teacher-2")
        for end in (".keras", ".metrics.json")
    }
    assert not (checkout.folder / "build" / "teacher").exists()
