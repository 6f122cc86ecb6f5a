"""The program ``ssh-keygen``, which opens keys and asks for their passphrases itself."""

from __future__ import annotations

import subprocess

from .errors import FlashError

__all__ = ["TIMEOUT_S", "ssh_keygen"]

# Somebody may have to find a passphrase, or to touch a hardware key.
TIMEOUT_S = 120.0


def ssh_keygen(
    *arguments: str, late: FlashError, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs it.

    Args:
        arguments: Its arguments.
        late: What is raised where it does not end within `TIMEOUT_S`.
        data: Its standard input; None for that of this process.

    Returns:
        Its exit status and what it printed.

    Raises:
        FlashError: It is missing, or it does not end.
    """
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments],
            input=data,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise FlashError(
            "the program ssh-keygen is missing here", "OpenSSH", "apt-get install openssh-client"
        ) from None
    except subprocess.TimeoutExpired:
        raise late from None
