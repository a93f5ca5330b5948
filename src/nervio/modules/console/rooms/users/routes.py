"""People and the keys of programs. Secrets are drawn in the answer that made them, and never again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import NervioError
from nervio.kernel.time import to_datetime
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import RANK, Frame, open_frame, redirect, text_of
from nervio.modules.identity import api as identity
from nervio.modules.identity.contracts import NewUser, Role, UserChange

USERS = "/console/users"
KEYS = "/console/keys"
READ, WRITE, WRITE_KEYS = "identity.users.read", "identity.users.write", "identity.keys.write"
SUPERADMINS = "identity.superadmins.write"

router = page_router()


@router.get(USERS)
async def show_users(request: Request) -> Response:
    """Who gets in."""
    return await _page(await open_frame(request, READ))


@router.post(USERS)
async def create_user(request: Request) -> Response:
    """Creates a person; the password is in the answer."""
    frame = await open_frame(request, WRITE)
    form = await frame.form()
    given = NewUser(text_of(form, "email", 300), text_of(form, "name", 300), (text_of(form, "role", 40),))
    try:
        created = await identity.create_user(frame.ctx, _authenticator(frame), given)
    except NervioError as error:
        return await _page(frame, opened="user", errors=_errors(frame, error))
    return await _page(frame, password={"name": created.user.name, "password": created.password})


@router.post(USERS + "/{user_id}/disable")
async def disable_user(request: Request, user_id: str) -> Response:
    """Ends the person's sessions and keeps them out."""
    return await _change(request, user_id, UserChange(active=False))


@router.post(USERS + "/{user_id}/enable")
async def enable_user(request: Request, user_id: str) -> Response:
    """Lets the person in again."""
    return await _change(request, user_id, UserChange(active=True))


@router.post(USERS + "/{user_id}/password")
async def reset_password(request: Request, user_id: str) -> Response:
    """Makes a new password, which is in the answer."""
    frame = await open_frame(request, WRITE)
    await frame.form()
    try:
        user = await identity.get_user(frame.ctx, user_id)
        password = await identity.set_password(frame.ctx, _authenticator(frame), user_id)
    except NervioError as error:
        return await _page(frame, errors={"general": frame.explain(error)})
    return await _page(frame, password={"name": user.name, "password": password})


@router.post(KEYS)
async def create_key(request: Request) -> Response:
    """Makes a key for a program; the secret is in the answer."""
    frame = await open_frame(request, WRITE_KEYS)
    form = await frame.form()
    name, role = text_of(form, "name", 300), text_of(form, "role", 40)
    try:
        made = await identity.create_api_key(frame.ctx, _authenticator(frame), name, (role,))
    except NervioError as error:
        return await _page(frame, opened="key", errors=_errors(frame, error))
    return await _page(frame, key=made.secret)


@router.post(KEYS + "/{key_id}/revoke")
async def revoke_key(request: Request, key_id: str) -> Response:
    """Ends a key."""
    frame = await open_frame(request, WRITE_KEYS)
    await frame.form()
    try:
        await identity.revoke_api_key(frame.ctx, key_id)
    except NervioError as error:
        return await _page(frame, errors={"general": frame.explain(error)})
    return redirect(USERS)


async def _change(request: Request, user_id: str, change: UserChange) -> Response:
    frame = await open_frame(request, WRITE)
    await frame.form()
    try:
        await identity.update_user(frame.ctx, user_id, change)
    except NervioError as error:
        return await _page(frame, errors={"general": frame.explain(error)})
    return redirect(USERS)


def _authenticator(frame: Frame) -> identity.Authenticator:
    authenticator = frame.request.app.state.authenticator
    assert isinstance(authenticator, identity.Authenticator)
    return authenticator


def _errors(frame: Frame, error: NervioError) -> dict[str, str]:
    name = str(error.data.get("field", "general")).partition("[")[0]
    return {{"roles": "role"}.get(name, name): frame.explain(error)}


async def _page(
    frame: Frame,
    *,
    opened: str = "",
    errors: Mapping[str, str] | None = None,
    key: str = "",
    password: Mapping[str, str | None] | None = None,
) -> Response:
    users = await identity.list_users(frame.ctx, limit=identity.LONGEST_PAGE)
    keys = await identity.list_api_keys(frame.ctx, limit=identity.LONGEST_PAGE)
    roles = [role.value for role in Role if role is not Role.SUPERADMIN or frame.may(SUPERADMINS)]
    context: dict[str, Any] = {
        "users": [
            {
                "id": user.id,
                "name": user.name,
                "email": user.email,
                "role": _role(user.roles),
                "last_seen": None if user.last_login_at is None else to_datetime(user.last_login_at),
                "active": user.active,
                "is_me": user.id == frame.ctx.actor_id,
            }
            for user in users
        ],
        "keys": [
            {
                "id": each.id,
                "name": each.name,
                "prefix": each.prefix,
                "role": _role(each.roles),
                "created_at": to_datetime(each.created_at),
            }
            for each in keys
            if each.revoked_at is None
        ],
        "roles": sorted(roles, key=RANK.index),
        "new_key": key,
        "new_password": password,
        "open": opened,
        "errors": dict(errors or {}),
    }
    return frame.page("users", context, 422 if errors else 200)


def _role(roles: tuple[str, ...]) -> str:
    return next((role for role in RANK if role in roles), RANK[-1])
