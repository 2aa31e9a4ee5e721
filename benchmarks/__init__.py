"""Reproducible measurements. `python -m benchmarks` runs them; what they found is in `results/`."""
