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

import flash.install
from edge_runtime.bundle import BundleReader, pack
from edge_runtime.contract import SealedModel, load_sealed, seal
from edge_runtime.device import TOTAL_LIMIT_S
from edge_runtime.device_store import SPARE_BYTES, Store
from edge_runtime.selftest import TIME_LIMIT_S
from flash.__main__ import main
from flash.bundle import Bundle, make_bundle
from flash.errors import FlashError
from flash.install import Installed
from flash.pi import TIMEOUT_S, Device, compare, deploy


@pytest.fixture(scope="module")
def int8(models: Path, signer) -> Bundle:
    return make_bundle(models / "seed_int8.tflite", key=signer.key, counter=1)


@pytest.fixture(scope="module")
def int16(models: Path, signer) -> Bundle:
    return make_bundle(models / "seed_int16x8.tflite", key=signer.key, counter=2)


def model_of(bundle: Bundle, models: Path) -> bytes:
    return (models / f"seed_{bundle.contract.variant}.tflite").read_bytes()


def wrong_bundle(models: Path, signer) -> Bundle:
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
        counter=3,
        created_at=bundle.manifest.created_at,
        contract=bundle.manifest.contract,
        sign=signer.sign,
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


def test_model_that_answers_wrongly_keeps_the_old_one(int8_device, models, int8, signer):
    with pytest.raises(FlashError, match="answers 10 of 10 golden inputs with another label"):
        deploy(int8_device.device, wrong_bundle(models, signer))
    assert int8_device.active() == model_of(int8, models)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_cut_connection_keeps_the_old_model(
    int8_device, cut_cable, models, int8, int16, share, wait_until
):
    # At nothing of the bundle: ssh's own greeting and keys take some 3 KB.
    cut_cable(max(4000, int(len(int16.data) * share)))
    with pytest.raises(FlashError, match="connection to pi was lost"):
        deploy(int8_device.device, int16)
    assert int8_device.active() == model_of(int8, models)
    int8_device.write_client_config(int8_device.port)
    # sshd needs a moment to see the end of the connection and to tell the command.
    wait_until(lambda: not Store(int8_device.state).is_locked(), "the first transfer to end")
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
    assert [path.name for path in ssh_device.state.iterdir()] == ["device.json"]


def test_dry_run_says_what_the_device_would_refuse(int8_device, models, signer, int8, int16):
    device = int8_device.device
    for bundle, reason in (
        (make_bundle(models / "seed_int16x8.tflite"), "the bundle is not signed"),
        (
            make_bundle(models / "seed_int16x8.tflite", key=signer.key, counter=0),
            r"takes counters from 1, the bundle has 0 \(see --counter\)",
        ),
        (
            make_bundle(models / "seed_int16x8.tflite", key=signer.key, device_type="esp32"),
            "it is a 'raspberrypi', the bundle is for a 'esp32'",
        ),
        (changed(int16, minimum_runtime="99.0"), "it has edge-runtime .*, not 99.0"),
        (changed(int16, contract={**int16.manifest.contract, "height": 32}), "see --force"),
    ):
        with pytest.raises(FlashError, match=rf"would refuse the model: .*{reason}.*nothing was"):
            compare(device, bundle)
    forced = dataclasses.replace(device, force=True)
    other = changed(int16, contract={**int16.manifest.contract, "height": 32})
    assert compare(forced, other).outcome == "would-activate"


def without(device, *modules: str) -> None:
    """Makes a device on which these modules are not installed."""
    folder = device.folder / "without"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "def seldom(name, *rest):\n"
        f"    return None if name.partition('.')[0] in {modules!r} else find(name, *rest)\n"
        "PathFinder.find_spec = seldom\n"
    )
    wrapper = device.folder / "bin" / "edge-run"
    wrapper.write_text(wrapper.read_text().replace("PYTHONPATH=", f"PYTHONPATH={folder}:"))


