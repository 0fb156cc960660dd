"""Which teams somebody belongs to, and as what, by the setting ``[gpu_pool] teams``: whose GPUs, models, keys and budgets are theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum

from include.errors import InputError
from include.pool.ask import NAME, Ask

ANY = "*"
WHERE = "[gpu_pool] teams"


class WrongTeam(InputError):
    """A team that isn't the asker's to name."""


class Role(IntEnum):
    """What somebody may do within a team; each more than the one before."""

    VIEWER = 1
    """Sees what is the team's."""
    OPERATOR = 2
    """Runs it as well: models, GPUs."""
    ADMIN = 3
    """Makes and ends the team's keys as well."""


@dataclass(frozen=True)
class Teams:
    """User → teams, the first of which is meant where none is named; ``*`` as a user is everybody else, as a team any. Without any entry
    everybody may name any team. ``roles``: user and team → role; who has none there is an operator."""

    of: Mapping[str, tuple[str, ...]]
    roles: Mapping[tuple[str, str], Role] = field(default_factory=dict)

    @classmethod
    def from_setting(cls, text: str) -> Teams:
        """Read ``ann = vision, text:viewer; bob = vision:admin; * = default``. Raises InputError naming the entry."""
        found: dict[str, tuple[str, ...]] = {}
        roles: dict[tuple[str, str], Role] = {}
        for entry in filter(None, (part.strip() for part in text.replace("\n", ";").split(";"))):
            user, _, said = entry.partition("=")
            pairs = [part.strip().partition(":") for part in said.split(",") if part.strip()]
            user, teams = user.strip(), tuple(team.strip() for team, _, _ in pairs)
            wrong = next((role.strip() for _, colon, role in pairs if colon and role.strip().upper() not in Role.__members__), None)
            if wrong is not None:
                known = ", ".join(role.name.lower() for role in Role)
                raise InputError(f"has the role {wrong!r:.40} of {user:.80}.", where=WHERE, remedy=f"Use one of: {known}.")
            if not user or not teams or user in found or not all(team == ANY or NAME.match(team) for team in teams):
                raise InputError(
                    f"has the entry {entry!r:.80}.", where=WHERE, remedy="Write `user = team, team; user = team`, each user once."
                )
            found[user] = teams
            roles |= {(user, team): Role[role.strip().upper()] for team, (_, colon, role) in zip(teams, pairs, strict=True) if colon}
        return cls(found, roles)

    def role(self, user: str, team: str) -> Role | None:
        """Return what the user is in a team, None if nothing. Without the setting everybody is an operator everywhere.

        A team that the user's entry names goes before ``*`` in it.
        """
        if not self.of:
            return Role.OPERATOR
        entry = user if user in self.of else ANY
        named = next((name for name in (team, ANY) if name in self.of.get(entry, ())), None)
        return None if named is None else self.roles.get((entry, named), Role.OPERATOR)

    def asked(self, user: str, ask: Ask, named: bool) -> Ask:
        """The ask under a team that is the user's: the one it has ``named``, or the user's first. Raises WrongTeam."""
        if not self.of:
            return ask
        entry = user if user in self.of else ANY
        teams = tuple(team for team in self.of.get(entry, ()) if self.roles.get((entry, team), Role.OPERATOR) >= Role.OPERATOR)
        if not named and teams and teams[0] != ANY:
            return replace(ask, team=teams[0])
        if (role := self.role(user, ask.team)) is not None and role >= Role.OPERATOR:
            return ask
        remedy = f"Name one of: {', '.join(teams)}." if teams else f"An administrator adds {user} to {WHERE}."
        raise WrongTeam(f"{ask.team} is no team of {user}'s.", where="request.team", remedy=remedy)
