"""The project, the import and the export, against a real Label Studio."""

from __future__ import annotations

import json

import pytest
import requests

from include.errors import ComponentError, InputError
from include.labels import export, project, template, verdict
from include.labels.choose import Candidate, Chosen
from include.labels.client import Gone, LabelStudio
from include.labels.tasks import key_of, task
from include.platform.labelling import USER
from tests.include.labels.conftest import CONFIG, LABEL, Server, annotate, by_key, wanted

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
CONTROL = template.control(CONFIG, "here")


def tasks_of(model, words, arm="uncertain"):
    chosen = []
    for word in words:
        row = {"words": word}
        chosen.append(Chosen(Candidate(key_of(model, row), row, {3: "spam"}, (0.2, 0.8)), arm, "because"))
    return [task(one, LABEL, CONTROL, model=model, run="r/1", champion=3) for one in chosen]


def read(studio, model, number, people=None):
    found = studio.export(number)
    return export.read(found, LABEL, CONTROL, model=model, project=number, people=people or studio.people())


def test_a_round_from_the_import_to_rows_with_who_and_when(studio: LabelStudio, model: str):
    number, said = project.ensure(studio, wanted(model))
    assert project.fill(studio, number, tasks_of(model, ["buy", "hello"]), "version 3") == (2, 0) and "is made" in said[0]
    first, second = (by_key(studio, number)[key_of(model, {"words": word})]["id"] for word in ("buy", "hello"))
    annotate(studio, first, "spam")
    annotate(studio, second, "ham")
    rows = {row.row["words"]: row for row in read(studio, model, number).rows}
    assert {word: row.label for word, row in rows.items()} == {"buy": "spam", "hello": "ham"}
    assert (
        rows["buy"].who == [USER] and rows["buy"].at.tzinfo is not None and rows["buy"].arm == "uncertain" and rows["buy"].answer == "spam"
    )


def test_the_champion_s_answer_is_shown_but_not_on_the_control_arm(studio: LabelStudio, model: str):
    number, _ = project.ensure(studio, wanted(model))
    project.fill(studio, number, [*tasks_of(model, ["chosen"]), *tasks_of(model, ["drawn"], "control")], "version 3")
    shown = studio.call("GET", "/api/tasks/", params={"project": number, "fields": "all"})["tasks"]
    answers = {one["data"]["words"]: [part["value"] for found in one["predictions"] for part in found["result"]] for one in shown}
    assert answers == {"chosen": [{"choices": ["spam"]}], "drawn": []}
    assert studio.project(number)["model_version"] == "version 3"


def test_an_import_that_is_tried_again_brings_no_task_twice(studio: LabelStudio, model: str):
    number, _ = project.ensure(studio, wanted(model))
    tasks = tasks_of(model, ["a", "b", "c"])
    project.fill(studio, number, tasks[:2], "")
    studio.add(number, tasks[1:2])  # an earlier try's request, which the server ends only now
    assert project.fill(studio, number, tasks, "") == (1, 1)
    assert project.ensure(studio, wanted(model))[0] == number
    assert len(studio.tasks(number)) == 3 and project.fill(studio, number, tasks, "") == (0, 0)


def test_a_killed_server_has_what_it_had_and_is_asked_again(server: Server, studio: LabelStudio, model: str):
    number, _ = project.ensure(studio, wanted(model))
    project.fill(studio, number, tasks_of(model, ["kept"]), "")
    server.kill()
    with pytest.raises(ComponentError, match="got no answer") as away:
        studio.tasks(number)
    assert "make up LABELS=1" in str(away.value)
    server.start()
    assert project.fill(studio, number, tasks_of(model, ["kept"]), "") == (0, 0)


def test_a_token_that_has_expired_is_told_and_is_in_no_error(server: Server):
    with pytest.raises(InputError, match="refuses its token") as refused:
        list(server.client("f" * 40).projects())
    assert "f" * 40 not in str(refused.value) and "updraft_labels" in str(refused.value)


def test_a_personal_access_token_is_exchanged_and_a_taken_back_one_refused(server: Server, studio: LabelStudio):
    settings = studio.call("GET", "/api/jwt/settings")
    studio.call("POST", "/api/jwt/settings", json=settings | {"api_tokens_enabled": True})
    token = studio.call("POST", "/api/token/")["token"]
    client = server.client(token)
    assert isinstance(list(client.projects()), list)
    studio.call("POST", "/api/token/blacklist/", json={"refresh": token})
    with pytest.raises(InputError, match="refuses its token"):
        list(server.client(token).projects())


def test_a_project_that_was_deleted_by_hand_is_gone_and_is_made_anew(studio: LabelStudio, model: str):
    number, _ = project.ensure(studio, wanted(model))
    studio.call("DELETE", f"/api/projects/{number}/")
    with pytest.raises(Gone):
        studio.tasks(number)
    again, said = project.ensure(studio, wanted(model))
    assert again != number and "is made" in said[0]


def test_a_template_that_was_edited_by_hand_is_set_back(studio: LabelStudio, model: str):
    number, _ = project.ensure(studio, wanted(model))
    edited = CONFIG.replace('"spam"', '"junk"')
    studio.call("PATCH", f"/api/projects/{number}/", json={"label_config": edited, "title": "mine"})
    again, said = project.ensure(studio, wanted(model))
    assert again == number and "as the spec has it again" in said[0] and "junk" not in studio.project(number)["label_config"]


