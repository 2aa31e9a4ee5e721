"""Triage of a support team's inquiries: classified, routed, stored durably, answered in milliseconds.

Importing this package imports no heavy library and does nothing else; start at `service.py` for the whole, at
`pipeline.py` for the way of one inquiry, at `hookspecs.py` and `contracts.py` to write a plugin.
"""
