"""Makes the bundle for a device from a model's file and its golden inputs, and reads one back."""

from __future__ import annotations

import io
import tempfile
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.bundle import MAX_BUNDLE_BYTES, MAX_MODEL_BYTES, BundleReader, pack
from edge_runtime.contract import ModelContract, SealedModel, read_sealed
from edge_runtime.files import read_limited
from edge_runtime.manifest import (
    DEFAULT_DEVICE_TYPE,
    GOLDEN_FILE,
    MODEL_FILE,
    BundleError,
    Manifest,
)
from edge_runtime.signature import EARLIEST

from .errors import FlashError
from .golden import find_golden, load_golden
from .sign import sign

__all__ = ["GOLDEN_INPUTS", "Bundle", "make_bundle", "read_bundle"]

GOLDEN_INPUTS = 10
"""So many golden inputs travel where there are as many: one for each digit."""


# File systems and computers differ by hours where one of them forgets its time zone.
CLOCK_TOLERANCE = timedelta(days=1)


@dataclass(frozen=True)
class Bundle:
    """A bundle ready to be sent.

    Attributes:
        data: The archive.
        model: The sealed model in it.
        contract: The model's contract.
        golden_path: Where the golden inputs come from.
        golden_inputs: How many of them go along.
        manifest: What the bundle says of itself.
        manifest_bytes: The manifest as it is in the bundle.
        signature: The signature over the manifest, or None.
    """

    data: bytes
    model: bytes
    contract: ModelContract
    golden_path: Path
    golden_inputs: int
    manifest: Manifest
    manifest_bytes: bytes
    signature: bytes | None

    @property
    def sha256(self) -> str:
        """SHA-256 of the sealed model, the name of the release on the device."""
        return self.manifest.model.sha256

    @property
    def size_bytes(self) -> int:
        """Size of the sealed model."""
        return self.manifest.model.size_bytes


def make_bundle(
    model_path: Path,
    golden_path: Path | None = None,
    *,
    key: Path | None = None,
    device_type: str = DEFAULT_DEVICE_TYPE,
    counter: int | None = None,
) -> Bundle:
    """Checks a model and its golden inputs, packs both, and signs what it packed.

    Args:
        model_path: A sealed ``.tflite``.
        golden_path: Its ``NAME.golden.npz``; None looks beside the model, then in ``models/``.
        key: The SSH key to sign with; None makes an unsigned bundle, which only a device that is
            told so takes.
        device_type: The kind of device that it is for.
        counter: A number larger than those of earlier bundles. None takes the seconds since 1970:
            they grow by themselves, on whatever computer a bundle is made, and nobody has to keep
            a ledger.

    Returns:
        The bundle.

    Raises:
        InputError: There is no such file, or it is too large.
        ModelError: The file is not a model, or is damaged.
        FlashError: It has no contract, there are no golden inputs that belong to it, the key
            cannot sign, or this computer's clock is wrong.
    """
    data = read_limited(model_path, MAX_MODEL_BYTES)
    model = read_sealed(data, str(model_path))
    contract, variant = _described(model, model_path)
    golden = load_golden(golden_path, model) if golden_path else find_golden(model_path, model)
    pixels, scores = golden.pixels[:GOLDEN_INPUTS], golden.scores[:GOLDEN_INPUTS]
    now = _now(model_path)
    archive = pack(
        name=contract.name,
        variant=variant,
        tolerance=golden.tolerance,
        model=data,
        golden=_compressed(pixels=pixels, scores=scores),
        device_type=device_type,
        counter=int(now.timestamp()) if counter is None else counter,
        created_at=now.isoformat(timespec="seconds"),
        contract=_expectations(contract),
        sign=None if key is None else lambda manifest: sign(manifest, key),
    )
    reader = BundleReader(io.BytesIO(archive))
    return _bundle(archive, data, contract, golden.path, len(pixels), reader)


