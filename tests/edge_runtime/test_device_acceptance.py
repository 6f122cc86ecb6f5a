"""What a device refuses before it reads a model: each time the old model stays, and says why."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from edge_runtime import device_acceptance
from edge_runtime.bundle import BundleError
from edge_runtime.device import receive, status
from edge_runtime.device_store import Store
from edge_runtime.errors import DeviceError
from edge_runtime.signature import SignatureError


def refuse(data: bytes, directory: Path, message: str, **options) -> None:
    """Sends a bundle that must be refused with these words, and change nothing."""
    before = status(directory)
    stream = io.BytesIO(data)
    with pytest.raises(DeviceError, match=message) as caught:
        receive(stream, directory, **options)
    assert "\n" not in str(caught.value)
    after = status(directory)
    assert (after.active, after.counter) == (before.active, before.counter)
    assert after.problem is None
    assert not list(directory.rglob("incoming-*"))


def test_unsigned_bundle_is_taken_only_where_the_device_was_told_so(
    installed, write_settings, make_bundle
):
    unsigned = make_bundle("float16", counter=2, signed=False)
    refuse(unsigned, installed, "the bundle is not signed.*allow_unsigned")
    assert receive(io.BytesIO(unsigned), installed, allow_unsigned=True).signer is None
    write_settings(installed, allow_unsigned=True)
    again = make_bundle("int8", counter=3, signed=False)
    assert receive(io.BytesIO(again), installed).outcome == "activated"


def test_device_that_knows_nobody_takes_nothing_signed(tmp_path, make_bundle):
    with pytest.raises(SignatureError, match="knows nobody who may sign.*--install"):
        receive(io.BytesIO(make_bundle("int8")), tmp_path / "new", allow_unsigned=True)


def test_wrong_signature_is_refused_even_where_none_is_needed(
    installed, write_settings, make_bundle, make_signer
):
    write_settings(installed, allow_unsigned=True)
    other = make_signer("mallory")
    refuse(make_bundle("float16", 2, sign=other.sign), installed, "does not name")


def test_other_namespace_revoked_and_expired_keys_are_refused(
    tmp_path, installed, write_settings, make_bundle, signer
):
    bundle = make_bundle("float16", 2)
    refuse(
        make_bundle("float16", 2, sign=lambda data: signer.sign(data, "file")),
        installed,
        "another purpose",
    )
    write_settings(installed, revoked_keys=str(signer.key.with_suffix(".pub")))
    refuse(bundle, installed, "of anna is revoked")
    expired = tmp_path / "expired"
    expired.write_text(signer.line('valid-before="20250101Z"'))
    write_settings(installed, allowed_signers=str(expired))
    refuse(bundle, installed, "expired on 2025-01-01")


def test_key_that_expired_before_the_last_bundle_stays_expired_with_a_clock_at_1970(
    tmp_path, installed, write_settings, make_bundle, signer
):
    # Accepted in the year 2028, by a bundle made then; after a power cut the clock says 1970.
    late = make_bundle("float16", 2, created_at="2028-01-01T00:00:00+00:00")
    receive(io.BytesIO(late), installed, clock=lambda: 0.0)
    expired = tmp_path / "expired"
    expired.write_text(signer.line('valid-before="20270601Z"'))
    write_settings(installed, allowed_signers=str(expired))
    refuse(make_bundle("int8", 3), installed, "expired on 2027-06-01", clock=lambda: 0.0)


@pytest.mark.parametrize("clock_s", [0.0, -5.0, 1.0])
def test_clock_at_1970_accepts_a_good_bundle(installed, make_bundle, clock_s):
    done = receive(io.BytesIO(make_bundle("float16", 2)), installed, clock=lambda: clock_s)
    assert done.outcome == "activated"


def test_older_counter_is_refused_and_the_same_one_is_not(installed, make_bundle):
    receive(io.BytesIO(make_bundle("float16", 10)), installed)
    refuse(make_bundle("int8", 9), installed, "counter is 9: it is older.*10 or more was expected")
    assert receive(io.BytesIO(make_bundle("int8", 10)), installed).outcome == "activated"


def test_newer_bundle_of_the_active_model_raises_the_floor(installed, make_bundle):
    assert receive(io.BytesIO(make_bundle("int8", 50)), installed).outcome == "unchanged"
    assert status(installed).counter == 50
    refuse(make_bundle("float16", 49), installed, "it is older")


def test_floor_survives_the_loss_of_the_state(installed, make_bundle):
    receive(io.BytesIO(make_bundle("float16", 10)), installed)
    for content in (None, b"", b"{}", b"\xff", b'{"chain": ["../.."], "counter": 0}', b"[" * 9999):
        (installed / "state.json").unlink(missing_ok=True)
        if content is not None:
            (installed / "state.json").write_bytes(content)
        refuse(make_bundle("int8", 9), installed, "it is older")


def test_other_kind_of_device_is_refused(installed, write_settings, make_bundle):
    bundle = make_bundle("float16", 2, device_type="esp32")
    refuse(bundle, installed, "for the device type 'esp32'; 'raspberrypi' was expected")
    write_settings(installed, device_type="esp32")
    assert receive(io.BytesIO(bundle), installed).outcome == "activated"


def test_runtime_that_is_too_old_is_named(installed, make_bundle, monkeypatch):
    monkeypatch.setattr(device_acceptance, "__version__", "0.9.1")
    bundle = make_bundle("float16", 2, minimum_runtime="0.10")
    refuse(bundle, installed, "asks for edge-runtime 0.10 and this is 0.9.1; update")
    monkeypatch.setattr(device_acceptance, "__version__", "0.10.0")
    assert receive(io.BytesIO(bundle), installed).outcome == "activated"


def test_other_input_or_labels_need_force(installed, make_bundle):
    bundle = make_bundle("float16", 2, labels="abcdefghij")
    refuse(bundle, installed, "label 'a' for class 0 and the active one '0'; .*use --force")
    shape = {"height": 32, "width": 28, "channels": 1, "labels": list("0123456789")}
    refuse(
        make_bundle("float16", 2, contract=shape),
        installed,
        "has the input 32 × 28 × 1 and the active one 28 × 28 × 1; the same",
    )
    assert receive(io.BytesIO(bundle), installed, force=True).outcome == "activated"


def test_manifest_that_names_another_shape_than_the_model_is_refused(installed, make_bundle):
    shape = {"height": 32, "width": 32, "channels": 1, "labels": list("0123456789")}
    lying = make_bundle("float16", 2, contract=shape)
    refuse(lying, installed, "another input or other labels than the model has", force=True)
    nothing = make_bundle("float16", 2, contract={})
    refuse(nothing, installed, "says nothing of the model's input and labels")


@pytest.mark.parametrize("part", ["manifest", "signature", "model", "golden"])
def test_one_flipped_bit_is_refused(installed, make_bundle, part):
    bundle = make_bundle("float16", 2)
    marks = {
        "manifest": b'"tolerance"',
        "signature": b"-----END SSH SIGNATURE",
        "model": b"TFL3",
        "golden": b"PK\3\4",
    }
    start = bundle.rindex(marks[part]) if part == "golden" else bundle.index(marks[part])
    for offset, bit in ((-40, 1), (-25, 4), (-3, 16)) if part == "signature" else ((3, 1), (60, 2)):
        damaged = bytearray(bundle)
        damaged[start + offset] ^= bit
        refuse(bytes(damaged), installed, ".")


def test_signature_is_verified_before_the_manifest_is_believed(installed, make_bundle, make_signer):
    # A counter below the floor, signed by a stranger: the stranger learns nothing of the floor.
    stranger = make_signer("mallory")
    refuse(make_bundle("float16", 0, sign=stranger.sign), installed, "does not name")


def test_nothing_large_is_read_of_a_bundle_that_nobody_signed(installed, make_bundle, make_signer):
    stream = io.BytesIO(make_bundle("float16", 2, sign=make_signer("mallory").sign))
    with pytest.raises(SignatureError):
        receive(stream, installed)
    assert stream.tell() < 10_000


def test_hostile_sizes_are_refused_although_signed(installed, make_bundle):
    # Ten gigabytes of zeros behind a signed bundle.
    class Endless(io.BytesIO):
        served = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size) or bytes(size or 0)
            self.served += len(data)
            return data

    stream = Endless(make_bundle("float16", 2))
    with pytest.raises(BundleError, match="more data behind the bundle"):
        receive(stream, installed)
    assert stream.served < 10**6
    assert status(installed).active.variant == "int8"


def test_older_time_of_a_newer_bundle_does_not_turn_the_clock_back(installed, make_bundle):
    late, early = "2031-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"
    receive(io.BytesIO(make_bundle("float16", 2, created_at=late)), installed)
    receive(io.BytesIO(make_bundle("int8", 3, created_at=early)), installed)
    assert Store(installed).state().accepted_at == late


def test_labels_of_another_number_are_told_by_their_number(installed, make_bundle):
    fields = {"height": 28, "width": 28, "channels": 1, "labels": list("01234567")}
    bundle = make_bundle("float16", 2, contract=fields)
    refuse(bundle, installed, "the model has 8 labels and the active one 10; the same input")


def test_manifest_of_another_name_than_the_model_is_refused(installed, make_bundle):
    lying = make_bundle("float16", 2, name="letters")
    refuse(lying, installed, "the manifest names the model letters float16; digits float16, which")
