"""Watchers: they add metrics of their own and choose nothing."""
