"""Does what alerts and verdicts bring about (`python -m lifecycle.responder`, run by supervisord).

An act is recorded before its run is begun, under an id made of its cause; the run's id is made of the act's. Killed at any moment, it
goes on, and begins no run twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from include.errors import ComponentError, UpdraftError
from include.kinds.known import Specs
from include.registry.mlflow import CHALLENGER, CHAMPION, PREVIOUS, Mlflow
from include.runtime.airflow_api import AirflowApi, Refused
from include.runtime.credentials import ADMIN, SERVICE, Credentials
from include.runtime.settings import Settings
from include.spec.schema import Act as Kind
from include.spec.schema import Spec
from lifecycle.db import acts
from lifecycle.db.acts import Aliases
from lifecycle.db.models import Act

EVERY_S = 2.0
CONFLICT = 409
Say = Callable[[str], None]


class Responder:
    """One look at what asks for an act is one :meth:`round`."""

    def __init__(self, api: AirflowApi, mlflow: Mlflow, say: Say = print) -> None:
        self._api, self._mlflow, self._say = api, mlflow, say
        self._problem = ""

    def round(self, session: Session, specs: Mapping[str, Spec], now: datetime) -> None:
        """Record what is asked for, then begin the runs that are to be begun; what fails is tried again in the next round."""
        for act in acts.decide(session, specs, self._aliases, now):
            self._say(f"{act.model}: {act.name} asks for {act.act}: {act.state}. {act.reason}".rstrip())
        session.commit()  # before anything is begun
        for act in acts.planned(session):
            try:
                self._begin(act)
            except ComponentError as error:
                self._tell(str(error))
            else:
                session.commit()

    def _aliases(self, model: str) -> Aliases | None:
        try:
            found = self._mlflow.aliases(model)
        except UpdraftError as error:
            self._tell(str(error))
            return None
        return Aliases(found.get(CHAMPION), found.get(PREVIOUS), CHALLENGER in found)

    def _begin(self, act: Act) -> None:
        """Begin the act's run. One that is there already was begun before the record of it was."""
        dag, _, run_id = act.run_key.partition("/")
        reason = f"{act.name}: {act.summary}"[:900]
        conf = {"version": act.version, "reason": reason} if act.act == Kind.ROLLBACK else {}
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf, "note": f"Begun because of {reason}"}
        try:
            self._api.post(f"/api/v2/dags/{dag}/dagRuns", body)
        except Refused as error:
            if error.status != CONFLICT:
                act.state, act.reason = acts.REFUSED, f"Airflow refused the run: {error.detail}"[:4000]
                self._say(f"{act.model}: {act.reason}")
                return
        act.state = acts.BEGUN

    def _tell(self, text: str) -> None:
        """Once: a server that is away is no news at every round."""
        if text != self._problem:
            self._say(text)
        self._problem = text


def main() -> None:
    from airflow import settings as airflow
    from airflow.utils.session import create_session

    settings = Settings.load()
    credentials = Credentials.load(settings.home)
    airflow.initialize()
    api = AirflowApi(settings.airflow_url, SERVICE, credentials.airflow_passwords[SERVICE])
    responder = Responder(api, Mlflow(settings.mlflow_url, ADMIN, credentials.mlflow_password), lambda text: print(text, flush=True))
    specs = Specs(settings.models)
    while True:
        try:
            with create_session() as session:
                responder.round(session, specs.get(time.monotonic()), datetime.now(UTC))
        except Exception as error:  # a database that is away: whoever ends here answers no alert
            print(f"{type(error).__name__}: {error}", flush=True)
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main()
