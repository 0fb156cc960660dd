"""What may be asked, and how a mistake is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import InputError
from include.pool.ask import Ask


def test_sizes_are_read_as_people_write_them():
    assert [Ask.from_json({"memory": text}).memory_mib for text in ("20GiB", "512 MiB", "1.5GiB", "80GB", 2048)] == [
        20_480, 512, 1_536, 76_294, 2_048,
    ]  # fmt: skip


def test_a_whole_fraction_is_a_whole_gpu():
    assert Ask.from_json({"fraction": 1.0}) == Ask.from_json({"gpus": 1})


def test_a_mig_profile_alone_means_one_instance():
    assert Ask.from_json({"mig": "1g.10gb"}).gpus == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "request.gpus: must say how much GPU"),
        ({"gpus": 1, "memory": "1GiB"}, "in exactly one way"),
        ({"gpus": 2, "fraction": 1.0}, "in exactly one way"),
        ({"gpus": -1}, "request.gpus: is -1. Give a whole number from 0 to 64."),
        ({"gpus": True}, "request.gpus"),
        ({"gpus": 10**30}, "request.gpus"),
        ({"fraction": 1.5}, "request.fraction"),
        ({"fraction": float("nan")}, "request.fraction"),
        ({"memory": "-5GiB"}, "request.memory"),
        ({"memory": "lots"}, "Give a size such as `20GiB`"),
        ({"memory": "9" * 40}, "request.memory"),
        ({"mig": "7x"}, "request.mig"),
        ({"gpus": 1, "priority": 11}, "request.priority: is 11. Give a whole number from 1 to 10."),
        ({"gpus": 1, "team": "a b"}, "request.team"),
        ({"gpus": 1, "nodes": 0}, "request.nodes"),
        ({"memory": "1GiB", "nodes": 2}, "request.nodes"),
        ({"gpus": 1, "duration_s": float("inf")}, "request.duration_s"),
        ({"gpus": 1, "labels": {"a": 1}}, "request.labels"),
        ({"gpus": 1, "labels": {"a": "\x1b[31m"}}, "request.labels"),
        ({"fraction": 0.0001}, "request.fraction: is 0.0001. Give a number from 0.001 to 1."),
        ({"gpus": 1, "models": "x" * 65}, "request.models"),
        ({"gpus": 1, "prioritty": 3}, "request.prioritty: is no field of a request. Fields: gpus,"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_field_and_remedy(fields: dict[str, Any], said: str):
    with pytest.raises(InputError) as refused:
        Ask.from_json(fields)
    assert said in str(refused.value)


sizes = st.one_of(
    st.fixed_dictionaries({"gpus": st.integers(1, 64), "nodes": st.integers(1, 8)}),
    st.fixed_dictionaries({"fraction": st.integers(1, 999).map(lambda milli: milli / 1000)}),
    st.fixed_dictionaries({"memory_mib": st.integers(1, 10**6)}),
    st.fixed_dictionaries({"mig": st.sampled_from(["1g.10gb", "3g.40gb", "1g.12gb.me"]), "gpus": st.integers(1, 7)}),
)
texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=5)
rest = st.fixed_dictionaries(
    {},
    optional={
        "models": st.lists(st.sampled_from(["H100-80GB", "A100-40GB"]), max_size=2),
        "labels": st.dictionaries(texts, texts, max_size=2),
        "priority": st.integers(1, 10),
        "preemptible": st.booleans(),
        "duration_s": st.floats(1, 1e6),
        "ttl_s": st.floats(1, 1e4),
    },
)


@given(sizes, rest)
def test_json_and_back_is_the_same_ask(size: dict[str, Any], others: dict[str, Any]):
    ask = Ask.from_json(size | others)
    assert Ask.from_json(ask.to_json()) == ask


@given(st.dictionaries(st.text(max_size=12), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=3)))
def test_anything_else_is_an_ask_or_an_explained_refusal(fields: dict[str, Any]):
    try:
        Ask.from_json(fields)
    except InputError as refused:
        assert str(refused).startswith("request.")
