#!/usr/bin/env bash
# A real V4L2 webcam: are its formats listed, its frames taken, its faults noticed, its digits read?
#
#   tests/real/webcam.sh [--python PYTHON] [--frames N]
#
# Draws a video of pages with handwritten digits and shows it as /dev/video0 in a small virtual
# machine (v4l2loopback in Debian's own kernel), in which webcam_inside.py goes through open_source,
# edge-run doctor, a producer that stops and goes on, and edge-run camera reading N frames. A pulled
# cable cannot be had in software: stopping the producer is the nearest.
# Emulation is slow: this proves that things work, never how fast.
#
# WEBCAM_VM is the program that runs `WEBCAM_VM VIDEO COMMAND...` in such a machine (default:
# ../shared/tools/webcam-vm). PYTHON is one in which this checkout is installed with all extras
# (default: .venv/bin/python).
# Needs, from Debian: qemu-system-x86 busybox-static kmod cpio ffmpeg linux-image-amd64
# linux-headers-amd64 v4l2loopback-dkms
set -euo pipefail
top=$(realpath "$(dirname "$0")/../..")
python=$top/.venv/bin/python
frames=40
fail() { echo "webcam.sh: error: $*" >&2; exit 1; }
while [ $# -gt 0 ]; do
  case $1 in
    --python) python=$(realpath --no-symlinks "$2"); shift 2 ;;
    --frames) frames=$2; shift 2 ;;
    -h|--help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "webcam.sh: error: unknown option $1; see --help" >&2; exit 2 ;;
  esac
done
[ -x "$python" ] || fail "$python is missing; a Python with this checkout installed was expected; make setup"
vm=${WEBCAM_VM:-$top/../shared/tools/webcam-vm}
[ -x "$vm" ] || fail "$vm is missing; a program that shows a video as /dev/video0 was expected; set WEBCAM_VM"
for tool in qemu-system-x86_64 busybox modprobe cpio ffmpeg; do
  PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null \
    || fail "$tool is missing; apt-get install qemu-system-x86 busybox-static kmod cpio ffmpeg"
done
find /lib/modules -name 'v4l2loopback*' 2>/dev/null | grep -q . \
  || fail "v4l2loopback is missing; apt-get install linux-image-amd64 linux-headers-amd64 v4l2loopback-dkms"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH=$top
echo "==> Drawing the video"
"$python" "$top/tests/real/webcam_video.py" "$work/digits.avi" "$work/truth.json"
echo "==> Starting the machine with the webcam"
"$vm" "$work/digits.avi" env PYTHONPATH="$top" "$python" "$top/tests/real/webcam_inside.py" "$work/truth.json" "$frames"
