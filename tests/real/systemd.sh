#!/usr/bin/env bash
# A bare Debian to a running service, under a systemd that was booted: does `flash pi --install`
# keep what it says, also when the machine loses its power?
#
#   tests/real/systemd.sh [--python PYTHON]
#
# Unpacks Debian bookworm once, boots it under qemu without KVM (sshd on 127.0.0.1), and lets
# systemd_inside.py install, send models, fail them, cut the power and remove everything.
# Emulation is slow: this proves that things work, never how fast. It takes about ten minutes.
#
# PYTHON is one in which this checkout is installed with all extras (default: .venv/bin/python).
# Needs root, for debootstrap, and from Debian: debootstrap qemu-system-x86 busybox-static kmod cpio
# e2fsprogs linux-image-amd64 openssh-client
set -euo pipefail
top=$(realpath "$(dirname "$0")/../..")
python=$top/.venv/bin/python
fail() { echo "systemd.sh: error: $*" >&2; exit 1; }
while [ $# -gt 0 ]; do
  case $1 in
    --python) python=$(realpath --no-symlinks "$2"); shift 2 ;;
    -h|--help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "systemd.sh: error: unknown option $1; see --help" >&2; exit 2 ;;
  esac
done
[ -x "$python" ] || fail "$python is missing; a Python with this checkout installed was expected; make setup"
export PATH=$PATH:/usr/sbin:/sbin
for tool in debootstrap qemu-system-x86_64 busybox modprobe cpio mke2fs ssh ssh-keygen; do
  command -v "$tool" >/dev/null \
    || fail "$tool is missing; apt-get install debootstrap qemu-system-x86 busybox-static kmod cpio e2fsprogs openssh-client"
done
kernel=$(find /boot -name 'vmlinuz-6.*-amd64' | sort -V | tail -n 1)
[ -n "$kernel" ] || fail "there is no kernel of Debian's in /boot; apt-get install linux-image-amd64"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/edge-runtime-systemd
root=$cache/bookworm-amd64-1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache"

if [ ! -d "$root" ]; then
  [ "$(id -u)" = 0 ] || fail "unpacking Debian needs root; run it once with sudo"
  echo "==> Unpacking Debian bookworm into $root (once)"
  part=$root.part
  rm -rf "$part"
  debootstrap --variant=minbase \
    --include=systemd,systemd-sysv,dbus,udev,openssh-server,sudo,python3,libgomp1 \
    bookworm "$part" >"$work/debootstrap.log" 2>&1 \
    || { tail -n 5 "$work/debootstrap.log" >&2; fail "debootstrap could not fetch bookworm"; }
  # A login as Raspberry Pi OS makes it for its first user. Its key comes with each run.
  chroot "$part" useradd -m -s /bin/bash pi
  echo 'pi ALL=(ALL) NOPASSWD: ALL' >"$part/etc/sudoers.d/010_pi-nopasswd"
  chmod 440 "$part/etc/sudoers.d/010_pi-nopasswd"
  rm -f "$part"/etc/ssh/ssh_host_* "$part"/var/cache/apt/archives/*.deb
  printf '%s\n' 'AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/keys/%u' 'UseDNS no' \
    >"$part/etc/ssh/sshd_config.d/test.conf"
  printf '%s\n' '[Match]' 'Type=ether' '[Network]' 'Address=10.0.2.15/24' \
    >"$part/etc/systemd/network/10-wired.network"
  chroot "$part" systemctl enable --quiet systemd-networkd.service
  echo guest >"$part/etc/hostname"
  echo '127.0.0.1 localhost guest' >"$part/etc/hosts"
  echo '/dev/vda / ext4 defaults 0 1' >"$part/etc/fstab"
  for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer; do
    ln -sf /dev/null "$part/etc/systemd/system/$unit"
  done
  mv "$part" "$root"
fi

export PYTHONPATH=$top XDG_CACHE_HOME=$cache
"$python" "$top/tests/real/systemd_inside.py" "$root" "$kernel" "$work"