def test_operator_that_the_interpreter_there_does_not_know_is_refused(
    int8_device, models, signer, int8, newer_model
):
    bundle = make_bundle(newer_model, key=signer.key, counter=3)
    device = int8_device.device
    assert compare(device, bundle).outcome == "would-activate"  # There is LiteRT as well.
    without(int8_device, "ai_edge_litert", "tensorflow")
    with pytest.raises(
        FlashError,
        match=r"cannot load the operator FULLY_CONNECTED version 12 \(.*nothing was sent$",
    ):
        compare(device, bundle)
    assert compare(device, int8).outcome == "unchanged"
    # And the device itself says so of one that is sent, before anything changes.
    with pytest.raises(FlashError, match=r"'FULLY_CONNECTED' version '12'.*old model stays active"):
        deploy(device, bundle)
    assert int8_device.active() == model_of(int8, models)


def test_device_without_an_interpreter_is_told_before(int8_device, int16):
    without(int8_device, "ai_edge_litert", "tensorflow", "tflite_runtime")
    with pytest.raises(FlashError, match="would refuse the model: it has no interpreter"):
        compare(int8_device.device, int16)


def answering(device, values: dict, status: int = 0) -> None:
    """Makes a device that answers with these values, whatever it is asked."""
    (device.folder / "answer.json").write_text(json.dumps(values) + "\n")
    (device.folder / "bin" / "edge-run").write_text(
        "#!/bin/sh\ncat >/dev/null\n"
        "printf 'receive: \\033[31mred\\n' >&2\n"
        f"cat {device.folder / 'answer.json'}\nexit {status}\n"
    )


@pytest.fixture
def good_answers(good_answer: dict, int8: Bundle) -> dict:
    """What a device answers that has the int8 model."""
    return {**good_answer, "active": {**good_answer["active"], "sha256": int8.sha256}}


def test_wrong_answer_of_a_device_is_one_line(ssh_device, int8, good_answers):
    answering(ssh_device, {**good_answers, "active": 5, "counter": "x\x1b"})
    with pytest.raises(FlashError, match="pi answered with the active 5; use the same version"):
        deploy(ssh_device.device, int8)
    with pytest.raises(FlashError, match="pi answered with the active 5; use the same version"):
        compare(ssh_device.device, int8)


def test_answers_that_are_right_are_taken(ssh_device, int8, good_answers):
    answering(ssh_device, good_answers)
    assert deploy(ssh_device.device, int8).outcome == "activated"
    assert compare(ssh_device.device, int8).outcome == "unchanged"


def test_device_that_activated_another_model_is_not_believed(ssh_device, int16, good_answers):
    answering(ssh_device, good_answers)
    with pytest.raises(FlashError, match="says 'activated' and has another model active"):
        deploy(ssh_device.device, int16)


@pytest.mark.parametrize("status", [0, 1])
def test_words_of_a_device_give_a_terminal_no_commands(
    ssh_device, models, good_answers, signer, capsys, status
):
    answering(ssh_device, {**good_answers, "self_test": None}, status)
    words = ["--model", models / "seed_int8.tflite", "--key", signer.key]
    assert send(ssh_device, *words) == status
    said = capsys.readouterr()
    assert "\\x1b[31mred" in said.err
    assert all(line.isprintable() for line in (said.out + said.err).splitlines())


def test_disk_needs_what_the_device_wants_to_spare(int8_device, int16, good_answers):
    answer = {**good_answers, "free_bytes": int16.manifest.unpacked_bytes + SPARE_BYTES}
    answering(int8_device, answer)
    assert compare(int8_device.device, int16).outcome == "would-activate"
    answering(int8_device, {**answer, "free_bytes": answer["free_bytes"] - 1})
    with pytest.raises(FlashError, match="its disk has .* bytes left of .* that it needs"):
        compare(int8_device.device, int16)


