"""Deploying to a real sshd."""

from __future__ import annotations

import dataclasses
import getpass
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle import pack
from flash.__main__ import main
from flash.bundle import Bundle, make_bundle
from flash.errors import FlashError
from flash.pi import Device, compare, deploy


@pytest.fixture(scope="module")
def int8(models: Path) -> Bundle:
    return make_bundle(models / "seed_int8.tflite")


@pytest.fixture(scope="module")
def int16(models: Path) -> Bundle:
    return make_bundle(models / "seed_int16x8.tflite")


def model_of(bundle: Bundle, models: Path) -> bytes:
    return (models / f"seed_{bundle.contract.variant}.tflite").read_bytes()


def wrong_bundle(models: Path) -> Bundle:
    """Another model, with golden answers that belong to other pictures."""
    bundle = make_bundle(models / "seed_float16.tflite")
    with np.load(models / "seed.golden.npz") as arrays:
        pixels, scores = arrays["pixels"], arrays["scores_float16"]
    golden = io.BytesIO()
    np.savez(golden, pixels=pixels, scores=np.roll(scores, 1, axis=0))
    data = pack(
        name="seed",
        variant="float16",
        tolerance=0.05,
        model=model_of(bundle, models),
        golden=golden.getvalue(),
    )
    return dataclasses.replace(bundle, data=data)


def test_first_model_becomes_active_after_its_golden_inputs(ssh_device, models, int8):
    steps: list[str] = []
    sent: list[int] = []
    done = deploy(ssh_device.device, int8, on_step=steps.append, on_sent=sent.append)
    assert done.outcome == "activated"
    assert done.previous is None
    assert done.active["sha256"] == int8.sha256
    assert done.self_test["inputs"] == int8.golden_inputs
    assert done.self_test["largest_difference"] <= done.self_test["tolerance"]
    assert ssh_device.active() == model_of(int8, models)
    assert str((ssh_device.state / "active").readlink()) == f"releases/{int8.sha256}"
    assert sent[-1] == len(int8.data)
    assert [step.split()[0] for step in steps] == ["receiving", "letting", "10"]


def test_second_model_replaces_the_first_and_both_stay(int8_device, models, int8, int16):
    done = deploy(int8_device.device, int16)
    assert (done.previous["sha256"], done.active["sha256"]) == (int8.sha256, int16.sha256)
    assert int8_device.active() == model_of(int16, models)
    assert {p.name for p in (int8_device.state / "releases").iterdir()} == {
        int8.sha256,
        int16.sha256,
    }


def test_same_model_twice_changes_nothing(int8_device, int8):
    link = (int8_device.state / "active").lstat()
    done = deploy(int8_device.device, int8)
    assert done.outcome == "unchanged"
    assert done.self_test is None
    assert (int8_device.state / "active").lstat().st_ino == link.st_ino
    assert not int8_device.leftovers()


