"""How a fleet changes its signer, step by step, as docs/fleet.md has it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.device import receive
from edge_runtime.errors import EdgeRuntimeError
from flash.bundle import make_bundle


def test_signer_is_changed_in_steps_and_no_device_is_left_behind(
    tmp_path: Path, models: Path, make_signer: Callable[[str], Any]
) -> None:
    old, new = make_signer("old"), make_signer("new")
    allowed, revoked = tmp_path / "allowed_signers", tmp_path / "revoked_keys"
    settings = {"allowed_signers": str(allowed), "revoked_keys": str(revoked)}
    revoked.write_text("")
    device = tmp_path / "device"
    device.mkdir()
    (device / "device.json").write_text(json.dumps(settings))
    bundles = [
        make_bundle(models / "seed_int8.tflite", key=signer.key, counter=counter).data
        for counter, signer in enumerate((old, new, old, old), 1)
    ]

    def takes(number: int) -> bool:
        try:
            receive(io.BytesIO(bundles[number]), device)
        except EdgeRuntimeError:
            return False
        return True

    allowed.write_text(old.allowed.read_text())
    assert takes(0)
    assert not takes(1)
    allowed.write_text(old.allowed.read_text() + new.allowed.read_text())  # 1. both
    assert takes(1)  # 2. the new one signs
    assert takes(2)  # and whoever has not heard of it yet still may
    allowed.write_text(new.allowed.read_text())  # 3. the new one alone
    assert not takes(3)
    # Stolen: revoked at once, whatever the file of signers says.
    allowed.write_text(old.allowed.read_text() + new.allowed.read_text())
    revoked.write_text(old.key.with_suffix(".pub").read_text())
    with pytest.raises(EdgeRuntimeError, match="revoked"):
        receive(io.BytesIO(bundles[3]), device)
