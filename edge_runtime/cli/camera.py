"""Reads what a camera sees, frame after frame, until it is told to end."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .. import sources
from ..errors import EdgeRuntimeError, InputError
from ..frames import CameraState, LiveReading, SourceStatus
from ..health import HealthWatch
from ..live import events
from ..outputs import Output, Outputs
from ..outputs.lines import JsonLines, TextLines
from ..service import Service
from ..sources import FrameSource, open_source
from .camera_words import Tally, no_frame, state_words
from .ending import Ending, Overdue, ended_by_signals
from .numbers import probability, whole_number
from .options import (
    add_contract_options,
    add_interpreter_options,
    add_model_option,
    open_classifier,
)
from .paths import refuse_overwriting
from .serve import add_page_options, page_token, say_where
from .shell import DONE, FAILED, interrupted, say

if TYPE_CHECKING:
    from ..classifier import Classifier

__all__ = ["configure", "handle"]

PROG = "edge-run camera"
EPILOG = """\
examples:
  edge-run camera                                       the first camera found
  edge-run camera /dev/video0 --width 640 --height 480 --fps 30 --format MJPG
  edge-run camera 0 --stable 3 --on-change --json | jq -r 'select(.text) | .text'
  edge-run camera rtsp://camera.local/stream --preview 8080
  edge-run camera recording.mp4 --save read.mp4
  edge-run camera picamera2 --mqtt broker.local/kitchen/meter --stable 5

SOURCE is a number or path of a V4L2 camera, picamera2, auto, a video file, a picture, a folder, or
an http or rtsp address; an address with a password is safer in $EDGE_CAMERA_SOURCE, which no list
of processes shows. Each result is of the newest frame; those that came meanwhile are dropped.
While the camera is away it is tried again, first after 1 s, then up to every 60 s.

With --json each result gives one line: frame, captured_at, age_ms, text, digits, timings_ms,
dropped, percentiles_ms; each change of the camera's or the machine's state a line with "state".

Exit status: 0 at the end of a file, after --max-frames or --seconds, and on SIGTERM, as systemd
ends a service; 130 on Ctrl-C; 1 if no frame came, or an output had to be given up."""

SOURCE_VARIABLE = "EDGE_CAMERA_SOURCE"
MIB = 2**20
# A microSD card has room for some of them.
SAVE_LIMIT_MIB = 2048


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this verb's arguments."""
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help=f"the camera (default: ${SOURCE_VARIABLE}, else auto)",
    )
    _add_camera_options(parser)
    _add_output_options(parser)
    add_page_options(parser)
    parser.add_argument(
        "--max-frames", type=whole_number(1), metavar="N", help="end after N results"
    )
    parser.add_argument("--seconds", type=_seconds, metavar="S", help="end after S seconds")
    parser.add_argument(
        "--stable",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="the text changes only once N frames more show the new one than do not (default: 1)",
    )
    add_model_option(parser)
    parser.add_argument(
        "--threshold",
        type=probability,
        metavar="T",
        help="reject characters scored below this probability (default: as the contract says)",
    )
    add_interpreter_options(parser)
    add_contract_options(parser)


def _add_camera_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "asking the camera", "it grants what it can; what it granted is shown when it opens"
    )
    group.add_argument("--width", type=whole_number(1), metavar="PIXELS", help="width of a frame")
    group.add_argument("--height", type=whole_number(1), metavar="PIXELS", help="height of a frame")
    group.add_argument("--fps", type=_seconds, metavar="N", help="frames a second")
    group.add_argument("--exposure", type=float, metavar="MS", help="milliseconds; 0: automatic")
    group.add_argument("--format", metavar="FOURCC", help="pixel format, such as MJPG or YUYV")
    group.add_argument("--loop", action="store_true", help="show a file or folder again and again")


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where results go")
    group.add_argument("--json", action="store_true", help="one JSON object a line")
    group.add_argument(
        "--on-change", action="store_true", help="print only results whose text is another one"
    )
    group.add_argument(
        "--preview", type=_address, metavar="[HOST:]PORT", help="show it on a web page (extra web)"
    )
    group.add_argument("--show", action="store_true", help="show it in a window (extra window)")
    group.add_argument(
        "--save", type=Path, metavar="FILE", help="write an annotated video: .mp4, .mkv or .avi"
    )
    group.add_argument(
        "--save-limit",
        type=whole_number(1),
        metavar="MIB",
        help=f"end the video at this size (default: {SAVE_LIMIT_MIB})",
    )
    group.add_argument(
        "--mqtt",
        metavar="HOST[:PORT]/TOPIC",
        help="publish to a broker when the text changes (extra mqtt); also USER@HOST, mqtts://HOST",
    )
    group.add_argument(
        "--mqtt-password-file",
        type=Path,
        metavar="FILE",
        help="the broker's password (default: $EDGE_RUN_MQTT_PASSWORD)",
    )


