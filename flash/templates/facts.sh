# What python -m flash pi --install must know of a machine, as lines "edge-fact NAME=VALUE".
# Run behind flash/on_device/whole.sh.
# For any POSIX shell, as anybody; it changes nothing. A login script may print what it likes.
fact() { printf 'edge-fact %s=%s\n' "$1" "$2"; }
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
[ -r /etc/os-release ] && . /etc/os-release
fact os "${PRETTY_NAME:-unknown}"
fact kernel "$(uname -s)"
fact machine "$(uname -m)"
fact architecture "$(dpkg --print-architecture 2>/dev/null)"
fact python "$(python3 -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)"
fact modules "$(python3 -I -c '
from importlib.util import find_spec
print(*[name for name in ("venv", "picamera2", "numpy", "cv2") if find_spec(name)])' 2>/dev/null)"
fact clock "$(date +%s)"
fact free_kib "$(df -Pk /opt 2>/dev/null | awk 'NR == 2 { print $4 }')"
fact tmp_kib "$(df -Pk /var/tmp 2>/dev/null | awk 'NR == 2 { print $4 }')"
fact uid "$(id -u)"
if [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then fact root yes; else fact root no; fi
tools=
for name in sudo visudo systemctl ssh-keygen useradd runuser flock tar; do
  command -v "$name" >/dev/null && tools="$tools $name"
done
fact tools "$tools"
if [ -d /run/systemd/system ]; then
  fact systemd "$(systemctl --version | awk 'NR == 1 { print $2 }')"
fi
[ -e /var/lib/edge-runtime/active/model.tflite ] && fact model yes
good=
for path in /opt/edge-*; do
  [ -d "$path" ] && whole "$path" >/dev/null 2>&1 && good="$good $path"
done
fact whole "$good"
fact environment "$(readlink /opt/edge)"
