"""Logging in and out with a form and a cookie, with or without scripts."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import (
    HOME,
    LOGIN,
    PRIVATE,
    SignInFirst,
    check_form,
    open_frame,
    pages,
    plain_shell,
    redirect,
    safe_path,
    set_session,
    text_of,
)
from nervio.modules.identity import api as identity
from nervio.modules.identity.contracts import Principal

GUEST_COOKIE = "nervio_guest"
"""Ties the login form to the browser it was drawn for, before there is a session to tie it to."""

router = page_router()


@router.get(LOGIN)
async def show_login(request: Request) -> Response:
    """The login page, or where one wanted to go for who is logged in."""
    following = safe_path(request.query_params.get("next", HOME))
    try:
        await open_frame(request)
    except SignInFirst:
        return _login_page(request, following)
    return redirect(following)


@router.post(LOGIN)
async def log_in(request: Request) -> Response:
    """Opens a session and leads on; a wrong password draws the page again."""
    guest = request.cookies.get(GUEST_COOKIE, "")
    try:
        form = await check_form(request, guest)
    except NervioError:
        # The page lay open until the browser forgot its cookie, or cookies are off: drawn anew, it works.
        return _login_page(request, HOME, "problem.stale_form")
    email, following = text_of(form, "username", 300), safe_path(text_of(form, "next"))
    password = form.get("password", "")
    address = None if request.client is None else request.client.host
    authenticator: identity.Authenticator = request.app.state.authenticator
    try:
        opened = await authenticator.log_in(email, str(password), None, address)
    except NervioError as error:
        if error.kind is Kind.TOO_MANY:
            return _login_page(request, following, "login.throttled", email, error)
        if error.kind in {Kind.UNAUTHENTICATED, Kind.INVALID}:
            return _login_page(request, following, "login.wrong", email, error)
        raise
    answer = redirect(following)
    set_session(request, answer, opened)
    answer.delete_cookie(GUEST_COOKIE, path=LOGIN)
    return answer


@router.post("/console/logout")
async def log_out(request: Request) -> Response:
    """Ends the session. Works while the shop is stopped."""
    principal = getattr(request.state, "principal", None)
    if not isinstance(principal, Principal) or principal.session_id is None:
        raise SignInFirst
    await check_form(request, principal.session_id)
    authenticator: identity.Authenticator = request.app.state.authenticator
    await authenticator.log_out(principal)
    answer = redirect(LOGIN)
    answer.delete_cookie(identity.SESSION_COOKIE, path="/")
    return answer


def _login_page(
    request: Request, following: str, text: str = "", username: str = "", error: NervioError | None = None
) -> Response:
    guest = request.cookies.get(GUEST_COOKIE) or secrets.token_urlsafe(24)
    shell = plain_shell(request, guest)
    t = pages().texts[shell.language]
    seconds = 1 if error is None else max(1, round(error.data.get("retry_after_seconds", 1)))
    said = t(text, seconds=seconds) if text == "login.throttled" else t(text) if text else ""
    status = 200 if not text else 429 if text == "login.throttled" else 401 if error else 403
    html = pages().render("login", shell, {"error": said, "username": username, "next": following})
    answer = HTMLResponse(html, status, headers=PRIVATE)
    answer.set_cookie(
        GUEST_COOKIE, guest, path=LOGIN, secure=request.url.scheme == "https", httponly=True, samesite="strict"
    )
    return answer
