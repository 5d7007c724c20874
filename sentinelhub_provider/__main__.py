"""``python -m sentinelhub_provider``: the command line; see :mod:`sentinelhub_provider.cli`."""

from __future__ import annotations

import sys

from sentinelhub_provider.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
