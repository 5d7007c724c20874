"""The command line as ``python -m sentinelhub_provider``. See :mod:`sentinelhub_provider.cli`."""

from __future__ import annotations

import sys

from sentinelhub_provider.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
