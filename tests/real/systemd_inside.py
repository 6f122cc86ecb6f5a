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
from pathlib import Path
from typing import Any

from guest import Guest

TOP = Path(__file__).resolve().parents[2]
SERVICE = "edge-run-camera.service"
STATE = "/var/lib/edge-runtime"
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
        return self.flash("guest", "--install", "--key", self.signer, *arguments)

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
        is_killed(story)
        hangs(story)
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
    story.case(
        "and changes nothing", not guest.root("find /opt /etc/edge-runtime -mindepth 1", False)
    )
    arguments = ("--install", "--key", story.signer, "--camera", CAMERA)
    first = subprocess.Popen(
        story.command("guest", *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    story.wait(
        "there is half an environment",
        lambda: guest.root("sh -c 'ls /opt/edge-*/bin/python'", False),
    )
    guest.cut_power()
    first.wait()
    story.case("the power is cut while the environment is made", True)
    seconds = guest.switch_on()
    story.case("the machine boots", not guest.root("ls /opt/edge", False), f"{seconds:.0f} s")
    began = time.monotonic()
    done = story.install("--camera", CAMERA)
    story.case("a second try installs", done["outcome"] == "installed")
    story.case("a model is active", done["model"]["outcome"] == "activated")
    story.case("nothing is left of the first", not guest.root("find /var/tmp -name 'edge-*'"))
    active = guest.ssh(f"systemctl is-active {SERVICE}").stdout.strip()
    seconds = time.monotonic() - began
    story.case("the service runs", active == "active", f"after {seconds:.0f} s")
    pid = story.pid()
    again = story.install()
    story.case("a second run finds nothing to do", again["outcome"] == "unchanged")
    story.case("and restarts nothing", story.pid() == pid, f"PID {pid}")


def keeps_others_out(story: Story) -> None:
    guest = story.guest
    for user in ("edge", "edge-deploy"):
        done = guest.root(f"runuser -u {user} -- rm -f {STATE}/device.json; echo $?")
        story.case(f"{user} cannot remove device.json", done != "0")
    for path in (f"{STATE}/active/model.tflite", STATE, f"{STATE}/releases"):
        done = guest.root(f"runuser -u edge -- test -w {path}; echo $?")
        story.case(f"the service's user cannot write {path}", done == "1")
    namespace = guest.root(
        f"nsenter -m -t {story.pid()} -- sh -c 'touch {STATE}/releases/x'; echo $?", False
    )
    story.case("nor could root in the service's view", namespace.endswith("1"))
    allowed = guest.root("runuser -u edge-deploy -- sudo -n systemctl stop ssh; echo $?", False)
    story.case("edge-deploy may stop no service", allowed != "0")
    config = story.folder / "deploy_config"
    text = guest.ssh_config.read_text().replace(str(guest.key), str(story.signer))
    config.write_text(text)
    for command in (
        [], ["id"], ["edge-run receive --allow-unsigned"],
        ["edge-run receive --dir /tmp/x"], ["edge-run status --json\nid"],
    ):  # fmt: skip
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
    deploy = ("guest-deploy", "--identity", story.signer)
    pid = story.pid()
    done = story.flash(*deploy, *story.send("float16"))
    story.case("a signed model is activated", done["outcome"] == "activated")
    now = story.pid()
    story.case("the service was restarted", now not in ("0", pid), f"PID {pid}, then {now}")
    maps = story.guest.root(f"cat /proc/{now}/status")
    story.case("it runs", "Name:" in maps)


def fails(story: Story) -> None:
    guest, deploy = story.guest, ("guest-deploy", "--identity", story.signer)
    before = story.status()["active"]["sha256"]
    drop_in(story, f"ExecStartPre=/bin/sh -c 'readlink {STATE}/active | grep -q {before}'")
    pid, began = story.pid(), time.monotonic()
    reason = story.refused(*deploy, *story.send("float32"))
    seconds = time.monotonic() - began
    story.case("a model that fails in service is refused", "active again" in reason, reason)
    status = story.status()
    story.case("the model before is active", status["active"]["sha256"] == before)
    story.case("and noted as reverted", status["reverted"] is not None, f"{seconds:.0f} s in all")
    active = guest.ssh(f"systemctl is-active {SERVICE}").stdout.strip()
    story.case("the service runs with it", active == "active" and story.pid() != pid)


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
    # Debian's smallest system has no pkill. The bracket keeps the loop from finding itself.
    found = 'tr "\\0" " " <$p/cmdline | grep -q "edge-run [r]eceive"'
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
    command = f"mkdir -p {folder}; cat >{folder}/test.conf; systemctl daemon-reload"
    subprocess.run(
        ["ssh", "-F", str(story.guest.ssh_config), "guest", f"sudo -n sh -c '{command}'"],
        check=True, input=text, text=True,
    )  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) != 4 or shutil.which("ssh") is None:
        sys.exit(__doc__)
    sys.exit(main())
