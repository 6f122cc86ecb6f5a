"""The program that is sent to a device, run as it is there; see `device_root`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flash.install_facts import Facts, parse_facts, script
from flash.install_keys import PublicKey
from flash.install_plan import Wanted, plan, removal
from flash.wheelhouse import Wheelhouse

from .device_root import DeviceRoot, make_wheels

ANNA = PublicKey("ssh-ed25519", f"AAAA{'a' * 64}", "anna")
BERT = PublicKey("ssh-ed25519", f"AAAA{'b' * 64}", "bert")
CARL = PublicKey("ssh-ed25519", f"AAAA{'c' * 64}", "carl")
ENVIRONMENT = f"/opt/edge-{'0' * 12}"
CAMERA = "/etc/edge-runtime/camera.env"
UNIT = "/etc/systemd/system/edge-run-camera.service"
KEYS = "/var/lib/edge-deploy/.ssh/authorized_keys"
SIGNERS = "/etc/edge-runtime/allowed_signers"
SUDOERS = "/etc/sudoers.d/edge-runtime"
AS_DEPLOY = "setpriv --reuid edge-deploy --regid edge-deploy --clear-groups"
ASIDE = ">/dev/null 2>&1 </dev/null & sleep 1"


class Device:
    """A root, the wheels, and what is wanted of it."""

    def __init__(self, root: DeviceRoot, wheels: list[Path], facts: Facts) -> None:
        self.root, self.wheels = root, wheels
        self.facts = replace(facts, modules=frozenset({"venv"}))
        self.wanted = Wanted(ANNA, BERT, ("/srv/frames", "--loop"), None, Path())
        self.digest = "0" * 64

    def plan(self, dry_run: bool = False, **wanted: Any) -> dict[str, Any]:
        wheelhouse = Wheelhouse(tuple(self.wheels), self.wheels[0].name, ("parts==1",), self.digest)
        wants = replace(self.wanted, **wanted)
        return plan(self.ask(), wheelhouse, wants, dry_run=dry_run)

    def ask(self) -> Facts:
        """What the device says of its environments; the rest is that of a bare Pi."""
        done = self.root.shell("exec sh -s", data=script())
        said = parse_facts(done.stdout.decode(), "here", 0.0)
        return replace(self.facts, environment=said.environment, whole=said.whole)

    def install(self, before: str = "", **wanted: Any) -> list[str]:
        answer, said = self.root.run(self.plan(**wanted), self.wheels, before)
        assert answer, said
        return answer["changes"]

    def refuses(self, before: str = "", **wanted: Any) -> str:
        answer, said = self.root.run(self.plan(**wanted), self.wheels, before)
        assert not answer
        return said.splitlines()[-1].removeprefix("edge-install: error: ")

    def remove(self, dry_run: bool = False) -> list[str]:
        answer, said = self.root.run(removal(dry_run), [])
        assert answer, said
        return answer["changes"]

    def bring_model(self) -> None:
        """What `receive` leaves, as far as the installer looks at it."""
        self.root.file("/var/lib/edge-runtime/active").mkdir()
        self.root.file("/var/lib/edge-runtime/active/model.tflite").touch()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def bare(
    tmp_path: Path, wheels: list[Path], bare_pi: Facts, require_tool: Callable[[str], str]
) -> Device:
    """A device on which nothing was installed."""
    require_tool("unshare")
    if os.getuid() != 0:
        end = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        end("only the superuser can make users in a root of its own")
    return Device(DeviceRoot.bare(tmp_path / "root"), wheels, bare_pi)


@pytest.fixture(scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DeviceRoot]:
    return {}


@pytest.fixture
def installed(
    bare: Device, tmp_path: Path, _kept: dict[str, DeviceRoot], tmp_path_factory
) -> Device:
    """A device on which everything is installed, with a model and a service that runs."""
    if "root" not in _kept:
        bare.install()
        bare.bring_model()
        bare.install()
        _kept["root"] = bare.root.copy(tmp_path_factory.mktemp("kept") / "root")
    else:
        bare.root = _kept["root"].copy(tmp_path / "installed")
    bare.root.log()
    return bare


def test_a_bare_device_gets_everything_with_the_right_owner_and_mode(bare: Device) -> None:
    changes = bare.install()
    assert len(changes) == len(set(changes))
    root = bare.root
    for name, access in {
        "/etc/edge-runtime": ("root", "edge-deploy", "0755"),
        "/var/lib/edge-runtime": ("root", "edge-deploy", "1775"),
        "/var/lib/edge-deploy": ("root", "edge-deploy", "0755"),
        "/var/lib/edge-deploy/.ssh": ("root", "root", "0755"),
        KEYS: ("root", "root", "0644"),
        SIGNERS: ("root", "root", "0644"),
        CAMERA: ("root", "root", "0600"),
        "/var/lib/edge-runtime/device.json": ("root", "root", "0644"),
        UNIT: ("root", "root", "0644"),
        SUDOERS: ("root", "root", "0440"),
        f"{ENVIRONMENT}/bin/edge-run-gate": ("root", "root", "0755"),
    }.items():
        assert root.access(name) == access, name
    assert os.readlink(root.file("/opt/edge")) == ENVIRONMENT
    shadow = dict(line.split(":")[:2] for line in root.file("/etc/shadow").read_text().splitlines())
    assert shadow["edge"] == shadow["edge-deploy"] == "*"
    passwd = root.file("/etc/passwd").read_text()
    assert f":/nonexistent:{'/usr/sbin/nologin'}\n" in passwd
    assert ":/var/lib/edge-deploy:/bin/sh\n" in passwd
    # The gate sees nothing of what a user keeps or an environment says.
    assert root.file("/tmp/gate").read_text() == "1"
    log = root.log()
    assert any(line.startswith("visudo -c -q -f /etc/sudoers.d/.edge-runtime.") for line in log)
    assert "systemctl daemon-reload" in log
    assert "systemctl enable --quiet edge-run-camera.service" in log
    assert not any("restart" in line for line in log)  # There is no model yet.
    assert not list(root.file("/var/tmp").iterdir())


def test_a_dry_run_changes_nothing_and_tells_what_the_real_one_does(bare: Device) -> None:
    before = bare.root.everything()
    answer, said = bare.root.run(bare.plan(dry_run=True), [])
    assert bare.root.everything() == before, said
    assert {line.split()[1] for line in bare.root.log()} == {"is-enabled"}
    assert answer["changes"] == bare.install()


def test_a_second_run_finds_nothing_to_do(installed: Device) -> None:
    before = installed.root.everything()
    assert installed.install() == []
    assert installed.root.everything() == before
    assert not any("restart" in line or "reload" in line for line in installed.root.log())


def test_a_service_that_is_stopped_is_started_and_a_dry_run_tells_so(installed: Device) -> None:
    (installed.root.path / "programs" / "active").unlink()
    answer, _ = installed.root.run(installed.plan(dry_run=True), [])
    assert answer["changes"] == ["edge-run-camera.service started"]
    assert "systemctl restart edge-run-camera.service" not in installed.root.log()
    assert installed.install() == answer["changes"]
    assert "systemctl restart edge-run-camera.service" in installed.root.log()


@pytest.mark.parametrize("name", [CAMERA, UNIT, SUDOERS, KEYS])
def test_owner_and_mode_are_mended(installed: Device, name: str) -> None:
    before = installed.root.access(name)
    installed.root.file(name).chmod(0o666)
    os.chown(installed.root.file(name), 1000, 1000)
    installed.install()
    assert installed.root.access(name) == before


def test_options_that_are_set_stay_where_none_are_named(installed: Device) -> None:
    before = installed.root.file(CAMERA).read_text()
    assert before == "EDGE_CAMERA_SOURCE=/srv/frames\nEDGE_CAMERA_OPTIONS=--loop\n"
    assert installed.install(camera=None) == []
    assert installed.root.file(CAMERA).read_text() == before


def test_options_with_which_the_service_does_not_start_are_put_back(installed: Device) -> None:
    root = installed.root
    root.file(CAMERA).chmod(0o600)
    before = root.everything()
    said = '{"frame": 13}\nedge-run camera: error: there is no port\nit ends\n'
    (root.path / "programs" / "journal").write_text(said)
    reason = installed.refuses(camera=("bad", ""))
    assert reason == (
        "edge-run-camera.service does not start: edge-run camera: error: there is no port; what "
        "was there before is in use again"
    )
    assert root.everything() == before
    log = root.log()
    assert log[-2:] == ["systemctl daemon-reload", "systemctl restart edge-run-camera.service"]
    (asked,) = [line for line in log if "_SYSTEMD_UNIT=edge-run-camera.service" in line]
    since = re.search("--since=@([0-9]+) ", asked)
    assert since is not None
    assert 0 <= time.time() - float(since[1]) < 120
    assert (root.path / "programs" / "active").exists()
    assert installed.install() == []


def test_a_step_that_fails_later_puts_options_back_too(installed: Device) -> None:
    """Else the next run would find the new ones there, and restart nothing."""
    root = installed.root
    before = root.everything()
    root.file(SIGNERS).unlink()
    root.file(SIGNERS).symlink_to("elsewhere")
    assert "is a link" in installed.refuses(camera=("other", ""))
    assert (
        root.file(CAMERA).read_bytes()
        == b"EDGE_CAMERA_SOURCE=/srv/frames\nEDGE_CAMERA_OPTIONS=--loop\n"
    )
    assert "systemctl restart edge-run-camera.service" not in root.log()
    assert before[CAMERA.lstrip("/")] == root.everything()[CAMERA.lstrip("/")]


def test_an_upgrade_that_fails_leaves_the_environment_in_use_and_the_next_need_not_make_it(
    installed: Device,
) -> None:
    root, installed.digest = installed.root, "1" * 64
    root.file(UNIT).write_text("# Written by python -m flash pi --install, an older one\n")
    (root.path / "programs" / "broken").touch()
    assert installed.refuses().endswith("what was there before is in use again")
    assert os.readlink(root.file("/opt/edge")) == ENVIRONMENT
    assert root.file(f"{ENVIRONMENT}/bin/edge-run").exists()
    assert "an older one" in root.file(UNIT).read_text()
    (root.path / "programs" / "broken").unlink()
    changes = installed.install()
    assert f"/opt/edge leads to /opt/edge-{'1' * 12}" in changes
    assert not any("wheels" in change for change in changes)
    assert sorted(path.name for path in root.file("/opt").glob("edge-*")) == [f"edge-{'1' * 12}"]


@pytest.mark.parametrize(
    "damaged", ["lib/python3*/site-packages/numpy.py", "bin/edge-run-gate", "bin/edge-run"]
)
def test_a_damaged_environment_is_made_anew_beside_it(installed: Device, damaged: str) -> None:
    root = installed.root
    assert installed.ask().whole == {ENVIRONMENT}
    (lost,) = root.file(ENVIRONMENT).glob(damaged)
    lost.unlink()
    assert installed.ask().whole == frozenset()
    changes = installed.install()
    assert f"{ENVIRONMENT}-2 made from 3 wheels" in changes
    assert os.readlink(root.file("/opt/edge")) == f"{ENVIRONMENT}-2"
    assert installed.ask().whole == {f"{ENVIRONMENT}-2"}
    assert "systemctl restart edge-run-camera.service" in root.log()
    assert installed.install() == []


def test_an_environment_that_does_not_work_never_takes_the_place(
    bare: Device, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    bare.wheels = make_wheels(other)
    import zipfile

    with zipfile.ZipFile(bare.wheels[1], "a") as wheel:
        wheel.writestr("cv2/__init__.py", "raise ImportError('libGL is missing')")
    reason = bare.refuses()
    assert "libGL is missing" in reason
    assert not list(bare.root.file("/opt").iterdir())
    assert not bare.root.file(UNIT).exists()


def test_sudoers_that_visudo_does_not_like_are_never_put_in_place(bare: Device) -> None:
    (bare.root.path / "programs" / "no-sudoers").touch()
    assert "visudo -c -q -f" in bare.refuses()
    assert not list(bare.root.file("/etc/sudoers.d").iterdir())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (f"echo '[Service]' >{UNIT}", UNIT),
        (f"echo 'anna ALL=(root) ALL' >{SUDOERS}", SUDOERS),
        ("mkdir /opt/edge", "/opt/edge"),
        ("mkdir /var/lib/edge-runtime; touch /var/lib/edge-runtime/device.json", "/var/lib/edge-"),
        ("echo edge:x:990:990:Edge Smith:/:/bin/sh >>/etc/passwd", "the user edge"),
        ("echo edge-deploy:x:990: >>/etc/group", "the group edge-deploy"),
    ],
)
def test_what_others_made_is_neither_written_over_nor_removed(
    bare: Device, command: str, words: str
) -> None:
    assert bare.root.shell(command).returncode == 0
    before = bare.root.everything()
    reason = bare.refuses()
    assert reason.startswith(words)
    assert "is there and was not made by us; a free name was expected" in reason
    assert bare.root.everything() == before
    assert bare.remove() == []
    assert bare.root.everything() == before


def test_settings_that_cannot_be_read_are_told_before_anything_changes(installed: Device) -> None:
    installed.root.file("/var/lib/edge-runtime/device.json").write_text("{")
    before = installed.root.everything()
    assert "device.json is no object in JSON" in installed.refuses(camera=("other", ""))
    assert installed.root.everything() == before


def test_a_key_is_taken_away_from_both_files_whoever_wrote_it(installed: Device) -> None:
    root = installed.root
    installed.install(signer=CARL, sender=CARL)
    root.file(SIGNERS).write_text(root.file(SIGNERS).read_text() + "# staged\n")
    for name in (SIGNERS, KEYS):
        assert CARL.base64 in root.file(name).read_text()
    gone = (ANNA.fingerprint, BERT.fingerprint)
    assert installed.install(signer=CARL, sender=CARL, without_keys=gone) == [
        f"{SIGNERS} written", f"{KEYS} written",
    ]  # fmt: skip
    for name in (SIGNERS, KEYS):
        text = root.file(name).read_text()
        assert CARL.base64 in text
        assert not {ANNA.base64, BERT.base64} & set(text.split())
    assert "# staged" in root.file(SIGNERS).read_text()
    assert installed.install(signer=CARL, sender=CARL, without_keys=gone) == []


def test_removing_leaves_what_was_there_before_and_a_dry_run_everything(
    installed: Device, tmp_path: Path
) -> None:
    root = installed.root
    bare = DeviceRoot.bare(tmp_path / "bare").everything()
    root.file("/opt/edge-of-glory").mkdir()
    before = root.everything()
    planned = installed.remove(dry_run=True)
    assert root.everything() == before
    assert not root.log()
    assert installed.remove() == planned
    # useradd keeps the version before its last change, and a lock.
    left = {name for name in set(root.everything()) - set(bare) if not name.endswith("-")}
    assert left - {"etc/.pwd.lock"} == {"opt/edge-of-glory"}
    assert "edge" not in root.file("/etc/passwd").read_text()
    assert "systemctl disable --now edge-run-camera.service edge-run-recover.service" in root.log()
    assert installed.remove() == []


@pytest.mark.parametrize("action", ["install", "remove"])
def test_files_that_a_power_cut_left_unfinished_are_removed(installed: Device, action: str) -> None:
    names = ("sudoers.d/.edge-runtime", "systemd/system/.edge-run-camera.service")
    left = [installed.root.file(f"/etc/{name}.a1b2c3d_") for name in names]
    others = installed.root.file("/etc/sudoers.d/.edge-runtime.mine")
    for path in (*left, others):
        path.write_text("half")
    installed.install() if action == "install" else installed.remove()
    assert not any(path.exists() for path in left)
    assert others.exists()


def test_nobody_comes_in_while_the_rest_is_removed(installed: Device) -> None:
    assert installed.remove()[0] == f"{KEYS} removed"


def test_a_session_of_the_user_who_brings_models_is_ended_first(installed: Device) -> None:
    installed.root.file("/tmp").chmod(0o1777)
    notes = 'trap "ls -d /opt/edge >/tmp/seen; exit" TERM; while :; do sleep 0.2; done'
    session = f"{AS_DEPLOY} sh -c '{notes}' {ASIDE}"
    answer, said = installed.root.run(removal(False), [], session)
    assert answer, said
    assert installed.root.file("/tmp/seen").read_text() == "/opt/edge\n"
    assert "edge-deploy" not in installed.root.file("/etc/passwd").read_text()


@pytest.mark.parametrize("action", ["install", "remove"])
def test_nothing_is_changed_while_a_model_is_received(installed: Device, action: str) -> None:
    lock = "/var/lib/edge-runtime/.edge-run/lock"
    hold = f"{AS_DEPLOY} flock {lock} sleep 20 {ASIDE}"
    before = installed.root.everything()
    made = installed.plan(camera=("other", "")) if action == "install" else removal(False)
    answer, said = installed.root.run(made, [], hold)
    assert not answer
    assert "a transfer of a model is under way there" in said
    installed.root.file(lock).unlink()
    assert installed.root.everything() == before


def test_a_transfer_is_told_before_minutes_are_spent_on_an_environment(installed: Device) -> None:
    installed.digest = "2" * 64
    before = installed.root.everything()
    hold = f"{AS_DEPLOY} flock /var/lib/edge-runtime/.edge-run/lock sleep 20 {ASIDE}"
    answer, _ = installed.root.run(installed.plan(), installed.wheels, hold)
    assert not answer
    installed.root.file("/var/lib/edge-runtime/.edge-run/lock").unlink()
    assert installed.root.everything() == before


def test_the_lock_of_the_models_goes_when_the_work_is_done(installed: Device) -> None:
    installed.install(camera=("other", ""))
    assert not installed.root.file("/var/lib/edge-runtime/.edge-run/lock").exists()


def test_a_link_in_place_of_the_folder_of_the_lock_leads_nowhere(installed: Device) -> None:
    """It belongs to edge-deploy, and this runs as root: a file of root's making would be theirs."""
    work, trap = "/var/lib/edge-runtime/.edge-run", installed.root.file("/etc/trap")
    trap.mkdir()
    link = f"{AS_DEPLOY} sh -c 'rmdir {work} && ln -s /etc/trap {work}'"
    assert installed.refuses(camera=("other", ""), before=link)
    assert list(trap.iterdir()) == []