def test_host_waits_longer_than_the_device_does():
    assert TIMEOUT_S > TOTAL_LIMIT_S + 2 * TIME_LIMIT_S


def changed(bundle: Bundle, **facts: object) -> Bundle:
    return dataclasses.replace(bundle, manifest=dataclasses.replace(bundle.manifest, **facts))


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
    folder.mkdir()
    shutil.copy(ssh_device.state / "device.json", folder)
    deploy(Device(ssh_device.target, directory=str(folder)), int8)
    assert (folder / "active" / "model.tflite").is_file()


def test_folder_that_cannot_be_made_is_named(ssh_device, tmp_path, int8):
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(ssh_device.state / "device.json", folder)
    (folder / "releases").write_text("in the way")
    with pytest.raises(FlashError, match=r"models/releases is in the way.*move it elsewhere"):
        deploy(Device(ssh_device.target, directory=str(folder)), int8)


def test_command_line_deploys_with_plain_options(ssh_device, models, signer, capsys):
    arguments = [
        "pi",
        f"{getpass.getuser()}@127.0.0.1",
        "--model",
        str(models / "seed_int8.tflite"),
        "--key",
        str(signer.key),
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
            "--unsigned",
        ]
    )
    assert status == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("python -m flash: error: ")
    assert "seed.golden.npz cannot be read" in lines[0]
    assert not (ssh_device.state / "releases").exists()


def send(device, *arguments: object, hosts: tuple[str, ...] = ("pi",)) -> int:
    config = ["--ssh-config", str(device.ssh_config)]
    return main(["pi", *hosts, *config, *map(str, arguments)])


def test_bundle_made_before_is_sent_as_it_is(int8_device, models, signer, tmp_path, capsys):
    file = tmp_path / "b.edge"
    model = models / "seed_int16x8.tflite"
    assert main(["bundle", str(model), "--key", str(signer.key), "--out", str(file)]) == 0
    assert send(int8_device, "--bundle", file, "--dry-run") == 0
    assert "would take its place" in capsys.readouterr().out
    assert send(int8_device, "--bundle", file) == 0
    assert int8_device.active() == model.read_bytes()
    found = json.loads((int8_device.state / "state.json").read_text())
    assert found["counter"] == BundleReader(io.BytesIO(file.read_bytes())).manifest.counter


def test_unsigned_model_needs_a_word_on_both_sides(int8_device, models, capsys):
    model = models / "seed_int16x8.tflite"
    assert send(int8_device, "--model", model) == 1
    assert "--key KEY was expected; use --key" in capsys.readouterr().err
    assert send(int8_device, "--model", model, "--unsigned") == 1
    assert "refused the model: the bundle is not signed" in capsys.readouterr().err
    int8_device.write_settings(allow_unsigned=True)
    assert send(int8_device, "--model", model, "--unsigned") == 0
    assert int8_device.active() == model.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing is named to send; --model or --bundle was expected"),
        (["--bundle", "b.edge", "--counter", "7"], "--counter cannot change a bundle"),
        (["--bundle", "b.edge", "--unsigned"], "--unsigned cannot change a bundle"),
        (["--bundle", "none.edge"], "none.edge does not exist"),
    ],
)
def test_what_says_nothing_together_is_one_line(ssh_device, capsys, arguments, message):
    assert send(ssh_device, *arguments) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]


def test_service_that_is_not_well_brings_the_old_model_back(
    int8_device, models, signer, int8, int16
):
    int8_device.write_settings(
        allowed_signers=str(signer.allowed),
        restart=["/bin/sh", "-c", f"! readlink {int8_device.state}/active | grep {int16.sha256}"],
    )
    with pytest.raises(FlashError, match="could not be restarted.*the old model is active again$"):
        deploy(int8_device.device, int16)
    assert int8_device.active() == model_of(int8, models)


