"""Which teams somebody may ask for, by the setting ``[gpu_pool] teams``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from include.errors import InputError
from include.pool.ask import NAME, Ask

ANY = "*"
WHERE = "[gpu_pool] teams"


class WrongTeam(InputError):
    """A team that isn't the asker's to name."""


@dataclass(frozen=True)
class Teams:
    """User → teams, the first of which is meant where none is named; ``*`` as a user is everybody else, as a team any. Without any entry
    everybody may name any team."""

    of: Mapping[str, tuple[str, ...]]

    @classmethod
    def from_setting(cls, text: str) -> Teams:
        """Read ``ann = vision, text; bob = vision; * = default``. Raises InputError naming the entry."""
        found: dict[str, tuple[str, ...]] = {}
        for entry in filter(None, (part.strip() for part in text.replace("\n", ";").split(";"))):
            user, _, said = entry.partition("=")
            user, teams = user.strip(), tuple(filter(None, (team.strip() for team in said.split(","))))
            if not user or not teams or user in found or not all(team == ANY or NAME.match(team) for team in teams):
                raise InputError(
                    f"has the entry {entry!r:.80}.", where=WHERE, remedy="Write `user = team, team; user = team`, each user once."
                )
            found[user] = teams
        return cls(found)

    def asked(self, user: str, ask: Ask, named: bool) -> Ask:
        """The ask under a team that is the user's: the one it has ``named``, or the user's first. Raises WrongTeam."""
        if not self.of:
            return ask
        teams = self.of.get(user, self.of.get(ANY, ()))
        if not named and teams and teams[0] != ANY:
            return replace(ask, team=teams[0])
        if ask.team in teams or ANY in teams:
            return ask
        remedy = f"Name one of: {', '.join(teams)}." if teams else f"An administrator adds {user} to {WHERE}."
        raise WrongTeam(f"{ask.team} is no team of {user}'s.", where="request.team", remedy=remedy)
