"""Exporters: how metrics are shown to the outside."""