def read_bundle(path: Path) -> Bundle:
    """Reads a bundle's file, as a device would: every size and checksum, but no signature.

    Args:
        path: A ``.edge`` file.

    Returns:
        The bundle; `golden_path` is its own path.

    Raises:
        InputError: There is no such file, or it is too large.
        FlashError: It is not a bundle, or was damaged; its model carries no contract, or another
            one than the manifest says.
        ModelError: Its model is damaged.
    """
    data = read_limited(path, MAX_BUNDLE_BYTES)
    with tempfile.TemporaryDirectory(prefix="edge-bundle-") as folder:
        try:
            reader = BundleReader(io.BytesIO(data))
            reader.extract(Path(folder))
        except BundleError as error:
            # Its words are for a device to which the bundle comes; here it lies in a file.
            happened = str(error).partition("; ")[0]
            raise FlashError(
                f"{path} cannot be used: {happened}",
                "a whole bundle",
                "make it again with python -m flash bundle",
            ) from None
        model = (Path(folder) / MODEL_FILE).read_bytes()
        golden_inputs = _count_golden(Path(folder) / GOLDEN_FILE, path)
    contract = read_sealed(model, f"the model in {path}").contract
    if contract is None:
        raise FlashError(f"the model in {path} has no contract", "a model of this toolkit")
    manifest = reader.manifest
    told = (manifest.name, manifest.variant, manifest.shape)
    if told != (contract.name, contract.variant, (*contract.input_shape, contract.labels)):
        raise FlashError(
            f"the manifest of {path} describes another model than the one in it",
            "a manifest that agrees with its model",
            "make the bundle again with python -m flash bundle",
        )
    return _bundle(data, model, contract, path, golden_inputs, reader)


def _bundle(
    data: bytes,
    model: bytes,
    contract: ModelContract,
    golden_path: Path,
    golden_inputs: int,
    reader: BundleReader,
) -> Bundle:
    return Bundle(
        data,
        model,
        contract,
        golden_path,
        golden_inputs,
        reader.manifest,
        reader.manifest_bytes,
        reader.signature,
    )


def _described(model: SealedModel, path: Path) -> tuple[ModelContract, str]:
    """The contract and the variant that it names."""
    contract = model.contract
    if contract is None or contract.variant is None:
        raise FlashError(
            f"{path} has no contract"
            if contract is None
            else f"the contract of {path} names no variant",
            "a model converted by this toolkit",
            "convert it with python -m convert",
        )
    return contract, contract.variant


def _expectations(contract: ModelContract) -> dict[str, Any]:
    """What a device decides by; how a model was made stays in the model."""
    fields = contract.to_dict()
    del fields["training"], fields["conversion"]
    return fields


def _compressed(**arrays: NDArray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _now(model_path: Path) -> datetime:
    """The time, if that can be: devices take it for the earliest there is, and never go back.

    That a clock is ahead nothing here can tell.
    """
    now = datetime.now(UTC)
    made = datetime.fromtimestamp(model_path.stat().st_mtime, UTC)
    known = max(made - CLOCK_TOLERANCE, EARLIEST)
    if now < known:
        raise FlashError(
            f"this computer's clock says {now:%Y-%m-%d %H:%M} UTC",
            f"a time after {known:%Y-%m-%d}, when "
            + ("bundles began" if known == EARLIEST else f"{model_path} was written"),
            "set the clock",
        )
    return now


def _count_golden(golden: Path, source: Path) -> int:
    """How many golden inputs there are, from the archive's own headers alone."""
    try:
        with zipfile.ZipFile(golden) as archive, archive.open("scores.npy") as member:
            version = np.lib.format.read_magic(member)
            reader = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                reader = np.lib.format.read_array_header_2_0
            shape, _, _ = reader(member)
            return int(shape[0])
    except (OSError, ValueError, KeyError, EOFError, IndexError, zipfile.BadZipFile) as error:
        raise FlashError(
            f"the golden inputs in {source} cannot be read ({error})",
            "the arrays pixels and scores",
            "make the bundle again",
        ) from None
