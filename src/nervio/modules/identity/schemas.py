"""Requests and answers of the identity routes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from nervio.kernel.time import to_iso
from nervio.modules.identity.contracts import (
    ApiKey,
    ApiKeyCreated,
    NewTenant,
    NewUser,
    Profile,
    Tenant,
    TenantCreated,
    User,
    UserChange,
    UserCreated,
)
from nervio.web.values import NO_NUL, RequestBody

_ID = "01996f2a-7c4e-7d10-8f2b-6a1d3c5e7f90"
_TIME = "2026-03-01T10:00:00.000000Z"
RoleName = Literal["superadmin", "admin", "deposito", "negocio", "ml_service", "cashier"]


# -- requests --------------------------------------------------------------------------------------------------------


class LoginRequest(RequestBody):
    """Who wants in."""

    email: str = Field(max_length=300, pattern=NO_NUL, examples=["ana@example.com"])
    password: str = Field(max_length=300, pattern=NO_NUL, examples=["four words of your own"])
    tenant: str | None = Field(
        None,
        max_length=50,
        pattern=NO_NUL,
        description="Slug; only needed when several tenants know the email.",
        examples=["main"],
    )
    cookie: bool = Field(False, description="Set the session cookie of a browser as well.")


class UserRequest(RequestBody):
    """A user to create."""

    email: str = Field(max_length=300, pattern=NO_NUL, examples=["ana@example.com"])
    name: str = Field(max_length=300, pattern=NO_NUL, examples=["Ana Pérez"])
    roles: list[RoleName] = Field(min_length=1, max_length=10, examples=[["cashier"]])
    password: str | None = Field(
        None,
        max_length=300,
        pattern=NO_NUL,
        description="At least 10 characters; leave out to have one generated and shown once.",
    )

    def to_contract(self) -> NewUser:
        """The use case's own form."""
        return NewUser(self.email, self.name, tuple(self.roles), self.password)


class UserPatch(RequestBody):
    """What to change; a field that is left out stays as it is."""

    name: str | None = Field(None, max_length=300, pattern=NO_NUL, examples=["Ana Pérez"])
    roles: list[RoleName] | None = Field(None, min_length=1, max_length=10, examples=[["cashier", "deposito"]])
    active: bool | None = Field(None, description="False ends the user's sessions at once.", examples=[True])

    def to_contract(self) -> UserChange:
        """The use case's own form."""
        return UserChange(self.name, None if self.roles is None else tuple(self.roles), self.active)


class PasswordRequest(RequestBody):
    """A new password."""

    password: str | None = Field(
        None,
        max_length=300,
        pattern=NO_NUL,
        description="At least 10 characters; leave out to have one generated and shown once.",
    )
    current_password: str | None = Field(None, max_length=300, pattern=NO_NUL, description="Needed to change your own.")


class OwnPasswordRequest(RequestBody):
    """A new password of one's own."""

    current_password: str = Field(max_length=300, pattern=NO_NUL, examples=["four words of your own"])
    password: str = Field(
        max_length=300, pattern=NO_NUL, description="At least 10 characters.", examples=["five words nobody knows yet"]
    )


class ApiKeyRequest(RequestBody):
    """A key to create."""

    name: str = Field(max_length=300, pattern=NO_NUL, examples=["Label printer"])
    roles: list[RoleName] = Field(min_length=1, max_length=10, examples=[["deposito"]])


class TenantRequest(RequestBody):
    """A tenant to create."""

    slug: str = Field(max_length=50, pattern=NO_NUL, examples=["mini-market"])
    name: str = Field(max_length=300, pattern=NO_NUL, examples=["Mini Market"])
    currency: str = Field("ARS", max_length=3, pattern=NO_NUL, examples=["ARS"])
    time_zone: str = Field("America/Argentina/Buenos_Aires", max_length=100, pattern=NO_NUL)
    language: Literal["es", "en"] = "es"
    admin_email: str | None = Field(None, max_length=300, pattern=NO_NUL, examples=["luis@example.com"])
    admin_name: str | None = Field(None, max_length=300, pattern=NO_NUL, examples=["Luis Gómez"])

    def to_contract(self) -> NewTenant:
        """The use case's own form."""
        return NewTenant(**self.model_dump())


# -- answers ---------------------------------------------------------------------------------------------------------


class TenantAnswer(BaseModel):
    """A tenant."""

    id: str = Field(examples=[_ID])
    slug: str = Field(examples=["main"])
    name: str = Field(examples=["Nervio"])
    currency: str = Field(examples=["ARS"])
    time_zone: str = Field(examples=["America/Argentina/Buenos_Aires"])
    language: str = Field(examples=["es"])
    created_at: str = Field(examples=[_TIME])

    @classmethod
    def of(cls, tenant: Tenant) -> TenantAnswer:
        """The answer for a tenant."""
        return cls(
            id=tenant.id,
            slug=tenant.slug,
            name=tenant.name,
            currency=tenant.currency,
            time_zone=tenant.time_zone,
            language=tenant.language,
            created_at=to_iso(tenant.created_at),
        )


