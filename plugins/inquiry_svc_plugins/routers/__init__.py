"""Routers: who answers an inquiry, how soon and why."""
