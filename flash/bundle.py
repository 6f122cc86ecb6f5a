"""Makes the bundle for a device from a model's file and its golden inputs, and reads one back."""

from __future__ import annotations

import io
import tempfile
import time
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edge_runtime.bundle import MAX_BUNDLE_BYTES, MAX_MODEL_BYTES, BundleReader, FileRecord, pack
from edge_runtime.contract import ModelContract, read_sealed
from edge_runtime.files import read_limited
from edge_runtime.manifest import DEFAULT_DEVICE_TYPE, GOLDEN_FILE, MODEL_FILE, Manifest

from .errors import FlashError
from .golden import find_golden, load_golden
from .sign import sign

__all__ = ["GOLDEN_INPUTS", "Bundle", "make_bundle", "read_bundle"]

GOLDEN_INPUTS = 10
"""So many golden inputs travel where there are as many: one for each digit."""


@dataclass(frozen=True)
class Bundle:
    """A bundle ready to be sent.

    Attributes:
        data: The archive.
        contract: The model's contract.
        sha256: SHA-256 of the sealed model, the name of the release on the device.
        size_bytes: Size of the sealed model.
        golden_path: Where the golden inputs come from.
        golden_inputs: How many of them go along.
        manifest: What the bundle says of itself.
        manifest_bytes: The manifest as it is in the bundle.
        signature: The signature over the manifest, or None.
    """

    data: bytes
    contract: ModelContract
    sha256: str
    size_bytes: int
    golden_path: Path
    golden_inputs: int
    manifest: Manifest
    manifest_bytes: bytes
    signature: bytes | None


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
        FlashError: It has no contract, there are no golden inputs that belong to it, or the key
            cannot sign.
    """
    data = read_limited(model_path, MAX_MODEL_BYTES)
    model = read_sealed(data, str(model_path))
    contract = model.contract
    if contract is None or contract.variant is None:
        raise FlashError(
            f"{model_path} has no contract"
            if contract is None
            else f"the contract of {model_path} names no variant",
            "a model converted by this toolkit",
            "convert it with python -m convert",
        )
    golden = load_golden(golden_path, model) if golden_path else find_golden(model_path, model)
    pixels, scores = golden.pixels[:GOLDEN_INPUTS], golden.scores[:GOLDEN_INPUTS]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, pixels=pixels, scores=scores)
    # How a model was made stays in the model: the manifest has what a device decides by.
    fields = contract.to_dict()
    del fields["training"], fields["conversion"]
    now = time.time()
    archive = pack(
        name=contract.name,
        variant=contract.variant,
        tolerance=golden.tolerance,
        model=data,
        golden=buffer.getvalue(),
        device_type=device_type,
        counter=int(now) if counter is None else counter,
        created_at=datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        contract=fields,
        sign=None if key is None else lambda manifest: sign(manifest, key),
    )
    reader = BundleReader(io.BytesIO(archive))
    record = FileRecord.of(data)
    return Bundle(
        archive,
        contract,
        record.sha256,
        record.size_bytes,
        golden.path,
        len(pixels),
        reader.manifest,
        reader.manifest_bytes,
        reader.signature,
    )


def read_bundle(path: Path) -> Bundle:
    """Reads a bundle's file, as a device would: every size and checksum, but no signature.

    Args:
        path: A ``.edge`` file.

    Returns:
        The bundle; `golden_path` is its own path.

    Raises:
        InputError: There is no such file, or it is too large.
        BundleError: It is not a bundle, or was damaged.
        ModelError: Its model is damaged.
        FlashError: Its model carries no contract.
    """
    data = read_limited(path, MAX_BUNDLE_BYTES)
    reader = BundleReader(io.BytesIO(data))
    manifest = reader.manifest
    with tempfile.TemporaryDirectory(prefix="edge-bundle-") as folder:
        reader.extract(Path(folder))
        model = read_sealed((Path(folder) / MODEL_FILE).read_bytes(), f"the model in {path}")
        golden_inputs = _count_golden(Path(folder) / GOLDEN_FILE, path)
    if model.contract is None:
        raise FlashError(f"the model in {path} has no contract", "a model of this toolkit")
    return Bundle(
        data,
        model.contract,
        manifest.model.sha256,
        manifest.model.size_bytes,
        path,
        golden_inputs,
        manifest,
        reader.manifest_bytes,
        reader.signature,
    )


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
