#!/usr/bin/env python3
"""Interrupts `edge-run receive` at its system calls, one after the other, and looks what is left.

    tests/real/kill_sweep.py [--every N] [--jobs N] [--modes kill,enospc,eio,full]
                             [--ill | --recover] [--json]

An old model is active, a newer one arrives, signed, and a service is restarted. From the folder for
the transfer to the commit, every call that changes the disk, in turn, is where

    kill     the process gets SIGKILL; the one beside it must take back what is not confirmed
    enospc   that one call says that the disk is full, and
    eio      that it is broken
    full     every call of this kind from there on says that the disk is full

(strace --inject). After each case the model that is active must load and answer as the old one or
the new one does, `--recover` must leave the old one or a confirmed new one, and sending the bundle
again must make the new one active with nothing left lying about. With --ill the service never
starts with the new model, so the calls of the way back are interrupted too, and the old model must
be the active one in the end. With --recover it is `receive --recover` that is interrupted, at each
call that changes or reads the folder, with a release pending: where it says that all is well the
old model must be active, and the next one must take back what this one did not.

Needs strace and ssh-keygen, and the Python of an environment in which
this checkout is installed. A case takes about two seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from edge_runtime.classifier import Classifier  # noqa: E402
from edge_runtime.device import recover, status  # noqa: E402
from edge_runtime.device_store import Store  # noqa: E402
from flash.bundle import make_bundle  # noqa: E402

# What changes a disk, and what opens files on it. Not every architecture has all of them.
CALLS = (
    "write", "fsync", "openat", "mkdir", "rename", "symlink", "unlink", "unlinkat", "rmdir",
    "chmod", "mkdirat", "renameat", "renameat2", "symlinkat", "fchmod", "fchmodat",
)  # fmt: skip
# What reads the state, the links and the releases; `openat` is above.
READING = ("read", "readlink", "newfstatat", "fstat", "getdents64")
MODES = {
    "kill": "signal=SIGKILL:when={n}",
    "enospc": "error=ENOSPC:when={n}",
    "eio": "error=EIO:when={n}",
    "full": "error=ENOSPC:when={n}+",
}
LIMIT_S = 120


@dataclass(frozen=True)
class Bench:
    """What every case starts from."""

    folder: Path
    installed: Path
    bundle: bytes
    old: bytes
    new: bytes
    ill: bool
    recovers: bool = False

    @property
    def calls(self) -> tuple[str, ...]:
        """The calls that are interrupted."""
        return (*CALLS, *READING) if self.recovers else CALLS


@dataclass(frozen=True)
class Case:
    """A call, counted from the start of the process, and what happens at it."""

    mode: str
    call: str
    number: int


def prepare(folder: Path, ill: bool, recovers: bool) -> Bench:
    """Makes a device with the old model, the new one perhaps pending, and the new one's bundle."""
    key, allowed = folder / "key", folder / "allowed_signers"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    kind, blob, *_ = key.with_suffix(".pub").read_text().split()
    allowed.write_text(f'sweep namespaces="edge-model" {kind} {blob}\n')
    installed = folder / "installed"
    installed.mkdir()
    models = [ROOT / "models" / "seed" / f"seed_{name}.tflite" for name in ("int8", "int16x8")]
    first, second = (make_bundle(m, key=key, counter=n) for n, m in enumerate(models))
    # Relative to the folder of the case, which is the restart command's own.
    fails = f"! readlink active | grep -q {second.sha256}"
    restart = ["/bin/sh", "-c", fails] if ill else ["true"]
    settings = {"allowed_signers": str(allowed), "restart": restart}
    (installed / "device.json").write_text(json.dumps(settings))
    run(installed, first.data, check=True)
    old, new = (model.read_bytes() for model in models)
    if recovers:
        run(installed, second.data, check=True)
        store = Store(installed)
        state = store.state()
        new_name, old_name = state.chain
        store.prepare_way_back(old_name)
        chain = (old_name,)
        store.save(replace(state, chain=chain, counter=0, pending=new_name, before=old_name))
    return Bench(folder, installed, second.data, old, new, ill, recovers)


