"""Tracers: who makes spans of what the service does, and sends them somewhere."""
