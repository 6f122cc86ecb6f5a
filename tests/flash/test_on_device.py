"""What runs on the device during an installation; tests/real/systemd.sh runs all of it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from flash.install_plan import archive, removal
from flash.on_device import installer
from flash.on_device.files import (
    StepError,
    beside,
    installed,
    relink,
    run,
    with_line,
    with_settings,
)

KEY, OTHER = "A" * 68, "B" * 68
LINE = f'anna namespaces="edge-model" ssh-ed25519 {KEY}'


def test_a_key_is_added_and_others_stay():
    old = f"# staged\nbert ssh-ed25519 {OTHER}\n"
    assert with_line(old, LINE, KEY, False) == f"{old}{LINE}\n"
    assert with_line("", LINE, KEY, True) == f"{LINE}\n"


def test_a_file_without_a_last_line_break_is_not_joined():
    assert with_line(f"bert ssh-ed25519 {OTHER}", LINE, KEY, False).splitlines()[-1] == LINE


def test_a_key_that_is_there_is_not_added_again():
    narrowed = f'anna namespaces="edge-model",valid-before="20280101Z" ssh-ed25519 {KEY}\n'
    assert with_line(narrowed, LINE, KEY, False) == narrowed
    assert with_line(f"{LINE}\n", LINE, KEY, True) == f"{LINE}\n"


def test_a_line_that_gives_a_key_more_is_replaced():
    shell = f"ssh-ed25519 {KEY} anna\nssh-ed25519 {OTHER} bert\n{LINE}\n"
    assert with_line(shell, LINE, KEY, True) == f"ssh-ed25519 {OTHER} bert\n{LINE}\n"


def test_a_key_in_a_comment_does_not_count():
    assert with_line(f"# {LINE}\n", LINE, KEY, False).endswith(f"\n{LINE}\n")


def test_settings_of_the_operator_stay():
    old = json.dumps({"keep": 7, "restart": []})
    new = json.loads(with_settings(old, {"restart": ["x"], "health": ["y"]}, {}))
    assert new == {"keep": 7, "restart": [], "health": ["y"]}
    assert with_settings(old, {"restart": ["x"]}, {}) == old
    assert json.loads(with_settings(old, {}, {"device_type": "zero"}))["device_type"] == "zero"


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_settings_that_are_no_object_are_refused(text):
    with pytest.raises(StepError, match=r"device.json is no object in JSON; .*; mend it"):
        with_settings(text, {"restart": ["x"]}, {})


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
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


def test_a_link_is_led_elsewhere(tmp_path):
    link = tmp_path / "edge"
    link.symlink_to("one")
    (tmp_path / "edge.new").symlink_to("left by a power cut")
    relink(link, "two")
    assert str(link.readlink()) == "two"
    assert list(tmp_path.iterdir()) == [link]


def test_a_program_that_fails_or_hangs_is_told_in_its_own_last_words():
    with pytest.raises(StepError, match=r"sh -c echo no >&2; exit 3 ended with 3: no"):
        run("sh", "-c", "echo no >&2; exit 3")
    with pytest.raises(StepError, match="did not end within 0 s"):
        run("sleep", "60", timeout_s=0.2)


def test_the_archive_runs_by_the_standard_library_alone(tmp_path):
    """As it is run there: isolated, from the folder it was unpacked to."""
    packed = tmp_path / "sent.tar"
    packed.write_bytes(archive(removal(dry_run=True), ()))
    folder = tmp_path / "unpacked"
    folder.mkdir()
    subprocess.run(["tar", "-x", "-f", str(packed), "-C", str(folder)], check=True)
    check = (
        "import sys; sys.path.insert(0, sys.argv[1]); import on_device.installer; "
        "print([n for n in sys.modules if n.partition('.')[0] not in "
        "{*sys.stdlib_module_names, 'on_device', '__main__'}])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", check, str(folder)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"


def test_debians_packages_are_asked_of_dpkg(require_tool):
    require_tool("dpkg-query")
    assert installed("coreutils")
    assert not installed("no-such-package")


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The places of a device below a folder of this test's."""
    for name, path in (
        ("LINK", "opt/edge"),
        ("OPT", "opt"),
        ("STATE", "state"),
        ("DEPLOY_HOME", "home"),
        ("SETTINGS_FOLDER", "etc"),
        ("UNIT_FOLDER", "units"),
        ("SUDOERS", "sudoers"),
        ("LOCK", "lock"),
    ):
        monkeypatch.setattr(installer, name, tmp_path / path)
    monkeypatch.setattr(installer, "full_name", lambda _: None)
    for name in ("opt/edge-0123456789ab", "state/releases", "home/.ssh", "etc", "units"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "opt" / "edge-of-glory").mkdir()
    return tmp_path


def test_removing_takes_what_is_ours_and_a_dry_run_nothing(places):
    before = sorted(places.rglob("*"))
    planned = installer.Installer(removal(dry_run=True), places)
    planned.remove()
    assert sorted(places.rglob("*")) == before
    removed = installer.Installer(removal(dry_run=False), places)
    removed.remove()
    assert removed.changes == planned.changes
    assert len(removed.changes) == 4
    assert sorted(path.name for path in (places / "opt").iterdir()) == ["edge-of-glory"]
    again = installer.Installer(removal(dry_run=False), places)
    again.remove()
    assert again.changes == []


def test_a_user_of_that_name_who_is_a_person_stops_the_installation(places, monkeypatch):
    monkeypatch.setattr(installer, "full_name", lambda _: "Edge Smith")
    plan = {"dry_run": True, "apt": []}
    with pytest.raises(StepError, match="the user edge is there and was not made by us"):
        installer.Installer(plan, places).install()


def test_a_second_installation_at_once_is_told(places, monkeypatch, capsys):
    import fcntl

    (places / "plan.json").write_text(json.dumps(removal(dry_run=True)))
    monkeypatch.setattr(sys, "argv", ["x", str(places)])
    monkeypatch.setattr(installer.os, "umask", lambda _: 0)
    monkeypatch.chdir(places)
    with (places / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert installer.main() == 1
    said = capsys.readouterr().err
    assert said == (
        "edge-install: error: another installation is under way there; try again later\n"
    )
