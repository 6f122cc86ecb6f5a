import io
import json
import subprocess
import zipfile

import numpy as np
import pytest

from edge_runtime.contract import ModelContract, load_sealed, read_sealed, seal
from edge_runtime.errors import ContractError, DamagedModelError, InputError, ModelError

DIGITS = ModelContract(
    "digits",
    tuple("0123456789"),
    28,
    28,
    1,
    polarity="light-on-dark",
    fit="ink",
    rejection_threshold=0.5,
    training={"epochs": 3},
)
# What matters to the seal is the identifier at byte 4; an interpreter never sees this.
FLATBUFFER = b"\x1c\0\0\0TFL3" + bytes(range(256)) * 40


def test_contract_survives_the_way_through_json():
    assert ModelContract.from_json(DIGITS.to_json()) == DIGITS


def test_pixel_values_is_the_table_of_normalized_pixels():
    rgb = ModelContract("rgb", ("a", "b"), 4, 4, 3, mean=(0.0, 128.0, 255.0), scale=(255.0,))
    table = rgb.pixel_values()
    assert table.shape == (256, 3)
    assert table.dtype == np.float32
    assert table[255].tolist() == [1.0, np.float32(127 / 255), 0.0]
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 1


def test_sealed_file_starts_with_the_flatbuffer_and_is_a_clean_zip(tmp_path, require_tool):
    path = tmp_path / "m.tflite"
    path.write_bytes(seal(FLATBUFFER, DIGITS))
    assert path.read_bytes().startswith(FLATBUFFER)
    with zipfile.ZipFile(path) as tail:
        assert tail.testzip() is None
        assert tail.read("labels.txt").decode().split() == list("0123456789")
        assert json.loads(tail.read("contract.json"))["fit"] == "ink"
    unzip = require_tool("unzip")
    assert subprocess.run([unzip, "-tq", path], capture_output=True).returncode == 0


