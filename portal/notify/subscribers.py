"""What happens below and concerns administrators."""

from datetime import date
from typing import Any

from sqlalchemy import text

from portal.kernel.calendar import today
from portal.kernel.db import session
from portal.kernel.i18n import _l
from portal.notify.notices import notice_kind, notify
from security.accounts import on_unlinked_login

notice_kind(
    "security.unlinked_login",
    label=_l("Sign-in with no employee behind it"),
    title=_l("%(username)s signed in, but no employee is behind the account"),
    body=_l("Name: %(name)s. Mail: %(email)s. Employee number: %(employee_number)s. Account: %(subject)s."),
    tone="warn",
)

_ADMINISTRATORS = text(
    """select distinct x.user_id from ab_user_role x join ab_role r on r.id = x.role_id
       where r.name in ('hr', 'system_admin') order by x.user_id"""
)


@on_unlinked_login
def tell_administrators(account: dict[str, Any]) -> None:
    """People administration and system administrators hear of it, once a day per account."""
    day: date = today()
    params = {name: value or "–" for name, value in account.items()}
    key = f"security.unlinked_login:{account['subject']}:{day}"
    notify(session().scalars(_ADMINISTRATORS), "security.unlinked_login", params=params, key=key)
