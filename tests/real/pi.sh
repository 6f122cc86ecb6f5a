#!/usr/bin/env bash
# The wheel and the released models on the Raspberry Pi's architecture: the same labels as here?
#
#   tests/real/pi.sh [--python PYTHON] [--images N] [MODEL.tflite ...]
#
# Builds the wheel, installs it with the Pi's own wheels (aarch64: tflite-runtime, NumPy 1, OpenCV)
# and has CPython 3.11 of Debian bookworm for arm64, the base of Raspberry Pi OS Bookworm 64-bit,
# classify N test pictures under qemu-user, with every variant of the default model and with the
# int8 files of the other released ones. The same command runs on this machine with the same
# interpreter; and both read the same video, a frame for each kind of page in tests/pages.py. Tables
# show both sides; a label or a box that differs makes it fail.
# Emulation is tens of times slower than a Pi: this proves answers, never speed.
#
# PYTHON is one in which this checkout is installed with all extras (default: .venv/bin/python).
# Needs, from Debian: qemu-user-static debootstrap; and to be root when it makes the root folder.
# Keeps about 700 MB in ${XDG_CACHE_HOME:-~/.cache}/edge-runtime-pi.
set -euo pipefail
top=$(realpath "$(dirname "$0")/../..")
python=$top/.venv/bin/python
images=200
fail() { echo "pi.sh: error: $*" >&2; exit 1; }
while [ $# -gt 0 ]; do
  case $1 in
    --python) python=$(realpath --no-symlinks "$2"); shift 2 ;;
    --images) images=$2; shift 2 ;;
    -h|--help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    -*) echo "pi.sh: error: unknown option $1; see --help" >&2; exit 2 ;;
    *) break ;;
  esac
done
[ -x "$python" ] || fail "$python is missing; a Python with this checkout installed was expected; make setup"
models=("$@")
if [ ${#models[@]} = 0 ]; then
  default=$(PYTHONPATH=$top "$python" -c 'from edge_runtime.models import DEFAULT_NAME as n; print(n)')
  for variant in float32 float16 dynamic int8 int16x8; do
    models+=("$top/models/$default/${default}_$variant.tflite")
  done
  for model in "$top"/models/*/*_int8.tflite; do
    [[ $model = */"${default}_int8.tflite" ]] || models+=("$model")
  done
fi
for model in "${models[@]}"; do [ -f "$model" ] || fail "$model is missing; make release"; done
for tool in qemu-aarch64-static debootstrap; do
  PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null \
    || fail "$tool is missing; apt-get install qemu-user-static debootstrap"
done

cache=${XDG_CACHE_HOME:-$HOME/.cache}/edge-runtime-pi
root=$cache/bookworm-arm64
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache"

# The folder of another architecture is only unpacked: no program of it runs before qemu does.
if [ ! -x "$root/usr/bin/python3.11" ]; then
  echo "==> Unpacking Debian bookworm for arm64 into $root (once)"
  rm -rf "$root.part"
  PATH=$PATH:/usr/sbin debootstrap --arch=arm64 --foreign --variant=minbase \
    --include=python3,libgomp1 bookworm "$root.part" >"$work/debootstrap.log" 2>&1 \
    || { tail -n 5 "$work/debootstrap.log" >&2; fail "debootstrap could not fetch bookworm for arm64"; }
  for package in "$root.part"/var/cache/apt/archives/*.deb; do dpkg -x "$package" "$root.part"; done
  mv "$root.part" "$root"
fi

# Versions are those that this machine's tests run with.
pinned() { sed -n "s/^$1==/$1==/p" "$top/constraints.txt"; }
requirements=("$(pinned tflite-runtime)" "$(pinned numpy)" "$(pinned opencv-python-headless)")
site=$cache/site-$(printf '%s ' "${requirements[@]}" | sha256sum | cut -c1-12)
if [ ! -d "$site" ]; then
  echo "==> Downloading for aarch64: ${requirements[*]} (once)"
  rm -rf "$site.part"
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$site.part" \
    --platform manylinux2014_aarch64 --platform manylinux_2_17_aarch64 \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_34_aarch64 \
    --python-version 3.11 --implementation cp --only-binary=:all: "${requirements[@]}"
  mv "$site.part" "$site"
fi

echo "==> Building the wheel and unpacking it"
"$python" -m build --no-isolation --outdir "$work/dist" "$top" >"$work/build.log" 2>&1 \
  || { tail -n 5 "$work/build.log" >&2; fail "the wheel could not be built"; }
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
  --target "$work/wheel" "$work"/dist/*.whl

# From an empty folder, and for the Pi with nothing of this checkout on the path.
mkdir "$work/here"; cd "$work/here"
pi() {
  PYTHONPATH='' qemu-aarch64-static -cpu cortex-a72 -L "$root" -E PYTHONPATH="$work/wheel:$site" \
    -E PYTHONDONTWRITEBYTECODE=1 "$root/usr/bin/python3.11" "$@"
}
x86() { PYTHONPATH=$top "$python" "$@"; }

echo "==> Writing $images test pictures"
x86 -m train export --split test --limit "$images" --out "$work/pictures"
pi -m edge_runtime info
for model in "${models[@]}"; do
  name=$(basename "$model" .tflite)
  echo "==> $name"
  for side in x86 pi; do
    "$side" -m edge_runtime classify "$work/pictures" --model "$model" --backend tflite-runtime \
      --json >"$work/$name.$side.jsonl"
  done
done
x86 "$top/tests/real/compare_labels.py" "$images" "$work"/*.x86.jsonl

echo "==> Reading a video of pages"
x86 "$top/tests/real/page_video.py" "$work/pages.avi" "$work/pages.json"
for side in x86 pi; do
  "$side" -m edge_runtime camera "$work/pages.avi" --backend tflite-runtime --json \
    >"$work/frames.$side.json"
done
x86 "$top/tests/real/compare_readings.py" "$work"/{pages,frames.x86,frames.pi}.json
