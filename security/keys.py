"""Keycloak's signing keys, kept in memory and in PostgreSQL, so that tokens can be verified while Keycloak is away."""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.db import Base


class SigningKeys(Base):
    """The last key set an issuer published."""

    __tablename__ = "security_jwks"

    issuer: Mapped[str] = mapped_column(Text, primary_key=True)
    keys: Mapped[dict[str, Any]] = mapped_column(JSONB)
    fetched_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
