"""Says what is wrong with this machine, and the command that mends it."""

from __future__ import annotations

import argparse
import json
import textwrap

from ..doctor import Finding, Severity, examine

__all__ = ["configure", "handle"]

EPILOG = """\
examples:
  edge-run doctor
  edge-run doctor --json | jq '.cameras[].formats'

It looks at Python, the interpreters, OpenCV, the cameras with their formats, the extras, and the
board's clock, power and heat. The exit status is 1 if something is broken that stops the work: no
interpreter answers rightly, pictures cannot be decoded, a camera may not be used."""

LINE_COLUMNS = 96
MARKS = {
    Severity.OK: "ok",
    Severity.NOTE: "note",
    Severity.WARNING: "WARNING",
    Severity.BROKEN: "BROKEN",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this verb's arguments."""
    parser.add_argument(
        "--json", action="store_true", help="one JSON object: findings, cameras, machine"
    )


def handle(args: argparse.Namespace) -> int:
    """Examines and prints."""
    findings, facts = examine()
    broken = [finding for finding in findings if finding.severity is Severity.BROKEN]
    if args.json:
        items = [finding.to_dict() for finding in findings]
        print(json.dumps({"broken": len(broken), "findings": items, **facts}))
    else:
        print("\n".join(_lines(findings)))
        print()
        print(f"{len(broken)} broken" if broken else "nothing is broken")
    return 1 if broken else 0


def _lines(findings: list[Finding]) -> list[str]:
    indent = max(map(len, MARKS.values())) + 2
    lines = []
    for finding in findings:
        text = f"{finding.about}: {finding.text}"
        lines += textwrap.wrap(
            text,
            LINE_COLUMNS,
            initial_indent=MARKS[finding.severity].ljust(indent),
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
            break_long_words=False,
        )
        if finding.remedy:  # On a line of its own, unbroken: it is there to be copied.
            lines.append(f"{' ' * indent}→ {finding.remedy}")
    return lines
