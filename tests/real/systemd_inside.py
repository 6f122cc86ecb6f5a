"""What tests/real/systemd.sh does to its guest: install, send, fail, cut the power, remove.

    systemd_inside.py ROOT KERNEL FOLDER

Every case prints a line; the first that fails ends the run with exit status 1.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from guest import Guest

TOP = Path(__file__).resolve().parents[2]
SERVICE = "edge-run-camera.service"
STATE = "/var/lib/edge-runtime"
LOCK = f"{STATE}/.edge-run/lock"
# Slow, for what it computes is taken from everything else that is emulated.
CAMERA = "/srv/frames --loop --fps 0.5"
# What the installation must leave as it found it.
PLACES = "/etc /opt /var/lib /srv /home /root"
WAIT_S = 300.0


class Story:
    """The guest, the signer, and the count of cases."""

    def __init__(self, root: Path, kernel: Path, folder: Path) -> None:
        self.folder, self.cases, self.began = folder, 0, time.monotonic()
        self.signer = folder / "signer"
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "anna@example.org"]
        subprocess.run([*keygen, "-f", str(self.signer)], check=True)
        self.guest = Guest(root, folder, kernel)

    def case(self, name: str, well: bool, shown: object = "") -> None:
        """Counts a case; the run ends with one that fails."""
        self.cases += 1
        seconds = time.monotonic() - self.began
        words = f"{seconds:5.0f} s  {name}{f': {shown}' if shown != '' else ''}"
        print(("ok     " if well else "FAILED ") + words, flush=True)
        if not well:
            raise SystemExit(f"systemd.sh: error: {name}")

    def command(self, host: str, *arguments: object) -> list[str]:
        config = ["--ssh-config", str(self.guest.ssh_config)]
        return [sys.executable, "-m", "flash", "pi", host, *config, *map(str, arguments)]

    def flash(self, host: str, *arguments: object) -> dict[str, Any]:
        """``python -m flash pi`` with --json."""
        done = subprocess.run(
            self.command(host, *arguments, "--json"), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"systemd.sh: error: flash ended with 1: {done.stderr[-2000:]}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def refused(self, host: str, *arguments: object) -> str:
        """The one line of a ``python -m flash pi`` that must fail."""
        command = self.command(host, *arguments)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.case("it ends with exit status 1", done.returncode == 1, done.returncode)
        return done.stderr.strip().splitlines()[-1]

    def install(self, *arguments: object) -> dict[str, Any]:
        return self.flash(*self.installing(*arguments))

    def begin(self, host: str, *arguments: object) -> subprocess.Popen[bytes]:
        """A ``python -m flash pi`` that will be cut off."""
        quiet = subprocess.DEVNULL
        return subprocess.Popen(self.command(host, *arguments), stdout=quiet, stderr=quiet)

    def installing(self, *arguments: object) -> tuple[object, ...]:
        return ("guest", "--install", "--key", self.signer, *arguments)

    def runs(self) -> bool:
        """Whether the service does."""
        done = self.guest.ssh(f"systemctl is-active {SERVICE}", check=False)
        return done.stdout.strip() == "active"

    def send(self, variant: str) -> tuple[object, ...]:
        """Arguments that send a variant of the released model."""
        path = TOP / "models" / "digits" / f"digits_{variant}.tflite"
        return ("--model", path, "--key", self.signer)

    def pid(self) -> str:
        return self.guest.ssh(f"systemctl show -P MainPID {SERVICE}").stdout.strip()

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(
            self.guest.ssh("/opt/edge/bin/edge-run status --json", check=False).stdout
        )
        return answer

    def wait(self, what: str, seen: Any) -> None:
        """Waits until `seen()` is true."""
        ends = time.monotonic() + WAIT_S
        while not seen():
            if time.monotonic() > ends:
                raise SystemExit(f"systemd.sh: error: waited in vain until {what}")
            time.sleep(0.5)

    def listing(self) -> str:
        """Every file in the places that count, and every user."""
        return self.guest.root(f"sh -c 'find {PLACES} | sort; cut -d: -f1 /etc/passwd'")


def main() -> int:
    root, kernel, folder = map(Path, sys.argv[1:])
    story = Story(root, kernel, folder)
    guest = story.guest
    # Whoever ends this ends the machine, too.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        put_frames(story)
        story.case("Debian boots", True, f"{guest.switch_on():.0f} s")
        before = story.listing()
        installs(story)
        keeps_others_out(story)
        sends(story)
        fails(story)
        is_set_up_badly(story)
        is_upgraded(story)
        dies(story)
        backs_off(story)
        hangs(story)
        is_killed(story)
        loses_power(story)
        removes(story, before)
    except BaseException:
        if guest.running:
            print(guest.root(f"journalctl -n 40 --no-pager -u {SERVICE}", check=False))
        raise
    finally:
        guest.cut_power()
    seconds = time.monotonic() - story.began
    print(f"{story.cases} cases, all as expected, in {seconds:.0f} s")
    return 0


def put_frames(story: Story) -> None:
    """The camera of the guest: ten pictures of digits, shown again and again."""
    frames = story.guest.put / "srv" / "frames"
    command = ["train", "export", "--split", "test", "--limit", "10", "--out", str(frames)]
    subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True)
    story.guest.pack()


def installs(story: Story) -> None:
    guest = story.guest
    planned = story.install("--camera", CAMERA, "--dry-run")
    story.case("a dry run tells what would change", planned["outcome"] == "would-install")
    story.case("and which model", planned["model"]["outcome"] == "would-activate")
    story.case(
        "and changes nothing", not guest.root("find /opt /etc/edge-runtime -mindepth 1", False)
    )
    first = story.begin(*story.installing("--camera", CAMERA))
    story.wait(
        "there is half an environment",
        lambda: guest.root("sh -c 'ls /opt/edge-*/bin/python'", False),
    )
    guest.cut_power()
    first.wait()
    story.case("the power is cut while the environment is made", True)
    seconds = guest.switch_on()
    story.case("the machine boots", not guest.root("ls /opt/edge", False), f"{seconds:.0f} s")
    # sudo looks there first; the units are written after this is called.
    slow = "/usr/local/sbin/visudo"
    write(story, slow, "#!/bin/sh\nsleep 300\n", "chmod +x")
    second = story.begin(*story.installing("--camera", CAMERA))
    story.wait("the environment is in place", lambda: guest.root("ls -d /opt/edge", False))
    guest.cut_power()
    second.wait()
    story.case("the power is cut between environment and units", True)
    seconds = guest.switch_on()
    units = guest.root(f"ls /etc/systemd/system/{SERVICE}", False)
    story.case("the machine boots", not units, f"{seconds:.0f} s")
    guest.root(f"rm -f {slow}")
    began = time.monotonic()
    done = story.install("--camera", CAMERA)
    story.case("a third try installs", done["outcome"] == "installed")
    made = [change for change in done["changes"] if " made from " in change]
    story.case("with the environment of the second", not made, *made)
    story.case("a model is active", done["model"]["outcome"] == "activated")
    story.case("nothing is left of the others", not guest.root("find /var/tmp -name 'edge-*'"))
    story.case("the service runs", story.runs(), f"after {time.monotonic() - began:.0f} s")
    pid = story.pid()
    again = story.install()
    story.case("one more run finds nothing to do", again["outcome"] == "unchanged", again)
    story.case("and restarts nothing", story.pid() == pid, f"PID {pid}")


def keeps_others_out(story: Story) -> None:
    guest = story.guest
    for command, words in (
        (f"runuser -u edge -- rm -f {STATE}/device.json", "edge cannot remove device.json"),
        (f"runuser -u edge-deploy -- rm -f {STATE}/device.json", "nor can edge-deploy"),
        (f"runuser -u edge -- test -w {STATE}/active/model.tflite", "edge cannot write the model"),
        (f"runuser -u edge -- test -w {STATE}/releases", "nor put another beside it"),
        (f"nsenter -m -t {story.pid()} -- touch {STATE}/releases/x", "nor root in its view"),
        ("runuser -u edge-deploy -- sudo -n systemctl stop ssh", "edge-deploy stops no service"),
    ):
        done = guest.ssh(f"sudo -n {command}", check=False)
        story.case(words, done.returncode == 1, done.returncode)
    seen = f"tr '\\0' ' ' </proc/{story.pid()}/cmdline; systemctl status {SERVICE} | grep -v Status"
    shown = guest.ssh(seen).stdout
    story.case("nobody sees the camera's address", "/srv/frames" not in shown and "--loop" in shown)
    config = story.folder / "deploy_config"
    text = guest.ssh_config.read_text().replace(str(guest.key), str(story.signer))
    config.write_text(text)
    for command in ([], ["edge-run receive --dir /tmp/x"], ["edge-run status --json\nid"]):
        done = subprocess.run(
            ["ssh", "-F", str(config), "-o", "BatchMode=yes", "guest-deploy", *command],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip
        well = done.returncode == 1 and "edge-run-gate: error: this key may not" in done.stderr
        story.case(f"the gate refuses {command}", well and not done.stdout, done.stdout)
    forward = ["ssh", "-F", str(config), "-o", "BatchMode=yes", "-W", "127.0.0.1:22"]
    done = subprocess.run(
        [*forward, "guest-deploy"], capture_output=True, text=True, check=False, timeout=120,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    story.case("no port is forwarded", done.returncode != 0 and "SSH-2.0" not in done.stdout)


def sends(story: Story) -> None:
    # The device's 30 s are for a Pi: this machine may take as long to start a Python.
    patient = 's/"allowed_signers"/"health_timeout_s": 120, &/'
    story.guest.root(f"sed -i '{patient}' {STATE}/device.json")
    deploy = ("guest-deploy", "--identity", story.signer)
    pid = story.pid()
    done = story.flash(*deploy, *story.send("float16"))
    story.case("a signed model is activated", done["outcome"] == "activated")
    now = story.pid()
    story.case("the service was restarted", now not in ("0", pid), f"PID {pid}, then {now}")
    story.case("it runs", story.runs())


def fails(story: Story) -> None:
    deploy = ("guest-deploy", "--identity", story.signer)
    before = story.status()["active"]["sha256"]
    drop_in(story, f"ExecStartPre=/bin/sh -c 'readlink {STATE}/active | grep -q {before}'")
    pid, began = story.pid(), time.monotonic()
    reason = story.refused(*deploy, *story.send("float32"))
    seconds = time.monotonic() - began
    story.case("a model that fails in service is refused", "active again" in reason, reason)
    status = story.status()
    story.case("the model before is active", status["active"]["sha256"] == before)
    story.case("and noted as reverted", status["reverted"] is not None, f"{seconds:.0f} s in all")
    story.case("the service runs with it", story.runs() and story.pid() != pid)


def is_set_up_badly(story: Story) -> None:
    """The page is no part of what is installed, and port 80 not for this user."""
    guest, environment = story.guest, "/etc/edge-runtime/camera.env"
    drop_in(story, "")
    before, pid = guest.root(f"cat {environment}"), story.pid()
    reason = story.refused(*story.installing("--camera", f"{CAMERA} --preview 80"))
    well = "does not start: edge-run" in reason and reason.endswith(
        "what was there before is in use again"
    )
    story.case("options with which the service does not start are refused", well, reason)
    story.case("those before are in place", guest.root(f"cat {environment}") == before)
    story.case("and the service runs by them", story.runs() and story.pid() != pid)


def is_upgraded(story: Story) -> None:
    guest, old = story.guest, "/opt/edge-000000000000"
    guest.root(
        f"sh -c 'd=$(readlink /opt/edge); mv $d {old}; ln -sfn {old} /opt/edge; "
        f'sed -i "s|$d|{old}|" {old}/bin/edge-run {old}/bin/edge-run-gate; '
        f"systemctl restart {SERVICE}'"
    )
    drop_in(story, f"ExecStartPre=/bin/sh -c 'readlink /opt/edge | grep -q {old}'")
    reason = story.refused(*story.installing())
    well = reason.endswith("what was there before is in use again")
    story.case("an upgrade with which the service does not start is refused", well, reason)
    story.case("the environment before is in use", guest.root("readlink /opt/edge") == old)
    story.case("and the service runs with it", story.runs())
    drop_in(story, "")
    done = story.install()
    story.case("the next one succeeds", done["outcome"] == "installed", done["changes"])
    left = guest.root("sh -c 'ls -d /opt/edge-*'").split()
    story.case("and leaves one environment", left == [guest.root("readlink /opt/edge")], left)
    story.case("the service runs with the new one", story.runs())


def dies(story: Story) -> None:
    pid = story.pid()
    story.guest.root(f"kill -9 {pid}")
    story.wait(
        "a killed service is started anew", lambda: story.pid() not in ("0", pid) and story.runs()
    )
    story.case("a service that is killed is started anew", True, f"PID {pid}, then {story.pid()}")


def backs_off(story: Story) -> None:
    guest, show = story.guest, f"systemctl show -P NRestarts {SERVICE}"
    drop_in(story, "ExecStartPre=/bin/false")
    guest.root(f"sh -c 'journalctl --rotate -q; systemctl restart {SERVICE}; true'")
    story.wait("it failed three times", lambda: int(guest.ssh(show).stdout) >= 3)
    log = guest.root(f"journalctl -b -q -o short-monotonic --no-pager -u {SERVICE}")
    times = [
        float(line.split("]")[0].strip("[ "))
        for line in log.splitlines()
        if "restart counter is at" in line
    ][-3:]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    shown = ", ".join(f"{pause:.1f} s" for pause in pauses)
    story.case("the pauses grow", pauses[0] > 5 and pauses[1] > pauses[0] + 4, shown)
    drop_in(story, "")
    # In the middle of a pause of 20 s.
    guest.root(f"systemctl restart {SERVICE}")
    count = guest.ssh(show).stdout.strip()
    story.case("a restart by hand counts anew", story.runs() and count == "0", count)


def is_killed(story: Story) -> None:
    guest, deploy = story.guest, ("guest-deploy", "--identity", story.signer)
    before = story.status()["active"]["sha256"]
    sleep = f"readlink {STATE}/active | grep -q {before} || sleep 80"
    drop_in(story, f"ExecStartPre=/bin/sh -c '{sleep}'")
    sending = subprocess.Popen(
        story.command(*deploy, *story.send("float32")),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    story.wait("a release is pending", lambda: story.status()["pending"])
    # Debian's smallest system has no pkill. The bracket keeps the loop from finding itself; the
    # gate is the process that receives.
    found = 'tr "\\0" " " <$p/cmdline | grep -q "edge-run-[g]ate"'
    guest.root(f"sh -c 'for p in /proc/[0-9]*; do {found} && kill -9 ${{p#/proc/}}; done; true'")
    story.case("a transfer is killed before its model is confirmed", sending.wait() == 1)
    status = story.status()
    story.case("the model before is active at once", status["active"]["sha256"] == before)
    story.case("and nothing is pending", status["pending"] is None and status["problem"] is None)
    story.wait(
        "the service runs",
        lambda: guest.ssh(f"systemctl is-active {SERVICE}", False).stdout.strip() == "active",
    )


def hangs(story: Story) -> None:
    """Shorter than the unit's minute, and longer than an emulated inference."""
    drop_in(story, "WatchdogSec=20")
    story.guest.root(f"systemctl restart {SERVICE}")
    pid = story.pid()
    story.guest.root(f"kill -STOP {pid}")
    story.wait("the watchdog ends a service that hangs", lambda: story.pid() not in ("0", pid))
    story.case("a service that hangs is started anew", True, f"PID {pid}, then {story.pid()}")


