"""Ways out of the portal: mail by SMTP, chat services and webhooks by the apprise library.

Chat and webhook addresses are system parameters.  An address with `{username}`, `{email}` or `{user_id}` reaches one person and may
carry what that person may see; one without is a group's, which is told only that there is something, never what.
"""

import smtplib
import ssl
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from html import escape
from urllib.parse import quote, urlsplit

from portal.kernel.i18n import _l
from portal.kernel.settings import Parameter, parameter, settings
from portal.notify.notices import Message

TIMEOUT = 15.0
_SCHEMES = {
    "wecom": ("wecombot",),
    "dingtalk": ("dingtalk",),
    "feishu": ("feishu", "lark"),
    "webhook": ("json", "jsons", "xml", "xmls"),
}
_PERSONAL = ("{username}", "{email}", "{user_id}")


def _address(channel: str, label: object) -> Parameter[str]:
    return parameter(
        f"notify.{channel}",
        "",
        str,
        label=label,
        help=_l("Address in the form of the apprise library; {username}, {email} or {user_id} make it a person's own. Empty: off."),
        secret=True,
        check=lambda value: not value or value.partition("://")[0] in _SCHEMES[channel],
    )


ADDRESSES: dict[str, Parameter[str]] = {
    "wecom": _address("wecom", _l("WeCom robot")),
    "dingtalk": _address("dingtalk", _l("DingTalk robot")),
    "feishu": _address("feishu", _l("Feishu robot")),
    "webhook": _address("webhook", _l("Webhook for notices")),
}


class Undeliverable(Exception):
    """The other side says never: trying again would not help."""


@dataclass(frozen=True)
class Person:
    """Whom a message is for."""

    id: int
    username: str
    name: str
    email: str


def personal(channel: str) -> bool:
    """Whether *channel* is set up and reaches single people.  Inside `unrestricted`."""
    if channel == "mail":
        return bool(settings().smtp_host)
    address = ADDRESSES[channel].get()
    return any(word in address for word in _PERSONAL)


def send(channel: str, person: Person, messages: list[Message], subject: str, message_id: str) -> None:
    """Send *messages* as one to *person*; *message_id* stays the same when it is tried again.

    Raises `Undeliverable` for good, anything else for now.
    """
    if channel == "mail":
        send_mail(person, mail(person, messages, subject, message_id))
    else:
        fill = {"username": person.username, "email": person.email, "user_id": str(person.id)}
        address = ADDRESSES[channel].get()
        for word, value in fill.items():
            address = address.replace("{" + word + "}", quote(value, safe=""))
        tell(address, subject, "\n\n".join(plain(m) for m in messages))


def plain(message: Message) -> str:
    """*message* as text with a full address."""
    return "\n".join(part for part in (message.title, message.body, link(message.url)) if part)


def link(path: str) -> str:
    """The full address of a path within the portal; empty stays empty."""
    return settings().public_url + path if path.startswith("/") else path


def mail(person: Person, messages: list[Message], subject: str, message_id: str) -> EmailMessage:
    """The mail: plain text and simple HTML."""
    letter = EmailMessage()
    letter["From"] = settings().smtp_from
    # Address refuses what would add headers or receivers
    letter["To"] = Address(display_name=" ".join(person.name.split()), addr_spec=person.email)
    letter["Subject"] = " ".join(subject.split())[:200]
    letter["Date"] = formatdate(usegmt=True)
    letter["Message-ID"] = f"<{message_id}@{urlsplit(settings().public_url).hostname or 'shuniu'}>"
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content("\n\n".join(plain(m) for m in messages) + "\n")
    letter.add_alternative("".join(_html(m) for m in messages), subtype="html")
    return letter


def _html(message: Message) -> str:
    title = escape(message.title)
    if message.url:
        title = f'<a href="{escape(link(message.url), quote=True)}">{title}</a>'
    body = escape(message.body).replace("\n", "<br>")
    return f"<p><strong>{title}</strong><br>{body}</p>"


def send_mail(person: Person, letter: EmailMessage) -> None:
    """Hand *letter* to the mail server."""
    s = settings()
    try:
        with smtplib.SMTP(s.smtp_host, s.smtp_port, timeout=TIMEOUT) as server:
            if s.smtp_tls:
                server.starttls(context=ssl.create_default_context())  # without one the certificate is not looked at
            if s.smtp_username:
                server.login(s.smtp_username, s.smtp_password)
            server.send_message(letter)
    except smtplib.SMTPRecipientsRefused as refused:
        code, answer = next(iter(refused.recipients.values()))
        problem = f"{code} {answer.decode(errors='replace') if isinstance(answer, bytes) else answer}"
        if code >= 500:
            raise Undeliverable(problem) from refused
        raise ConnectionError(problem) from refused


def tell(address: str, title: str, body: str) -> None:
    """Send by one apprise *address*.  Raises ConnectionError when the service did not take it."""
    import apprise

    service = apprise.Apprise()
    if not service.add(address):
        raise Undeliverable("address not understood")
    if not service.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT):
        raise ConnectionError("the service did not accept the message")
