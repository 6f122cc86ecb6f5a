"""The wheel in clean environments: one with each interpreter, and a checkout's editable install.

Environments are made once for this file, with pip and the package registry, as a person would.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.models import DEFAULT_MODEL

ROOT = Path(__file__).resolve().parent.parent
HOST_ROOMS = ("train", "convert", "flash", "benchmarks")


@dataclass(frozen=True)
class Interpreter:
    """How an environment gets one interpreter and no other."""

    name: str
    # None: what the wheel itself asks for on this Python.
    instead_of_dependencies: tuple[str, ...] | None
    opencv: str


# LiteRT needs no NumPy 1, so its environment is the one that has NumPy 2 and the OpenCV for it.
INTERPRETERS = (
    Interpreter("tflite-runtime", None, "opencv-python-headless==4.9.0.80"),
    Interpreter(
        "litert",
        ("ai-edge-litert==2.3.0", "numpy==2.2.6"),
        "opencv-python-headless==4.12.0.88",
    ),
)


def clean_environ() -> dict[str, str]:
    """This process's variables without those that would let the checkout in."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**clean_environ(), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done


def make_environment(folder: Path) -> Path:
    """An empty virtual environment; returns its Python."""
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    return folder / "bin" / "python"


def install(python: Path, *requirements: str | Path, cwd: Path) -> None:
    run(python, "-m", "pip", "install", "--quiet", *requirements, cwd=cwd)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what would be committed, so that nothing lying about here gets in."""
    copy = tmp_path_factory.mktemp("checkout") / "edge-runtime"
    unwanted = shutil.ignore_patterns(
        ".*", "build", "dist", "*.egg-info", "__pycache__", "shared", "node_modules"
    )
    shutil.copytree(ROOT, copy, ignore=unwanted)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    """The wheel, built by way of the source distribution as a release is."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist", ".", cwd=checkout)
    (found,) = (checkout / "dist").glob("*.whl")
    return found


