"""Fixtures that tests of several rooms share, and the account of what was skipped.

Rooms are imported inside the fixtures that need them: a test of the runtime must run in an
environment that has neither TensorFlow nor any of the host rooms' libraries.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest

# tflite-runtime works in one process with TensorFlow only if it is loaded first.
with suppress(ImportError):
    import tflite_runtime.interpreter  # noqa: F401

if TYPE_CHECKING:
    from edge_runtime import ModelContract
    from train.data import DataSet

ROOT = Path(__file__).resolve().parent.parent

# The Debian package that brings each tool the tests call; .ci/run installs all of them.
DEBIAN_PACKAGES = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "chromium": "chromium",
    "curl": "curl",
    "debootstrap": "debootstrap",
    "g++": "g++",
    "ffmpeg": "ffmpeg",
    "gcc": "gcc",
    "mosquitto": "mosquitto",
    "mosquitto_passwd": "mosquitto",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-system-arm": "qemu-system-arm",
    "ssh": "openssh-client",
    "ssh-add": "openssh-client",
    "ssh-agent": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "strace": "strace",
    "systemd-analyze": "systemd",
    "unshare": "util-linux",
    "unzip": "unzip",
}
# And the extra that brings those which are Python's.
EXTRAS = {"ansible-playbook": "fleet", "esptool": "mcu", "pyocd": "mcu"}
HANDED_DIGITS = "EDGE_RUNTIME_TEST_DIGITS"
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def pytest_configure() -> None:
    """Lets Ctrl-C reach what the tests start.

    A shell that runs them in the background has it ignored, and children inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what did not run and why, so that nobody takes a green line for more than it is."""
    reasons = Counter(
        report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for report in terminalreporter.stats.get("skipped", [])
    )
    if not reasons:
        return
    terminalreporter.section("skipped, by reason")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count:5}  {reason.removeprefix('Skipped: ')}")


def missing(what: str, remedy: str) -> NoReturn:
    """Skips the test on a person's machine; in CI, where everything must run, fails it."""
    message = f"{what} is missing; {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{message} (in CI no test may be skipped for that)", pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], str]:
    """``require_tool("sshd")`` is the path of that program, or the end of the test."""

    def find(name: str) -> str:
        # Debian keeps servers in /usr/sbin, which is not on an ordinary user's path.
        own = str(Path(sys.executable).parent)  # an environment need not be activated
        places = os.pathsep.join([own, os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
        path = shutil.which(name, path=places)
        if path is None:
            missing(
                name,
                f"pip install -e '.[{EXTRAS[name]}]'"
                if name in EXTRAS
                else f"apt-get install {DEBIAN_PACKAGES.get(name, name)}",
            )
        return path

    return find


class Signer:
    """Somebody with an SSH key, and the file by which devices know the key.

    Attributes:
        name: The principal.
        key: The private key.
        allowed: A file of allowed signers that names this key alone.
    """

    def __init__(self, folder: Path, ssh_keygen: str, name: str) -> None:
        self.name, self.key, self._ssh_keygen = name, folder / name, ssh_keygen
        self.run("-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self.key)
        self.allowed = folder / f"{name}.allowed"
        self.allowed.write_text(self.line('namespaces="edge-model"'))

    def run(self, *arguments: str | Path, data: bytes = b"") -> bytes:
        """Calls ssh-keygen."""
        command = [self._ssh_keygen, *map(str, arguments)]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout

    def line(self, options: str = "") -> str:
        """A line of a file of allowed signers."""
        kind, blob, *_ = self.key.with_suffix(".pub").read_text().split()
        return f"{self.name} {options} {kind} {blob}\n"

    def sign(self, data: bytes, namespace: str = "edge-model") -> bytes:
        """The signature of `data`."""
        return self.run("-Y", "sign", "-f", self.key, "-n", namespace, data=data)


@pytest.fixture(scope="session")
def make_signer(
    tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]
) -> Callable[[str], Signer]:
    """``make_signer("anna")`` is a person with a new key."""
    return lambda name: Signer(tmp_path_factory.mktemp("signer"), require_tool("ssh-keygen"), name)


@pytest.fixture(scope="session")
def signer(make_signer: Callable[[str], Signer]) -> Signer:
    """The person whose models the tests' devices take."""
    return make_signer("anna")


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """``wait_until(condition, "what")`` waits long, and fails with those words."""

    def wait(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > ends:
                pytest.fail(f"waited {seconds:.0f} s for {what}")
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def mnist_dir() -> Path | None:
    """The folder with the four MNIST files that $MNIST_DIR names, or None where it is not set."""
    folder = os.environ.get("MNIST_DIR")
    return Path(folder) if folder else None


@pytest.fixture(scope="session")
def fashion_mnist() -> Path:
    """The folder with Fashion-MNIST's four IDX files, as Debian packages them."""
    if not FASHION_MNIST.is_dir():
        missing("Fashion-MNIST", "apt-get install dataset-fashion-mnist")
    return FASHION_MNIST


@pytest.fixture(scope="session")
def mnist_data(mnist_dir: Path | None) -> DataSet:
    """MNIST whole where $MNIST_DIR names it, else the 5,000 images that a package carries."""
    # The runtime's tests also run beside an installed wheel, where the other rooms are not.
    data = pytest.importorskip("train.data")
    return data.load(str(mnist_dir)) if mnist_dir else data.load_fallback()


@pytest.fixture(scope="session")
def mnist_test(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Test images, uint8 (N, 28, 28, 1), and labels, int64: 10,000, or 1,000 without $MNIST_DIR."""
    # test_wheel.py runs the runtime's tests where there is no room `train` to load them with.
    if handed := os.environ.get(HANDED_DIGITS):
        with np.load(handed, allow_pickle=False) as arrays:
            return arrays["x_test"], arrays["y_test"]
    data = request.getfixturevalue("mnist_data")
    return data.x_test, data.y_test


@pytest.fixture(scope="session")
def released_keras() -> Path:
    """The released default model as Keras wrote it."""
    from edge_runtime.models import DEFAULT_NAME

    return released(ROOT / "models" / DEFAULT_NAME / f"{DEFAULT_NAME}.keras")


@pytest.fixture(scope="session")
def released_model() -> Callable[[str], Path]:
    """``released_model("float16")`` is the path of that variant of the released default model."""
    from edge_runtime.models import DEFAULT_NAME

    def find(variant: str) -> Path:
        # The int8 file travels in the wheel; the others are for comparison.
        folder = "edge_runtime/models" if variant == "int8" else f"models/{DEFAULT_NAME}"
        return released(ROOT / folder / f"{DEFAULT_NAME}_{variant}.tflite")

    return find


@pytest.fixture(scope="session")
def seed_model() -> Callable[[str], Path]:
    """``seed_model("seed_int8.tflite")`` is that file of the released model `seed`.

    For tests that know what is inside a model: its network and recipe never change.
    """
    return lambda name: released(ROOT / "models" / "seed" / name)


def released(path: Path) -> Path:
    """`path` if it is there: a clone has every released file."""
    if not path.is_file():
        missing(str(path.relative_to(ROOT)), "make release")
    return path


@pytest.fixture(scope="session")
def small_data(mnist_data: DataSet) -> DataSet:
    """4,000 training and 500 test images of `mnist_data`, all classes in their proportions."""
    from train.data import stratified_order

    tested = stratified_order(mnist_data.y_test, seed=0)[:500]
    return replace(
        mnist_data.limited(4000),
        x_test=mnist_data.x_test[tested],
        y_test=mnist_data.y_test[tested],
    )


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, small_data: DataSet) -> Path:
    """A folder with `nano` trained on `small_data` for seconds and converted to all variants."""
    from convert import converter
    from train import config, fit

    out = tmp_path_factory.mktemp("small_run")
    # Batch normalization needs some hundred steps before its averages mean anything.
    briefly = replace(
        config.CONFIGS["nano"].for_pictures(), epochs=6, batch_size=32, teacher="", elastic=0.0
    )
    trained = fit.run(briefly, small_data, out)
    converter.convert(trained.keras_path, out=out, representative=small_data)
    return out


COLOURS = ("red", "green", "blue")
HEIGHT, WIDTH = 12, 10


@pytest.fixture(scope="session")
def colours() -> DataSet:
    """Noisy pictures in three colours; every tenth is so dark that it calibrates nothing."""
    from train.data import DataSet

    random = np.random.default_rng(3)
    y = np.arange(600, dtype=np.int64) % 3
    x = random.integers(0, 100, (600, HEIGHT, WIDTH, 3), dtype=np.uint8)
    x[np.arange(600), :, :, y] += 120
    x[::10] //= 40
    return DataSet(
        "colours", x[:500], y[:500], x[500:], y[500:], COLOURS, "stretch", "any", None, "made", {}
    )


@pytest.fixture(scope="session")
def colour_contract() -> ModelContract:
    """What the classifier that needs no training expects: it tells three colours apart."""
    from edge_runtime import ModelContract

    return ModelContract("colours", COLOURS, HEIGHT, WIDTH, 3, output="logits")


@pytest.fixture(scope="session")
def save_keras() -> Callable[..., Path]:
    """``save_keras(model, path, contract)`` writes a file as `train` does."""

    def save(model: Any, path: Path, contract: ModelContract | None) -> Path:
        model.save(path)
        if contract is not None:
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr("contract.json", contract.to_json())
        return path

    return save


@pytest.fixture(scope="session")
def colour_model() -> Callable[..., Any]:
    """``colour_model(layer, …)`` builds the classifier, with layers of one's own in the middle."""

    def build(*layers: Any, batch_size: int | None = None, activation: str | None = None) -> Any:
        import keras

        identity = np.eye(3, dtype=np.float32)
        model = keras.Sequential(
            [
                keras.Input((HEIGHT, WIDTH, 3), batch_size=batch_size),
                keras.layers.Conv2D(3, 1, name="mix"),
                *layers,
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(3, activation=activation, name="colour"),
            ]
        )
        model.get_layer("mix").set_weights([identity[np.newaxis, np.newaxis], np.zeros(3)])
        model.get_layer("colour").set_weights([4 * identity, np.zeros(3)])
        return model

    return build


@pytest.fixture(scope="session")
def colour_keras(
    tmp_path_factory: pytest.TempPathFactory,
    colour_model: Callable[..., Any],
    colour_contract: ModelContract,
    save_keras: Callable[..., Path],
) -> Path:
    """The classifier's ``.keras`` file, with its contract."""
    path = tmp_path_factory.mktemp("colours") / "colours.keras"
    return save_keras(colour_model(), path, colour_contract)
