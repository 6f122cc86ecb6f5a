# Whether an environment can do what it is there for: the one condition by which the host decides
# whether wheels are sent, and the device whether a new environment may take its place.
# whole ENVIRONMENT: ends with 0, or says last what is wrong.
whole() {
  [ -x "$1/bin/edge-run" ] || { echo "$1/bin/edge-run is missing" >&2; return 1; }
  # The gate of the key that brings models refuses a login shell.
  SSH_ORIGINAL_COMMAND='' "$1/bin/edge-run-gate" 2>&1 | grep -q 'edge-run-gate: error: this key' \
    || { echo "$1/bin/edge-run-gate does not answer" >&2; return 1; }
  # NumPy and OpenCV load their libraries, and the interpreter the released model. Isolated: what a
  # user keeps below ~/.local is not the environment's.
  "$1/bin/python" -I -c 'import cv2, numpy, paho.mqtt.client' || return 1
  "$1/bin/python" -I -m edge_runtime info
}
[ $# -eq 0 ] || whole "$1"
