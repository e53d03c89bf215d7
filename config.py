"""All settings of the portal: typed, each with its help text.

Order, first wins: arguments of ``Settings(...)``, ``DATABASE_URL``, environment variables with the prefix ``SHUNIU_``, the env file
named by ``SHUNIU_ENV_FILE``, the TOML file named by ``SHUNIU_CONFIG`` (default ``shuniu.toml`` in the working directory), defaults.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


def driver_url(url: str) -> str:
    """*url* of a PostgreSQL server in the form SQLAlchemy needs for psycopg 3; anything else comes back unchanged."""
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url[len(prefix) :]
    return url


class _DatabaseUrl(PydanticBaseSettingsSource):
    """The conventional ``DATABASE_URL``, which beats ``SHUNIU_DATABASE_URL``."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        url = os.environ.get("DATABASE_URL", "")
        return {"database_url": url} if url else {}


class _TomlFile(PydanticBaseSettingsSource):
    """The settings file; its keys are the field names."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        path = Path(os.environ.get("SHUNIU_CONFIG", "shuniu.toml"))
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


class Settings(BaseSettings):
    """What one installation decides; unknown keys of a settings file are refused."""

    model_config = SettingsConfigDict(env_prefix="SHUNIU_", extra="forbid", env_ignore_empty=True)

    database_url: str = Field(
        "postgresql+psycopg://app_login@127.0.0.1:5432/shuniu",
        repr=False,
        description="PostgreSQL, as the login role of the web processes (member of the application roles, never the owner).",
    )
    worker_database_url: str = Field(
        "", repr=False, description="PostgreSQL, as the login role of worker and scheduler. Empty: the same as database_url."
    )
    owner_database_url: str = Field(
        "", repr=False, description="PostgreSQL, as the owner of all tables; only migrations use it. Empty: the same as database_url."
    )
    redis_url: str | None = Field(
        None, repr=False, description="Redis that rings for the workers. Empty: the worker looks into the database by itself."
    )

    secret_key: str = Field("", repr=False, description="Signs cookies; 32 random characters or more, the same in all processes.")
    public_url: str = Field("http://127.0.0.1:8000", description="Address people type; links in mails and sign-in returns use it.")
    trusted_hosts: list[str] = Field([], description="Host names requests may carry. Empty: the host of public_url only.")
    proxies: int = Field(0, ge=0, le=5, description="Reverse proxies in front, whose X-Forwarded-* headers are believed.")
    host: str = Field("127.0.0.1", description="Address the web server listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the web server listens on.")

    oidc_issuer: str = Field("http://127.0.0.1:8001/realms/shuniu", description="Issuer of the identity provider (Keycloak realm).")
    oidc_client_id: str = Field("portal", description="Client of the portal in the realm.")
    oidc_client_secret: str = Field("", repr=False, description="Secret of that client.")
    oidc_api_audience: str = Field("portal-api", description="Audience that access tokens for the REST API must name.")
    oidc_api_clients: list[str] = Field(
        [], description="Clients whose people may call the REST API with access tokens; machines are named with their technical user."
    )
    local_accounts: bool = Field(False, description="Sign in with a password kept here instead of single sign-on; shown as a banner.")
    session_hours: int = Field(10, ge=1, le=168, description="Hours after which a browser session ends.")

    smtp_host: str = Field("", description="Mail server. Empty: no mail is sent.")
    smtp_port: int = Field(25, ge=1, le=65535, description="Port of the mail server.")
    smtp_username: str = Field("", description="User at the mail server. Empty: no sign-in there.")
    smtp_password: str = Field("", repr=False, description="Password at the mail server.")
    smtp_from: str = Field("portal@shuniu.example", description="Sender of all mail.")
    smtp_tls: bool = Field(False, description="Encrypt the connection to the mail server with STARTTLS.")

    timezone: str = Field("Asia/Shanghai", description="Zone of business dates and deadlines.")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least severity that is logged.")
    demo: bool = Field(False, description="Demonstration with the invented sample company: shows the sample accounts on the sign-in page.")
    data_dir: Path = Field(Path(".shuniu"), description="Folder for attachments and everything else kept outside the database.")

    audit_anchors: Path | None = Field(
        None,
        description="File to which hashes of the sealed history are appended, best where the database's administrators cannot write."
        " Empty: audit-anchors.txt in data_dir.",
    )
    audit_anchor_entries: int = Field(
        1000, ge=1, description="Sealed entries after which the next one is appended; at least every ten minutes."
    )

    web_workers: int = Field(2, ge=1, le=64, description="Processes of the web server.")
    web_threads: int = Field(4, ge=1, le=64, description="Threads in each of them.")
    worker_threads: int = Field(4, ge=1, le=64, description="Jobs one worker does at the same time.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _DatabaseUrl(settings_cls), env_settings, dotenv_settings, _TomlFile(settings_cls)

    @field_validator("database_url", "worker_database_url", "owner_database_url")
    @classmethod
    def _with_driver(cls, value: str) -> str:
        return driver_url(value)

    @field_validator("public_url", "oidc_issuer")
    @classmethod
    def _without_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @model_validator(mode="after")
    def _complete(self) -> "Settings":
        self.worker_database_url = self.worker_database_url or self.database_url
        self.owner_database_url = self.owner_database_url or self.database_url
        if len(self.secret_key) < 32:
            raise ValueError("secret_key (SHUNIU_SECRET_KEY) needs 32 random characters or more, the same for every process")
        return self


def load(**overrides: Any) -> Settings:
    """The settings of this process; *overrides* beat every other source. Raises ``pydantic.ValidationError``."""
    return Settings(_env_file=os.environ.get("SHUNIU_ENV_FILE") or None, **overrides)
