"""What a bundle holds and who signed it, for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge_runtime.bundle import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, SIGNATURE_FILE, FileRecord
from edge_runtime.signature import SignatureError, fingerprint, verify

from .bundle import read_bundle

__all__ = ["Shown", "show"]


@dataclass(frozen=True)
class Shown:
    """What `show` found; the fields of ``--json``.

    Attributes:
        path: The bundle's file.
        size_bytes: Its size.
        name: The model's name.
        variant: Its variant.
        device_type: The kind of device it is for.
        minimum_runtime: The oldest edge-runtime that takes it.
        counter: Its counter.
        created_at: When it was made (ISO 8601, UTC).
        tolerance: How far a score may lie from the golden one.
        golden_inputs: How many golden inputs it holds.
        files: Name, size and SHA-256 of each file in it.
        contract: The contract's fields, but not how the model was made.
        signed: Whether there is a signature.
        key: Kind and fingerprint of the key that signed, or None.
        signer: Whose key it is by the file of allowed signers, or None.
        verified: Whether the signer may sign; None where no such file was given, or nothing is
            signed.
        problem: Why the signature does not count, in one line, or None.
    """

    path: str
    size_bytes: int
    name: str
    variant: str
    device_type: str
    minimum_runtime: str
    counter: int
    created_at: str
    tolerance: float
    golden_inputs: int
    files: list[dict[str, Any]]
    contract: dict[str, Any]
    signed: bool
    key: str | None
    signer: str | None
    verified: bool | None
    problem: str | None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)


def show(path: Path, allowed_signers: Path | None = None, revoked: Path | None = None) -> Shown:
    """Reads a bundle, checks every checksum, and its signature as far as that can be.

    Args:
        path: A ``.edge`` file.
        allowed_signers: Who may sign (ssh-keygen(1), "ALLOWED SIGNERS"), or None.
        revoked: Keys that count no more, or None.

    Returns:
        What is in it.

    Raises:
        InputError: There is no such file.
        FlashError: It is not a bundle, or was damaged.
    """
    bundle = read_bundle(path)
    manifest = bundle.manifest
    key = signer = verified = problem = None
    manifest_bytes = bundle.manifest_bytes
    try:
        if bundle.signature is not None:
            key = fingerprint(manifest_bytes, bundle.signature)
            if allowed_signers is not None:
                verified = False
                now = datetime.now(UTC)
                signer = verify(
                    manifest_bytes,
                    bundle.signature,
                    allowed_signers,
                    moment=now,
                    revoked_keys=revoked,
                ).principal
                verified = True
        elif allowed_signers is not None:
            verified, problem = False, "the bundle is not signed"
    except SignatureError as error:
        verified, problem = False, str(error)
    files = {
        MANIFEST_FILE: FileRecord.of(manifest_bytes),
        SIGNATURE_FILE: FileRecord.of(bundle.signature) if bundle.signature else None,
        MODEL_FILE: manifest.model,
        GOLDEN_FILE: manifest.golden,
    }
    return Shown(
        path=str(path),
        size_bytes=len(bundle.data),
        name=manifest.name,
        variant=manifest.variant,
        device_type=manifest.device_type,
        minimum_runtime=manifest.minimum_runtime,
        counter=manifest.counter,
        created_at=manifest.created_at,
        tolerance=manifest.tolerance,
        golden_inputs=bundle.golden_inputs,
        files=[{"name": name, **asdict(record)} for name, record in files.items() if record],
        contract=dict(manifest.contract),
        signed=bundle.signature is not None,
        key=key,
        signer=signer,
        verified=verified,
        problem=problem,
    )
