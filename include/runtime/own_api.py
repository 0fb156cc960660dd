"""The API of this machine's own platform, for what is typed on its command line."""

from __future__ import annotations

from include.runtime.airflow_api import AirflowApi
from include.runtime.credentials import Credentials
from include.runtime.settings import Settings
from include.runtime.whose import insist_own


def own_api(user: str) -> AirflowApi:
    """Return the platform's API as this user of it. Raises InputError where somebody else's server listens at its port."""
    settings = Settings.load()
    insist_own(settings, settings.airflow_port)
    return AirflowApi(settings.airflow_url, user, Credentials.load(settings.home).airflow_passwords[user])
