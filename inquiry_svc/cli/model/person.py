"""Who gives a command, for the history."""

from __future__ import annotations

import getpass
import os


def person() -> str:
    """The name of the user; in a container, where there may be none, the number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
