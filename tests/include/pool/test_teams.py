"""Teams come from who asks."""

import pytest

from include.errors import InputError
from include.pool.ask import Ask
from include.pool.teams import Role, Teams, WrongTeam

TEAMS = Teams.from_setting("ann = vision, text; bob=vision\nupdraft = *; * = default")


@pytest.mark.parametrize(
    ("user", "team", "named", "meant"),
    [
        ("ann", "default", False, "vision"),
        ("ann", "text", True, "text"),
        ("zoe", "default", False, "default"),
        ("updraft", "text", True, "text"),
        ("updraft", "default", False, "default"),
    ],
)
def test_a_user_asks_for_its_own_teams_the_first_where_none_is_named(user: str, team: str, named: bool, meant: str) -> None:
    assert TEAMS.asked(user, Ask(gpus=1, team=team), named).team == meant


@pytest.mark.parametrize(("user", "team"), [("bob", "text"), ("bob", "default"), ("zoe", "vision")])
def test_anothers_team_is_refused_by_name(user: str, team: str) -> None:
    with pytest.raises(WrongTeam, match=f"{team} is no team of {user}'s"):
        TEAMS.asked(user, Ask(gpus=1, team=team), True)


def test_without_the_setting_everybody_names_any_team_and_without_everybody_else_strangers_name_none() -> None:
    assert Teams.from_setting(" ").asked("zoe", Ask(gpus=1, team="vision"), True).team == "vision"
    with pytest.raises(WrongTeam, match="adds zoe"):
        Teams.from_setting("ann = vision").asked("zoe", Ask(gpus=1), False)


@pytest.mark.parametrize("text", ["ann", "ann =", "= vision", "ann = vi sion", "ann = a; ann = b"])
def test_a_setting_that_says_nothing_clear_is_refused_by_its_entry(text: str) -> None:
    with pytest.raises(InputError, match="teams"):
        Teams.from_setting(text)


ROLES = Teams.from_setting("ann = vision:viewer, text; bob = vision : admin; * = open, *:viewer")


@pytest.mark.parametrize(
    ("user", "team", "role"),
    [
        ("ann", "vision", Role.VIEWER),
        ("ann", "text", Role.OPERATOR),
        ("ann", "open", None),
        ("bob", "vision", Role.ADMIN),
        ("zoe", "open", Role.OPERATOR),
        ("zoe", "vision", Role.VIEWER),
    ],
)
def test_a_user_is_something_in_each_of_its_teams(user: str, team: str, role: Role | None) -> None:
    assert ROLES.role(user, team) is role
    assert Teams.from_setting("").role(user, team) is Role.OPERATOR, "open without the setting"


def test_a_viewer_asks_for_no_gpus() -> None:
    with pytest.raises(WrongTeam, match="vision is no team of ann's"):
        ROLES.asked("ann", Ask(gpus=1, team="vision"), True)
    assert ROLES.asked("ann", Ask(gpus=1), False).team == "text"


def test_an_unknown_role_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"'boss'.*viewer, operator, admin"):
        Teams.from_setting("ann = vision:boss")
