"""The part ``data`` of a spec whose model learns from rows: where they come from, and what each column is.

Every field's description is what a user reads in the JSON schema, in the editor and in the trigger form.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from include.spec.parts import Part, RelativeFile, as_tuple

QUERIED = r"^updraft_data_[A-Za-z0-9_.-]{1,200}$"
"""Names of connections that specs may query by."""


def _as_columns(value: object) -> object:
    return (value,) if isinstance(value, str) else as_tuple(value)


class Csv(Part):
    """How a CSV file is written. In a text column only the empty field is missing; among numbers NA, null and their like are too."""

    separator: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """Between fields."""
    decimal: Annotated[str, Field(min_length=1, max_length=1)] = "."
    """Before the decimals of a number."""
    thousands: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """Between the thousands of a number: ',' in 1,234.50."""
    encoding: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = "utf-8"
    """As Python names it: `latin-1`, `cp1252`, `utf-16`."""
    missing: tuple[str, ...] = ()
    """Further texts that mean a missing value, in every column: `['-', '?']`."""
    dates: Annotated[dict[str, str] | tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Columns that are dates (ISO 8601), or each with its form: `{day: '%d.%m.%Y'}`."""
    text: tuple[str, ...] = ()
    """Columns that stay texts whatever they look like: postcodes, identifiers."""
    units: tuple[str, ...] = ()
    """Signs around numbers that are taken away: `['€', '%']` reads `€ 3` and `5 %` as 3 and 5."""

    @property
    def date_formats(self) -> dict[str, str | None]:
        """Name → form of each column of dates; None stands for ISO 8601."""
        return dict(self.dates) if isinstance(self.dates, dict) else dict.fromkeys(self.dates)


class ProductionRows(Part):
    """Rows that callers sent and that were labelled by feedback, learnt from beside the source's: of the prediction log (`monitor.log`)."""

    days: Annotated[float, Field(gt=0, le=3650)] = 30
    """Rows of this long before the run's beginning (days)."""
    most_rows: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """... and no more than this of them, the newest."""
    replace_source_at: Annotated[int, Field(ge=10, le=10_000_000)] | None = None
    """From so many of them on the model learns from them alone: where what is right has changed, the source's rows contradict them."""


class Sql(Part):
    """How the query in a `.sql` file is asked."""

    connection: Annotated[str, Field(pattern=QUERIED)]
    """The Airflow connection of the database. Its name begins with `updraft_data_`: an admin who names one so lets specs query by it."""
    most_rows: Annotated[int, Field(ge=1, le=1_000_000_000)] = 10_000_000
    """A query that returns more rows than this is an error."""
    timeout_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 60
    """A query that has not returned all its rows by then is an error."""


class Data(Part):
    source: str
    """`module:function` in the model's folder that returns a pandas DataFrame, or the path of a CSV or Parquet file in it, or of a `.sql`
    file whose one query returns the rows (`data.sql` says from where)."""
    sql: Sql | None = None
    """Where a query is asked, and its bounds, when `source` is one."""
    target: str
    """The column to predict."""
    features: tuple[str, ...] | None = None
    """Columns the model sees, in order. Default: every column but the target, the group and those that `exclude` names."""
    exclude: tuple[str, ...] = ()
    """Columns the model must not see, though the gate may slice by them."""
    group: str | None = None
    """Rows that share this column's value stay on one side of the train/test split."""
    key: Annotated[tuple[str, ...], BeforeValidator(_as_columns)] = ()
    """Column, or columns, that identify a row. They alone decide its side: it stays there when other columns change, are added or age."""
    time: str | None = None
    """Column of dates or numbers by which train and test are split: the latest `test_fraction` of the rows is held out, and nothing of the
    future is trained on."""
    gap: Annotated[float, Field(ge=0)] = 0
    """Rows this close before the first held-out one are left out of training: in days, or where `time` is a number in its own unit."""
    test_fraction: Annotated[float, Field(gt=0, lt=0.9)] = 0.2
    """Share of the rows held out. A row's side depends on its content alone, so it never changes side between snapshots."""
    expectations: RelativeFile = "expectations.yaml"
    """Great Expectations suite of the source."""
    csv: Csv = Csv()
    """How the CSV file is written, where `source` is one."""
    production: ProductionRows | None = None
    """Learn from logged and labelled rows of production too. The column `updraft_origin` says where a row is from: `source` or `production`
    (`gate.slices` may name it)."""
