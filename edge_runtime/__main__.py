"""``python -m edge_runtime``: the same as ``edge-run``."""

import sys

from .cli import main

sys.exit(main())