def test_labels_of_an_edited_template_are_named_and_left_out(studio: LabelStudio, model: str):
    number, _ = project.ensure(studio, wanted(model))
    project.fill(studio, number, tasks_of(model, ["a", "b"]), "")
    there = by_key(studio, number)
    studio.call("PATCH", f"/api/projects/{number}/", json={"label_config": CONFIG.replace('"spam"', '"junk"')})
    annotate(studio, there[key_of(model, {"words": "a"})]["id"], "junk")
    annotate(studio, there[key_of(model, {"words": "b"})]["id"], "ham")
    found = read(studio, model, number)
    assert [row.label for row in found.rows] == ["ham"] and "'junk' is none of the classes ham, spam" in found.faults[0]
    decided = verdict.decide(verdict.evidence(found, LABEL, numbers=False))
    assert decided.decision == "FAIL" and "unreadable annotations" in decided.reasons[0]


def test_a_changed_control_under_labels_is_refused_with_what_to_do(studio: LabelStudio, model: str):
    number, _ = project.ensure(studio, wanted(model))
    project.fill(studio, number, tasks_of(model, ["a"]), "")
    annotate(studio, studio.tasks(number)[0]["id"], "ham")
    other = CONFIG.replace('name="shown"', 'name="other"').replace('toName="shown"', 'toName="other"')
    with pytest.raises(InputError, match="labels were made with it"):
        project.ensure(studio, wanted(model, other))


def test_two_people_who_disagree_and_one_who_labels_twice(server: Server, studio: LabelStudio, model: str):
    number, _ = project.ensure(studio, wanted(model, annotators=2))
    project.fill(studio, number, tasks_of(model, ["a", "b", "c"]), "")
    there = by_key(studio, number)
    a, b, c = (there[key_of(model, {"words": word})]["id"] for word in "abc")
    second = invited(server, studio, "bo@example.org")
    for task_id, ours, theirs in ((a, "ham", "spam"), (b, "ham", "ham"), (c, "spam", "spam")):
        annotate(studio, task_id, ours)
        annotate(second, task_id, theirs)
    annotate(studio, b, "spam")  # the same person once more: the latest counts
    found = read(studio, model, number)
    rows = {row.row["words"]: row for row in found.rows}
    assert (rows["a"].label, rows["b"].label, rows["c"].label) == (None, None, "spam")
    assert rows["c"].who == ["admin@updraft.local", "bo@example.org"] and len(rows["b"].given) == 2
    decided = verdict.decide(verdict.evidence(found, LABEL, numbers=False))
    assert decided.decision == "FAIL" and "agreement between people" in decided.reasons[0] and "2 rows are left out" in decided.reasons[1]


def test_an_empty_export_passes_no_gate(studio: LabelStudio, model: str):
    number, _ = project.ensure(studio, wanted(model))
    project.fill(studio, number, tasks_of(model, ["a"]), "")
    found = read(studio, model, number)
    assert not found.rows and verdict.decide(verdict.evidence(found, LABEL, numbers=False)).decision == "FAIL"


def test_an_export_of_another_project_or_model_is_refused(studio: LabelStudio, model: str):
    number, _ = project.ensure(studio, wanted(model))
    project.fill(studio, number, tasks_of("another", ["a"]), "")
    annotate(studio, studio.tasks(number)[0]["id"], "ham")
    found = studio.export(number)
    with pytest.raises(InputError, match="a task of the model 'another'"):
        export.read(found, LABEL, CONTROL, model=model, project=number, people={})
    with pytest.raises(InputError, match=f"is of project {number}, and not of project {number + 1}"):
        export.read(found, LABEL, CONTROL, model="another", project=number + 1, people={})


def test_nobody_signs_up_uninvited_and_nothing_answers_without_a_login(server: Server):
    url = server.settings.labels_url
    assert requests.get(f"{url}/api/projects/", timeout=30).status_code == 401
    session = requests.Session()
    session.get(f"{url}/user/signup/", timeout=30)
    form = {"email": "eve@example.org", "password": "long-enough-1", "csrfmiddlewaretoken": session.cookies.get("csrftoken", "")}
    assert session.post(f"{url}/user/signup/", data=form, headers={"Referer": url}, timeout=30).status_code == 403


def test_its_log_names_no_invitation_and_no_token(server: Server, studio: LabelStudio):
    token = studio.call("GET", "/api/invite")["invite_url"].partition("token=")[2]
    requests.get(f"{server.settings.labels_url}/user/signup/", params={"token": token}, timeout=30)
    requests.get(f"{server.settings.labels_url}/user/login/", timeout=30)
    log = (server.settings.home / "log").read_text()
    assert "/user/login/" in log and token not in log and server.credentials.labels_token not in log


def invited(server: Server, studio: LabelStudio, email: str) -> LabelStudio:
    """Another person, who has signed up by an invitation, and labels with a token of their own."""
    url = server.settings.labels_url
    page = url + studio.call("GET", "/api/invite")["invite_url"]
    session = requests.Session()
    session.get(page, timeout=30)
    form = {"email": email, "password": "long-enough-1", "allow_newsletters": "false", "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    assert session.post(page, data=form, headers={"Referer": page}, timeout=30).ok
    token = json.loads(session.get(f"{url}/api/current-user/token", timeout=30).text)["token"]
    return LabelStudio(url, token)
