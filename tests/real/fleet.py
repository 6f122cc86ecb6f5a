#!/usr/bin/env python3
"""Sends a bundle to fifty devices on this machine, and says what that costs and what goes wrong.

    tests/real/fleet.py [--devices N] [--only RUN[,RUN…]] [--json]

Each device has an sshd, a host key, an `edge-run` and a state folder of its own, and before each
run all of them are new. The runs:

    defaults   Ansible's default settings, and a playbook as one writes it first: facts, the module
               copy, a command, the file removed
    tuned      python -m flash fleet, with its waves
    report     10 % of the devices dead, 10 % refusing: is the report exact?
    canary     the first device refuses: does the next wave begin?
    killed     the controller killed midway: does a resume touch devices that are done?
    cost       devices that answer at once and do nothing: what the controller alone costs

Exit status 1 where one of them did not do what it should. Devices and controller share this
machine's processors; the ratio of the first two runs counts, not their seconds. Needs sshd, ssh and
the extra fleet.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from local_fleet import LocalFleet  # noqa: E402

from flash.bundle import make_bundle  # noqa: E402
from flash.fleet.engine import find_ansible  # noqa: E402
from flash.fleet.record import record_path  # noqa: E402

MODEL = ROOT / "models" / "seed" / "seed_int8.tflite"
LIMIT_S = 1800
PLAIN = """
- hosts: all
  tasks:
    - ansible.builtin.copy:
        src: "{{ bundle }}"
        dest: "{{ folder }}/{{ inventory_hostname }}/next.edge"
    - ansible.builtin.shell:
        cmd: edge-run receive < {{ folder }}/{{ inventory_hostname }}/next.edge
    - ansible.builtin.file:
        path: "{{ folder }}/{{ inventory_hostname }}/next.edge"
        state: absent
