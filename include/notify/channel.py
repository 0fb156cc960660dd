"""A channel as an Airflow connection `updraft_notify_...` describes it, and how it delivers."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from email.message import EmailMessage
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from include.errors import ComponentError, InputError
from include.notify.notice import What
from include.runtime import web

PREFIX = "updraft_notify_"
"""Begins the names of the connections that are channels."""
TIMEOUT_S = 10.0
TLS_PORT = 465
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


class Form(StrEnum):
    """How a channel is told: JSON to a webhook, the same as Slack wants it, a mail."""

    WEBHOOK = "webhook"
    SLACK = "slack"
    MAIL = "mail"


FORMS = {
    "http": Form.WEBHOOK,
    "https": Form.WEBHOOK,
    "webhook": Form.WEBHOOK,
    "slackwebhook": Form.SLACK,
    "slack": Form.SLACK,
    "smtp": Form.MAIL,
    "email": Form.MAIL,
}
"""By the connection's type."""


@dataclass(frozen=True)
class Connection:
    """What of an Airflow connection is looked at."""

    name: str
    kind: str
    host: str = ""
    port: int | None = None
    login: str = ""
    password: str = field(default="", repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Channel:
    """Where notices go. ``wanted``: what of them, all when empty; ``models``: of which models, all when empty; ``quiet``: hours in which
    only what is urgent is told, in the time zone ``zone``."""

    connection: Connection
    form: Form
    wanted: frozenset[What] = frozenset()
    models: frozenset[str] = frozenset()
    quiet: tuple[time, time] | None = None
    zone: str = "UTC"

    @classmethod
    def of(cls, connection: Connection) -> Channel:
        """Read the connection. Raises InputError naming it and the field at fault."""
        extra = connection.extra

        def wrong(what: str, name: str, remedy: str) -> InputError:
            return InputError(what, where=f"connection {connection.name}: {name}", remedy=remedy)

        if connection.kind not in FORMS:
            raise wrong(f"{connection.kind!r:.50} is no type of a channel.", "type", f"Choose one of {', '.join(sorted(FORMS))}.")
        if not connection.host:
            raise wrong("is missing.", "host", "Write the webhook's address, or the mail server's name.")
        try:
            wanted = frozenset(What(one) for one in _names(extra.get("what")))
        except ValueError:
            raise wrong("names what there is not.", "extra.what", f"Choose of {', '.join(What)}.") from None
        try:
            zone = str(extra.get("zone") or "UTC")
            ZoneInfo(zone)
        except (ValueError, KeyError, OSError):
            raise wrong("is no time zone.", "extra.zone", "Write one such as Europe/Berlin.") from None
        quiet = str(extra.get("quiet") or "")
        if quiet and not _HOURS.fullmatch(quiet):
            raise wrong("are no hours.", "extra.quiet", "Write them as 22:00-07:00.")
        form = FORMS[connection.kind]
        if form is Form.MAIL and not (extra.get("from") and _names(extra.get("to"))):
            raise wrong("names no sender, or nobody to send to.", "extra", 'Write {"from": "updraft@…", "to": ["…"]}.')
        if form is not Form.MAIL and not connection.host.startswith(("http://", "https://")):
            raise wrong("is no address.", "host", "Write it with https:// before it.")
        hours = tuple(time.fromisoformat(part) for part in quiet.split("-")) if quiet else None
        return cls(connection, form, wanted, frozenset(_names(extra.get("models"))), hours, zone)  # type: ignore[arg-type]

    def wants(self, what: What, model: str) -> bool:
        """Say whether a notice of this kind about this model is for it; what is about the platform itself is for all."""
        if what is What.HELLO:
            return True
        return (not self.wanted or what in self.wanted) and (not model or not self.models or model in self.models)

    def allowed_from(self, now: datetime, urgent: bool) -> datetime:
        """Return when a notice may be told: ``now`` (with a time zone), or the end of the quiet hours that it lies in."""
        if self.quiet is None or urgent:
            return now
        begin, end = self.quiet
        here = now.astimezone(ZoneInfo(self.zone))
        at = here.time().replace(tzinfo=None)
        inside = begin <= at < end if begin <= end else at >= begin or at < end
        if not inside:
            return now
        day = here.date() + timedelta(days=0 if at < end else 1)
        return datetime.combine(day, end, ZoneInfo(self.zone)).astimezone(now.tzinfo)

    def send(self, key: str, title: str, text: str, facts: Mapping[str, str]) -> None:
        """Deliver a notice; ``key`` goes with it, by which a receiver tells one that comes twice. Raises ComponentError."""
        try:
            if self.form is Form.MAIL:
                self._mail(key, title, text)
            else:
                self._post(key, title, text, facts)
        except ComponentError:
            raise
        except (OSError, ValueError, smtplib.SMTPException) as error:
            # Without its words: they may hold the address, and of Slack's the address is the secret.
            raise ComponentError(f"no delivery ({type(error).__name__}).", where=f"connection {self.connection.name}") from None

    def _post(self, key: str, title: str, text: str, facts: Mapping[str, str]) -> None:
        connection = self.connection
        address = connection.host.rstrip("/") + (f":{connection.port}" if connection.port else "")
        headers = {"Idempotency-Key": key}
        if self.form is Form.SLACK:
            address, body = f"{address}/{connection.password}".rstrip("/"), {"text": f"*{_slack(title)}*\n{_slack(text)}"}
        else:
            address += str(connection.extra.get("path") or "")
            headers |= {"Authorization": f"Bearer {connection.password}"} if connection.password else {}
            body = {**facts, "key": key, "title": title, "text": text}
        answer = web.ask("POST", address, json=body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False)
        if not 200 <= answer.status_code < 300:
            raise ComponentError(f"the receiver answered {answer.status_code}.", where=f"connection {connection.name}")

    def _mail(self, key: str, title: str, text: str) -> None:
        connection, extra = self.connection, self.connection.extra
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = title, str(extra["from"]), ", ".join(_names(extra["to"]))
        message["Message-ID"], message["Auto-Submitted"] = f"<{key}@updraft>", "auto-generated"
        message.set_content(text)
        port = connection.port or 25
        context = ssl.create_default_context()
        with (
            smtplib.SMTP_SSL(connection.host, port, timeout=TIMEOUT_S, context=context)
            if port == TLS_PORT
            else smtplib.SMTP(connection.host, port, timeout=TIMEOUT_S)
        ) as server:
            if port != TLS_PORT and bool(extra.get("starttls", bool(connection.login))):
                server.starttls(context=context)
            if connection.login:
                server.login(connection.login, connection.password)
            server.send_message(message)


def _names(value: Any) -> list[str]:
    """A list, or one text with commas between."""
    return [str(one).strip() for one in (value if isinstance(value, list) else str(value or "").split(",")) if str(one).strip()]


def _slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
