"""What came of a run: each device's outcome, as a table and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge_runtime.cli.shell import printable

from ..errors import FlashError
from ..ssh import SshTarget
from .inventory import InventoryDevice

__all__ = ["GOOD", "OUTCOMES", "DeviceResult", "FleetReport", "Wave", "results", "waves"]

# In the order of the table. "would-change" is check mode's word.
OUTCOMES = ("done", "unchanged", "would-change", "failed", "unreachable", "unfinished", "not-tried")
GOOD = frozenset({"done", "unchanged", "would-change"})
STAYS = "what is active there is a whole model, the old one or the new"
UNFINISHED = f"the run ended while the bundle was on its way; {STAYS}"
NAMES = {
    "activated": "done",
    "unchanged": "unchanged",
    "would-activate": "would-change",
    "failed": "failed",
    "unreachable": "unreachable",
    "unfinished": "unfinished",
}
# A reason is a line in a table; a device, or what it logs in through, can say anything.
MAX_REASON = 500


@dataclass(frozen=True)
class DeviceResult:
    """What became of one device.

    Attributes:
        device: Its name in the inventory.
        outcome: One of `OUTCOMES`.
        reason: Why not, in one line; None where all is well.
        wave: The wave it was in, from 1; None for a device that was not tried.
        seconds: How long it took.
        active: SHA-256 of the model that is active there now, where it told.
        previous: SHA-256 of the one before.
        earlier: It was done in an earlier run, and this one left it alone.
    """

    device: str
    outcome: str
    reason: str | None = None
    wave: int | None = None
    seconds: float | None = None
    active: str | None = None
    previous: str | None = None
    earlier: bool = False


@dataclass(frozen=True)
class Wave:
    """One wave of this run.

    Attributes:
        wave: Its number, from 1.
        devices: How many devices were tried in it.
        bad: How many of them failed or were not reached.
    """

    wave: int
    devices: int
    bad: int


@dataclass(frozen=True)
class FleetReport:
    """The whole account; the fields of ``--json``.

    Attributes:
        bundle: The bundle's file.
        bundle_sha256: Its SHA-256.
        name: The model's name.
        variant: Its variant.
        sha256: SHA-256 of the model.
        counter: The bundle's counter.
        inventory: The inventory.
        limit: The pattern that chose among its devices, or None.
        check: Nothing was sent; the devices were asked.
        forks: How many devices were served at a time.
        started_at: When the run began (ISO 8601, UTC).
        wall_s: How long it took, in seconds.
        controller_cpu_s: CPU time that Ansible and ssh took here, in seconds.
        counts: How many devices have each outcome.
        waves: The waves of this run.
        stopped_after_wave: The wave in which too many devices were bad for a next one, or None.
        ended_early: Why Ansible ended before all waves were done, where it was not that; or None.
        interrupted: Somebody pressed Ctrl-C.
        devices: Every device.
    """

    bundle: str
    bundle_sha256: str
    name: str
    variant: str | None
    sha256: str
    counter: int
    inventory: str
    limit: str | None
    check: bool
    forks: int
    started_at: str
    wall_s: float
    controller_cpu_s: float
    counts: dict[str, int]
    waves: tuple[Wave, ...]
    stopped_after_wave: int | None
    ended_early: str | None
    interrupted: bool
    devices: tuple[DeviceResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)

    def table(self) -> str:
        """Every device on a line, those that need somebody last, and the counts."""
        width = max([6, *(len(printable(found.device)) for found in self.devices)])
        lines = [f"{'device':{width}}  outcome       wave  seconds  reason"]
        for found in self.devices:
            wave = "earlier" if found.earlier else str(found.wave or "-")
            seconds = "-" if found.seconds is None else f"{found.seconds:.1f}"
            line = (
                f"{printable(found.device):{width}}  {found.outcome:12}  {wave:>4}  {seconds:>7}  "
            )
            lines.append((line + (found.reason or "")).rstrip())
        return "\n".join([*lines, "", self.summary()])

    def summary(self) -> str:
        """The counts in one line."""
        counted = [f"{self.counts[name]} {name}" for name in OUTCOMES if self.counts[name]]
        return (
            f"{len(self.devices)} devices: {', '.join(counted)}; {self.wall_s:.1f} s, of which the "
            f"controller computed {self.controller_cpu_s:.1f} s"
        )

    def error(self) -> FlashError | None:
        """What to tell somebody whose devices did not all take the bundle; None if they did."""
        bad = sum(count for name, count in self.counts.items() if name not in GOOD)
        if not bad:
            return None
        counted = [
            f"{self.counts[name]} {name}"
            for name in OUTCOMES
            if name not in GOOD and self.counts[name]
        ]
        stopped = ""
        if self.stopped_after_wave is not None:
            last = next(w for w in self.waves if w.wave == self.stopped_after_wave)
            stopped = (
                f"; stopped after wave {last.wave}, in which {last.bad} of {last.devices} "
                "devices were bad"
            )
        elif self.ended_early is not None:
            stopped = f"; Ansible ended before all waves were done: {self.ended_early}"
        return FlashError(
            f"{bad} of {len(self.devices)} devices "
            + ("would not take" if self.check else "did not take")
            + f" the bundle: {', '.join(counted)}{stopped}",
            "",
            "mend what the table names, then run again"
            + ("" if self.check else " with --resume: devices that are done stay untouched"),
        )


def results(
    devices: Mapping[str, InventoryDevice],
    now: Iterable[Mapping[str, Any]],
    earlier: Iterable[Mapping[str, Any]],
) -> tuple[DeviceResult, ...]:
    """Each device's outcome, from what the record says.

    Args:
        devices: Every device of the run, by its name.
        now: The record's events of this run.
        earlier: The last events of devices in runs before it.

    Returns:
        One result a device, in the order of `OUTCOMES`, then by wave and name.
    """
    found = {name: DeviceResult(name, "not-tried") for name in devices}
    for events, before in ((earlier, True), (now, False)):
        for event in events:
            device = devices.get(event.get("device", ""))
            if device is None:
                continue
            if event["event"] == "start":
                # Until its outcome follows; after a kill or Ctrl-C none does.
                result = DeviceResult(device.name, "unfinished", UNFINISHED, event["wave"])
            else:
                result = _result(device, event, before)
            # What failed in an earlier run and was not tried again now: not tried.
            if result.outcome in GOOD or not before:
                found[result.device] = result
    order = {name: place for place, name in enumerate(OUTCOMES)}
    return tuple(sorted(found.values(), key=lambda r: (order[r.outcome], r.wave or 0, r.device)))


def waves(found: Sequence[DeviceResult]) -> tuple[Wave, ...]:
    """The waves of this run, by the devices that were tried in them."""
    tried: Counter[int] = Counter()
    bad: Counter[int] = Counter()
    for result in found:
        if result.wave is not None and not result.earlier:
            tried[result.wave] += 1
            bad[result.wave] += result.outcome not in GOOD
    return tuple(Wave(number, tried[number], bad[number]) for number in sorted(tried))


def _result(device: InventoryDevice, event: Mapping[str, Any], earlier: bool) -> DeviceResult:
    outcome = NAMES.get(event["outcome"], "failed")
    reason = event.get("reason")
    if outcome == "unreachable":
        reason = _explain(device, str(reason))
    elif outcome == "unfinished":
        reason = UNFINISHED if reason is None else f"{reason}; {STAYS}"
    return DeviceResult(
        device=device.name,
        outcome=outcome,
        reason=None if reason is None else _line(reason),
        wave=event["wave"],
        seconds=event.get("seconds"),
        active=event.get("active"),
        previous=event.get("previous"),
        earlier=earlier,
    )


def _explain(device: InventoryDevice, words: str) -> str:
    """The words of ssh, explained as `flash pi` explains them."""
    # An address may be a template of Ansible's, which Ansible alone can fill.
    plain = device.host if device.host and "{" not in device.host else device.name
    port = int(device.port) if device.port and device.port.isdecimal() else None
    if "Permission denied" in words or "Too many authentication failures" in words:
        return (
            f"{plain} does not let us in; a key that it accepts was expected; name it with "
            "ansible_ssh_private_key_file, the user with ansible_user"
        )
    try:
        return str(SshTarget(plain, port).explain(words))
    except FlashError:  # A name that ssh would not take.
        return words


def _line(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= MAX_REASON else f"{line[: MAX_REASON - 1]}…"
