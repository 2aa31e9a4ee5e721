"""For plugin authors: contract suites, sample values, in-memory providers and a service to test against.

A provider fits the service when it passes the suite of its kind: subclass the suite in a test module, override its one
fixture, and run pytest with `asyncio_mode = "auto"`. Import what you need from the modules here; pytest is needed by
the suites only.
"""
