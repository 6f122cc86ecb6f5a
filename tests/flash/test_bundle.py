from __future__ import annotations

import hashlib
import io
import shutil

import numpy as np
import pytest

from edge_runtime.bundle import BundleReader
from edge_runtime.contract import load_sealed, seal
from edge_runtime.errors import DamagedModelError, InputError, ModelError
from flash.bundle import make_bundle
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