def test_keep_and_force_reach_the_device(int8_device, models, signer, int16, capsys):
    options = ["--key", signer.key, "--keep", 1]
    for variant in ("int16x8", "float16"):
        assert send(int8_device, "--model", models / f"seed_{variant}.tflite", *options) == 0
    names = {path.name for path in (int8_device.state / "releases").iterdir()}
    assert len(names) == 2
    assert int16.sha256 in names
    sealed = load_sealed(models / "seed_int8.tflite")
    letters = tmp_model(int8_device.folder, sealed)
    golden = ["--golden", models / "seed.golden.npz"]
    assert send(int8_device, "--model", letters, *golden, *options) == 1
    assert "use --force if the programs that use it can" in capsys.readouterr().err
    assert send(int8_device, "--model", letters, *golden, *options, "--force") == 0


def tmp_model(folder: Path, sealed: SealedModel) -> Path:
    """The same network with letters for labels."""
    path = folder / "letters_int8.tflite"
    contract = sealed.contract.replace(labels=tuple("abcdefghij"))
    path.write_bytes(seal(sealed.flatbuffer, contract))
    return path


def test_changed_host_key_sends_nothing(int8_device, models, int8, int16):
    int8_device.make_key(int8_device.folder / "other_key")
    int8_device.know_host(int8_device.folder / "other_key.pub")
    with pytest.raises(FlashError, match="another host key than before"):
        deploy(int8_device.device, int16)
    assert int8_device.active() == model_of(int8, models)


def test_several_devices_are_served_each_for_itself(int8_device, models, signer, capsys):
    file = int8_device.folder / "b.edge"
    model = models / "seed_int16x8.tflite"
    assert main(["bundle", str(model), "--key", str(signer.key), "--out", str(file)]) == 0
    capsys.readouterr()
    assert send(int8_device, "--bundle", file, hosts=("nobody@nowhere.invalid", "pi")) == 1
    said = capsys.readouterr()
    assert said.out.startswith("pi: seed int16x8")
    (failure,) = (line for line in said.err.splitlines() if line.startswith("nobody@"))
    assert failure.startswith("nobody@nowhere.invalid: error: ")
    assert said.err.splitlines()[-1] == "python -m flash: error: 1 of 2 devices failed"
    assert int8_device.active() == model.read_bytes()


def test_several_devices_have_a_line_of_json_each(int8_device, models, signer, capsys):
    options = ["--model", models / "seed_int16x8.tflite", "--key", signer.key, "--json"]
    assert send(int8_device, *options, hosts=("pi", "nobody@nowhere.invalid")) == 1
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["host"], first["outcome"]) == ("pi", "activated")
    assert set(second) == {"host", "error"}
    assert second["host"] == "nobody@nowhere.invalid"


def test_one_device_that_fails_has_its_line_of_json_too(ssh_device, models, capsys):
    words = ["--model", models / "seed_int16x8.tflite", "--unsigned", "--json"]
    assert send(ssh_device, *words) == 1
    said = capsys.readouterr()
    (line,) = said.out.splitlines()
    assert json.loads(line)["host"] == "pi"
    assert said.err.splitlines()[-1].startswith("python -m flash: error: pi refused the model")


def test_devices_that_are_installed_share_one_bundle_and_one_wheelhouse(
    models, signer, tmp_path, monkeypatch, capsys
):
    asked = []

    def install(target, wanted, model, **_):
        asked.append((target.destination, model(), wanted.wheelhouse))
        return Installed(target.destination, "unchanged", (), (), "", "", "", "active")

    monkeypatch.setattr(flash.install, "install", install)
    words = ["--install", "--key", signer.key, "--wheelhouse", tmp_path]
    model = models / "seed_int8.tflite"
    assert main(["pi", "a", "b", "a", "--model", str(model), *map(str, words)]) == 0
    (first, bundle, kept), (second, other, also_kept) = asked
    assert (first, second) == ("a", "b")
    assert other is bundle
    assert kept == also_kept == tmp_path
