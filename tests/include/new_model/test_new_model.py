"""A file of data becomes a model's folder: read whatever it is written like, nothing silently wrong, nothing written over."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from include.data import table as tables
from include.errors import InputError
from include.kinds.check import check
from include.kinds.load import find, load_as
from include.new_model import folder, templates
from include.new_model.answers import Answers
from include.new_model.plan import planned
from include.new_model.table_file import look
from include.spec.schema import ModelSpec, Task
from tests.include.new_model import files

TARGET = "gekündigt"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    found = tmp_path / "models"
    found.mkdir()
    return found


def made(models: Path, data: Path, target: str = TARGET, **more: object) -> Path:
    answers = Answers(**{"name": "churn", "data": data, "target": target, "template": "tabular"} | more)  # type: ignore[arg-type]
    return folder.make(planned(answers, templates.find()), models)


def read(model: Path) -> tuple[ModelSpec, pd.DataFrame]:
    """The model's spec, and its data as a run reads it."""
    spec = load_as(model / "model.yaml", ModelSpec)
    return spec, tables.read(model / spec.data.source, spec.data.csv)


WRITTEN = {
    "semicolons, decimal commas, latin-1": (lambda path: files.german(path, files.customers()), ";", ","),
    "commas, UTF-8": (lambda path: files.plain(path, files.customers()), ",", "."),
    "a byte order mark": (lambda path: files.plain(path, files.customers(), encoding="utf-8-sig"), ",", "."),
    "UTF-16": (lambda path: files.plain(path, files.customers(), encoding="utf-16"), ",", "."),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_a_file_is_read_as_it_is_written(models: Path, tmp_path: Path, how: str) -> None:
    write, separator, decimal = WRITTEN[how]
    model = made(models, write(tmp_path / "Kunden (Mai).csv"))
    spec, frame = read(model)
    assert (spec.data.csv.separator, spec.data.csv.decimal) == (separator, decimal)
    expected = files.customers()
    assert list(frame.columns) == expected[0] and len(frame) == files.ROWS
    assert frame["Umsatz"].tolist() == [float(row[3]) for row in expected[1:]]
    assert frame["Monate"].isna().sum() == files.ROWS // 20 and frame["Rabatt"].max() == 10
    assert set(frame["Tarif"]) == {"Basis", "Profi", "Für alle"} and spec.task is Task.CLASSIFICATION
    assert set(spec.data.exclude) == {"Kunden-Nr", "Seit", "Notiz"}
    assert (model / "README.md").read_text().startswith("# churn")


def test_numbers_with_a_comma_are_no_thousands_where_semicolons_separate(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("weight;y\n" + "".join(f"{n % 10},{n:03d};{n % 2}\n" for n in range(100, 160)))
    assert look(path).frame["weight"].iloc[0] == pytest.approx(0.1)


def test_a_word_among_numbers_that_says_nothing_of_missing_stays_and_the_column_is_left_out(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("size,age,y\n" + "".join(f"{'XL' if n % 5 == 0 else 38 + n % 3},{n},{n % 2}\n" for n in range(60)))
    spec, frame = read(made(models, path, "y"))
    assert spec.data.csv.missing == () and spec.data.exclude == ("size",) and (frame["size"] == "XL").sum() == 12
    assert "texts among numbers: 'XL'" in (models / "churn" / "README.md").read_text()


def test_thousands_are_read_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("pay;y\n" + "".join(f"{n}.{n:03d},50;{n % 2}\n" for n in range(100, 160)))
    assert look(path).frame["pay"].iloc[0] == pytest.approx(100_100.5)


def test_a_comma_that_can_only_stand_before_decimals_is_never_one_between_thousands(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("a\tb\ty\n" + "".join(f"{n},{n:03d}\t{n},5\t{n % 2}\n" for n in range(100, 160)))
    found = look(path)
    assert found.csv is not None and (found.csv.decimal, found.csv.thousands) == (",", None)
    assert found.frame["b"].iloc[0] == pytest.approx(100.5) and found.frame["a"].iloc[0] == pytest.approx(100.1)


def test_a_comma_that_may_be_either_is_told_as_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("a\ty\n" + "".join(f"{n},{n:03d}\t{n % 2}\n" for n in range(100, 160)))
    found = look(path)
    assert found.frame["a"].iloc[0] == 100_100 and "100,100 is read as 100100" in found.notes[0]


@pytest.mark.parametrize(
    ("separator", "dates", "month", "told"),
    [
        (
            ",",
            ("03/04/2024", "05/06/2024"),
            3,
            "in 03/04/2024 the month is taken to stand first; if it does not: data.csv.dates: {at: '%d/%m/%Y'}.",
        ),
        (
            ";",
            ("03-04-2024", "05-06-2024"),
            4,
            "in 03-04-2024 the day is taken to stand first; if it does not: data.csv.dates: {at: '%m-%d-%Y'}.",
        ),
        (",", ("03/04/2024", "25/06/2024"), 4, ""),
        (";", ("03/04/24 10:00", "05/26/24 11:00"), 3, ""),
    ],
)
def test_a_day_that_may_be_the_month_is_told_as_it_was_read(
    tmp_path: Path, separator: str, dates: tuple[str, str], month: int, told: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"at{separator}y\n" + "".join(f"{dates[n % 2]}{separator}{n}\n" for n in range(40)))
    found = look(path)
    assert found.frame["at"].iloc[0].month == month
    assert [note.removeprefix("column 'at': ") for note in found.notes if "stand first" in note] == ([told] if told else [])


def test_times_with_and_without_a_zone_stay_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("at,y\n" + "".join(f"2024-03-04T10:00{'Z' * (n % 2)},{n}\n" for n in range(40)))
    assert look(path).frame["at"].iloc[1] == "2024-03-04T10:00Z"


def test_dots_between_semicolons_that_may_be_thousands_are_told_and_read_as_such_on_demand(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = "".join(f"{n if n % 3 else f'{n}.{n:03d}'};0.{n:03d};{n % 2}\n" for n in range(100, 160))
    path.write_text("pay;share;y\n" + rows)
    found = look(path)
    assert [note for note in found.notes if "thousands" in note] == [
        "column 'pay': 102.102 is read as 102.102; if its dot stands between thousands: DECIMAL=, (data.csv.decimal)."
    ]
    path.write_text("pay;y\n" + "".join(f"{n}.{n:03d};{n % 2}\n" for n in range(100, 160)))
    assert look(path, {"decimal": ","}).frame["pay"].iloc[0] == 100_100


def test_names_that_are_there_twice_are_refused_and_renamed_on_demand(models: Path, tmp_path: Path) -> None:
    data = tmp_path / "a.csv"
    data.write_text("a,a,,y\n" + "".join(f"{n},{n * 7 % 11},{n * 5 % 3},{n % 2}\n" for n in range(60)))
    with pytest.raises(InputError, match=r"a.csv:1: the column 'a' is there twice.*RENAME=1.*a, a_2, column_3, y"):
        made(models, data, "y")
    assert not list(models.iterdir())
    _, frame = read(made(models, data, "y", mend_header=True))
    assert list(frame.columns) == ["a", "a_2", "column_3", "y"] and frame["a_2"].tolist()[:3] == [0, 7, 3]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
def test_a_renamed_header_keeps_the_files_own_encoding(models: Path, tmp_path: Path, encoding: str) -> None:
    data = tmp_path / "a.csv"
    mark = "\ufeff" if "16" in encoding else ""
    data.write_bytes((mark + "sep=;\r\nä;ä;y\r\n" + "".join(f"{n};ü{n % 3};{n % 2}\r\n" for n in range(60))).encode(encoding))
    _, frame = read(made(models, data, "y", mend_header=True))
    assert list(frame.columns) == ["ä", "ä_2", "y"] and frame["ä_2"].tolist()[:2] == ["ü0", "ü1"]


REFUSED = {
    "one class": ("a,y\n" + "1,no\n2,no\n" * 20, "y", r"target 'y': holds only one value, 'no', in 40 rows"),
    "no such column": ("a,y\n" + "1,no\n2,yes\n" * 20, "z", r"target: the data has no column 'z'. It has a, y"),
    "texts that are no classes": (
        "a,y\n" + "".join(f"{n},t{n}\n" for n in range(40)),
        "y",
        r"40 different texts in 40 rows, which are no classes",
    ),
    "a header alone": ("a,y\n", "y", "has a header and no rows"),
    "nothing": ("", "y", "is empty"),
    "one column": ("y\n" + "1\n2\n" * 20, "y", "has one column only"),
    "a target with holes": ("a,y\n" + "1,no\n2,yes\n3,\n" * 20, "y", r"data.source: a.csv: target 'y': is missing in 20 row"),
    "too few rows": ("a,y\n1,no\n2,yes\n", "y", "too few to split"),
    "nothing to learn from": ("a,y\n" + "1,no\n1,yes\n" * 20, "y", r"no column is left for a model to see.*'a' has one value only"),
    "lines of other lengths": ("a,y\n1,no\n1,2,yes\n" + "2,no\n" * 20, "y", r"a.csv:3: 3 fields where the header has 2"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_data_is_refused_by_what_and_where_and_leaves_nothing(models: Path, tmp_path: Path, what: str) -> None:
    text, target, said = REFUSED[what]
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        made(models, tmp_path / "a.csv", target)
    assert not list(models.iterdir())


@pytest.mark.parametrize("name", ["Churn", "1st", "a b", "../x", "", "schema", "a" * 49])
def test_a_name_that_no_model_can_have_is_refused(models: Path, tmp_path: Path, name: str) -> None:
    data = files.plain(tmp_path / "a.csv", files.customers(60))
    with pytest.raises(InputError, match="is no name of a model"):
        made(models, data, name=name)


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_what_is_there_is_never_written_over(models: Path, tmp_path: Path, there: str) -> None:
    data = files.plain(tmp_path / "a.csv", files.customers(60))
    taken = models / "churn"
    {"folder": taken.mkdir, "file": lambda: taken.write_text("mine"), "link": lambda: taken.symlink_to("/nowhere")}[there]()
    with pytest.raises(InputError, match="already, which stays as it is"):
        made(models, data)
    assert [path.name for path in models.iterdir()] == ["churn"]
    # Somebody else was faster, after the look:
    staged = tmp_path / "staged"
    staged.mkdir()
    if there == "folder":
        (taken / "model.yaml").write_text("mine")
    with pytest.raises(InputError, match="already"):
        folder._into_place(staged, taken)


def test_what_a_killed_attempt_left_is_no_model_and_goes(models: Path, tmp_path: Path) -> None:
    left = models / ".new-abc"
    (left / "churn").mkdir(parents=True)
    (left / folder.LOCK).write_text("")
    (left / "churn" / "model.yaml").write_text("name: churn\n")
    assert find(models) == []
    made(models, files.plain(tmp_path / "a.csv", files.customers(60)))
    assert [path.name for path in models.iterdir()] == ["churn"]


def test_the_proposed_rules_hold_and_their_violations_are_those_of_great_expectations(models: Path, tmp_path: Path) -> None:
    from include.data.validate import validate
    from include.verdict import Decision

    table = files.customers(1000)
    for number in (3, 500):
        table[number][3] = "100000.00"  # two amounts far outside
    model = made(models, files.plain(tmp_path / "a.csv", table))
    spec, _ = read(model)
    verdict = validate(model / spec.data.source, model / "expectations.yaml", tmp_path / "docs", name="churn", csv=spec.data.csv)
    assert verdict.decision is Decision.PASS, verdict.reasons
    plan = planned(Answers("churn", model / spec.data.source, TARGET, "tabular"), templates.find())
    shares = {rule.arguments.get("column"): rule.violations for rule in plan.rules if rule.violations}
    assert shares == {"Monate": 0.05, "Umsatz": 0.002}
    spent = [rule for rule in verdict.rules if "Umsatz" in rule.name and "between" in rule.name]
    assert spent and str(spent[0].figure) == "all rows but 2"


def test_a_file_of_any_size_is_looked_at_in_bounded_parts_and_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from include.new_model import sample

    path = tmp_path / "a.csv"
    note = '"two\nlines"'
    path.write_text("n,note,y\n" + "".join(f"{n},{note if n % 50 == 0 else 'x'},{'ab'[n % 2]}\n" for n in range(200_000)))
    take = sample.take
    monkeypatch.setattr(sample, "take", lambda at: take(at, whole=1 << 20, head=1 << 18, block=1 << 14))
    found = look(path)
    assert not found.whole and len(found.frame) < 80_000
    assert abs(found.all_rows - 200_000) < 20_000 and found.frame["n"].max() > 190_000
    assert set(found.frame["y"]) == {"a", "b"} and "were looked at" in found.notes[-1]


def test_bytes_of_another_encoding_far_behind_the_sample_are_found_as_the_file_is_copied(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from include.new_model import sample

    path = tmp_path / "a.csv"
    path.write_bytes(b"n,y\n" + b"".join(b"%d,%s\n" % (n, b"ab"[n % 2 : n % 2 + 1]) for n in range(100_000)) + b"1,\xe4\n")
    take = sample.take
    monkeypatch.setattr(sample, "take", lambda at: take(at, whole=1 << 18, head=1 << 16, block=1 << 10))
    with pytest.raises(InputError, match="is not UTF-8 all through: byte 0xe4"):
        made(models, path, "y")
    assert not list(models.iterdir())


def test_parquet_is_taken_as_it_is(models: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": range(80), "tags": [[1, 2]] * 80, "when": pd.date_range("2024-01-01", periods=80), "y": [0.5, 1.25] * 40})
    frame.to_parquet(tmp_path / "a.parquet")
    spec, found = read(made(models, tmp_path / "a.parquet", "y"))
    assert spec.task is Task.REGRESSION and set(spec.data.exclude) == {"tags", "when"} and len(found) == 80


def test_names_and_texts_of_any_kind_stand_in_the_yaml_as_they_are(models: Path, tmp_path: Path) -> None:
    odd = ["a: b", "#x", "null", "1e5", "*", "x[1]", "q'\"", "back\\slash", "tab\tx", "😀", "\u0085n"]
    frame = pd.DataFrame({name: [n % 7 + 0.5 for n in range(70)] for name in odd} | {"no": ["1e5", "yes"] * 35})
    frame.to_parquet(tmp_path / "a.parquet")
    model = made(models, tmp_path / "a.parquet", "no", use=tuple(odd[:6]))
    spec, _ = read(model)
    assert spec.data.target == "no" and list(spec.data.exclude) == odd[6:]
    check(model / "model.yaml")


def test_a_folder_in_the_models_folder_is_a_template_too(models: Path, tmp_path: Path) -> None:
    own = models / templates.OWN / "mine"
    (own / "any").mkdir(parents=True)
    (own / "template.yaml").write_text("title: Mine\ndescription: Ours.\nkind: table\ntasks: [classification]\ndata: table\n")
    (own / "any" / "train.py").write_text("def train(X, y, params): ...\n")
    data = files.plain(tmp_path / "a.csv", files.customers(60))
    answers = Answers("churn", data, TARGET, "mine")
    model = folder.make(planned(answers, templates.find(models / templates.OWN)), models)
    assert (model / "train.py").read_text().startswith("def train") and [path.parent.name for path in find(models)] == ["churn"]
    (own / "template.yaml").write_text("title: Mine\ntasks: [chess]\n")
    with pytest.raises(InputError, match=r"mine/template.yaml"):
        templates.find(models / templates.OWN)


def test_the_folder_is_readable_to_whom_the_models_are(models: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        model = made(models, files.plain(tmp_path / "a.csv", files.customers(60)))
    finally:
        os.umask(before)
    assert model.stat().st_mode & 0o777 == models.stat().st_mode & 0o777 and (model / "train.py").stat().st_mode & 0o044 == 0o044
