"""Sessions on the server: who is signed in, until when, and since when no longer.

The browser's cookie holds a random token; this table holds only its SHA-256, so reading the table gives nobody a session.
Every transaction begins with the SQL function ``app_begin``, which looks the token up here: ending a row takes effect with
the next request.  All writing goes over a separate connection (``unrestricted``) and is therefore committed at once,
whatever becomes of the request that caused it.
"""

from datetime import datetime

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from portal.kernel.db import Base

KINDS = ("browser", "bearer", "job")


class ServerSession(Base):
    """One signed-in browser, one access token in use, or one job that works in a person's name."""

    __tablename__ = "security_session"
    __table_args__ = (
        CheckConstraint("kind in ('browser', 'bearer', 'job')", name="ck_security_session_kind"),
        Index("ix_security_session_sid", "sid", postgresql_where=text("ended_at is null")),
        Index("ix_security_session_subject", "subject", postgresql_where=text("ended_at is null")),
        Index("ix_security_session_expires_at", "expires_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    token_hash: Mapped[str] = mapped_column(Text, unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    kind: Mapped[str] = mapped_column(Text)
    sid: Mapped[str | None] = mapped_column(Text)
    """Keycloak's session, by which a back-channel logout names it."""
    subject: Mapped[str | None] = mapped_column(Text)
    """Keycloak's stable identifier of the person."""
    id_token: Mapped[str | None] = mapped_column(Text)
    """Needed as a hint when the person signs out at Keycloak; wiped when the session ends."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    end_reason: Mapped[str | None] = mapped_column(Text)
    last_seen_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ip: Mapped[str | None] = mapped_column(Text)
    user_agent: Mapped[str | None] = mapped_column(Text)


class Account(Base):
    """What the portal keeps about a person's account beside FAB's own row: the link to Keycloak, language, theme."""

    __tablename__ = "security_account"

    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), primary_key=True)
    subject: Mapped[str | None] = mapped_column(Text, unique=True)
    """Keycloak's identifier; empty until the first sign-in links it."""
    client_id: Mapped[str | None] = mapped_column(Text, unique=True)
    """For a technical user: the Keycloak client whose service account acts as this user."""
    locale: Mapped[str | None] = mapped_column(Text)
    theme: Mapped[str | None] = mapped_column(Text)


class RoleWrite(Base):
    """A role given or taken in the portal that Keycloak does not know yet; until done it wins over Keycloak's word."""

    __tablename__ = "security_role_write"
    __table_args__ = (
        CheckConstraint("operation in ('add', 'remove')", name="ck_security_role_write_operation"),
        Index("ix_security_role_write_pending", "user_id", "id", postgresql_where=text("done_at is null")),
        Index("ix_security_role_write_user_id", "user_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id))
    role_key: Mapped[str] = mapped_column(Text)
    operation: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    done_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    attempts: Mapped[int] = mapped_column(server_default="0")
    last_error: Mapped[str | None] = mapped_column(Text)


class SignIn(Base):
    """The history of sign-ins, the refused ones too."""

    __tablename__ = "security_signin"
    __table_args__ = (Index("ix_security_signin_name_at", "username", "at"), Index("ix_security_signin_ip_at", "ip", "at"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    outcome: Mapped[str] = mapped_column(Text)
    """ok, unlinked, inactive, wrong_password, locked or refused."""
    user_id: Mapped[int | None] = mapped_column(ForeignKey(User.id), index=True)
    username: Mapped[str | None] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(Text)
    ip: Mapped[str | None] = mapped_column(Text)
    user_agent: Mapped[str | None] = mapped_column(Text)


class KeycloakLogout(Base):
    """A logout token that was obeyed: it may not be used twice, and tokens of its Keycloak session are refused."""

    __tablename__ = "security_logout_jti"
    __table_args__ = (Index("ix_security_logout_jti_sid", "sid"), Index("ix_security_logout_jti_expires_at", "expires_at"))

    jti: Mapped[str] = mapped_column(Text, primary_key=True)
    sid: Mapped[str | None] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
