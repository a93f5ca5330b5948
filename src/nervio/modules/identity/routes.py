"""HTTP of identity. The runtime provides `app.state.authenticator` and, for a caller it knows, `request.state.principal`
beside the context."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response, status
from fastapi import Query as FromQuery
from starlette.requests import Request

from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import Instant, to_iso
from nervio.modules.identity import api
from nervio.modules.identity.contracts import Principal
from nervio.modules.identity.schemas import (
    ApiKeyAnswer,
    ApiKeyCreatedAnswer,
    ApiKeyRequest,
    LoginRequest,
    OwnPasswordRequest,
    PasswordAnswer,
    PasswordRequest,
    ProfileAnswer,
    TenantAnswer,
    TenantCreatedAnswer,
    TenantRequest,
    TokenAnswer,
    UserAnswer,
    UserCreatedAnswer,
    UserPatch,
    UserRequest,
)
from nervio.web.access import needs
from nervio.web.lists import ListQuery, page_of, position_of
from nervio.web.pages import Page
from nervio.web.problems import refusals
from nervio.web.request import CurrentCtx, IdempotencyKey
from nervio.web.values import NO_NUL

SESSION_COOKIE = api.SESSION_COOKIE

auth = APIRouter(prefix="/api/auth", tags=["auth"])
users = APIRouter(prefix="/api/users", tags=["users"])
keys = APIRouter(prefix="/api/keys", tags=["keys"])
tenants = APIRouter(prefix="/api/tenants", tags=["tenants"])

Id = Annotated[str, Path(max_length=64, pattern=NO_NUL, description="An id as lists and answers give it.")]
Query = Annotated[ListQuery, FromQuery()]


def _authenticator(request: Request) -> api.Authenticator:
    found: api.Authenticator = request.app.state.authenticator
    return found


def _principal(request: Request) -> Principal:
    found = getattr(request.state, "principal", None)
    if not isinstance(found, Principal):
        raise NervioError(Kind.UNAUTHENTICATED, "unauthenticated", "Log in first, or send a bearer token.")
    return found


Auth = Annotated[api.Authenticator, Depends(_authenticator)]
CurrentPrincipal = Annotated[Principal, Depends(_principal)]


# -- logging in and out ----------------------------------------------------------------------------------------------


@auth.post("/login", operation_id="log_in", summary="Log in", openapi_extra={"security": []})
async def log_in(body: LoginRequest, request: Request, response: Response, authenticator: Auth) -> TokenAnswer:
    """Answers a token that lasts eight hours unless set otherwise. Works while the system is stopped.

    A wrong password, an unknown email and a deactivated user get the same answer. Too many tries get a 429.
    """
    address = None if request.client is None else request.client.host
    opened = await authenticator.log_in(body.email, body.password, body.tenant, address)
    if body.cookie:
        _set_cookie(request, response, authenticator, opened.session_token, opened.expires_at)
    return await _token_answer(authenticator, opened.principal, opened.access_token, opened.expires_at)


@auth.post("/logout", operation_id="log_out", summary="Log out", status_code=status.HTTP_204_NO_CONTENT)
async def log_out(principal: CurrentPrincipal, response: Response, authenticator: Auth) -> None:
    """Ends the session and every token signed for it at once."""
    await authenticator.log_out(principal)
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="lax")


@auth.post("/refresh", operation_id="refresh_session", summary="Stay logged in")
async def refresh(
    principal: CurrentPrincipal, request: Request, response: Response, authenticator: Auth
) -> TokenAnswer:
    """Answers a new token and lets the session last as long as after a login, up to a limit of 30 days."""
    opened = await authenticator.refresh(principal)
    token = request.cookies.get(SESSION_COOKIE)
    if token is not None and api.is_token_of(token, principal):
        _set_cookie(request, response, authenticator, token, opened.expires_at)
    return await _token_answer(authenticator, opened.principal, opened.access_token, opened.expires_at)


@auth.get("/profile", operation_id="get_profile", summary="Who am I")
async def read_profile(principal: CurrentPrincipal, ctx: CurrentCtx) -> ProfileAnswer:
    """The caller with roles, permissions and tenant."""
    return ProfileAnswer.of(await api.get_profile(ctx, principal))


@auth.post(
    "/password",
    operation_id="change_own_password",
    summary="Change my password",
    responses=refusals(Kind.CONFLICT, Kind.TOO_MANY),
)
async def change_own_password(
    body: OwnPasswordRequest,
    principal: CurrentPrincipal,
    ctx: CurrentCtx,
    request: Request,
    response: Response,
    authenticator: Auth,
) -> TokenAnswer:
    """Ends every session and token of yours and answers a new one, in the cookie too where you came with one.

    A wrong current password is a 401, and too many tries get a 429 as at the login.
    """
    address = None if request.client is None else request.client.host
    opened = await api.change_own_password(ctx, authenticator, principal, body.current_password, body.password, address)
    token = request.cookies.get(SESSION_COOKIE)
    if token is not None and api.is_token_of(token, principal):
        _set_cookie(request, response, authenticator, opened.session_token, opened.expires_at)
    return await _token_answer(authenticator, opened.principal, opened.access_token, opened.expires_at)


# -- users -----------------------------------------------------------------------------------------------------------


@users.get("", operation_id="list_users", summary="List users", **needs("identity.users.read"))
async def list_users(ctx: CurrentCtx, query: Query) -> Page[UserAnswer]:
    """Users of your tenant by email."""
    after = position_of(query.cursor, "text")
    found = await api.list_users(ctx, None if after is None else after[0], query.limit + 1)
    return page_of(found, query.limit, UserAnswer.of, lambda user: (user.email,))


@users.post(
    "",
    operation_id="create_user",
    summary="Create a user",
    status_code=status.HTTP_201_CREATED,
    **needs("identity.users.write"),
)
async def create_user(
    body: UserRequest, ctx: CurrentCtx, authenticator: Auth, key: IdempotencyKey
) -> UserCreatedAnswer:
    """Without a password one is generated and shown in this answer only."""
    return UserCreatedAnswer.of(await api.create_user(ctx, authenticator, body.to_contract(), key))


@users.patch("/{user_id}", operation_id="update_user", summary="Change a user", **needs("identity.users.write"))
async def update_user(user_id: Id, body: UserPatch, ctx: CurrentCtx, key: IdempotencyKey) -> UserAnswer:
    """Deactivating a user ends their sessions and tokens at once. The last administrator stays."""
    return UserAnswer.of(await api.update_user(ctx, user_id, body.to_contract(), key))


@users.post("/{user_id}/password", operation_id="set_user_password", summary="Set a password")
async def set_password(
    user_id: Id, body: PasswordRequest, ctx: CurrentCtx, authenticator: Auth, key: IdempotencyKey
) -> PasswordAnswer:
    """Ends the user's sessions and tokens at once. Your own needs the current password too."""
    generated = await api.set_password(ctx, authenticator, user_id, body.password, body.current_password, key)
    return PasswordAnswer(password=generated)


