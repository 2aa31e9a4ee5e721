"""Notifiers: who is told elsewhere of what became of inquiries."""
