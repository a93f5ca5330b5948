"""Every setting of Nervio in one tree: `NERVIO_…` variables, groups nested with two underscores, units in the names.

Values come from the environment, then from a file `.env` in the working directory, then from the defaults here. The
variables of the systems that Nervio replaces work too, where the setting itself is not given.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_origin
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import BaseModel, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from nervio.db.vault import Vault
from nervio.modules.fleet.settings import FleetSettings
from nervio.modules.identity.settings import IdentitySettings
from nervio.modules.jobs.settings import JobsSettings
from nervio.modules.safety.settings import ActionSettings, SafetySettings
from nervio.modules.stock.settings import StockSettings
from nervio.runtime.fleet_transport_settings import FleetTransportSettings
from nervio.runtime.keeping_settings import BackupSettings, LedgerSettings, RetentionSettings
from nervio.runtime.models_settings import ModelSettings

PREFIX = "NERVIO_"
ENV_FILE = ".env"

OLD_NAMES: Mapping[str, str] = {
    "DATABASE_URL": "database_url",
    "REDIS_URL": "redis_url",
    "NATS_URL": "nats_url",
    "JWT_SECRET_KEY": "secrets__jwt_secret",
    "JWT_SECRET": "secrets__jwt_secret",
    "OPENAI_API_KEY": "secrets__openai_api_key",
    "SERVER_HOST": "server__host",
    "SERVER_PORT": "server__port",
    "POSTGRES_PASSWORD": "secrets__postgres_password",
    "DASHBOARD_API_KEY": "secrets__dashboard_api_key",
    "CORS_ORIGINS": "server__cors_origins",
    "LOG_LEVEL": "log__level",
}
"""Variables of the earlier systems and the setting each stands for; of two for one setting the first wins."""

# Read by tests, benches, scripts and workers; not settings of a running Nervio.
_FOREIGN_PREFIXES = ("NERVIO_TEST_", "NERVIO_BENCH_", "NERVIO_REQUIRE_SERVICES", "NERVIO_CHROMIUM", "NERVIO_WORKER_")

SHORTEST_JWT_SECRET = 32

Group = TypeVar("Group", bound=BaseModel)


class SettingsError(Exception):
    """What is wrong with which variable, and how to mend it; the text is meant for the person who starts Nervio."""


class ServerSettings(BaseModel):
    """The HTTP server."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every network of the machine.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    public_url: str = Field(
        "", description="Address under which browsers reach Nervio, when a proxy stands before it (https://…)."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose pages may call the API, separated by commas. None by default."
    )
    max_body_bytes: int = Field(8 * 1024 * 1024, ge=1024, description="Largest request body that is accepted.")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        ("127.0.0.1", "::1"), description="Proxies whose X-Forwarded-For and -Proto are believed, separated by commas."
    )
    shutdown_seconds: float = Field(20.0, gt=0, description="How long requests under way may take to end at shutdown.")
    queue_capacity: int = Field(
        10_000, ge=100, description="Writes of one lane that may wait; more are refused with 429 until some are done."
    )

    @field_validator("cors_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query:
                raise ValueError(f"{origin!r} is no origin; write scheme, host and port only: https://shop.example")
        return value


class LogSettings(BaseModel):
    """Logs: JSON lines in files, readable lines on a terminal."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe entry that is kept.")
    directory: Path = Field(Path("logs"), description="Where the daily files are written.")
    keep_days: int = Field(30, ge=1, description="Files older than this are deleted.")
    access: bool = Field(True, description="Whether each request gets a line.")

    @field_validator("level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value


class SecretSettings(BaseModel):
    """Keys and passwords. Those that Nervio can make itself it makes on the first start and keeps in the data directory."""

    jwt_secret: SecretStr | None = Field(
        None, description="Key that signs tokens (HS256), at least 32 characters. Made by Nervio when empty."
    )
    dashboard_api_key: SecretStr | None = Field(
        None, description="An X-API-Key that acts as an administrator of the first shop, for old dashboards."
    )
    postgres_password: SecretStr | None = Field(None, description="Password for a database_url that carries none.")
    vault_key: SecretStr | None = Field(
        None,
        description="Key that seals the secrets of connections: 64 bytes in URL-safe base64. Made by Nervio when empty; "
        "the same for all processes of an installation.",
    )
    openai_api_key: SecretStr | None = Field(
        None,
        description="Key of the provider `openai`, where it has none of its own (NERVIO_MODELS__PROVIDERS__OPENAI__API_KEY). "
        "Given alone it is enough to ask OpenAI.",
    )

    @field_validator("vault_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            Vault(value.get_secret_value())
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < SHORTEST_JWT_SECRET:
            raise ValueError(
                f"must have at least {SHORTEST_JWT_SECRET} characters; "
                'make one with: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
            )
        return value


class EventsSettings(BaseModel):
    """Events between processes, and what happens to those that a handler cannot digest."""

    name: str = Field(
        "nervio",
        pattern=r"^[A-Za-z0-9_-]{1,40}$",
        description="Name of the stream in Redis or NATS; two installations on one server need two names.",
    )
    keep_days: int = Field(
        7,
        ge=1,
        le=365,
        description="Days for which Redis or NATS keeps events (Redis: longer while somebody has not read).",
    )
    attempts: int = Field(
        5, ge=1, le=100, description="How often a handler tries an event before it becomes a dead letter."
    )
    handler_seconds: float = Field(60.0, gt=0, description="How long a handler may take for one event.")


def _group(kind: type[Group]) -> Group:
    """A group of settings as a field; its own defaults hold where nothing is given."""
    return Field(default_factory=lambda: kind.model_validate({}))


class Settings(BaseSettings):
    """The tree. Groups belong to modules or to a part of the runtime; each value says what it is and in which unit."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
    )

    environment: Literal["development", "test", "production"] = Field(
        "development",
        description="`production` turns off what is for developers only, such as POST /test/simulate-sale.",
    )
    data_dir: Path = Field(Path("data"), description="Everything embedded lives here: database, keys, seals, lock.")
    database_url: SecretStr | None = Field(
        None,
        description="postgresql://user:password@host:5432/nervio for many shops; empty for SQLite in the data directory.",
    )
    migrate_on_start: bool = Field(
        True, description="Whether the server brings the database to its newest form by itself."
    )
    redis_url: SecretStr | None = Field(
        None,
        description="redis://host:6379/0, over which processes hear of events and those who wait for a lock wait. Never needed.",
    )
    nats_url: SecretStr | None = Field(
        None,
        description="nats://host:4222 with JetStream, for events in place of Redis. Where both are given, NATS is used.",
    )
    server: ServerSettings = _group(ServerSettings)
    log: LogSettings = _group(LogSettings)
    secrets: SecretSettings = _group(SecretSettings)
    identity: IdentitySettings = _group(IdentitySettings)
    ledger: LedgerSettings = _group(LedgerSettings)
    stock: StockSettings = _group(StockSettings)
    safety: SafetySettings = _group(SafetySettings)
    actions: ActionSettings = _group(ActionSettings)
    fleet: FleetSettings = _group(FleetSettings)
    jobs: JobsSettings = _group(JobsSettings)
    models: ModelSettings = _group(ModelSettings)
    workers: FleetTransportSettings = _group(FleetTransportSettings)
    backup: BackupSettings = _group(BackupSettings)
    retention: RetentionSettings = _group(RetentionSettings)
    events: EventsSettings = _group(EventsSettings)

    @field_validator("redis_url", "nats_url")
    @classmethod
    def _service_is_known(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        schemes = _SERVICE_SCHEMES[str(info.field_name)]
        if value is not None and not value.get_secret_value().startswith(schemes):
            raise ValueError(f"must begin with {' or '.join(schemes)}")
        return value

    @model_validator(mode="after")
    def _database_is_known(self) -> Settings:
        url = self.database_url
        if url is not None:
            try:
                normalised_database_url(url.get_secret_value(), None)
            except ValueError as error:
                raise ValueError(f"database_url: {error}") from None
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (the signature is pydantic's)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Own names before old ones, the environment before the file."""
        return (init_settings, env_settings, dotenv_settings, _OldNames(settings_cls))

    @property
    def database_address(self) -> str:
        """The database as a SQLAlchemy URL. Holds a password: never log it."""
        if self.database_url is None:
            return f"sqlite:///{(self.data_dir / 'nervio.db').absolute().as_posix()}"
        return normalised_database_url(self.database_url.get_secret_value(), self.secrets.postgres_password)


class _OldNames(PydanticBaseSettingsSource):
    """Values of the variables that earlier systems used."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("values are read all at once")

    def __call__(self) -> dict[str, Any]:
        given = {**_read_env_file(), **os.environ}
        values: dict[str, Any] = {}
        for old, path in reversed(list(OLD_NAMES.items())):
            text = given.get(old, "")
            if not text:
                continue
            group, _, name = path.rpartition("__")
            target = values.setdefault(group, {}) if group else values
            target[name] = text
        return values


def normalised_database_url(url: str, password: SecretStr | None) -> str:
    """The SQLAlchemy URL of a database as people write it. Raises ValueError naming what is supported."""
    scheme, separator, rest = url.partition("://")
    known = _SCHEMES.get(scheme)
    if not separator or known is None:
        raise ValueError("must begin with postgresql:// or sqlite:///; other databases are not supported")
    if known != _ASYNCPG:
        if not rest.startswith("/") or len(rest) == 1:
            raise ValueError("a SQLite address needs a file: sqlite:///path/to/nervio.db")
        return f"{known}://{rest}"
    parts = urlsplit(f"{known}://{rest}")
    if parts.password is None and password is not None and parts.hostname:
        user = parts.username or "postgres"
        host = parts.netloc.rpartition("@")[2]
        parts = parts._replace(netloc=f"{user}:{quote(password.get_secret_value(), safe='')}@{host}")
    return urlunsplit(parts)


_SERVICE_SCHEMES: Mapping[str, tuple[str, ...]] = {
    "redis_url": ("redis://", "rediss://", "unix://"),
    "nats_url": ("nats://", "tls://"),
}
_ASYNCPG = "postgresql+asyncpg"
_SCHEMES: Mapping[str, str] = {
    "postgres": _ASYNCPG,
    "postgresql": _ASYNCPG,
    "postgresql+asyncpg": _ASYNCPG,
    "postgresql+psycopg2": _ASYNCPG,
    "sqlite": "sqlite",
    "sqlite+aiosqlite": "sqlite",
}


def load_settings(**overrides: Any) -> Settings:
    """The settings in force; `overrides` (nested) win over the environment. Raises SettingsError."""
    _refuse_misspelt()
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(problem) for problem in error.errors())) from None
    except ValueError as error:  # a variable that cannot even be parsed
        raise SettingsError(str(error)) from None


def variable_of(path: tuple[str | int, ...]) -> str:
    """The variable that sets the value at a path of the tree."""
    return PREFIX + "__".join(str(part) for part in path).upper()


def known_variables() -> dict[str, tuple[str, ...]]:
    """Every variable and the path of its setting, in the order of the tree."""
    found: dict[str, tuple[str, ...]] = {}

    def visit(model: type[BaseModel], path: tuple[str, ...]) -> None:
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                visit(kind, (*path, name))
            else:
                found[variable_of((*path, name))] = (*path, name)

    visit(Settings, ())
    return found


def _is_by_name(path: tuple[str, ...]) -> bool:
    """Whether the setting at a path is a group for each name that somebody thinks of."""
    model: type[BaseModel] = Settings
    for part in path[:-1]:
        group = model.model_fields[part].annotation
        assert isinstance(group, type)
        model = group
    return get_origin(model.model_fields[path[-1]].annotation) is dict


def _explain(problem: Mapping[str, Any]) -> str:
    path = tuple(problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not path:
        name, _, rest = message.partition(": ")
        return f"{variable_of((name,))}: {rest}"
    names = [variable_of(path)]
    names += [old for old, target in OLD_NAMES.items() if target == "__".join(map(str, path)) and os.environ.get(old)]
    return f"{' (set by '.join(names)}{')' * (len(names) - 1)}: {message}"


def _refuse_misspelt() -> None:
    """A setting that is silently not read is worse than a refusal to start."""
    known = known_variables()
    # What a person names stands inside these; what is wrong in it the group itself says.
    named = tuple(f"{variable}__" for variable, path in known.items() if _is_by_name(path))
    for name in {**_read_env_file(), **os.environ}:
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known or upper.startswith((*_FOREIGN_PREFIXES, *named)):
            continue
        close = difflib.get_close_matches(upper, known, n=1, cutoff=0.8)
        if close:
            raise SettingsError(f"{name}: there is no such setting. Did you mean {close[0]}?")


def _read_env_file() -> dict[str, str]:
    """The pairs of the file `.env` of the working directory, as far as the old names and the spelling check need them."""
    try:
        text = Path(ENV_FILE).read_text(encoding="utf-8")
    except OSError:
        return {}
    pairs = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            pairs[name.removeprefix("export ").strip()] = value.strip().strip("'\"")
    return pairs
