from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import shutil
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import flash.bundle
from edge_runtime.bundle import BundleReader
from edge_runtime.contract import load_sealed, seal
from edge_runtime.errors import DamagedModelError, InputError, ModelError
from edge_runtime.signature import verify
from flash.bundle import make_bundle, read_bundle
from flash.errors import FlashError


def test_bundle_carries_the_model_and_its_answers(models, tmp_path):
    path = models / "seed_int8.tflite"
    bundle = make_bundle(path)
    assert bundle.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    reader = BundleReader(io.BytesIO(bundle.data))
    assert (reader.manifest.name, reader.manifest.variant) == ("seed", "int8")
    reader.extract(tmp_path)
    assert (tmp_path / "model.tflite").read_bytes() == path.read_bytes()
    with np.load(tmp_path / "golden.npz") as sent, np.load(models / "seed.golden.npz") as known:
        assert sorted(sent.files) == ["pixels", "scores"]
        assert len(sent["pixels"]) == bundle.golden_inputs
        rows = [known["pixels"].tolist().index(picture) for picture in sent["pixels"].tolist()]
        np.testing.assert_array_equal(sent["scores"], known["scores_int8"][rows])


def test_manifest_says_for_whom_how_new_and_what_the_model_expects(models):
    made = make_bundle(models / "seed_int8.tflite", device_type="zero", counter=12).manifest
    assert (made.device_type, made.counter, made.minimum_runtime) == ("zero", 12, "0.1.0")
    age = datetime.now(UTC) - datetime.fromisoformat(made.created_at)
    assert timedelta(seconds=-1) <= age < timedelta(hours=1)
    contract = load_sealed(models / "seed_int8.tflite").contract.to_dict()
    kept = {name: value for name, value in contract.items() if name in made.contract}
    assert kept == made.contract
    assert set(contract) - set(kept) == {"training", "conversion"}


def test_counter_grows_by_itself(models):
    before = int(time.time())
    made = make_bundle(models / "seed_int8.tflite").manifest.counter
    assert before <= made <= int(time.time())


def test_clock_before_the_format_is_refused(models, monkeypatch):
    monkeypatch.setattr(flash.bundle, "EARLIEST", datetime(2999, 1, 1, tzinfo=UTC))
    with pytest.raises(FlashError, match=r"clock says .* a time after 2999-01-01, when bundles"):
        make_bundle(models / "seed_int8.tflite", counter=1)


@pytest.mark.parametrize(("hours", "refused"), [(20, False), (48, True)])
def test_clock_before_the_models_own_file_is_refused(models, tmp_path, hours, refused):
    path = shutil.copy(models / "seed_int8.tflite", tmp_path / "m.tflite")
    later = time.time() + hours * 3600
    os.utime(path, (later, later))
    if refused:
        with pytest.raises(
            FlashError, match=r"clock says .*when .*m.tflite was written .*; set the"
        ):
            make_bundle(path)
    else:
        assert make_bundle(path).manifest.counter < later


def test_signature_is_over_the_manifest_and_verified_by_ssh_keygen(models, signer):
    bundle = make_bundle(models / "seed_int8.tflite", key=signer.key)
    moment = datetime.now(UTC)
    found = verify(bundle.manifest_bytes, bundle.signature, signer.allowed, moment=moment)
    assert found.principal == "anna"


def test_ten_golden_inputs_travel_where_there_are_more(models, tmp_path):
    with np.load(models / "seed.golden.npz") as arrays:
        many = {
            name: np.concatenate([values, values]) if values.ndim > 1 else values
            for name, values in arrays.items()
        }
    np.savez(tmp_path / "many.npz", **many)
    bundle = make_bundle(models / "seed_int8.tflite", tmp_path / "many.npz")
    assert bundle.golden_inputs == 10


def test_bundle_read_from_its_file_is_the_one_that_was_made(models, signer, tmp_path):
    made = make_bundle(models / "seed_int8.tflite", key=signer.key)
    path = tmp_path / "a.edge"
    path.write_bytes(made.data)
    read = read_bundle(path)
    assert dataclasses.replace(read, golden_path=made.golden_path) == made


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "the transfer ended after 0 bytes"),
        (lambda data: data[:50_000], "the transfer ended after 50,000 bytes"),
        (lambda data: b"x" * 5000, "not a bundle"),
        (lambda data: data + b"more" * 5000, "more data behind the bundle"),
        (lambda data: data.replace(b"TFL3", b"TFL4"), "arrived with SHA-256"),
    ],
)
def test_damaged_file_is_named(models, tmp_path, damage, message):
    path = tmp_path / "a.edge"
    path.write_bytes(damage(make_bundle(models / "seed_int8.tflite").data))
    with pytest.raises(
        FlashError, match=rf"a\.edge cannot be used: .*{message}.*a whole bundle was expected"
    ):
        read_bundle(path)


def test_golden_file_can_be_named(models, tmp_path):
    golden = shutil.copy(models / "seed.golden.npz", tmp_path / "other.npz")
    assert make_bundle(models / "seed_int8.tflite", golden).golden_path == golden


def test_model_without_a_contract_is_refused(models, tmp_path):
    path = tmp_path / "bare.tflite"
    path.write_bytes(load_sealed(models / "seed_int8.tflite").flatbuffer)
    with pytest.raises(FlashError, match=r"bare.tflite has no contract.*python -m convert"):
        make_bundle(path)


def test_contract_without_a_variant_is_refused(models, tmp_path):
    sealed = load_sealed(models / "seed_int8.tflite")
    path = tmp_path / "nameless.tflite"
    path.write_bytes(seal(sealed.flatbuffer, sealed.contract.replace(variant=None)))
    with pytest.raises(FlashError, match="names no variant"):
        make_bundle(path)


def test_damaged_model_is_refused_before_it_is_sent(models, tmp_path):
    data = bytearray((models / "seed_int8.tflite").read_bytes())
    data[5000] ^= 1
    path = tmp_path / "seed_int8.tflite"
    path.write_bytes(data)
    with pytest.raises(DamagedModelError, match="was changed after it was sealed"):
        make_bundle(path)


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"hello, this is text")
    with pytest.raises(ModelError, match="not a TensorFlow Lite model"):
        make_bundle(tmp_path / "a.tflite")
    with pytest.raises(InputError, match="does not exist"):
        make_bundle(tmp_path / "b.tflite")