def test_what_a_power_cut_left_goes_and_what_is_in_use_stays(installed: Device) -> None:
    left, used = (installed.root.file(f"/var/tmp/edge-install.{name}") for name in ("old", "new"))
    left.mkdir()
    used.mkdir()
    hold = f"flock -s /var/tmp/{used.name} sleep 20 {ASIDE}"
    installed.install(before=hold)
    assert not left.exists()
    assert used.exists()


def test_a_second_installation_at_once_is_told(installed: Device) -> None:
    hold = f"flock /opt sleep 20 {ASIDE}"
    assert installed.refuses(before=hold) == (
        "another installation is under way there; try again later"
    )


def test_an_archive_that_is_cut_between_two_members_changes_nothing(bare: Device) -> None:
    from flash.install import RUN
    from flash.install_plan import archive

    data = archive(bare.plan(), tuple(bare.wheels))
    place = data.rindex(b"plan.json\0")
    before = bare.root.everything()
    done = bare.root.shell(RUN, data=data[:place])
    assert done.returncode == 1
    assert b"edge-install: error: what was sent did not arrive whole; try again" in done.stderr
    assert bare.root.everything() == before


def test_the_archive_runs_by_the_standard_library_alone(tmp_path: Path) -> None:
    check = (
        "import sys; sys.path.insert(0, sys.argv[1]); import on_device.main; "
        "print([n for n in sys.modules if n.partition('.')[0] not in "
        "{*sys.stdlib_module_names, 'on_device', '__main__'}])"
    )
    folder = Path(__file__).resolve().parents[2] / "flash"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", check, str(folder)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"
