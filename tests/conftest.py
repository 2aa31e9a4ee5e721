"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes is the machine's business: each test has a time limit of its own.
settings.register_profile("any machine", deadline=None, print_blob=True)
settings.load_profile("any machine")
