"""The rows that a model's query returns, out of a database, as one Parquet file: whole or not at all, and never more than was asked."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from include import atomic
from include.data.whole import EXACT
from include.errors import ComponentError, InputError
from include.runtime import untrusted

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Engine

    from include.spec.data import Sql

MAX_QUERY = 1 << 20
"""Bytes of a query's file."""
BATCH = 10_000
"""Rows that are taken from the database at a time."""
MOST_EXACT = 2**63
"""Whole numbers from here on have no type of 64 bits."""
_NAMELESS = ("", "?column?")
_READS = ("SELECT", "WITH", "VALUES", "TABLE", "FROM", "(")
"""How a statement begins that returns rows and does nothing else: another may write a file where the query is asked (`VACUUM INTO`)."""
_DOUBTFUL = re.compile(r"[\\#`$]|--(?!\s|$)|/\*!|/\*(?:(?!\*/).)*/\*", re.DOTALL)
"""What begins or ends a text, a name or a comment for some databases alone. Where it stands, a semicolon that is in one may be in none."""
_OPTIONS = {"stream_results": True, "max_row_buffer": BATCH, "no_parameters": True}


def read(path: Path) -> str:
    """Return the query in the file. InputError unless it is one statement that reads."""
    import sqlparse

    try:
        with untrusted.plain(path) as file:
            raw = file.read(MAX_QUERY + 1)
        text = raw.decode("utf-8-sig").strip() if len(raw) <= MAX_QUERY else None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't be read: {error}.", where=str(path), remedy="Write one query there, in UTF-8.") from None
    if text is None:
        raise InputError(f"is larger than {MAX_QUERY // 2**20} MiB.", where=str(path), remedy="Write one query there.")
    try:
        parsed = sqlparse.parse(text)
    except sqlparse.exceptions.SQLParseError as error:
        remedy = "Put long lists of values into a table of the database, and join it."
        raise InputError(f"is too long or nested too deep to be looked through: {error}.", where=str(path), remedy=remedy) from None
    statements = [one for one in parsed if one.token_first(skip_cm=True) is not None and str(one).strip(" \r\n\t;")]
    if (count := _statements(token for one in parsed for token in one.flatten())) != 1:
        raise InputError(f"has {count} statements.", where=str(path), remedy="Write one query that returns the rows.")
    if ";" in text.rstrip("; \r\n\t") and _DOUBTFUL.search(text):
        what = "has a semicolon that ends a statement for some databases, by what else stands there: \\ # ` $, `--x`, `/*!` or `/* /*`."
        raise InputError(what, where=str(path), remedy="Write no semicolon in comments, and chr(59) for one in a text.")
    first = statements[0].token_first(skip_cm=True).value.upper()
    if (found := statements[0].get_type()) == "UNKNOWN" and not first.startswith(_READS):
        found = first.split()[0]
    if found not in ("SELECT", "UNKNOWN"):
        raise InputError(f"is no query, or changes data ({found:.40}).", where=str(path), remedy="Write one query that returns the rows.")
    return text


def _statements(tokens: Iterable[Any]) -> int:
    """How many statements semicolons end, whatever stands before: behind a BEGIN, sqlparse takes the next one for a part of the first."""
    from sqlparse.tokens import Comment, Punctuation

    count, empty = 0, True
    for token in tokens:
        if token.ttype is Punctuation and token.value == ";":
            empty = True
        elif not token.is_whitespace and token.ttype not in Comment:
            count, empty = count + empty, False
    return count


def fetch(engine: Engine, query: str, bounds: Sql, path: Path, where: str) -> int:
    """Ask ``query``, keep its rows as Parquet at ``path``, and return how many they are. The transaction changes nothing: it is for reading
    where the database knows such, and is taken back.

    InputError for a query that the database refuses, rows that are no table, or more of them than ``bounds`` has; ComponentError for a
    database that does not answer. ``where`` names the query in both.
    """
    import pyarrow.parquet as pq
    from sqlalchemy import exc

    _insist_on_file(engine, bounds.connection)
    try:
        with engine.connect() as opened, _timed(opened.connection.dbapi_connection, bounds.timeout_minutes * 60) as late:
            try:
                asked = opened.execution_options(**_OPTIONS, **({"postgresql_readonly": True} if engine.name == "postgresql" else {}))
                if engine.name == "sqlite":
                    asked.exec_driver_sql("PRAGMA query_only = ON")
                found = asked.exec_driver_sql(query)
                if not found.returns_rows:
                    raise InputError("returns no rows.", where=where, remedy="Write a query that returns the rows to learn from.")
                table = _table(_named(list(found.keys()), where), found, bounds.most_rows, where)
            except exc.DBAPIError as error:
                if late.is_set():
                    what = f"has not returned all its rows after {bounds.timeout_minutes:g} minutes."
                    raise InputError(what, where=where, remedy="Ask for fewer rows, or raise data.sql.timeout_minutes.") from None
                if isinstance(error.orig, ConnectionError) or error.connection_invalidated:
                    raise
                raise InputError(f"the database refuses it: {_first_line(error)}", where=where, remedy="Correct the query.") from None
    except exc.SQLAlchemyError as error:
        remedy = f"Look at the connection {bounds.connection}, and whether its database answers."
        raise ComponentError(f"can't be asked: {_first_line(error)}", where=where, remedy=remedy) from None
    out = BytesIO()
    pq.write_table(table, out, compression="zstd")
    atomic.write(path, out.getvalue())
    return int(table.num_rows)


