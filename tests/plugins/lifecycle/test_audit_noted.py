"""What the command line has noted comes into the chain once; and so does a budget that is nearly, or wholly, used up."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from gpu_pool.db.models import Base as PoolBase
from include.acts import outbox
from include.acts.audit import Wanted
from include.budgets.ledger import Ledger
from include.cost.month import Month
from include.gateway import budgets as files
from include.gateway.budgets import Budget
from include.gateway.metering import Usage
from include.gateway.observe import Cursor
from include.runtime.settings import Settings
from lifecycle.db import audit, budgets
from lifecycle.db.models import ServingAct

NOW = datetime.now(UTC).timestamp()


def acts(session):
    return [row.act for row in session.scalars(select(ServingAct).order_by(ServingAct.entry))]


def test_an_act_of_the_command_line_is_taken_once(engine, tmp_path):
    PoolBase.metadata.create_all(engine)
    path = tmp_path / "noted.jsonl"
    outbox.note(path, "key made", "key", "demo", models=["digits"])
    with Session(engine) as session:
        taken = audit.take_noted(session, path)
        session.commit()  # killed here: it is asked for again
        assert audit.take_noted(session, path) == taken
        session.commit()
        outbox.taken(path, taken)
        assert acts(session) == ["key made"] and audit.take_noted(session, path) == []
        [line] = audit.lines(session, Wanted(), 10)
    assert (line.kind, line.name, line.entry) == ("key", "demo", 1) and line.who.endswith("(command line)")


def test_a_budget_is_told_of_once_a_level_and_again_when_it_was_raised(engine, tmp_path, monkeypatch):
    PoolBase.metadata.create_all(engine)
    monkeypatch.setenv("UPDRAFT_HOME", str(tmp_path))
    settings = Settings.load()
    ledger = Ledger(settings.budget_ledger)
    ledger.begin_with([Usage(f"{Month.of(NOW)}-01", "demo", "support", 1, 85, 0)], Cursor(), {})
    ledger.commit()
    with Session(engine) as session:
        for tokens, expected in ((1000, []), (100, ["budget warned"]), (80, ["budget used up"]), (84, ["budget used up"])):
            files.write(settings.budgets, [Budget("key", "demo", tokens=tokens)])
            before = acts(session)
            budgets.note_levels(session, settings, NOW)
            session.commit()
            budgets.note_levels(session, settings, NOW)
            session.commit()
            assert acts(session)[len(before) :] == expected
    ledger.close()