# -- API keys --------------------------------------------------------------------------------------------------------


@keys.get("", operation_id="list_api_keys", summary="List API keys", **needs("identity.keys.read"))
async def list_keys(ctx: CurrentCtx, query: Query) -> Page[ApiKeyAnswer]:
    """Keys of your tenant, the oldest first, revoked ones too."""
    after = position_of(query.cursor, "id")
    found = await api.list_api_keys(ctx, None if after is None else after[0], query.limit + 1)
    return page_of(found, query.limit, ApiKeyAnswer.of, lambda key: (key.id,))


@keys.post(
    "",
    operation_id="create_api_key",
    summary="Create an API key",
    status_code=status.HTTP_201_CREATED,
    **needs("identity.keys.write"),
)
async def create_key(
    body: ApiKeyRequest, ctx: CurrentCtx, authenticator: Auth, key: IdempotencyKey
) -> ApiKeyCreatedAnswer:
    """The secret is shown in this answer only; programs send it as `X-API-Key`."""
    return ApiKeyCreatedAnswer.of(await api.create_api_key(ctx, authenticator, body.name, body.roles, key))


@keys.delete("/{key_id}", operation_id="revoke_api_key", summary="Revoke an API key", **needs("identity.keys.write"))
async def revoke_key(key_id: Id, ctx: CurrentCtx, key: IdempotencyKey) -> ApiKeyAnswer:
    """The key stops working at once. Revoking it again changes nothing."""
    return ApiKeyAnswer.of(await api.revoke_api_key(ctx, key_id, key))


# -- tenants ---------------------------------------------------------------------------------------------------------


@tenants.get("", operation_id="list_tenants", summary="List tenants", **needs("identity.tenants.read"))
async def list_tenants(ctx: CurrentCtx, query: Query) -> Page[TenantAnswer]:
    """Every tenant of the installation by slug. For superadmins."""
    after = position_of(query.cursor, "text")
    found = await api.list_tenants(ctx, None if after is None else after[0], query.limit + 1)
    return page_of(found, query.limit, TenantAnswer.of, lambda tenant: (tenant.slug,))


@tenants.post(
    "",
    operation_id="create_tenant",
    summary="Create a tenant",
    status_code=status.HTTP_201_CREATED,
    **needs("identity.tenants.write"),
)
async def create_tenant(
    body: TenantRequest, ctx: CurrentCtx, authenticator: Auth, key: IdempotencyKey
) -> TenantCreatedAnswer:
    """With `admin_email` its first administrator is created with a password shown in this answer only."""
    return TenantCreatedAnswer.of(await api.create_tenant(ctx, authenticator, body.to_contract(), key))


@tenants.get("/current", operation_id="get_current_tenant", summary="My tenant")
async def read_current_tenant(ctx: CurrentCtx) -> TenantAnswer:
    """The tenant you are logged in to."""
    return TenantAnswer.of(await api.get_current_tenant(ctx))


def _set_cookie(
    request: Request, response: Response, authenticator: api.Authenticator, token: str, expires_at: Instant
) -> None:
    response.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=authenticator.seconds_until(expires_at),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


async def _token_answer(
    authenticator: api.Authenticator, principal: Principal, access_token: str, expires_at: Instant
) -> TokenAnswer:
    context = authenticator.context(principal)
    return TokenAnswer(
        access_token=access_token,
        expires_in=authenticator.seconds_until(expires_at),
        expires_at=to_iso(expires_at),
        profile=ProfileAnswer.of(await api.get_profile(context, principal)),
    )
