"""Parts of what runs on a device during an installation, each by itself."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_runtime import device_store
from edge_runtime.device_settings import SYSTEM_DIRECTORY
from flash.on_device import environment, locks, places
from flash.on_device.changes import Changes, beside, with_settings
from flash.on_device.environment import relink
from flash.on_device.keys import fingerprint, lets_sign, with_line, without_keys
from flash.on_device.programs import StepError, installed, run

KEY, OTHER = "AAAA" + "A" * 64, "AAAA" + "B" * 64
LINE = f'anna namespaces="edge-model" ssh-ed25519 {KEY}'


def test_the_folder_of_the_models_is_that_of_the_runtime() -> None:
    assert places.STATE == SYSTEM_DIRECTORY


def test_a_key_is_added_and_others_stay() -> None:
    old = f"# staged\nbert ssh-ed25519 {OTHER}\n"
    assert with_line(old, LINE, KEY, "edge-model") == f"{old}{LINE}\n"
    assert with_line("", LINE, KEY) == f"{LINE}\n"


def test_a_file_without_a_last_line_break_is_not_joined() -> None:
    text = with_line(f"bert ssh-ed25519 {OTHER}", LINE, KEY, "edge-model")
    assert text.splitlines()[-1] == LINE


@pytest.mark.parametrize(
    "options",
    ['namespaces="edge-model",valid-before="22220101Z"', 'namespaces="git,edge-*"', ""],
)
def test_a_line_that_lets_a_key_sign_stays_as_somebody_wrote_it(options: str) -> None:
    line = f"anna {options} ssh-ed25519 {KEY}".replace("  ", " ")
    assert with_line(f"{line}\n", LINE, KEY, "edge-model") == f"{line}\n"


@pytest.mark.parametrize(
    "options",
    [
        'namespaces="git"',
        'valid-before="20200101"',
        'namespaces="edge-model",valid-before="202001010000Z"',
        'valid-after="22220101Z"',
        "cert-authority",
    ],
)
def test_a_line_by_which_a_key_cannot_sign_now_does_not_count(options: str) -> None:
    line = f"anna {options} ssh-ed25519 {KEY}"
    assert with_line(f"{line}\n", LINE, KEY, "edge-model") == f"{line}\n{LINE}\n"


def test_a_line_counts_until_the_second_in_which_it_ends() -> None:
    line = f'anna valid-after="20270101Z",valid-before="20280101120000Z" ssh-ed25519 {KEY}'
    for moment, counts in (
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), False),
        (datetime(2027, 1, 1, tzinfo=UTC), True),
        (datetime(2028, 1, 1, 11, 59, 59, tzinfo=UTC), True),
        (datetime(2028, 1, 1, 12, tzinfo=UTC), False),
    ):
        assert lets_sign(line, "edge-model", moment) is counts


def test_a_line_that_gives_a_key_more_is_replaced() -> None:
    shell = f"ssh-ed25519 {KEY} anna\nssh-ed25519 {OTHER} bert\n{LINE}\n"
    assert with_line(shell, LINE, KEY) == f"ssh-ed25519 {OTHER} bert\n{LINE}\n"
    assert with_line(f"{LINE}\n", LINE, KEY) == f"{LINE}\n"


def test_a_key_in_a_comment_does_not_count() -> None:
    assert with_line(f"# {LINE}\n", LINE, KEY, "edge-model").endswith(f"\n{LINE}\n")


def test_a_key_is_taken_away_by_its_fingerprint_and_comments_stay() -> None:
    text = f"# {KEY}\n{LINE}\nrestrict ssh-ed25519 {KEY} x\nbert ssh-ed25519 {OTHER}"
    name = fingerprint(KEY)
    assert name is not None
    assert without_keys(text, [name]) == f"# {KEY}\nbert ssh-ed25519 {OTHER}\n"
    assert without_keys(text, []) == text
    assert fingerprint("ssh-ed25519") is None


def test_settings_of_the_operator_stay(tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    old = json.dumps({"keep": 7, "restart": []})
    path.write_text(old)
    new = json.loads(with_settings(path, {"restart": ["x"], "health": ["y"]}, {}))
    assert new == {"keep": 7, "restart": [], "health": ["y"]}
    assert with_settings(path, {"restart": ["x"]}, {}) == old
    assert json.loads(with_settings(path, {}, {"device_type": "zero"}))["device_type"] == "zero"


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_settings_that_are_no_object_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    path.write_text(text)
    with pytest.raises(StepError, match=r"device.json is no object in JSON; .*; mend it"):
        with_settings(path, {"restart": ["x"]}, {})


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), beside(path, "new", 0o600):
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with beside(path, "new", 0o640) as temporary:
        assert temporary.stat().st_mode & 0o777 == 0o640
        temporary.replace(path)
    assert path.read_text() == "new"


def test_files_are_put_back_with_their_modes_and_new_ones_go(tmp_path: Path) -> None:
    old, new, other = (tmp_path / name for name in ("old", "new", "other"))
    old.write_text("before")
    old.chmod(0o600)
    changes = Changes(dry=False)
    changes.write(old, "after", 0o644, can_be_put_back=True)
    changes.write(old, "later", 0o644, can_be_put_back=True)
    changes.write(new, "new", 0o644, can_be_put_back=True)
    changes.write(other, "other", 0o644)
    assert changes.put_back()
    assert (old.read_text(), old.stat().st_mode & 0o7777) == ("before", 0o600)
    assert not new.exists()
    assert other.read_text() == "other"


def test_a_link_is_led_elsewhere_and_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "edge"
    link.symlink_to("one")
    (tmp_path / "edge.new").symlink_to("left by a power cut")
    led: list[str] = []
    monkeypatch.setattr(os, "sync", lambda: led.append(os.readlink(link)))
    relink(link, "two")
    assert led == ["two"]
    assert list(tmp_path.iterdir()) == [link]


def test_an_environment_is_on_the_disk_before_anything_leads_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    target = tmp_path / "edge-0"
    (target / "bin").mkdir(parents=True)
    (tmp_path / "pip-1.whl").touch()

    def run(*command: str, **_: object) -> None:
        steps.append(command[1])
        (target / "bin").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(environment, "run", run)
    monkeypatch.setattr(os, "sync", lambda: steps.append("sync"))
    plan = {"system_packages": False, "requirements": [], "runtime": "x.whl"}
    environment.make(target, plan, tmp_path)
    assert steps == ["-I", "-m", str(environment.CONDITION), "sync"]


def test_a_program_that_fails_or_hangs_is_told_in_its_own_last_words() -> None:
    with pytest.raises(StepError, match=r"sh -c echo no >&2; exit 3 ended with 3: no"):
        run("sh", "-c", "echo no >&2; exit 3")
    with pytest.raises(StepError, match="did not end within 0 s"):
        run("sleep", "60", timeout_s=0.2)


def test_debians_packages_are_asked_of_dpkg(require_tool) -> None:
    require_tool("dpkg-query")
    assert installed("coreutils")
    assert not installed("no-such-package")


def test_the_lock_is_the_one_that_a_transfer_holds() -> None:
    assert (locks.WORK.name, locks.LOCK) == (device_store.WORK, device_store.LOCK)
    assert locks.STATE == SYSTEM_DIRECTORY