def handle(args: argparse.Namespace) -> int:
    """Runs the loop and ends it cleanly, whatever ends it."""
    with ended_by_signals() as ending:
        try:
            status = _run(args, ending)
        except Overdue:
            # It hung on a pipe or terminal that takes nothing; so would what is still buffered.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = DONE
    return interrupted(PROG) if ending.interrupted else status


def _run(args: argparse.Namespace, ending: Ending) -> int:
    _check_options(args)
    # An address may hold a password, which a command line shows to everybody on the machine.
    named = args.source or os.environ.get(SOURCE_VARIABLE) or "auto"
    source = open_source(
        named,
        width=args.width,
        height=args.height,
        fps=args.fps,
        exposure=args.exposure,
        pixel_format=args.format,
        loop=args.loop,
    )
    if args.save is not None and not source.live:
        refuse_overwriting([named], [("--save", args.save)])
    classifier = open_classifier(args, args.threshold)
    service, tally, outputs = Service(), Tally(), Outputs(_say)
    try:
        with ExitStack() as closing:
            closing.enter_context(_said_what_is_passed_over())
            health = HealthWatch()
            closing.callback(health.close)
            closing.callback(outputs.close)
            _open_outputs(outputs, args, source, ending)
            closing.callback(service.stopping)
            closing.callback(ending.in_time)
            _loop(classifier, source, args, ending, outputs, health, service, tally)
    except EdgeRuntimeError:
        if tally.frames:
            _say(tally.words())
        raise
    if not tally.frames and not ending.stop.is_set():
        raise no_frame(source, tally.status)
    _say(tally.words())
    return FAILED if outputs.failed else DONE


def _check_options(args: argparse.Namespace) -> None:
    """Refuses options that say how to do what was not asked for."""
    if args.save is None and args.save_limit is not None:
        raise InputError("--save-limit was given without --save", "a video to limit")
    if args.mqtt is None and args.mqtt_password_file is not None:
        raise InputError("--mqtt-password-file was given without --mqtt", "a broker to log in to")
    if args.preview is None and args.token_file is not None:
        raise InputError("--token-file was given without --preview", "a page to ask for the token")


def _loop(
    classifier: Classifier,
    source: FrameSource,
    args: argparse.Namespace,
    ending: Ending,
    outputs: Outputs,
    health: HealthWatch,
    service: Service,
    tally: Tally,
) -> None:
    told = health.latest.troubles
    for event in events(
        classifier,
        source,
        stable=args.stable,
        max_frames=args.max_frames,
        seconds=args.seconds,
        stop=ending.stop,
    ):
        if isinstance(event, LiveReading):
            tally.reading(event)
            outputs.reading(event)
            service.reading(event)
        elif isinstance(event, SourceStatus):
            tally.status = event
            outputs.status(event, health.latest)
            # Why a file ended early is said by the error that follows.
            if event.state is not CameraState.ENDED or not event.reason:
                _say(state_words(event))
            service.status(event)
        else:
            service.idle()
        latest = health.latest
        if latest.troubles != told and tally.status is not None:
            told = latest.troubles
            outputs.status(tally.status, latest)
            _say(str(latest))


@contextmanager
def _said_what_is_passed_over() -> Iterator[None]:
    """Tells the person what sources log, while the block runs."""

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _say(record.getMessage())

    log, handler = logging.getLogger(sources.__name__), Said()
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _open_outputs(
    outputs: Outputs, args: argparse.Namespace, source: FrameSource, ending: Ending
) -> None:
    """Opens what the options ask for; what was opened before one fails is closed by the caller."""
    # First those that can fail before any work is done.
    if args.save is not None:
        from ..outputs.video import VideoOutput

        limit_bytes = (args.save_limit or SAVE_LIMIT_MIB) * MIB
        outputs.add(VideoOutput(args.save, live=source.live, limit_bytes=limit_bytes))
    if args.show:
        from ..outputs.window import WindowOutput

        outputs.add(WindowOutput(ending.stop))
    if args.mqtt is not None:
        outputs.add(_mqtt(args))
    if args.preview is not None:
        outputs.add(_page(args))
    lines: Callable[..., Output] = JsonLines if args.json else TextLines
    outputs.add(lines(sys.stdout, on_change=args.on_change))


def _mqtt(args: argparse.Namespace) -> Output:
    from ..outputs.mqtt import MqttOutput
    from ..outputs.mqtt_address import mqtt_address, mqtt_password

    address = mqtt_address(args.mqtt).with_password(mqtt_password(args.mqtt_password_file))
    return MqttOutput(address, _say)


def _page(args: argparse.Namespace) -> Output:
    from ..outputs.page import PageOutput
    from ..preview import Preview

    host, port = args.preview
    factory = partial(open_classifier, args, args.threshold)
    preview = Preview(factory, host=host, port=port, token=page_token(args))
    preview.start()
    say_where(preview, args.token_file)
    return PageOutput(preview)


def _say(line: str) -> None:
    say(f"{PROG}: {line}")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 2**16) or host.count("[") > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, or HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)
