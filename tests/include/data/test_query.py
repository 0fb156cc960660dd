"""What a query returns is kept as one Parquet file: exact, bounded, without a change to the database. On SQLite and a real PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, create_engine, text

from bench.leases.postgres import postgres
from include.data import query
from include.data.table import read
from include.errors import ComponentError, InputError
from include.spec.data import Sql


@pytest.fixture
def lite(tmp_path: Path) -> Engine:
    with sqlite3.connect(tmp_path / "shop.db") as made:
        made.execute("CREATE TABLE people (id INTEGER, age INTEGER, spent REAL, name TEXT, mixed)")
        made.executemany(
            "INSERT INTO people VALUES (?, ?, ?, ?, ?)",
            [(1, 30, 1.5, "Ann", 1), (2**60 + 1, None, 2.0, "Bob", "one"), (3, 41, None, None, 2.5)],
        )
    return create_engine(f"sqlite:///{tmp_path / 'shop.db'}")


@pytest.fixture(scope="module")
def served() -> Iterator[Engine]:
    with postgres(durable=False) as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


def fetched(engine: Engine, asked: str, path: Path, **bounds: object) -> pa.Table:
    query.fetch(engine, asked, Sql(connection="updraft_data_shop", **bounds), path, "data.source shop.sql")
    return pq.read_table(path)


def test_rows_come_exactly_as_they_are(lite: Engine, tmp_path: Path) -> None:
    found = fetched(
        lite, "SELECT id, age, spent, name FROM people ORDER BY spent IS NULL, spent -- 50 % of :them", tmp_path / "rows.parquet"
    )
    assert found.to_pydict() == {"id": [1, 2**60 + 1, 3], "age": [30, None, 41], "spent": [1.5, 2.0, None], "name": ["Ann", "Bob", None]}
    assert [str(field.type) for field in found.schema] == ["int64", "int64", "double", "string"]


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ("SELECT mixed FROM people", "column 'mixed'.*float and int and str"),
        ("SELECT id, id FROM people", "two of its columns are called 'id'"),
        ("SELECT id FROM people WHERE id < 0", "returns no row"),
        ("SELECT height FROM people", "the database refuses it: no such column: height"),
        ("DELETE FROM people", "the database refuses it: attempt to write a readonly database"),
        ("SELECT name FROM people UNION ALL SELECT name FROM people", "returns more than 5 rows"),
    ],
)
def test_what_is_no_table_is_refused_and_nothing_is_kept_or_changed(lite: Engine, tmp_path: Path, asked: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        fetched(lite, asked, tmp_path / "rows.parquet", most_rows=5)
    assert not (tmp_path / "rows.parquet").exists()
    with lite.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM people")).scalar() == 3


def test_a_query_that_takes_too_long_is_ended(lite: Engine, tmp_path: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS many FROM n"
    began = time.monotonic()
    with pytest.raises(InputError, match=r"has not returned all its rows after 0\.005 minutes"):
        fetched(lite, endless, tmp_path / "rows.parquet", timeout_minutes=0.005)
    assert time.monotonic() - began < 30 and not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_a_type_that_changes_with_the_rows_is_found_in_whatever_part_they_come(
    lite: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "BATCH", 1)
    found = fetched(lite, "SELECT age, spent FROM people ORDER BY id", tmp_path / "rows.parquet")
    assert found.to_pydict() == {"age": [30, 41, None], "spent": [1.5, None, 2.0]}
    with pytest.raises(InputError, match=r"column 'mixed'.* of different types"):
        fetched(lite, "SELECT mixed FROM people ORDER BY id", tmp_path / "other.parquet")


def test_whole_decimals_stay_whole_and_none_is_rounded_in_silence() -> None:
    assert query.array([Decimal(7), None, Decimal(2**62)], "c").to_pylist() == [7, None, 2**62]
    assert query.array([Decimal("1.10"), 2], "c").to_pylist() == [1.1, 2.0]
    with pytest.raises(InputError, match="c: can't be kept: whole numbers beyond"):
        query.array([2**53 + 1, 0.5], "c")
    with pytest.raises(InputError, match="holds dict"):
        query.array([{"a": 1}], "c")


@pytest.mark.integration
def test_postgresql_types_are_kept_and_it_is_only_read(served: Engine, tmp_path: Path) -> None:
    asked = """
        SELECT 12::numeric AS whole, 1.25::numeric(10, 2) AS part, true AS yes, DATE '2026-01-31' AS day,
               TIMESTAMPTZ '2026-01-31 12:00+02' AS at, 'a%b'::text AS word, '6f1c1c1e-0000-4000-8000-000000000001'::uuid AS id,
               NULL::int AS nothing, ARRAY[1.5, 2.5]::float8[] AS list
    """
    found = fetched(served, asked, tmp_path / "rows.parquet")
    assert {name: column[0] for name, column in found.to_pydict().items() if name not in ("day", "at")} == {
        "whole": 12,
        "part": 1.25,
        "yes": True,
        "word": "a%b",
        "id": "6f1c1c1e-0000-4000-8000-000000000001",
        "nothing": None,
        "list": [1.5, 2.5],
    }
    assert [str(found.schema.field(name).type) for name in ("whole", "day", "at")] == ["int64", "timestamp[us]", "timestamp[us, tz=UTC]"]
    assert found["at"][0].as_py().hour == 10
    with pytest.raises(InputError, match="read-only transaction"):
        fetched(served, "WITH made AS (SELECT 1 AS i) SELECT lo_create(0) FROM made", tmp_path / "other.parquet")
    with pytest.raises(InputError, match="column 1 has no name"):
        fetched(served, "SELECT 1 + 1", tmp_path / "other.parquet")
    big = fetched(served, "SELECT i, i % 7 AS rest FROM generate_series(1, 25000) AS i", tmp_path / "big.parquet")
    assert big.num_rows == 25000 and sum(big["i"].to_pylist()) == 25000 * 25001 // 2


def test_a_file_that_is_not_there_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"connection updraft_data_shop: there is no file .*gone\.db"):
        fetched(create_engine(f"sqlite:///{tmp_path / 'gone.db'}"), "SELECT 1 AS a", tmp_path / "rows.parquet")
    assert not list(tmp_path.iterdir())


def test_a_database_that_is_away_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match="Look at the connection updraft_data_shop") as told:
        fetched(create_engine("postgresql+psycopg2://me:secret@127.0.0.1:9/shop"), "SELECT 1 AS a", tmp_path / "rows.parquet")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("written", "what"),
    [
        ("SELECT 1; SELECT 2", "has 2 statements"),
        ("SELECT 1 AS begin, 2 AS x; COMMIT; DROP TABLE people", "has 3 statements"),
        ("SELECT (1; DROP TABLE people", "has 2 statements"),
        ("-- nothing\n", "has 0 statements"),
        ("DELETE FROM people", "changes data"),
        ("DROP TABLE people;", "changes data"),
        ("VACUUM INTO '/tmp/copy.db'", "is no query.*VACUUM"),
        ("ATTACH DATABASE '/tmp/made.db' AS x", "is no query.*ATTACH"),
        ("PRAGMA journal_mode = WAL", "is no query.*PRAGMA"),
        ("/* all */ COPY people TO '/tmp/people'", "is no query.*COPY"),
        # PostgreSQL ends the text at its second quote, takes # for an operator, and --1 is a number of MySQL's.
        (r"SELECT '\' AS a; COMMIT; DROP TABLE people; --'", "a semicolon that ends a statement for some"),
        ("SELECT 1 # 2 AS a; COMMIT; DROP TABLE people", "a semicolon that ends a statement for some"),
        ("SELECT 1--1; DROP TABLE people", "a semicolon that ends a statement for some"),
        ("SELECT $$ a; DROP TABLE people; -- $$", "a semicolon that ends a statement for some"),
        ("SELECT 1 /*! ; DROP TABLE people */", "a semicolon that ends a statement for some"),
        ("SELECT 1 /* a/b /* */ ' */ ; COMMIT; DROP TABLE people; -- '", "a semicolon that ends a statement for some"),
        pytest.param(f"SELECT {'(' * 6000}1{')' * 6000}", "too long or nested too deep", id="deep"),
    ],
)
def test_only_one_statement_that_reads_is_a_query(tmp_path: Path, written: str, what: str) -> None:
    (tmp_path / "q.sql").write_text(written)
    with pytest.raises(InputError, match=what):
        query.read(tmp_path / "q.sql")


@pytest.mark.parametrize(
    "written",
    [
        "(SELECT 1 AS a) UNION (SELECT 2)",
        "VALUES (1)",
        "TABLE people",
        "SELECT string_agg(name, ';') AS names FROM people;",
        r"SELECT '\' AS a, '#' AS b, $$c$$ AS d;",
    ],
)
def test_other_ways_to_write_a_query_are_taken(tmp_path: Path, written: str) -> None:
    (tmp_path / "q.sql").write_text(written)
    assert query.read(tmp_path / "q.sql") == written


def test_comments_and_a_semicolon_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "q.sql").write_text("\ufeff-- customers; all of them\nWITH a AS (SELECT 1 AS x) SELECT x FROM a;\n-- end\n")
    assert query.read(tmp_path / "q.sql").startswith("-- customers")


@pytest.mark.parametrize(
    "values",
    [
        [Decimal(2**64), Decimal(2**64 + 1)],
        [Decimal(2**53 + 1), Decimal("0.5")],
        [Decimal("12345678901234567890.5")],
        [Decimal("1e400"), 0.5],
    ],
)
def test_a_decimal_that_a_float_would_make_another_number_is_refused(values: list[Decimal]) -> None:
    with pytest.raises(InputError, match=r"c: can't be kept: .* is a number that no column of 64-bit numbers holds.*CAST it"):
        query.array(values, "c")


def test_texts_become_no_bytes_where_bytes_come_in_a_later_part(lite: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "BATCH", 1)
    with pytest.raises(InputError, match=r"column 'what'.* of different types \(binary and string\)"):
        fetched(lite, "SELECT 'a' AS what UNION ALL SELECT x'62'", tmp_path / "rows.parquet")


def test_missing_and_large_whole_numbers_are_the_same_in_the_frame_that_is_learnt_from(lite: Engine, tmp_path: Path) -> None:
    asked = f"SELECT {2**53} AS id UNION ALL SELECT {2**53 + 1} UNION ALL SELECT NULL"
    fetched(lite, asked, tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet")["id"].dropna().tolist() == [2**53, 2**53 + 1]
