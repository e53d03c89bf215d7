"""Bringing the database up, and filling it with the sample company."""

import importlib
import importlib.util
from datetime import date

from flask import Flask
from sqlalchemy import select

from portal.app import BUILT_IN, INSTALLED, create_app
from portal.embedded.demo import ACCOUNTS, OTHERS, PASSWORD
from portal.kernel.calendar import today
from portal.kernel.db import unrestricted
from portal.kernel.document import User
from portal.kernel.settings import settings
from portal.notify import warnings
from portal.notify.models import WarningRule
from portal.schema import migrate as migrate_schema
from security import accounts, differences

SAMPLE_PERSON = "pm.chen"
SAMPLE_ACCOUNTS = (*(name for name, _ in ACCOUNTS), *OTHERS.split(", "))


def migrate() -> None:
    """Tables, rules, roles and permissions as the code has them."""
    migrate_schema(create_app(), settings())


def prepare_demo(app: Flask) -> None:
    """Migrate, then load the sample company if it is not there."""
    migrate_schema(app, settings())
    print("sample company loaded" if load_sample(app) else "sample company there", flush=True)


def load_sample(app: Flask, anchor: date | None = None) -> bool:
    """Load the sample company, all of it or nothing; *anchor* is the day its story ends (default: today). False: it is there."""
    with app.app_context(), unrestricted("sample company") as s:
        if s.scalar(select(User.id).where(User.username == SAMPLE_PERSON)) is not None:
            return False
        for package in (*(f"modules.{name}" for name in INSTALLED), *BUILT_IN):
            if importlib.util.find_spec(f"{package}.sample"):
                importlib.import_module(f"{package}.sample").load(anchor or today())
        s.flush()
        for rule_id in s.scalars(select(WarningRule.id).where(WarningRule.enabled)).all():
            warnings.scan(rule_id, any_day=True)
        for user_id in s.scalars(select(User.id).where(User.username.in_(SAMPLE_ACCOUNTS))):
            accounts.set_password(user_id, PASSWORD)  # counts only where single sign-on is off
        if settings().demo and not settings().local_accounts:
            differences.ask(repair=True, patient=True)  # the sample realm has only the people who sign in
    return True