def loses_power(story: Story) -> None:
    guest, deploy = story.guest, ("guest-deploy", "--identity", story.signer)
    before = story.status()["active"]["sha256"]
    drop_in(story, "ExecStartPre=/bin/sleep 80")
    sending = subprocess.Popen(
        story.command(*deploy, *story.send("float32")),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    story.wait("a release is pending", lambda: story.status()["pending"])
    pending = story.status()
    story.case("the new model is active, unconfirmed", pending["active"]["sha256"] != before)
    guest.cut_power()
    sending.wait()
    story.case("the power is cut; the boot takes", True, f"{guest.switch_on():.0f} s")
    # The drop-in was in /run, and is gone.
    status = story.status()
    story.case("the boot unit took the model back", status["active"]["sha256"] == before)
    story.case("nothing is pending", status["pending"] is None and status["problem"] is None)
    log = guest.root("journalctl -b -o cat --no-pager -u edge-run-recover.service")
    said = [line for line in log.splitlines() if "interrupted" in line]
    story.case("its journal says so", bool(said), *said[:1])
    story.wait(
        "the service runs",
        lambda: guest.ssh(f"systemctl is-active {SERVICE}", False).stdout.strip() == "active",
    )
    done = story.flash(*deploy, *story.send("float32"))
    story.case("the same model sent again is activated", done["outcome"] == "activated")


def removes(story: Story, before: str) -> None:
    config = ["ssh", "-F", str(story.folder / "deploy_config"), "-o", "BatchMode=yes"]
    with subprocess.Popen(
        [*config, "guest-deploy", "edge-run receive"], stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as transfer:  # fmt: skip
        story.wait("a transfer has begun", lambda: story.guest.root(f"ls {LOCK}", False))
        reason = story.refused("guest", "--uninstall")
        story.case("not during a transfer", "a transfer of a model is under way" in reason, reason)
        transfer.kill()
    story.wait("it is over", lambda: not story.guest.root(f"ls {LOCK}", False))
    story.guest.root("sh -c 'runuser -u edge-deploy -- sleep 1000 >/dev/null 2>&1 </dev/null &'")
    done = story.flash("guest", "--uninstall")
    story.case("everything is removed", done["outcome"] == "removed", len(done["changes"]))
    left = sorted(set(story.listing().splitlines()) ^ set(before.splitlines()))
    # useradd keeps a lock and the version before its last change; systemd its clock and seed.
    own = ("/var/lib/systemd/", "/etc/.pwd.lock")
    left = [line for line in left if not line.endswith("-") and not line.startswith(own)]
    story.case("no file and no user is left", not left, left[:10])
    again = story.flash("guest", "--uninstall")
    story.case("a second time there is nothing to remove", again["outcome"] == "unchanged")


def drop_in(story: Story, line: str) -> None:
    """Changes the service until the next boot."""
    folder = f"/run/systemd/system/{SERVICE}.d"
    text = f"[Service]\nTimeoutStartSec=200\n{line}\n"
    write(story, f"{folder}/test.conf", text, "systemctl daemon-reload; :")


def write(story: Story, path: str, text: str, then: str) -> None:
    """Writes a file of the superuser's in the guest, and runs a command on it."""
    command = f"mkdir -p ${{0%/*}}; cat >$0; sync; {then} $0"
    subprocess.run(
        ["ssh", "-F", str(story.guest.ssh_config), "guest", f"sudo -n sh -c '{command}' {path}"],
        check=True, input=text, text=True,
    )  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) != 4 or shutil.which("ssh") is None:
        sys.exit(__doc__)
    sys.exit(main())
