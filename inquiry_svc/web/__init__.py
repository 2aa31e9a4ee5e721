"""The service over HTTP: aiohttp handlers, what they take and give, and the listening port."""