def test_reading_gives_back_both_parts(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(seal(FLATBUFFER, DIGITS))
    sealed = load_sealed(path)
    assert sealed.flatbuffer == FLATBUFFER
    assert sealed.contract == DIGITS.replace(sha256=sealed.contract.sha256)


def test_sealing_is_reproducible():
    assert seal(FLATBUFFER, DIGITS) == seal(FLATBUFFER, DIGITS)


def test_model_without_a_seal_has_no_contract():
    assert read_sealed(FLATBUFFER).contract is None


def test_sealing_twice_is_refused():
    with pytest.raises(ModelError, match="sealed already"):
        seal(seal(FLATBUFFER, DIGITS), DIGITS)


@pytest.mark.parametrize("position", [8, 1000, len(FLATBUFFER) - 1])
def test_one_flipped_bit_in_the_flatbuffer_is_found(position):
    data = bytearray(seal(FLATBUFFER, DIGITS))
    data[position] ^= 1
    with pytest.raises(DamagedModelError, match=r"was changed after it was sealed .*copy the file"):
        read_sealed(bytes(data), "m.tflite")


def test_no_flipped_bit_in_the_tail_changes_what_is_read():
    whole = seal(FLATBUFFER, DIGITS)
    expected = read_sealed(whole)
    for position in range(len(FLATBUFFER), len(whole)):
        data = bytearray(whole)
        data[position] ^= 0x10
        try:
            result = read_sealed(bytes(data))
        except ModelError:
            continue
        # A date or an attribute in the ZIP may change; what the reader takes from it may not.
        assert result == expected


def test_bytes_behind_the_seal_are_found():
    with pytest.raises(DamagedModelError, match="something stands behind it"):
        read_sealed(seal(FLATBUFFER, DIGITS) + b"hello")


def test_every_truncation_is_refused_or_has_no_contract():
    whole = seal(FLATBUFFER, DIGITS)
    for size in range(0, len(whole), 7):
        try:
            assert read_sealed(whole[:size]).contract is None
        except ModelError as error:
            assert "\n" not in str(error)
    with pytest.raises(DamagedModelError, match="seal of m.tflite is damaged"):
        read_sealed(whole[:-1], "m.tflite")


def with_members(**members: str) -> bytes:
    buffer = io.BytesIO()
    buffer.write(FLATBUFFER)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as tail:
        for name, text in members.items():
            tail.writestr(name.replace("_", "."), text)
    return buffer.getvalue()


def sealed_contract() -> ModelContract:
    return read_sealed(seal(FLATBUFFER, DIGITS)).contract


def test_labels_that_disagree_with_the_contract_are_found():
    data = with_members(contract_json=sealed_contract().to_json(), labels_txt="a\nb\n")
    with pytest.raises(DamagedModelError, match=r"labels.txt and contract.json .* disagree"):
        read_sealed(data)


def test_two_members_of_one_name_are_found():
    """Readers differ in which of the two they take."""
    buffer = io.BytesIO(seal(FLATBUFFER, DIGITS))
    with (
        zipfile.ZipFile(buffer, "a") as tail,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        tail.writestr("labels.txt", tail.read("labels.txt"))
    with pytest.raises(DamagedModelError, match="two members of one name"):
        read_sealed(buffer.getvalue())


def test_missing_labels_file_is_found():
    with pytest.raises(DamagedModelError, match="labels.txt"):
        read_sealed(with_members(contract_json=sealed_contract().to_json()))


def test_member_that_unpacks_to_megabytes_is_not_unpacked():
    data = with_members(contract_json=sealed_contract().to_json(), labels_txt="x" * 2**21)
    with pytest.raises(DamagedModelError, match="labels.txt is too large"):
        read_sealed(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is a JSON list; an object was expected"),
        ("{}", "schema version None; version 1 was expected"),
        ('{"schema_version": 2}', "update edge-runtime"),
        ('{"schema_version": 1, "colour": 1}', "unknown field 'colour'"),
        ('{"schema_version": 1, "name": "x"}', "lacks the field 'labels'"),
    ],
)
def test_contract_that_is_not_one_says_why(text, message):
    with pytest.raises(ContractError, match=message):
        ModelContract.from_json(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../x"}, "name is '../x'; a name of at most 64"),
        ({"name": ""}, "name is ''; a name"),
        ({"name": 3}, "name is 3"),
        ({"labels": ("0",)}, "at least two different labels"),
        ({"labels": ("0", "0")}, "at least two different labels"),
        ({"labels": ("0", "1\n2")}, "each one line of text"),
        ({"labels": "0123"}, "labels is '0123'"),
        ({"height": 0}, "height is 0; 1 to 8192 was expected"),
        ({"width": 2.5}, "width is 2.5"),
        ({"height": True}, "height is True"),
        ({"channels": 2}, "channels is 2; 1 or 3"),
        ({"scale": (0.0,)}, "one number from 1e-06 to 1e\\+06"),
        ({"scale": (1.0, 2.0)}, "scale is"),
        ({"mean": (float("nan"),)}, "mean is"),
        ({"mean": (10**400,)}, "mean is"),
        ({"scale": (1e-320,)}, "scale is"),
        ({"mean": 0.0}, "mean is 0.0"),
        ({"fit": "crop"}, "fit is 'crop'; stretch or letterbox or ink"),
        ({"polarity": "any"}, "a grey model of known polarity for the fit 'ink'"),
        ({"output": "scores"}, "output is 'scores'"),
        ({"rejection_threshold": 2}, "a probability, or none"),
        ({"training": 3}, "training is 3; an object"),
    ],
)
def test_impossible_contract_names_the_field(change, message):
    with pytest.raises(ContractError, match=message):
        DIGITS.replace(**change)


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\0" * 100, b"PK\x03\x04" + b"\0" * 50])
def test_file_that_is_no_model_is_refused(data, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="m.tflite is not a TensorFlow Lite model"):
        load_sealed(path)


def test_missing_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_sealed(tmp_path / "none.tflite")
