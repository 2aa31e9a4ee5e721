"""A service renewed, migrated, restored and cut off under load, and what its customers met with, second by second.

`python -m tests.rollout` shows it; `tests/acceptance/test_rollout.py` asserts it.
"""
