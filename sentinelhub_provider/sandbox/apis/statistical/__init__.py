"""The Statistical API: an evalscript's outputs over a time series, summed up as numbers."""

from __future__ import annotations

from typing import Final

NOT_IMITATED: Final = (
    (
        "Statistical: intervals without scenes are left out. A value that is not a number and not masked "
        'makes all figures of its band `"NaN"`.'
    ),
    (
        "Statistical: a percentile between two samples is the higher one unless `interpolation` says "
        "otherwise; the service's own way is not documented."
    ),
    (
        "Statistical: an evalscript that fails makes an error of its interval; what `setup()` declares "
        "wrongly is refused as a whole."
    ),
)
"""What the service does and this does not, or what is not known of the service."""