class TenantCreatedAnswer(BaseModel):
    """A new tenant. The password is shown this once."""

    tenant: TenantAnswer
    admin_id: str | None = Field(None, examples=[_ID])
    admin_password: str | None = Field(None, examples=["7k2mq-x9p4d-tw3vh-8r5ae"])

    @classmethod
    def of(cls, created: TenantCreated) -> TenantCreatedAnswer:
        """The answer for a tenant that was created."""
        return cls(
            tenant=TenantAnswer.of(created.tenant), admin_id=created.admin_id, admin_password=created.admin_password
        )


class UserAnswer(BaseModel):
    """A user."""

    id: str = Field(examples=[_ID])
    email: str = Field(examples=["ana@example.com"])
    name: str = Field(examples=["Ana Pérez"])
    roles: list[str] = Field(examples=[["cashier"]])
    active: bool
    created_at: str = Field(examples=[_TIME])
    last_login_at: str | None = Field(examples=[_TIME])

    @classmethod
    def of(cls, user: User) -> UserAnswer:
        """The answer for a user."""
        return cls(
            id=user.id,
            email=user.email,
            name=user.name,
            roles=list(user.roles),
            active=user.active,
            created_at=to_iso(user.created_at),
            last_login_at=None if user.last_login_at is None else to_iso(user.last_login_at),
        )


class UserCreatedAnswer(BaseModel):
    """A new user. A generated password is shown this once."""

    user: UserAnswer
    password: str | None = Field(None, examples=["7k2mq-x9p4d-tw3vh-8r5ae"])

    @classmethod
    def of(cls, created: UserCreated) -> UserCreatedAnswer:
        """The answer for a user that was created."""
        return cls(user=UserAnswer.of(created.user), password=created.password)


class PasswordAnswer(BaseModel):
    """A generated password, shown this once; null when you chose it."""

    password: str | None = Field(examples=["7k2mq-x9p4d-tw3vh-8r5ae"])


class ApiKeyAnswer(BaseModel):
    """An API key."""

    id: str = Field(examples=[_ID])
    name: str = Field(examples=["Label printer"])
    prefix: str = Field(description="What the key begins with.", examples=["nrv_3f9a1c20"])
    roles: list[str] = Field(examples=[["deposito"]])
    created_by: str = Field(description="Id of the user or key that made it.", examples=[_ID])
    created_at: str = Field(examples=[_TIME])
    revoked_at: str | None = Field(examples=[None])

    @classmethod
    def of(cls, key: ApiKey) -> ApiKeyAnswer:
        """The answer for a key."""
        return cls(
            id=key.id,
            name=key.name,
            prefix=key.prefix,
            roles=list(key.roles),
            created_by=key.created_by,
            created_at=to_iso(key.created_at),
            revoked_at=None if key.revoked_at is None else to_iso(key.revoked_at),
        )


class ApiKeyCreatedAnswer(BaseModel):
    """A new key. Its secret is shown this once."""

    key: ApiKeyAnswer
    secret: str = Field(
        description="Send it as `X-API-Key`.", examples=["nrv_3f9a1c20_Zk1V0m8Xw2bQ7yJt5uLr9oPc4dEs6fGh3iKa1nBv0x"]
    )

    @classmethod
    def of(cls, created: ApiKeyCreated) -> ApiKeyCreatedAnswer:
        """The answer for a key that was created."""
        return cls(key=ApiKeyAnswer.of(created.key), secret=created.secret)


class ProfileAnswer(BaseModel):
    """Who you are here."""

    id: str = Field(examples=[_ID])
    kind: Literal["user", "api_key"]
    name: str = Field(examples=["Ana Pérez"])
    email: str | None = Field(examples=["ana@example.com"])
    roles: list[str] = Field(examples=[["cashier"]])
    permissions: list[str] = Field(examples=[["catalog.read", "sales.write"]])
    tenant: TenantAnswer

    @classmethod
    def of(cls, profile: Profile) -> ProfileAnswer:
        """The answer for a profile."""
        return cls(
            id=profile.id,
            kind=profile.kind.value,
            name=profile.name,
            email=profile.email,
            roles=list(profile.roles),
            permissions=list(profile.permissions),
            tenant=TenantAnswer.of(profile.tenant),
        )


class TokenAnswer(BaseModel):
    """A token for the `Authorization: Bearer` header, and whom it stands for."""

    access_token: str = Field(examples=["eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"])
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # a kind, no secret
    expires_in: int = Field(description="Seconds.", examples=[28800])
    expires_at: str = Field(examples=[_TIME])
    profile: ProfileAnswer
