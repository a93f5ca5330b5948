"""Who is asking: logging in and out, and telling a principal from what a request carries."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from nervio.db.batch import Command
from nervio.db.context import Ctx
from nervio.db.database import Database
from nervio.kernel.errors import NervioError, conflict
from nervio.kernel.time import SECOND, Instant
from nervio.modules.identity.contracts import (
    CloseSession,
    LoggedIn,
    OpenSession,
    Principal,
    PrincipalKind,
    Refreshed,
    Role,
)
from nervio.modules.identity.domain import (
    check_email,
    check_password_form,
    login_failed,
    not_authenticated,
    session_ended,
)
from nervio.modules.identity.settings import IdentitySettings
from nervio.modules.identity.store import credentials, people
from nervio.modules.identity.store.credentials import IdentityRow
from nervio.modules.identity.usecases.lookups import FreshLookups
from nervio.modules.identity.usecases.passwords import PasswordHashing
from nervio.modules.identity.usecases.sessions import LOG_IN, LOG_OUT
from nervio.modules.identity.usecases.throttle import LoginThrottle
from nervio.modules.identity.usecases.tokens import Claims, Tokens, hash_secret, new_session_token
from nervio.ports.clock import Clock

LONGEST_SECRET = 512


class Authenticator:
    """Built once in the wiring and shared by the middleware, the routes, the console and the CLI.

    `permissions` maps each permission to the roles that hold it, as the manifests of all modules declare; a superadmin
    holds all of them. The runtime puts the object into `app.state.authenticator`; its middleware calls `authenticate`
    for every request and puts the principal into `request.state.principal` and `context(principal)` into
    `request.state.ctx`. It must live on one event loop. `jwt_key` signs the tokens; one of less than 32 bytes is refused.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: IdentitySettings,
        jwt_key: str | bytes,
        permissions: Mapping[str, frozenset[str]],
    ) -> None:
        self.tokens = Tokens(jwt_key)
        self.passwords = PasswordHashing()
        self.settings = settings
        self._database = database
        self._clock = clock
        self._permissions = dict(permissions)
        self._throttle = LoginThrottle(database, clock, settings)
        self._sessions: FreshLookups[IdentityRow] = FreshLookups(database, credentials.find_sessions)
        self._keys: FreshLookups[IdentityRow] = FreshLookups(database, credentials.find_keys)
        self.permissions_of = lru_cache(256)(self._permissions_of)

    def context(self, principal: Principal) -> Ctx:
        """The context in which the principal's requests run."""
        permissions = self.permissions_of(principal.roles)
        is_person = principal.kind is PrincipalKind.USER
        return Ctx(
            principal.tenant_id, principal.actor_id, self._database, self._clock, permissions, is_person=is_person
        )

    async def authenticate(
        self, *, authorization: str | None = None, api_key: str | None = None, session_token: str | None = None
    ) -> Principal | None:
        """Whoever the `Authorization` header, the `X-API-Key` header or the session cookie stands for, in this order.

        None when nothing was sent, or only a cookie whose session has ended: a browser sends it along by itself, even
        to the login page. Raises `unauthenticated` for a token or a key that is not good.
        """
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise not_authenticated("invalid_authorization", "Authorization must be `Bearer` and a token.")
            return await self.authenticate_bearer(token.strip())
        if api_key is not None:
            return await self.authenticate_key(api_key)
        if session_token is not None:
            try:
                return await self.authenticate_session(session_token)
            except NervioError as refusal:
                if refusal.code != "session_ended":
                    raise
        return None

    async def authenticate_bearer(self, token: str) -> Principal:
        """The user a JWT was given to, with the roles of this moment. Raises `unauthenticated` when it is not ours, was
        changed, has expired, or its session was ended by a logout, a new password or a deactivation."""
        claims = self.tokens.verify(token, self._clock.now())
        principal = await self._principal_of_session(claims.session_id)
        if (principal.tenant_id, principal.actor_id) != (claims.tenant_id, claims.user_id):
            raise not_authenticated("invalid_token", "This token was not issued here or was changed; log in again.")
        return principal

    async def authenticate_session(self, token: str) -> Principal:
        """The user a session token was given to. Raises `unauthenticated` session_ended when it does not stand."""
        if len(token) > LONGEST_SECRET:
            raise session_ended()
        return await self._principal_of_session(hash_secret(token))

    async def authenticate_key(self, key: str) -> Principal:
        """The API key itself as an actor. Raises `unauthenticated` when it is unknown or revoked."""
        found = None if len(key) > LONGEST_SECRET else await self._keys.find(hash_secret(key.strip()))
        if found is None or not found.valid:
            raise not_authenticated("invalid_api_key", "This API key is unknown or was revoked; ask for a new one.")
        return Principal(found.tenant_id, found.actor_id, found.roles, found.name, PrincipalKind.API_KEY)

    async def log_in(
        self, email: str, password: str, tenant: str | None = None, address: str | None = None
    ) -> LoggedIn:
        """Opens a session. `tenant` is a slug, needed when several tenants know the email; `address` the client's.

        Raises `unauthenticated` login_failed, always the same, and `too_many` with `retry_after_seconds`. Works while
        the system is stopped.
        """
        folded = check_email(email, "email")
        check_password_form(password, "password")
        attempt = await self._throttle.count(folded, address)
        slug = tenant if tenant is None or ("\x00" not in tenant and tenant.isascii()) else ""
        rows = await self._database.read(lambda c: credentials.find_logins(c, folded, slug))
        row = rows[0] if len(rows) == 1 else None
        right = await self.passwords.verify(password, None if row is None else row.password_hash)
        if row is None or not right or not row.active:
            raise login_failed()
        token = new_session_token()
        session_id = hash_secret(token)
        await self._open(row.tenant_id, row.user_id, session_id, row.epoch, refresh=False)
        await self._throttle.forgive(attempt)
        principal = await self._principal_of_session(session_id)
        access_token, expires_at = self._sign(principal)
        return LoggedIn(principal, token, access_token, expires_at)

    async def refresh(self, principal: Principal) -> Refreshed:
        """Lets the principal's session last longer and signs a new token for it; the old one lasts until its own end.

        Raises `conflict` for an API key, which has no end, and `unauthenticated` when the session ended meanwhile.
        """
        session_id = _session_of(principal)
        found = await self._sessions.find(session_id)
        if found is None or not found.valid or found.epoch is None:
            raise session_ended()
        await self._open(principal.tenant_id, principal.actor_id, session_id, found.epoch, refresh=True)
        fresh = await self._principal_of_session(session_id)
        access_token, expires_at = self._sign(fresh)
        return Refreshed(fresh, access_token, expires_at)

    async def log_out(self, principal: Principal) -> None:
        """Ends the principal's session, and with it every token signed for it, at once. Works while stopped."""
        session_id = _session_of(principal)
        body = CloseSession(session_id)
        await self._database.submit(Command(LOG_OUT, principal.tenant_id, principal.actor_id, None, body))

    async def check_own_password(self, ctx: Ctx, password: str, address: str | None = None) -> int:
        """The epoch at which the password of the context's own user is right. Counts as a login from the address does.

        Raises `unauthenticated`, `too_many`.
        """
        check_password_form(password, "current_password")
        row = await ctx.read(lambda c: people.find_user_row(c, ctx.actor_id))
        if row is None:
            raise login_failed()
        attempt = await self._throttle.count(row.email, address)
        if not await self.passwords.verify(password, row.password_hash):
            raise login_failed()
        await self._throttle.forgive(attempt)
        return row.epoch

    def seconds_until(self, instant: Instant) -> int:
        """How long until then by this installation's clock, in whole seconds, never negative."""
        return max(0, (instant - self._clock.now()) // SECOND)

    def close(self) -> None:
        """Ends the threads that check passwords."""
        self.passwords.close()

    async def _open(self, tenant_id: str, user_id: str, session_id: str, epoch: int, *, refresh: bool) -> None:
        body = OpenSession(
            session_id=session_id,
            user_id=user_id,
            epoch=epoch,
            lifetime_seconds=self.settings.token_lifetime_seconds,
            longest_seconds=self.settings.session_longest_seconds,
            refresh=refresh,
        )
        await self._database.submit(Command(LOG_IN, tenant_id, user_id, None, body))

    async def _principal_of_session(self, session_id: str) -> Principal:
        found = await self._sessions.find(session_id)
        if found is None or not found.valid or found.expires_at is None or found.expires_at <= self._clock.now():
            raise session_ended()
        return Principal(
            tenant_id=found.tenant_id,
            actor_id=found.actor_id,
            roles=found.roles,
            name=found.name,
            kind=PrincipalKind.USER,
            session_id=session_id,
            expires_at=found.expires_at,
        )

    def _sign(self, principal: Principal) -> tuple[str, Instant]:
        assert principal.session_id is not None
        assert principal.expires_at is not None
        claims = Claims(principal.tenant_id, principal.actor_id, principal.session_id, principal.expires_at)
        return self.tokens.sign(claims, sorted(principal.roles), self._clock.now()), principal.expires_at

    def _permissions_of(self, roles: frozenset[str]) -> frozenset[str]:
        every = Role.SUPERADMIN.value in roles
        return frozenset(name for name, holders in self._permissions.items() if every or holders & roles)


def _session_of(principal: Principal) -> str:
    if principal.session_id is None:
        raise conflict("no_session", "An API key has no session; it lasts until it is revoked.")
    return principal.session_id
