"""The Statistical API, which sums up an evalscript's outputs over time as numbers."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    (
        "Statistical: intervals without scenes are left out. A value that is not a number and not masked "
        'makes all figures of its band `"NaN"`.'
    ),
    (
        "Statistical: a percentile between two samples is the higher one unless `interpolation` says "
        "otherwise. The service's own way is not documented."
    ),
    (
        "Statistical: a failing evalscript makes an error of its interval. A wrong declaration in "
        "`setup()` is refused as a whole."
    ),
)
"""Features of the service that this lacks, and unknown behaviour of the service."""
