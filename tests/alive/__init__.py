"""From a fault in a real service to the message that a person gets: all that lies between, running and in a hurry.

`python -m tests.alive` shows it; `tests/acceptance/test_alive.py` asserts it.
"""
