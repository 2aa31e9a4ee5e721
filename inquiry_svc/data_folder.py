"""The data folder, in which providers keep their files: made, and tried, before anything is opened."""

from __future__ import annotations

from pathlib import Path

from inquiry_svc.errors import ConfigurationError


def writable(data_dir: Path) -> Path:
    """The folder, made if need be. Raises `ConfigurationError` unless a file can be written there."""
    trial = data_dir / ".writable"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink(missing_ok=True)  # another worker may try at the same moment
    except OSError as error:
        raise ConfigurationError(
            f"data folder {str(data_dir)!r} can't be written: {error.strerror}; choose another with --data-dir"
        ) from error
    return data_dir