def run(
    directory: Path, data: bytes, *tracer: str, check: bool = False, recovers: bool = False
) -> subprocess.CompletedProcess[bytes]:
    """Runs ``edge-run receive``, under a tracer or not."""
    # The real interpreter: a launcher script in between would be the process that is traced.
    python = os.path.realpath(sys.executable)
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    return subprocess.run(
        [
            *tracer, python, "-m", "edge_runtime", "receive", "--dir", str(directory),
            *(["--recover"] if recovers else []),
        ],
        input=data,
        capture_output=True,
        check=check,
        timeout=LIMIT_S,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def count_calls(bench: Bench) -> tuple[Counter[str], Counter[str]]:
    """How often each call was made before the first that counts, and in the end.

    That is the making of the transfer's folder; for a recovery, the first look at the device's.
    """
    directory, trace = bench.folder / "counted", bench.folder / "trace"
    shutil.copytree(bench.installed, directory, symlinks=True)
    # The question mark: strace ignores a call that this architecture lacks.
    wanted = "trace=" + ",".join(f"?{call}" for call in bench.calls)
    tracer = ("strace", "-o", str(trace), "-e", wanted)
    done = run(directory, bench.bundle, *tracer, recovers=bench.recovers)
    assert done.returncode == (1 if bench.ill else 0), done.stderr
    before: Counter[str] = Counter()
    total: Counter[str] = Counter()
    begun = False
    for line in trace.read_text(errors="replace").splitlines():
        if found := re.match(r"(\w+)\(", line):
            begins = "/.edge-run" if bench.recovers else "/incoming-"
            if not begun and begins in line and (bench.recovers or found[1].startswith("mkdir")):
                begun, before = True, Counter(total)
            total[found[1]] += 1
    assert begun, "the device's folder was never touched"
    return before, total


def cases(bench: Bench, modes: list[str], every: int) -> Iterator[Case]:
    """Every call in the window, or each `every`-th of them."""
    before, total = count_calls(bench)
    found = [
        Case(mode, call, number)
        for mode in modes
        for call in bench.calls
        for number in range(before[call] + 1, total[call] + 1)
    ]
    yield from found[::every]


def try_case(bench: Bench, case: Case) -> tuple[str, str | None]:
    """What became of one case: its outcome, and what is wrong with it."""
    name = f"{case.mode}-{case.call}-{case.number}"
    directory = bench.folder / name
    shutil.copytree(bench.installed, directory, symlinks=True)
    injection = f"inject={case.call}:{MODES[case.mode].format(n=case.number)}"
    done = run(
        directory, bench.bundle, "strace", "-o", str(bench.folder / f"{name}.trace"),
        "-e", f"trace={case.call}", "-e", injection, recovers=bench.recovers,
    )  # fmt: skip
    try:
        model = loaded(directory, bench)
        outcome = f"{model} active, exit {done.returncode}"
        if case.mode == "kill" and done.returncode not in (-9, 137):
            return outcome, f"it was not killed: {done.stderr.decode()[-300:]}"
        if bench.recovers and done.returncode == 0 and model != "old":
            return outcome, "it said that all was well"
        if case.mode == "kill" and not bench.recovers and status(directory).pending:
            return outcome, f"nobody took it back: {done.stderr.decode()[-300:]}"
        if b"Traceback" in done.stderr:
            return outcome, f"a traceback: {done.stderr.decode()[-600:]}"
        twin = directory.with_suffix(".twin")
        shutil.copytree(directory, twin, symlinks=True)
        recover(twin)
        recovered, found = loaded(twin, bench), status(twin)
        if found.pending or found.problem:
            return outcome, f"recovery left {found}"
        confirmed = json.loads((twin / "state.json").read_text())["chain"]
        if found.active is None or found.active.sha256 not in confirmed:
            return outcome, "recovery left a model active that was never confirmed"
        if (model == "old" or bench.recovers) and recovered != "old":
            return outcome, "recovery made a model active that was not"
        again = run(directory, bench.bundle)
        wanted = (1, "old") if bench.ill else (0, "new")
        if again.returncode != wanted[0]:
            return outcome, f"the second try: {again.stderr.decode()[-300:]}"
        found = status(directory)
        if loaded(directory, bench) != wanted[1] or found.pending or found.problem:
            return outcome, f"the second try left {found}"
        expected = {"active", "device.json", "releases", "state.json", ".edge-run", "reserve"}
        below = (directory, directory / ".edge-run")
        left = sorted({p.name for folder in below for p in folder.iterdir()} - expected)
        return outcome, f"left lying about: {left}" if left else None
    except Exception as error:  # Whatever it is, it belongs to this case.
        return "unusable", repr(error)
    finally:
        for path in (directory, directory.with_suffix(".twin")):
            shutil.rmtree(path, ignore_errors=True)
        (bench.folder / f"{name}.trace").unlink(missing_ok=True)


def loaded(directory: Path, bench: Bench) -> str:
    """Which of the two models is active, once it has loaded and is whole."""
    path = directory / "active" / "model.tflite"
    data = path.read_bytes()
    Classifier(path)
    if data not in (bench.old, bench.new):
        raise ValueError("the active model is neither")
    return "old" if data == bench.old else "new"


def main() -> int:
    """Runs the sweep; 0 if every case was as it must be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each Nth case alone")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="cases at a time")
    parser.add_argument("--modes", default="kill,enospc,eio,full", help="comma-separated")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--ill", action="store_true", help="the new model's service never starts")
    which.add_argument("--recover", action="store_true", help="interrupt a recovery instead")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    modes = args.modes.split(",")
    if unknown := set(modes) - set(MODES):
        parser.error(f"no such mode: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="kill-sweep-") as name:
        bench = prepare(Path(name), args.ill, args.recover)
        chosen = list(cases(bench, modes, args.every))
        outcomes: Counter[str] = Counter()
        wrong: list[str] = []
        with ThreadPoolExecutor(args.jobs) as pool:
            results = pool.map(lambda case: try_case(bench, case), chosen)
            for case, (outcome, problem) in zip(chosen, results, strict=True):
                outcomes[f"{case.mode}: {outcome}"] += 1
                if problem:
                    wrong.append(f"{case}: {problem}")
                    print(wrong[-1], file=sys.stderr, flush=True)
    per_call = Counter(f"{case.mode} {case.call}" for case in chosen)
    if args.json:
        print(json.dumps({"cases": len(chosen), "wrong": wrong, "outcomes": outcomes}))
    else:
        for name, count in sorted(per_call.items()):
            print(f"{count:5}  {name}")
        for name, count in sorted(outcomes.items()):
            print(f"{count:5}  {name}")
        print(f"{len(chosen)} cases, {len(wrong)} of them wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
