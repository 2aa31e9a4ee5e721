"""Where handlers find what belongs to the application."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from inquiry_svc.service import Service
from inquiry_svc.settings import ServerSettings

SERVICE: Final = web.AppKey("service", Service)
SERVER: Final = web.AppKey("server", ServerSettings)
