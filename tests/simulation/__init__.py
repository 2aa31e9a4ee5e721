"""Whole lives of the pipeline in virtual time, with misfortune at every await, each told by a number: its seed.

`python -m tests.simulation SEED` tells one of them; `tests/integration/test_simulation.py` lives through thousands.
"""
