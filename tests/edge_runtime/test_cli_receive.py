"""The device's verbs where their surroundings are odd: no home, a full standard output, options."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.cli import main
from edge_runtime.device import status

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("verb", ["receive", "status", "rollback"])
def test_user_without_a_home_can_name_the_folder(verb, tmp_path, monkeypatch, capsys):
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setattr("edge_runtime.device_settings.SYSTEM_DIRECTORY", tmp_path / "none")
    for name in ("EDGE_RUNTIME_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    options = ["--recover"] if verb == "receive" else []
    assert main([verb, *options]) == 1
    said = capsys.readouterr().err
    assert said.endswith("this user has no home folder; a folder for the models was expected; "
                         "name one with --dir\n")  # fmt: skip
    assert said.count("\n") == 1
    expected = 1 if verb == "rollback" else 0
    assert main([verb, *options, "--dir", str(tmp_path / "models")]) == expected
    assert main([verb, "--help"]) == 0


def test_home_of_somebody_unknown_is_one_line(capsys):
    assert main(["status", "--dir", "~nosuch/models"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("edge-run status: error: ~nosuch/models cannot be found")
    assert said.count("\n") == 1


@pytest.mark.parametrize("number", ["0", "101"])
def test_number_of_old_releases_has_a_limit(number, capsys):
    assert main(["receive", "--keep", number]) == 2
    assert f"'{number}' is not a whole number from 1 to 100" in capsys.readouterr().err


def test_full_standard_output_does_not_hide_what_became_active(installed, make_bundle):
    # Buffered, as everywhere but in some people's environments: Python tries once more at exit.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edge_runtime", "receive", "--dir", str(installed)],
            input=make_bundle("float16", 2), stdout=full, stderr=subprocess.PIPE, cwd=ROOT,
            check=False, env=environment,
        )  # fmt: skip
    said = done.stderr.decode().splitlines()[-1]
    assert done.returncode == 1
    assert said.startswith(
        "edge-run receive: error: activated: digits float16 is active, but that could not be "
        "written (No space left on device)"
    )
    assert status(installed).active.variant == "float16"


def test_rollback_of_an_unconfirmed_first_model_says_that_there_is_none(
    installed, make_bundle, capsys
):
    from edge_runtime.device_store import Store

    store = Store(installed)
    state = store.state()
    store.save(type(state)(pending=state.chain[0], before=None))
    assert main(["rollback", "--dir", str(installed), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["active"]) == ("reverted", None)
    assert status(installed).active is None
