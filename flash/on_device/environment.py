"""The virtual environment: made beside the one in use, tried, put in its place by one rename."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from .places import LINK
from .programs import StepError, run

__all__ = ["make", "relink"]

# A Zero 2 W unpacks NumPy and OpenCV in some minutes.
INSTALL_S = 1800.0
CONDITION = Path(__file__).parent / "whole.sh"


def make(target: Path, plan: dict[str, Any], wheels: Path) -> None:
    """Makes an environment, whole and on the disk when this returns.

    Args:
        target: Its folder; what a power cut left of it goes first.
        plan: What `flash.install_plan` wrote.
        wheels: The folder with the wheels.

    Raises:
        StepError: It could not be made; nothing is left of it.
    """
    if LINK.is_symlink() and os.readlink(LINK) == str(target):
        raise StepError(f"{target} is in use; another installation came between; try again")
    shutil.rmtree(target, ignore_errors=True)
    system = ["--system-site-packages"] if plan["system_packages"] else []
    try:
        run(sys.executable, "-I", "-m", "venv", "--without-pip", *system, str(target))
        python = str(target / "bin" / "python")
        (pip,) = wheels.glob("pip-*.whl")
        run(
            python, "-m", "pip", "install", "--no-index", "--find-links", str(wheels),
            "--no-cache-dir", "--disable-pip-version-check", "--root-user-action=ignore",
            "--quiet", *plan["requirements"], str(wheels / plan["runtime"]),
            timeout_s=INSTALL_S, PYTHONPATH=str(pip), PIP_CONFIG_FILE=os.devnull,
        )  # fmt: skip
        gate = target / "bin" / "edge-run-gate"
        gate.write_text(
            f"#!{python} -I\nimport sys\n\nfrom edge_runtime.gate import main\n\nsys.exit(main())\n"
        )
        gate.chmod(0o755)
        run("sh", str(CONDITION), str(target))
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    os.sync()


def relink(link: Path, target: str) -> None:
    """Lets a link lead elsewhere: a new one, renamed over it; on the disk when this returns.

    Args:
        link: The link.
        target: Where it shall lead.
    """
    new = link.with_name(f"{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
    os.sync()
