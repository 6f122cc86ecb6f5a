"""Opens a web page on which digits are drawn, uploaded and read, and an HTTP API; without a camera.

It runs until Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import stat
from contextlib import suppress
from pathlib import Path

from ..preview import DEFAULT_PORT, LOCALHOST, Preview
from .ending import Overdue, ended_by_signals
from .numbers import whole_number
from .options import (
    add_contract_options,
    add_interpreter_options,
    add_model_option,
    open_classifier,
)
from .shell import DONE, say

__all__ = ["add_page_options", "configure", "handle", "page_token", "say_where"]

EPILOG = """\
examples:
  edge-run serve                          on this machine: http://127.0.0.1:8080/
  edge-run serve --host 0.0.0.0           for the network at home; prints the address with a token
  edge-run serve --host 0.0.0.0 --token-file ~/.config/edge-token
                                          as a service: the token stays the same and is not printed
  curl --data-binary @seven.png http://127.0.0.1:8080/api/classify
  curl -H "Authorization: Bearer $TOKEN" --data-binary @page.jpg http://pi.local:8080/api/read

The API describes itself at /openapi.json. There is no encryption: outside a network that you trust
put a proxy with HTTPS in front, or go through ssh: ssh -L 8080:127.0.0.1:8080 pi@pi.local

Exit status: 0 on Ctrl-C and on SIGTERM, which is how it ends; 1 if it cannot listen."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this verb's arguments."""
    parser.add_argument(
        "--host",
        default=LOCALHOST,
        metavar="ADDRESS",
        help="where to listen; 0.0.0.0 for the whole network (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=whole_number(0, 65535, "port"),
        default=DEFAULT_PORT,
        metavar="N",
        help="the port; 0 for any that is free (default: %(default)s)",
    )
    add_model_option(parser)
    add_page_options(parser)
    add_interpreter_options(parser)
    add_contract_options(parser)


def add_page_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--token-file``, for every verb that opens a page."""
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="ask visitors for the token in this file; made if it is missing "
        "(default: a new token, printed once; none needed on 127.0.0.1)",
    )


def page_token(args: argparse.Namespace) -> str | None:
    """The token that ``--token-file`` names; None if it was not given.

    Raises:
        InputError: The file cannot be read or made, or holds no token.
    """
    if args.token_file is None:
        return None
    from ..web.access import read_token_file

    path = args.token_file.expanduser()
    token = read_token_file(path)
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        say(f"{path} can be read by others on this machine; chmod 600 {path}")
    return token


def say_where(preview: Preview, token_file: Path | None) -> None:
    """Tells a person where the page is: once, and on stderr."""
    if token_file is None:
        say(f"open {preview.invitation}")
    else:
        say(f"open {preview.url} (the token is in {token_file})")


def handle(args: argparse.Namespace) -> int:
    """Opens the page and waits for a signal."""
    preview = Preview(
        lambda: open_classifier(args),
        host=args.host,
        port=args.port,
        token=page_token(args),
        camera=False,
    )
    with ended_by_signals() as ending, suppress(Overdue), preview:
        say_where(preview, args.token_file)
        ending.stop.wait()
        ending.in_time()
    return DONE
