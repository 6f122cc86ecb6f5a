"""`python -m flash mcu` with images: what it prints, and what it refuses with nothing written."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flash.__main__ import main
from flash.rp2 import Rp2

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(models: Path) -> str:
    return str(models / "seed_int8.tflite")


def test_image_and_reader_are_written_and_told(model, image, tmp_path, capsys) -> None:
    assert main(["mcu", model, "--image", "--counter", "7", "--out", str(tmp_path)]) == 0
    *files, last = capsys.readouterr().out.splitlines()
    assert [Path(file).name for file in files] == ["seed_int8.bin", "edge_model.c", "edge_model.h"]
    assert Path(files[0]).read_bytes() == image.data
    assert last.startswith(f"image {len(image.data):,} bytes; model {image.model_bytes:,}, ")
    assert f"SHA-256 {image.sha256[:12]}, counter 7" in last


def test_json_has_the_facts_of_the_header(model, image, tmp_path, capsys) -> None:
    uf2 = tmp_path / "a.uf2"
    arguments = ["--rp2040", str(uf2), "--json", "--out", str(tmp_path), "--counter", "7"]
    assert main(["mcu", model, *arguments]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    facts = json.loads(line)
    assert facts.pop("files")[0] == str(tmp_path / "seed_int8.bin")
    assert facts.pop("written").endswith(f"written to {uf2}")
    assert uf2.stat().st_size == 512 * 16 * -(-len(image.data) // 4096)
    assert facts == {
        "image_bytes": len(image.data),
        "model_bytes": image.model_bytes,
        "counter": 7,
        "arena_bytes": image.arena_bytes,
        "interface_id": image.interface_id,
        "rejection_threshold": image.rejection_threshold,
        "confirmed": True,
        "crc32": image.crc32,
        "sha256": image.sha256,
    }


def test_source_and_image_agree_on_interface_and_arena(model, image, tmp_path, capsys) -> None:
    assert main(["mcu", model, "--c-array", "--image", "--json", "--out", str(tmp_path)]) == 0
    array, flashed = map(json.loads, capsys.readouterr().out.splitlines())
    assert array["arena_bytes"] == flashed["arena_bytes"]
    header = (tmp_path / "seed_int8_model.h").read_text()
    assert f"#define SEED_INT8_INTERFACE_ID 0x{image.interface_id:08x}u\n" in header


@pytest.mark.parametrize("name", ["digits", "nano"])
def test_released_models_make_source_and_image(name, tmp_path, capsys) -> None:
    released = ROOT / "models" / name / f"{name}_int8.tflite"
    assert main(["mcu", str(released), "--c-array", "--image", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "10 golden inputs" in lines[6]
    readme = (tmp_path / f"{name}_int8_README.md").read_text()
    assert f'#include "{name}_int8_resolver.h"' in readme
    # These end in logits: there is no operator for a softmax to register.
    assert "AddSoftmax" not in (tmp_path / f"{name}_int8_resolver.h").read_text()
    assert "_OUTPUT_IS_LOGITS 1\n" in (tmp_path / f"{name}_int8_model.h").read_text()


def test_model_that_tflm_cannot_run_becomes_no_image(models, tmp_path, capsys) -> None:
    out, uf2 = tmp_path / "out", tmp_path / "a.uf2"
    model = str(models / "seed_dynamic.tflite")
    assert main(["mcu", model, "--rp2040", str(uf2), "--out", str(out)]) == 1
    assert "Node CONV_2D" in capsys.readouterr().err
    assert not uf2.exists()
    assert not list(out.iterdir())


def test_image_larger_than_the_partition_is_refused_before_anything_is_written(
    model, tmp_path, capsys, stand_in
) -> None:
    log = stand_in("esptool", 'echo "$@" > "$LOG"')
    for to in (["--esp32", "/dev/null", "0x110000"], ["--rp2040", str(tmp_path / "a.uf2")]):
        out = tmp_path / "out"
        arguments = ["mcu", model, *to, "--partition-size", "64K", "--out", str(out)]
        assert main(arguments) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert "at most 65,536 bytes was expected; make the partition larger" in error
        assert not list(out.iterdir())
    assert not log.exists()
    assert not (tmp_path / "a.uf2").exists()


PYOCD = """case "$2" in
--targets) echo '{"targets": [{"name": "stm32f407vg"}]}';;
--probes) echo '{"boards": [{"unique_id": "E6614103"}]}';;
*) echo "$@" > "$LOG";;
esac"""


def test_image_that_just_fits_is_written_and_one_byte_less_is_too_little(
    model, image, tmp_path, capsys, stand_in
) -> None:
    log = stand_in("pyocd", PYOCD)
    arguments = ["mcu", model, "--probe", "stm32f407vg", "0x8040000", "--out", str(tmp_path)]
    room = len(image.data)
    assert main([*arguments, "--partition-size", str(room - 1)]) == 1
    assert f"at most {room - 1:,} bytes was expected" in capsys.readouterr().err
    assert not log.exists()
    assert main([*arguments, "--partition-size", str(room)]) == 0
    assert "--base-address 0x8040000" in log.read_text()


def test_drive_that_left_is_told_as_unconfirmed(model, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(Rp2, "_copy_to_drive", lambda *_: False)
    drive = tmp_path / "RPI-RP2"
    drive.mkdir()
    (drive / "INFO_UF2.TXT").write_text("Board-ID: RPI-RP2\n")
    arguments = ["mcu", model, "--rp2040", str(drive), "--out", str(tmp_path), "--json"]
    assert main(arguments) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["confirmed"] is False
    assert "send them again" in facts["written"]


def test_without_a_destination_nothing_was_written_or_confirmed(model, tmp_path, capsys) -> None:
    assert main(["mcu", model, "--image", "--out", str(tmp_path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["written"], facts["confirmed"]) == (None, None)
    # Two images of one day must not tie.
    assert facts["counter"] > 1_700_000_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_program_that_writes_ends_with_the_command(tmp_path, wait_until, number) -> None:
    (tmp_path / "esptool").write_text(
        "#!/bin/sh\n[ $1 = version ] && exec echo 5.6.0\n"
        f"echo $$ > {tmp_path}/pid\nexec sleep 300\n"
    )
    (tmp_path / "esptool").chmod(0o755)
    child = f"""if 1:
        import sys
        sys.executable = "{tmp_path}/python"  # beside which programs are looked for
        from flash.__main__ import main
        sys.exit(main(["mcu", "none.tflite", "--esp32", "/dev/null", "0x110000"]))
    """
    ours = subprocess.Popen([sys.executable, "-c", child], cwd=ROOT, stderr=subprocess.PIPE)
    pid = tmp_path / "pid"
    wait_until(lambda: pid.exists() and pid.read_text().strip(), "esptool")
    ours.send_signal(number)
    _, said = ours.communicate(timeout=60)
    assert ours.returncode == 1
    assert f"flash mcu was ended by {number.name}" in said.decode()
    wait_until(lambda: not Path(f"/proc/{pid.read_text().strip()}").exists(), "its end", 20)


@pytest.mark.parametrize("content", [None, b"", b"hello"])
def test_model_that_is_none_is_refused_before_tflm_is_said_to_run(
    content, tmp_path, capsys
) -> None:
    path = tmp_path / "model.tflite"
    if content is not None:
        path.write_bytes(content)
    assert main(["mcu", str(path), "--image", "--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line


def test_model_called_edge_leaves_the_reader_alone(models, tmp_path, capsys) -> None:
    for name in ("seed_int8.tflite", "seed.golden.npz"):
        shutil.copy(models / name, tmp_path / name.replace("seed_int8", "edge"))
    out = tmp_path / "out"
    assert (
        main(["mcu", str(tmp_path / "edge.tflite"), "--c-array", "--image", "--out", str(out)]) == 0
    )
    files = capsys.readouterr().out.split()
    assert (out / "edge_model.h").read_bytes() == (
        ROOT / "flash/firmware/edge_model.h"
    ).read_bytes()
    assert str(out / "model_edge_model.h") in files
    assert str(out / "model_edge.bin") in files


@pytest.mark.parametrize(
    "arguments",
    [
        ["--esp32", "/dev/null", "0x110001"],
        ["--esp32", "/dev/null", "here"],
        ["--rp2040", "OUT.bin"],
        ["--rp2040", "OUT.uf2", "--offset", "0x10100001"],
        ["--probe", "rp2040", "0x10100001"],
    ],
)
def test_place_that_is_none_is_one_line_before_the_model_is_even_read(
    arguments, tmp_path, capsys, stand_in
) -> None:
    stand_in("esptool", "exit 0")
    stand_in("pyocd", "exit 0")
    out = tmp_path / "out"
    arguments = [word.replace("OUT", str(tmp_path / "a")) for word in arguments]
    assert main(["mcu", "none.tflite", *arguments, "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("python -m flash: error: ")
    assert "none.tflite" not in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of --c-array, --image, --esp32, --rp2040, --probe is required"),
        (["--c-array", "--counter", "1"], "--counter goes with --image or --esp32"),
        (["--image", "--offset", "0x10100000"], "--offset goes with --rp2040"),
        (["--image", "--partition-size", "1M"], "--partition-size goes with --esp32 or"),
        (["--rp2040", "a.uf2", "--partition-table", "t"], "--partition-table goes with --esp32"),
        (["--probe", "a", "16", "--family", "rp2040"], "--family goes with --rp2040"),
        (["--esp32", "a", "16", "--flash-size", "2M"], "--flash-size goes with --rp2040"),
        (["--esp32", "a", "16", "--probe-id", "x"], "--probe-id goes with --probe"),
        (["--rp2040", "a.uf2", "--esp32", "a", "16"], "not allowed with argument"),
        (["--rp2040", "a.uf2", "--family", "esp32"], "invalid choice: 'esp32'"),
        (["--image", "--counter", "-1"], "'-1' is not a counter from 0"),
        (["--image", "--counter", "4294967296"], "is not a counter from 0 to 4294967295"),
        (["--rp2040", "a.uf2", "--partition-size", "0"], "more than 0 was expected"),
        (["--rp2040", "a.uf2", "--offset", "x"], "'x' is no number"),
    ],
)
def test_options_that_mean_nothing_are_wrong_usage(arguments, message, capsys) -> None:
    assert main(["mcu", "none.tflite", *arguments]) == 2
    assert message in capsys.readouterr().err
