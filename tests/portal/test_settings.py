"""Settings: where they come from and what is refused."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

import config

KEY = "k" * 40


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("SHUNIU_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_every_setting_has_a_help_text() -> None:
    assert not [name for name, field in config.Settings.model_fields.items() if not field.description]


def test_database_url_beats_the_prefixed_one_and_gets_our_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUNIU_DATABASE_URL", "postgresql://one@127.0.0.1/one")
    assert config.load(secret_key=KEY).database_url == "postgresql+psycopg://one@127.0.0.1/one"
    monkeypatch.setenv("DATABASE_URL", "postgres://two@127.0.0.1/two")
    settings = config.load(secret_key=KEY)
    assert settings.database_url == settings.worker_database_url == settings.owner_database_url == "postgresql+psycopg://two@127.0.0.1/two"


def test_environment_beats_env_file_beats_toml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "shuniu.toml").write_text(f'secret_key = "{KEY}"\nport = 1001\nsmtp_port = 1001\nsession_hours = 5\n')
    (tmp_path / "file.env").write_text("SHUNIU_PORT=1002\nSHUNIU_SMTP_PORT=1002\n")
    monkeypatch.setenv("SHUNIU_ENV_FILE", str(tmp_path / "file.env"))
    monkeypatch.setenv("SHUNIU_PORT", "1003")
    settings = config.load()
    assert (settings.port, settings.smtp_port, settings.session_hours) == (1003, 1002, 5)


@pytest.mark.parametrize(
    "wrong", [{"secret_key": "short"}, {"port": 0}, {"session_hours": "ten"}, {"no_such_setting": 1}, {"log_level": "LOUD"}]
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        config.load(**{"secret_key": KEY, **wrong})


@pytest.mark.req("POR-15", part="no secret in logs")
def test_secrets_are_not_printed() -> None:
    settings = config.load(secret_key=KEY, oidc_client_secret="hidden-1", smtp_password="hidden-2", redis_url="redis://:hidden-3@h/0")
    assert KEY not in repr(settings) and "hidden" not in repr(settings)
