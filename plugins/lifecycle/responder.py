"""Does what alerts, verdicts and news of data bring about, and tells people (`python -m lifecycle.responder`, run by supervisord).

An act is recorded before its run is begun, under an id made of its cause; the run's id is made of the act's. Killed at any moment, it
goes on, and begins no run twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from include.acts import outbox
from include.errors import ComponentError, UpdraftError
from include.kinds.known import Specs
from include.registry.mlflow import CHALLENGER, CHAMPION, PREVIOUS, Mlflow
from include.runtime.airflow_api import AirflowApi, Refused
from include.runtime.credentials import ADMIN, SERVICE, Credentials
from include.runtime.settings import Settings
from include.spec.schema import Act as Kind
from include.spec.schema import Spec
from lifecycle.data_files import DataFiles
from lifecycle.db import acts, audit, budgets, events
from lifecycle.db.acts import Aliases
from lifecycle.db.models import Act
from lifecycle.notifier import Notifier

EVERY_S, NOTICES_S, FILES_S, BUDGETS_S = 2.0, 5.0, 5.0, 10.0
AGAIN = timedelta(seconds=30)
"""What was refused, and still asks, is looked at again so often."""
CONFLICT = 409
Say = Callable[[str], None]


class Responder:
    """One look at what asks for an act is one :meth:`round`."""

    def __init__(self, api: AirflowApi, mlflow: Mlflow, say: Say = print) -> None:
        self._api, self._mlflow, self._say = api, mlflow, say
        self._problem = ""
        self._again: datetime | None = None

    def round(self, session: Session, specs: Mapping[str, Spec], now: datetime) -> None:
        """Record what is asked for, then begin the runs that are to be begun; what fails is tried again in the next round."""
        again = self._again is None or now - self._again >= AGAIN
        self._again = now if again else self._again
        for act in acts.decide(session, specs, self._aliases, now, again):
            self._say(f"{act.model}: {act.name} asks for {act.act}: {act.state}. {act.reason}".rstrip())
        session.commit()  # before anything is begun
        for act in acts.planned(session):
            try:
                state, reason = self._begin(act)
            except ComponentError as error:
                self._tell(str(error))
            else:
                acts.note(session, act, state, reason)
        for said in events.tell(session, specs, now):
            self._say(said)
        session.commit()

    def _aliases(self, model: str) -> Aliases | None:
        try:
            found = self._mlflow.aliases(model)
        except UpdraftError as error:
            self._tell(str(error))
            return None
        return Aliases(found.get(CHAMPION), found.get(PREVIOUS), CHALLENGER in found)

    def _begin(self, act: Act) -> tuple[str, str]:
        """Begin the act's run, and return the act's state, with a reason. A run that is there already was begun before that was noted."""
        reason = f"{act.name}: {act.summary}"[:900]
        if act.act == Kind.SCALE:
            return self._scale(act, reason)
        dag, _, run_id = act.run_key.partition("/")
        conf = {"version": act.version, "reason": reason} if act.act == Kind.ROLLBACK else {}
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf, "note": f"Begun because of {reason}"}
        try:
            self._api.post(f"/api/v2/dags/{dag}/dagRuns", body)
        except Refused as error:
            if error.status != CONFLICT:
                self._say(f"{act.model}: {error}")
                return acts.REFUSED, f"Airflow refused the run: {error.detail}"[:4000]
        return acts.BEGUN, ""

    def _scale(self, act: Act, reason: str) -> tuple[str, str]:
        """One server more; the act's id in its reason says whether that was done before it was noted."""
        path, mark = f"/serving/v1/models/{act.model}", f"(act {act.id[:12]})"
        known = self._api.get(path)["replicas"]
        if mark in known["why"]:
            return acts.BEGUN, ""
        try:
            self._api.post(f"{path}/scale", {"replicas": known["wanted"] + 1, "why": f"{reason} {mark}"})
        except Refused as error:
            return acts.REFUSED, error.detail[:4000]
        return acts.BEGUN, f"{known['wanted'] + 1} servers are wanted, {known['wanted']} before."

    def _tell(self, text: str) -> None:
        """Once: a server that is away is no news at every round."""
        if text != self._problem:
            self._say(text)
        self._problem = text


def secrets_of(found: Any) -> Iterator[str]:
    """Yield every text in a mapping of credentials, however deep."""
    for part in found.values():
        yield from [part] if isinstance(part, str) else secrets_of(part)


def main() -> None:
    from airflow import settings as airflow
    from airflow.utils.session import create_session

    settings = Settings.load()
    credentials = Credentials.load(settings.home)
    airflow.initialize()

    def api() -> AirflowApi:
        return AirflowApi(settings.airflow_url, SERVICE, credentials.airflow_passwords[SERVICE])

    def say(text: str) -> None:
        print(text, flush=True)

    def forever(round: Callable[[Session, datetime], None], every_s: float) -> None:
        while True:
            try:
                with create_session() as session:
                    round(session, datetime.now(UTC))
            except Exception as error:  # a database that is away: whoever ends here answers no alert
                say(f"{type(error).__name__}: {error}")
            time.sleep(every_s)

    responder = Responder(api(), Mlflow(settings.mlflow_url, ADMIN, credentials.mlflow_password), say)
    notifier = Notifier(api(), settings.airflow_url, list(secrets_of(asdict(credentials))), say)
    specs = Specs(settings.models)
    files, their_specs = DataFiles(settings.models, say), Specs(settings.models)

    def look_at_files(session: Session, now: datetime) -> None:
        files.round(session, their_specs.get(time.monotonic()), now)

    def look_at_budgets(session: Session, now: datetime) -> None:
        for one in budgets.note_levels(session, settings, now.timestamp()):
            say(one.said())
        session.commit()
        if noted := audit.take_noted(session, settings.noted_acts):
            session.commit()
            outbox.taken(settings.noted_acts, noted)

    # A receiver that is slow, or a file that is large, keeps nothing else waiting.
    threading.Thread(target=forever, args=(notifier.round, NOTICES_S), name="notifier", daemon=True).start()
    threading.Thread(target=forever, args=(look_at_files, FILES_S), name="files", daemon=True).start()
    threading.Thread(target=forever, args=(look_at_budgets, BUDGETS_S), name="budgets", daemon=True).start()
    forever(lambda session, now: responder.round(session, specs.get(time.monotonic()), now), EVERY_S)


if __name__ == "__main__":
    main()
