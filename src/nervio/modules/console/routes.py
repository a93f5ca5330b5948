"""What the console serves to anybody: static files, the service worker, the page without a network, and what is not there."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from nervio.kernel.errors import not_found
from nervio.modules.console.answers import page_router
from nervio.modules.console.assets import IMMUTABLE
from nervio.modules.console.requests import HOME, pages, plain_shell, redirect

files = APIRouter(include_in_schema=False)
router = page_router()
nowhere = page_router()
"""Comes after every room: what no room answers."""


@files.get("/static/{fingerprint}/{name:path}")
async def get_asset(fingerprint: str, name: str) -> Response:
    """A static file of this release."""
    asset = pages().assets.find(fingerprint, name)
    if asset is None:
        raise not_found("file", name)
    return Response(asset.body, media_type=asset.content_type, headers={"Cache-Control": IMMUTABLE})


@files.get("/console/sw.js")
async def get_worker() -> Response:
    """The service worker; its own address bounds what it may answer for, unless this header widens it."""
    asset = pages().assets.worker()
    headers = {"Cache-Control": "no-cache", "Service-Worker-Allowed": HOME}
    return Response(asset.body, media_type=asset.content_type, headers=headers)


@router.get("/console/offline")
async def show_offline(request: Request) -> Response:
    """The page that the service worker shows without a network. Needs no session."""
    return HTMLResponse(pages().render("offline", plain_shell(request), {}), headers={"Cache-Control": "no-cache"})


@router.get("/")
async def go_home() -> Response:
    """The address that people type."""
    return redirect(HOME)


@nowhere.get("/console/{rest:path}")
async def show_nowhere(rest: str) -> Response:
    """Says that there is no such page."""
    raise not_found("page", rest)
