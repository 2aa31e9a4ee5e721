"""Which release runs."""

from __future__ import annotations

import importlib.metadata
from typing import Final

VERSION: Final = importlib.metadata.version("inquiry-svc")
"""The version of the package that runs."""