def _insist_on_file(engine: Engine, connection: str) -> None:
    """SQLite makes a file that is not there, and finds no table in it."""
    file = engine.url.database if engine.name == "sqlite" else None
    if file and file != ":memory:" and not file.startswith("file:") and not Path(file).is_file():
        raise InputError(
            f"there is no file {file}.", where=f"connection {connection}", remedy="Its host is the path of the database's file."
        )


@contextmanager
def _timed(connection: Any, seconds: float) -> Iterator[threading.Event]:
    """Stop what the driver's connection does after so long; the event says that it was so."""
    late = threading.Event()
    stop = getattr(connection, "cancel", None) or getattr(connection, "interrupt", None)

    def end() -> None:
        late.set()
        if stop is not None:
            stop()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _named(names: list[str], where: str) -> list[str]:
    """The columns' names, which must be there and differ."""
    for number, name in enumerate(names, 1):
        if name in _NAMELESS:
            raise InputError(f"its column {number} has no name.", where=where, remedy="Name it in the query: `... AS name`.")
        if name in names[: number - 1]:
            raise InputError(f"two of its columns are called {name!r}.", where=where, remedy="Name each column it returns in its own way.")
    return names


def _table(names: list[str], rows: Any, most: int, where: str) -> pa.Table:
    import pyarrow as pa

    parts: list[list[pa.Array]] = [[] for _ in names]
    count = 0
    for batch in rows.partitions(BATCH):
        count += len(batch)
        if count > most:
            remedy = "Ask for fewer rows, or raise data.sql.most_rows."
            raise InputError(f"returns more than {most:,} rows.", where=where, remedy=remedy)
        for part, name, values in zip(parts, names, zip(*batch, strict=True), strict=True):
            part.append(array(values, f"{where}: column {name!r}"))
    if not count:
        raise InputError("returns no row.", where=where, remedy="Correct the query: there is nothing to learn from.")
    return pa.table([_joined(part, f"{where}: column {name!r}") for part, name in zip(parts, names, strict=True)], names=names)


def _joined(parts: Sequence[pa.Array], where: str) -> pa.ChunkedArray:
    """One column out of parts whose types may differ as whole numbers and others do."""
    import pyarrow as pa

    try:
        wide = pa.unify_schemas([pa.schema([("_", part.type)]) for part in parts], promote_options="permissive").field(0).type
        if pa.types.is_binary(wide) and any(pa.types.is_string(part.type) for part in parts):
            raise pa.ArrowTypeError("texts would become bytes")
        return pa.chunked_array([part.cast(wide) for part in parts], wide)
    except pa.ArrowException:
        kinds = " and ".join(sorted({str(part.type) for part in parts}))
        raise InputError(f"holds values of different types ({kinds}).", where=where, remedy="CAST it to one in the query.") from None


def array(values: Sequence[Any], where: str) -> pa.Array:
    """Return what a database's driver gave for a column, as a column of one type: decimals as 64-bit numbers (whole where they are), dates
    as times at midnight, times with a zone in UTC. InputError where no one type holds all of them."""
    import pyarrow as pa

    kinds = {type(value) for value in values} - {type(None)}
    try:
        if kinds and kinds <= {int, float, Decimal}:
            return _numbers(values, kinds)
        if kinds and kinds <= {date, datetime}:
            return _times(values)
        if kinds == {UUID}:
            return pa.array([None if value is None else str(value) for value in values], pa.string())
        if len(kinds) <= 1 and not kinds & {dict}:
            return pa.array([bytes(value) if isinstance(value, memoryview) else value for value in values])
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"can't be kept: {error}.", where=where, remedy="CAST it in the query to a number, a text or a time.") from None
    found = " and ".join(sorted(kind.__name__ for kind in kinds))
    raise InputError(f"holds {found}, which no column of a table is.", where=where, remedy="CAST it in the query to one plain type.")


def _numbers(values: Sequence[Any], kinds: set[type]) -> pa.Array:
    """Whole numbers stay whole; a decimal with places is a float, as a float is."""
    import pyarrow as pa

    whole = float not in kinds and all(not isinstance(value, Decimal) or _is_whole(value) for value in values)
    if whole:
        return pa.array([None if value is None else int(value) for value in values], pa.int64())
    if any(type(value) is int and abs(value) > EXACT for value in values):
        raise ValueError("whole numbers beyond 2**53 stand beside others")
    if (large := next((value for value in values if isinstance(value, Decimal) and _is_rounded(value)), None)) is not None:
        raise ValueError(f"{large} is a number that no column of 64-bit numbers holds beside the others")
    return pa.array([None if value is None else float(value) for value in values], pa.float64())


def _is_whole(value: Decimal) -> bool:
    return value.is_finite() and int(value.as_tuple().exponent) >= 0 and abs(value) < MOST_EXACT


def _is_rounded(value: Decimal) -> bool:
    """Whether more than places behind the point would be lost of a decimal as a float."""
    return value.is_finite() and abs(value) > EXACT and Decimal(float(value)) != value


def _times(values: Sequence[Any]) -> pa.Array:
    import pyarrow as pa

    full = [datetime(value.year, value.month, value.day) if type(value) is date else value for value in values]
    zoned = {value.tzinfo is not None for value in full if value is not None}
    if len(zoned) > 1:
        raise ValueError("times with and without a zone stand beside each other")
    if True in zoned:
        return pa.array([None if value is None else value.astimezone(UTC) for value in full], pa.timestamp("us", "UTC"))
    return pa.array(full, pa.timestamp("us"))


def _first_line(error: Exception) -> str:
    """The database's own words, without the query and the connection's secrets, which SQLAlchemy's longer text may have."""
    text = str(getattr(error, "orig", None) or error).strip()
    return f"{text.splitlines()[0][:300] if text else type(error).__name__}."
