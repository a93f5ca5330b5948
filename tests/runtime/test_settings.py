"""Settings: where values come from, and what is said about a wrong one."""

from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from nervio.runtime import env_files
from nervio.runtime.manifests import MANIFESTS
from nervio.runtime.settings import OLD_NAMES, Settings, SettingsError, known_variables, load_settings

ROOT = Path(__file__).parents[2]
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the variables nor the .env of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [*known_variables(), *OLD_NAMES]:
        monkeypatch.delenv(name, raising=False)


def test_a_setting_is_found_under_its_own_name_before_an_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_PORT", "3000")
    assert load_settings().server.port == 3000
    monkeypatch.setenv("NERVIO_SERVER__PORT", "8001")
    assert load_settings().server.port == 8001


@pytest.mark.parametrize(
    ("name", "text", "path", "value"),
    [
        ("DATABASE_URL", "sqlite:///shop.db", "database_url", SecretStr("sqlite:///shop.db")),
        ("REDIS_URL", "redis://localhost:6379/0", "redis_url", SecretStr("redis://localhost:6379/0")),
        ("NATS_URL", "nats://localhost:4222", "nats_url", SecretStr("nats://localhost:4222")),
        ("JWT_SECRET", SECRET, "secrets.jwt_secret", SecretStr(SECRET)),
        ("JWT_SECRET_KEY", SECRET, "secrets.jwt_secret", SecretStr(SECRET)),
        ("OPENAI_API_KEY", "sk-1", "secrets.openai_api_key", SecretStr("sk-1")),
        ("SERVER_HOST", "0.0.0.0", "server.host", "0.0.0.0"),  # noqa: S104
        ("SERVER_PORT", "3001", "server.port", 3001),
        ("POSTGRES_PASSWORD", "pw", "secrets.postgres_password", SecretStr("pw")),
        ("DASHBOARD_API_KEY", "dash", "secrets.dashboard_api_key", SecretStr("dash")),
        (
            "CORS_ORIGINS",
            "http://a.test, http://b.test:81",
            "server.cors_origins",
            ("http://a.test", "http://b.test:81"),
        ),
        ("LOG_LEVEL", "WARNING", "log.level", "warning"),
    ],
)
def test_every_old_variable_works(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, path: str, value: object
) -> None:
    monkeypatch.setenv(name, text)
    found: object = load_settings()
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value


def test_old_variables_work_in_the_env_file_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# a shop\nexport SERVER_PORT=3000\nNERVIO_LOG__KEEP_DAYS=7\n", encoding="utf-8")
    settings = load_settings()
    assert (settings.server.port, settings.log.keep_days) == (3000, 7)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("postgres://u:p@h:5432/shop", "postgresql+asyncpg://u:p@h:5432/shop"),
        ("postgresql://u@h/shop", "postgresql+asyncpg://u:s%2Fcret@h/shop"),
        ("postgresql+asyncpg://u:p@h/shop?ssl=require", "postgresql+asyncpg://u:p@h/shop?ssl=require"),
        ("sqlite+aiosqlite:///shop.db", "sqlite:///shop.db"),
    ],
)
def test_a_database_address_is_taken_as_people_write_it(
    monkeypatch: pytest.MonkeyPatch, given: str, meant: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", given)
    monkeypatch.setenv("POSTGRES_PASSWORD", "s/cret")
    assert load_settings().database_address == meant


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("NERVIO_SERVER__PORT", "many", "NERVIO_SERVER__PORT: "),
        ("SERVER_PORT", "99999", "NERVIO_SERVER__PORT (set by SERVER_PORT): "),
        (
            "NERVIO_SERVER__PROT",
            "1",
            "NERVIO_SERVER__PROT: there is no such setting. Did you mean NERVIO_SERVER__PORT?",
        ),
        ("DATABASE_URL", "mysql://h/db", "NERVIO_DATABASE_URL: must begin with postgresql:// or sqlite:///"),
        ("NERVIO_ACTIONS__ESCALATE_SECONDS", "1", "NERVIO_ACTIONS__ESCALATE_SECONDS: "),
        (
            "NERVIO_ACTIONS__GIVE_UP_SECONDS",
            "60",
            "NERVIO_ACTIONS__GIVE_UP_SECONDS: must be more than escalate_seconds",
        ),
        ("JWT_SECRET_KEY", "short", "(set by JWT_SECRET_KEY): must have at least 32 characters; make one with"),
        ("CORS_ORIGINS", "shop.test", "'shop.test' is no origin; write scheme, host and port only"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert said in str(refused.value)


def test_secrets_never_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", "a-secret-that-nobody-should-ever-see-here")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hidden-password@h/shop")
    settings = load_settings()
    shown = repr(settings) + str(env_files.effective(settings))
    assert "nobody-should" not in shown
    assert "hidden-password" not in shown


def test_the_files_of_settings_list_every_setting_and_are_as_the_tree_writes_them() -> None:
    for name, template in ((".env.example", env_files.example), (".env.production.template", env_files.production)):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert text == template(), f"{name} is out of date: nervio settings --template …"
        assert all(variable in text for variable in [*known_variables(), *OLD_NAMES])


def test_the_example_file_can_be_used_as_it_is(tmp_path: Path) -> None:
    before = load_settings()
    uncommented = [line.removeprefix("# ") for line in env_files.example().splitlines() if line.startswith("# NERVIO_")]
    (tmp_path / ".env").write_text("\n".join(uncommented), encoding="utf-8")
    assert load_settings() == before


def test_every_setting_says_what_it_is() -> None:
    assert [row.variable for row in env_files.effective(load_settings()) if len(row.description) < 10] == []


def test_the_group_of_every_module_is_in_the_tree() -> None:
    groups = {field.annotation for field in Settings.model_fields.values()}
    declared: list[type[BaseModel]] = [m.settings for m in MANIFESTS if m.settings is not None]
    assert [group for group in declared if group not in groups] == []