def test_damaged_in_transfer_keeps_the_old_model(int8_device, models, int8, int16):
    damaged = bytearray(int16.data)
    damaged[len(damaged) // 2] ^= 1
    with pytest.raises(
        FlashError,
        match=r"pi refused the model: model.tflite arrived with SHA-256"
        r".*; the old model stays active",
    ):
        deploy(int8_device.device, dataclasses.replace(int16, data=bytes(damaged)))
    assert int8_device.active() == model_of(int8, models)
    assert not int8_device.leftovers()


def test_model_that_answers_wrongly_keeps_the_old_one(int8_device, models, int8):
    with pytest.raises(FlashError, match="answers 10 of 10 golden inputs with another label"):
        deploy(int8_device.device, wrong_bundle(models))
    assert int8_device.active() == model_of(int8, models)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_cut_connection_keeps_the_old_model(int8_device, cut_cable, models, int8, int16, share):
    cut_cable(int(len(int16.data) * share))
    with pytest.raises(FlashError, match="connection to pi was lost"):
        deploy(int8_device.device, int16)
    assert int8_device.active() == model_of(int8, models)
    int8_device.write_client_config(int8_device.port)
    assert deploy(int8_device.device, int16).outcome == "activated"
    assert not int8_device.leftovers()


def test_dry_run_tells_and_changes_nothing(int8_device, models, int8, int16):
    assert compare(int8_device.device, int8).outcome == "unchanged"
    done = compare(int8_device.device, int16)
    assert (done.outcome, done.active["sha256"]) == ("would-activate", int8.sha256)
    assert int8_device.active() == model_of(int8, models)


def test_dry_run_on_a_new_device_finds_nothing_and_makes_nothing(ssh_device, int8):
    done = compare(ssh_device.device, int8)
    assert (done.outcome, done.active) == ("would-activate", None)
    assert not ssh_device.state.exists()


def test_damaged_active_model_is_mended_by_sending_it_again(int8_device, models, int8):
    path = int8_device.state / "active" / "model.tflite"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert compare(int8_device.device, int8).outcome == "would-activate"
    assert deploy(int8_device.device, int8).outcome == "activated"
    assert int8_device.active() == model_of(int8, models)


def test_missing_runtime_names_the_remedy(ssh_device, int8):
    device = Device(ssh_device.target, ("nowhere/edge-run",))
    with pytest.raises(FlashError, match="no command 'nowhere/edge-run'.*--remote-command"):
        deploy(device, int8)
    with pytest.raises(FlashError, match="no command 'nowhere/edge-run'"):
        compare(device, int8)


def test_python_without_the_runtime_names_the_remedy(ssh_device, int8):
    device = Device(
        ssh_device.target, ("/usr/bin/env", "-i", "python3", "-I", "-m", "edge_runtime")
    )
    with pytest.raises(FlashError, match="install edge-runtime there"):
        deploy(device, int8)


def test_older_runtime_without_the_verb_is_named(ssh_device, int8):
    (ssh_device.folder / "bin" / "edge-run").write_text(
        "#!/bin/sh\necho 'edge-run: error: invalid choice' >&2\nexit 2\n"
    )
    with pytest.raises(FlashError, match="does not understand us.*update"):
        deploy(ssh_device.device, int8)


def test_missing_interpreter_on_the_device_keeps_the_old_model(int8_device, models, int8, int16):
    blocked = int8_device.folder / "blocked"
    for package in ("ai_edge_litert", "tflite_runtime", "tensorflow"):
        (blocked / package).mkdir(parents=True)
        (blocked / package / "__init__.py").write_text("raise ImportError('not on this device')")
    wrapper = int8_device.folder / "bin" / "edge-run"
    wrapper.write_text(wrapper.read_text().replace("PYTHONPATH=", f"PYTHONPATH={blocked}:"))
    with pytest.raises(FlashError, match=r"no interpreter can be imported.*pip install"):
        deploy(int8_device.device, int16)
    assert int8_device.active() == model_of(int8, models)


def test_login_script_that_prints_does_not_hide_the_answer(ssh_device, int8):
    wrapper = ssh_device.folder / "bin" / "edge-run"
    wrapper.write_text(
        wrapper.read_text().replace("#!/bin/sh\n", "#!/bin/sh\necho 'Welcome! {}'\n")
    )
    assert deploy(ssh_device.device, int8).outcome == "activated"


def test_folder_on_the_device_is_taken_literally(ssh_device, tmp_path, int8):
    folder = tmp_path / "a folder; $HOME `id`"
    deploy(Device(ssh_device.target, directory=str(folder)), int8)
    assert (folder / "active" / "model.tflite").is_file()


def test_folder_that_cannot_be_made_names_it(ssh_device, int8):
    with pytest.raises(FlashError, match=r"/proc/models.*cannot be written.*choose another folder"):
        deploy(Device(ssh_device.target, directory="/proc/models"), int8)


def test_command_line_deploys_with_plain_options(ssh_device, models, capsys):
    arguments = [
        "pi",
        f"{getpass.getuser()}@127.0.0.1",
        "--model",
        str(models / "seed_int8.tflite"),
        "--port",
        str(ssh_device.port),
        "--identity",
        str(ssh_device.client_key),
        "--ssh-option",
        f"UserKnownHostsFile={ssh_device.known_hosts}",
    ]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "is active now; before it was none" in said.out
    assert "golden inputs answered by" in said.out
    assert "letting the model answer its golden inputs" in said.err
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "unchanged"


def test_command_line_failure_is_one_line(ssh_device, models, tmp_path, capsys):
    shutil.copy(models / "seed_int8.tflite", tmp_path)
    (tmp_path / "seed.golden.npz").write_bytes(b"PK")
    status = main(
        [
            "pi",
            "pi",
            "--ssh-config",
            str(ssh_device.ssh_config),
            "--model",
            str(tmp_path / "seed_int8.tflite"),
            "--golden",
            str(tmp_path / "seed.golden.npz"),
        ]
    )
    assert status == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("python -m flash: error: ")
    assert "seed.golden.npz cannot be read" in lines[0]
    assert not ssh_device.state.exists()