@dataclass(frozen=True)
class Runtime:
    """A clean environment with the wheel and one interpreter."""

    interpreter: Interpreter
    python: Path
    folder: Path

    def __call__(
        self, *arguments: str | Path, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs its Python, from a folder that holds none of our code."""
        return run(self.python, *arguments, cwd=self.folder, **variables)


@pytest.fixture(scope="module", params=INTERPRETERS, ids=lambda interpreter: interpreter.name)
def runtime(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runtime]:
    interpreter = request.param
    folder = tmp_path_factory.mktemp(interpreter.name)
    python = make_environment(folder / "venv")
    if interpreter.instead_of_dependencies is None:
        install(python, "-c", ROOT / "constraints.txt", wheel, cwd=folder)
    else:
        install(python, "--no-deps", wheel, cwd=folder)
        install(python, *interpreter.instead_of_dependencies, cwd=folder)
    yield Runtime(interpreter, python, folder)
    shutil.rmtree(folder / "venv")


def test_wheel_holds_the_runtime_alone_and_whole(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"edge_runtime", "edge_runtime-0.1.0.dist-info"}

    ours = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "edge_runtime").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {name for name in names if name.startswith("edge_runtime/")} == ours
    assert "edge_runtime/py.typed" in names
    models = {name for name in names if name.endswith(".tflite")}
    assert models == {f"edge_runtime/models/{DEFAULT_MODEL}"}


def test_wheel_is_light_enough_to_send_to_a_device(wheel: Path) -> None:
    assert wheel.stat().st_size < 500_000


def test_wheel_names_its_command_and_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        entries = archive.read("edge_runtime-0.1.0.dist-info/entry_points.txt").decode()
        assert "edge_runtime-0.1.0.dist-info/licenses/LICENSE" in archive.namelist()
    lines = entries.split()
    assert "".join(lines) == "[console_scripts]edge-run=edge_runtime.cli:main"


@pytest.mark.parametrize(
    ("platform", "python", "wanted", "unwanted"),
    [
        ("linux", "3.11", {"tflite-runtime==2.14.0"}, {"ai-edge-litert"}),
        ("linux", "3.12", {"ai-edge-litert>=2.1"}, {"tflite-runtime"}),
        ("darwin", "3.11", {"ai-edge-litert>=2.1"}, {"tflite-runtime"}),
        ("win32", "3.11", {"ai-edge-litert>=2.1"}, {"tflite-runtime"}),
    ],
)
def test_interpreter_follows_the_machine(
    wheel: Path, platform: str, python: str, wanted: set[str], unwanted: set[str]
) -> None:
    from packaging.requirements import Requirement

    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read("edge_runtime-0.1.0.dist-info/METADATA").decode())
    environment = {"sys_platform": platform, "python_version": python, "extra": ""}
    chosen = [
        requirement
        for requirement in map(Requirement, metadata.get_all("Requires-Dist", []))
        if requirement.marker is None or requirement.marker.evaluate(environment)
    ]
    assert {requirement.name for requirement in chosen} - {"numpy"} == {
        name.partition("=")[0].rstrip(">") for name in wanted
    }
    assert wanted <= {f"{requirement.name}{requirement.specifier}" for requirement in chosen}
    assert not unwanted & {requirement.name for requirement in chosen}
    (numpy,) = [requirement for requirement in chosen if requirement.name == "numpy"]
    assert numpy.specifier.contains("1.26.4")
    assert numpy.specifier.contains("2.2.6") == ("tflite-runtime" in unwanted)


def test_command_is_installed(runtime: Runtime) -> None:
    done = run(runtime.python.parent / "edge-run", "--help", cwd=runtime.folder)
    for verb in ("classify", "info", "bench"):
        assert verb in done.stdout
    assert "edge-run 0.1.0" in runtime("-m", "edge_runtime", "--version").stdout


def test_released_model_is_described(runtime: Runtime) -> None:
    command = runtime.python.parent / "edge-run"
    facts = json.loads(run(command, "info", "--json", cwd=runtime.folder).stdout)
    assert facts["backend"] == runtime.interpreter.name
    assert facts["contract"]["labels"] == [str(digit) for digit in range(10)]
    assert "site-packages" in facts["model"]


def test_array_is_classified_without_tensorflow_and_opencv(
    runtime: Runtime, mnist_test: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = mnist_test
    np.save(runtime.folder / "digits.npy", images[:20])
    program = """
import json, sys
import numpy as np
from edge_runtime import Classifier
digits = Classifier()
labels = [digits.classify(image).label for image in np.load("digits.npy")]
heavy = [name for name in ("tensorflow", "cv2", "train") if name in sys.modules]
print(json.dumps([labels, digits.interpreter.name, heavy]))
"""
    said, interpreter, heavy = json.loads(runtime("-c", program).stdout)
    right = sum(int(label) == truth for label, truth in zip(said, labels[:20], strict=True))
    assert right >= 19, f"{said} for {labels[:20].tolist()}"
    assert interpreter == runtime.interpreter.name
    assert heavy == []


def test_picture_without_opencv_names_the_extra(runtime: Runtime) -> None:
    import cv2

    picture = runtime.folder / "blank.png"
    assert cv2.imwrite(str(picture), np.zeros((28, 28), np.uint8))
    done = subprocess.run(
        [runtime.python, "-m", "edge_runtime", "classify", picture],
        cwd=runtime.folder,
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "edge-runtime[camera]" in done.stderr
    assert "Traceback" not in done.stderr


def test_runtime_tests_pass_here(
    runtime: Runtime, wheel: Path, mnist_test: tuple[np.ndarray, np.ndarray]
) -> None:
    """The whole suite of the runtime, with this interpreter only and the wheel's code."""
    install(runtime.python, "-c", ROOT / "constraints.txt", "pytest", cwd=runtime.folder)
    install(runtime.python, "--no-deps", runtime.interpreter.opencv, cwd=runtime.folder)
    digits = runtime.folder / "digits.npz"
    np.savez(digits, x_test=mnist_test[0], y_test=mnist_test[1])
    # Unpacked beside the interpreters: some tests put a broken one between the two.
    unpacked = runtime.folder / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    variables = {"PYTHONPATH": str(unpacked), "EDGE_RUNTIME_TEST_DIGITS": str(digits)}
    where = "import edge_runtime; print(edge_runtime.__file__)"
    assert str(unpacked) in runtime("-c", where, **variables).stdout
    done = runtime(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ROOT),
        *("-c", ROOT / "pyproject.toml", ROOT / "tests" / "edge_runtime"),
        **variables,
    )
    print(done.stdout[-2000:])


def test_editable_install_imports_every_room_from_anywhere(checkout: Path, tmp_path: Path) -> None:
    python = make_environment(tmp_path / "venv")
    install(python, "--no-deps", "--editable", checkout, cwd=tmp_path)
    # find_spec does not run the rooms, whose dependencies this environment does not have.
    program = (
        "import importlib.util as u; "
        f"print(*[u.find_spec(room).origin for room in {('edge_runtime', *HOST_ROOMS)!r}])"
    )
    origins = run(python, "-c", program, cwd=tmp_path).stdout.split()
    expected = [str(checkout / room / "__init__.py") for room in ("edge_runtime", *HOST_ROOMS)]
    assert origins == expected
