"""Whose models, keys, budgets and acts somebody may see and change: by the setting ``[gpu_pool] teams``, over the rights in Airflow.

An admin of Airflow may everything, and so may the platform's own service. Everybody else may what Airflow's role allows, within
their teams.
Without the setting there is one team, and nothing is held back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from typing import Annotated

from airflow.configuration import conf
from fastapi import Depends, HTTPException, Request, status

from api_shared.auth import User, may_read, rules, service_user
from include.cost.gpu_use import work_of
from include.kinds.known import Specs
from include.pool.teams import ANY, Role, Teams
from include.runtime.settings import Settings

NOBODYS = "default"
"""Team of a model whose spec can't be read or is gone."""
READS = ("GET", "HEAD", "OPTIONS")


class Mine:
    """What is one caller's."""

    def __init__(self, name: str, everything: bool, teams: Teams) -> None:
        self.name, self._everything, self._teams = name, everything, teams

    @property
    def everything(self) -> bool:
        """Whether nothing is held back from the caller."""
        anywhere = self._teams.role(self.name, ANY)
        return self._everything or (anywhere is not None and anywhere >= Role.OPERATOR)

    def admin_of(self, team: str) -> bool:
        """Tell whether the setting makes the caller an admin of this team."""
        return bool(team) and self._teams.role(self.name, team) is Role.ADMIN

    def admins(self) -> bool:
        """Tell whether the setting makes the caller an admin of any team."""
        return any(role == Role.ADMIN.name.lower() for role in self.roles().values())

    def team(self, team: str, role: Role = Role.VIEWER) -> bool:
        """Tell whether the caller is that much, or more, in a team."""
        found = self._teams.role(self.name, team or NOBODYS)
        return self.everything or (found is not None and found >= role)

    def roles(self) -> dict[str, str]:
        """Return what the caller is in each team that the setting names for it, by the teams' names."""
        teams = self._teams.of.get(self.name, self._teams.of.get(ANY, ()))
        return {team: role.name.lower() for team in teams if (role := self._teams.role(self.name, team)) is not None}

    def team_of_new(self) -> str | None:
        """Return whose a model is that the caller makes: the first of its teams in which it is an operator; None where it is in none, ""
        where nothing is held back."""
        if self.everything:
            return ""
        return next((team for team in self._teams.of.get(self.name, self._teams.of.get(ANY, ())) if self.team(team, Role.OPERATOR)), None)

    def model(self, model: str, role: Role = Role.VIEWER) -> bool:
        """The same of the team whose model it is."""
        return self.everything or self.team(team_of(model), role)


async def mine(user: User, name: Annotated[str, Depends(may_read)]) -> Mine:
    """Return what is the caller's."""
    teams = configured()
    return Mine(name, not teams.of or name == service_user() or await rules(user), teams)


def of_their_teams(request: Request, found: Annotated[Mine, Depends(mine)]) -> None:
    """Refuse a request about another team's model, named in its path or query: 404, as one that is not there, to who may not even see it,
    403 to who may see it alone. For whole applications: a dependency of every route."""
    if found.everything:
        return
    for model in named_models(request):
        if not model:  # a run of a DAG of somebody's own may be about any model
            raise HTTPException(status.HTTP_404_NOT_FOUND, "That is no run of a model of yours.")
        if not found.model(model):
            raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no model {model!r:.60} of yours.")
        if request.method not in READS and not found.model(model, Role.OPERATOR):
            raise HTTPException(status.HTTP_403_FORBIDDEN, f"You may only look at {model!r:.60}: its team has you as a viewer.")


def of_a_named_model(request: Request, found: Annotated[Mine, Depends(mine)], _: Annotated[None, Depends(of_their_teams)]) -> None:
    """The same, and a caller from whom something is held back has to name a model, or a run of one: for lists over all of them."""
    if not found.everything and not named_models(request):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "Name one of your team's models (`model`), or a run of one (`run_key`).")


def named_models(request: Request) -> set[str]:
    """Return the models that a request is about, by its path, its query and the runs in its query ("": a run of no model's): by what its
    route reads alone, since a name that the route passes over narrows nothing down."""
    known = {one.alias for one in request.scope["route"].dependant.query_params}
    said = {name: request.query_params.getlist(name) if name in known else [] for name in ("model", "run_key")}
    named = {str(request.path_params.get("model", "")), *said["model"]} - {""}
    return named | {model_of_run(key) for key in said["run_key"]}


def model_of_run(run_key: str) -> str:
    """Return the model whose run this is; "" for a run that is no model's."""
    return work_of(f"{run_key}/-/-").model


@cache
def configured() -> Teams:
    """Return who is in which team. Raises InputError for a setting that says nothing clear."""
    return Teams.from_setting(conf.get("gpu_pool", "teams", fallback=""))


def teams_of_models() -> Mapping[str, str]:
    """Return each model's team, as specs are now (within ten seconds)."""
    return {name: spec.team for name, spec in _specs().get(time.monotonic()).items()}


def team_of(model: str) -> str:
    """Return the model's team; :data:`NOBODYS` for one that isn't known."""
    return teams_of_models().get(model, NOBODYS)


@cache
def _specs() -> Specs:
    return Specs(Settings.load().models)


TheirOwn = Annotated[Mine, Depends(mine)]
