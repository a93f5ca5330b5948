"""Changing one's own password. The form works without scripts, and its answer holds a new session."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import Frame, open_frame, redirect, set_session
from nervio.modules.identity import api as identity

PASSWORD = "/console/password"  # noqa: S105 (an address)
LONGEST = 300

router = page_router()


@router.get(PASSWORD)
async def show_form(request: Request) -> Response:
    """The form, or after a change that it is done."""
    frame = await open_frame(request)
    return await _page(frame, done=frame.query("done") == "1")


@router.post(PASSWORD)
async def change_password(request: Request) -> Response:
    """Changes the password, ends the person's other sessions and gives this browser a new one."""
    frame = await open_frame(request)
    form = await frame.form()
    # Read as they were typed: a space at the end is part of a password.
    current, password, again = (str(form.get(name, ""))[:LONGEST] for name in ("current", "password", "again"))
    missing = {name: frame.t("problem.missing") for name in ("current", "password", "again") if not form.get(name)}
    if missing:
        return await _page(frame, missing)
    if password != again:
        return await _page(frame, {"again": frame.t("password.differs")})
    authenticator = frame.request.app.state.authenticator
    address = None if request.client is None else request.client.host
    try:
        opened = await identity.change_own_password(
            frame.ctx, authenticator, frame.principal, current, password, address
        )
    except NervioError as error:
        if error.kind not in {Kind.INVALID, Kind.UNAUTHENTICATED, Kind.TOO_MANY}:
            raise
        return await _page(frame, _errors(frame, error), 429 if error.kind is Kind.TOO_MANY else 422)
    answer = redirect(f"{PASSWORD}?done=1")
    set_session(request, answer, opened)
    return answer


def _errors(frame: Frame, error: NervioError) -> dict[str, str]:
    if error.kind is Kind.TOO_MANY:
        seconds = max(1, round(error.data.get("retry_after_seconds", 1)))
        return {"general": frame.t("login.throttled", seconds=seconds)}
    if error.code == "login_failed":
        return {"current": frame.t("password.wrong")}
    field = {"current_password": "current"}.get(str(error.data.get("field")), "password")
    return {field: frame.explain(error)}


async def _page(
    frame: Frame, errors: Mapping[str, str] | None = None, status: int = 422, *, done: bool = False
) -> Response:
    profile = await identity.get_profile(frame.ctx, frame.principal)
    context = {"email": profile.email or "", "errors": dict(errors or {}), "done": done}
    return frame.page("password", context, status if errors else 200)