"""


class Runs:
    """The runs, each on new devices."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        keygen = shutil.which("ssh-keygen")
        if sshd is None or keygen is None:
            raise SystemExit("sshd or ssh-keygen is missing; apt-get install openssh-server")
        self.fleet = LocalFleet(folder / "fleet", count, sshd, keygen)
        key = folder / "signer"
        subprocess.run(
            [keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(key)],
            check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        kind, blob, *_ = key.with_suffix(".pub").read_text().split()
        self.allowed = folder / "allowed_signers"
        self.allowed.write_text(f'signer namespaces="edge-model" {kind} {blob}\n')
        self.bundle = folder / "model.edge"
        bundle = make_bundle(MODEL, key=key)
        self.bundle.write_bytes(bundle.data)
        self.answer = json.dumps(
            {"outcome": "activated", "active": {"sha256": bundle.sha256}, "previous": None}
        )
        self.report = folder / "out" / "fleet.json"

    def new(self) -> None:
        """Makes every device new and reachable."""
        self.fleet.start_all()
        self.fleet.reset()
        for device in self.fleet.devices:
            device.settings(allowed_signers=str(self.allowed))

    def some(self, share: float, offset: int) -> list[Any]:
        """A share of the devices, spread over the waves; never the canary."""
        devices = self.fleet.devices
        return devices[offset :: round(1 / share)]

    def command(self, *options: str) -> list[str]:
        return [
            sys.executable, "-m", "flash", "fleet", str(self.fleet.inventory), "--bundle",
            str(self.bundle), "--report", str(self.report), "--json", *options,
        ]  # fmt: skip

    def send(self, *options: str) -> dict[str, Any]:
        """Runs the command to its end; its report."""
        done = subprocess.run(
            self.command(*options), cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        if not done.stdout:
            raise SystemExit(done.stderr)
        return json.loads(done.stdout)

    def defaults(self) -> dict[str, Any]:
        playbook = self.folder / "plain.yml"
        playbook.write_text(PLAIN)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(
            [str(find_ansible()), str(playbook), "-i", str(self.fleet.inventory),
             "-e", f"bundle={self.bundle}", "-e", f"folder={self.fleet.folder}",
             # Which it would look for itself, and be later.
             "-e", f"ansible_python_interpreter={sys.executable}"],
            cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        wall_s = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        took = sum(device.active() is not None for device in self.fleet.devices)
        if done.returncode:
            print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
        return {
            "right": took == len(self.fleet.devices),
            "devices": took,
            "wall_s": round(wall_s, 1),
            "controller_cpu_s": round(cpu_s, 1),
        }

    def tuned(self) -> dict[str, Any]:
        return self._summary(self.send(), {"done": len(self.fleet.devices)})

    def exact_report(self) -> dict[str, Any]:
        dead, refusing = self.some(0.1, 4), self.some(0.1, 7)
        for device in dead:
            device.stop()
        for device in refusing:
            device.settings(allowed_signers=str(self.allowed), device_type="esp32")
        report = self.send("--max-fail-percentage", "100")
        expected = {device.name: "done" for device in self.fleet.devices}
        expected |= {device.name: "unreachable" for device in dead}
        expected |= {device.name: "failed" for device in refusing}
        told = {found["device"]: found["outcome"] for found in report["devices"]}
        has_it = {d.name: d.active() is not None for d in self.fleet.devices}
        right = told == expected and has_it == {n: o == "done" for n, o in expected.items()}
        return self._summary(report, None) | {"right": right}

    def canary(self) -> dict[str, Any]:
        self.fleet.devices[0].settings(allowed_signers=str(self.allowed), device_type="esp32")
        report = self.send()
        untouched = all(not device.calls() for device in self.fleet.devices[1:])
        wanted = {"failed": 1, "not-tried": len(self.fleet.devices) - 1}
        found = self._summary(report, wanted)
        return found | {"right": found["right"] and untouched}

    def killed(self) -> dict[str, Any]:
        # Half of the last wave waits, so that the kill comes in the middle of it.
        held = self.fleet.devices[len(self.fleet.devices) // 2 :: 2]
        for device in held:
            device.hold()
        record = record_path(self.report)
        record.unlink(missing_ok=True)
        child = subprocess.Popen(
            self.command(), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        ends = time.monotonic() + LIMIT_S
        wanted = len(self.fleet.devices) - len(held)
        while not record.exists() or record.read_text().count('"activated"') < wanted:
            if time.monotonic() > ends or child.poll() is not None:
                raise SystemExit("the run that was to be killed did not get half way")
            time.sleep(0.2)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for device in held:
            device.release()
        while True:
            done = subprocess.run(
                self.command("--resume"), cwd=ROOT, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=LIMIT_S, check=False,
            )  # fmt: skip
            # The transfers that the kill left behind end first.
            if "is under way" not in done.stderr or time.monotonic() > ends:
                break
            time.sleep(0.5)
        report = json.loads(done.stdout)
        left_alone = {found["device"] for found in report["devices"] if found["earlier"]}
        twice = [d.name for d in self.fleet.devices if d.name in left_alone and len(d.calls()) > 1]
        whole = all(device.active() is not None for device in self.fleet.devices)
        right = done.returncode == 0 and whole and len(left_alone) >= wanted and not twice
        return self._summary(report, None) | {"right": right, "left_alone": len(left_alone)}

    def cost(self) -> dict[str, Any]:
        for device in self.fleet.devices:
            device.runs(f"cat > /dev/null; echo '{self.answer}'; :")
        report = self.send()
        found = self._summary(report, {"done": len(self.fleet.devices)})
        per_device = report["controller_cpu_s"] / len(self.fleet.devices)
        return found | {"controller_cpu_ms_per_device": round(1000 * per_device)}

    def _summary(self, report: dict[str, Any], wanted: dict[str, int] | None) -> dict[str, Any]:
        counts = {name: count for name, count in report["counts"].items() if count}
        return {
            "right": counts == wanted,
            **counts,
            "waves": [wave["devices"] for wave in report["waves"]],
            "wall_s": report["wall_s"],
            "controller_cpu_s": report["controller_cpu_s"],
        }


def main() -> int:
    """Runs them; the exit status is 1 where one went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=50, metavar="N")
    parser.add_argument("--only", metavar="RUN[,RUN…]")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        runs = Runs(Path(folder), args.devices)
        all_runs: dict[str, Callable[[], dict[str, Any]]] = {
            "defaults": runs.defaults,
            "tuned": runs.tuned,
            "report": runs.exact_report,
            "canary": runs.canary,
            "killed": runs.killed,
            "cost": runs.cost,
        }
        names = args.only.split(",") if args.only else list(all_runs)
        if unknown := set(names) - set(all_runs):
            parser.error(f"there is no run {', '.join(unknown)}")
        found = {}
        with runs.fleet.running():
            for name in names:
                runs.new()
                print(f"{name} …", file=sys.stderr, flush=True)
                found[name] = all_runs[name]()
                print(f"{name}: {found[name]}", file=sys.stderr, flush=True)
    if {"defaults", "tuned"} <= found.keys():
        ratio = found["tuned"]["wall_s"] / found["defaults"]["wall_s"]
        found["tuned"]["of_defaults"] = round(ratio, 2)
        found["tuned"]["right"] &= ratio <= 0.5
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        for name, values in found.items():
            words = ", ".join(f"{key} {value}" for key, value in values.items() if key != "right")
            print(f"{name:9} {'right' if values['right'] else 'WRONG'}: {words}")
    return 0 if all(values["right"] for values in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
