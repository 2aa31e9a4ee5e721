"""Caches: where verdicts are remembered between batches."""
