"""Files of other makers: each is read as what it is, and said; or refused with what to do."""

import json
from pathlib import Path
from typing import Any

import pytest

from include.data import chats
from include.data.chats import Chat, Message
from include.errors import InputError

TOOL = {"type": "function", "function": {"name": "f"}}


def read(tmp_path: Path, *lines: dict[str, Any] | str, form: str | None = None) -> tuple[list[Chat], str]:
    path = tmp_path / "chats.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    said: list[str] = []
    return chats.read(path, form, said.append), "\n".join(said)


def turns(chat: Chat) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in chat.messages]


def openai(*contents: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, **content} for role, content in zip(["user", "assistant"] * 3, contents, strict=False)], **more}


SAID = [("user", "hi"), ("assistant", "yo")]


@pytest.mark.parametrize(
    ("line", "expected", "form"),
    [
        ({"id": "17928", "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}]}, SAID, "ShareGPT"),
        (
            {"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}]},
            [("system", "s"), *SAID],
            "ShareGPT",
        ),
        (
            {"system": "s", "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}]},
            [("system", "s"), *SAID],
            "ShareGPT",
        ),
        ({"conversations": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}, SAID, "ShareGPT"),
        ({"instruction": "Add", "input": "1 2", "output": "3"}, [("user", "Add\n\n1 2"), ("assistant", "3")], "Alpaca"),
        ({"instruction": "Add", "input": "", "output": "3"}, [("user", "Add"), ("assistant", "3")], "Alpaca"),
        ({"instruction": "hi", "context": "", "response": "yo", "category": "x"}, SAID, "Alpaca"),
        (
            {"instruction": "hi", "output": "yo", "system": "s", "history": [["a", "b"]]},
            [("system", "s"), ("user", "a"), ("assistant", "b"), *SAID],
            "Alpaca",
        ),
        ({"prompt": "hi", "completion": " yo"}, SAID, "prompt and completion"),
        (
            {"prompt": [{"role": "user", "content": "hi"}], "completion": [{"role": "assistant", "content": "yo"}]},
            SAID,
            "prompt and completion",
        ),
        (openai({"content": "hi"}, {"content": "yo", "weight": 1}, id="a"), SAID, "OpenAI"),
        (openai({"content": [{"type": "text", "text": "hi"}]}, {"content": "yo"}, tools=[]), SAID, "OpenAI"),
        (
            {"messages": [{"role": "developer", "content": "s"}, *openai({"content": "hi"}, {"content": "yo"})["messages"]]},
            [("system", "s"), *SAID],
            "OpenAI",
        ),
        (
            openai({"content": "a"}, {"content": "b", "weight": 0}, {"content": "hi"}, {"content": "yo"}),
            [("user", "a"), ("assistant", "b"), *SAID],
            "OpenAI",
        ),
    ],
)
def test_a_form_is_recognised_read_and_said(tmp_path: Path, line: dict[str, Any], expected: list[tuple[str, str]], form: str) -> None:
    (chat,), said = read(tmp_path, line)
    assert turns(chat) == expected
    assert f"chats.jsonl: 1 chats are read as {form}" in said


def test_our_own_form_is_read_without_a_word(tmp_path: Path) -> None:
    assert read(tmp_path, openai({"content": "hi"}, {"content": "yo"}))[1] == ""


def test_that_only_the_last_of_several_answers_is_learned_is_said(tmp_path: Path) -> None:
    four = [{"from": "human" if n % 2 == 0 else "gpt", "value": str(n)} for n in range(4)]
    assert "1 chats have several answers; only the last" in read(tmp_path, {"conversations": four})[1]


def test_a_form_that_is_named_is_the_one_that_is_read(tmp_path: Path) -> None:
    line = {"instruction": "Add", "input": "1 2", "output": "3"}
    assert read(tmp_path, line, form="alpaca")[0]
    with pytest.raises(InputError, match=r"chats.jsonl:1: looks like Alpaca. data.format is 'sharegpt': make it 'alpaca'"):
        read(tmp_path, line, form="sharegpt")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            {"conversations": [{"from": "human", "value": "hi"}, {"from": "observation", "value": "{}"}]},
            "conversations[1].from: 'obs",
        ),
        ({"conversations": [{"from": "human", "value": ""}, {"from": "gpt", "value": "yo"}]}, "conversations[0].value: is empty."),
        ({"conversations": [{"from": "gpt", "value": "hi"}]}, "a message of the assistant comes first"),
        ({"conversations": []}, "conversations: holds no turn."),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b", "weight": 0}]}, "conversations[1].weight: is 0"),
        ({"instruction": "hi", "output": ""}, "output: is empty."),
        ({"instruction": "hi", "output": "x", "rejected": "y"}, "preference pair"),
        ({"prompt": "hi", "chosen": "a", "rejected": "b"}, 'jq -c \'{messages: [{role: "user", content: .prompt}, '),
        (
            {"question": "hi", "answer": "a"},
            'jq -c \'{messages: [{role: "user", content: .question}, {role: "assistant", content: .answer}]}\'',
        ),
        ({"text": "hi"}, "text: is a plain text"),
        ({"prompt": "hi", "completion": "a", "label": False}, "label: marks good and bad answers"),
        ({"prompt": "hi\n\n###\n\n", "completion": " a"}, "prompt: ends with a separator"),
        (openai({"content": "hi"}, {"content": "yo"}, tools=[TOOL]), "tools: are given to the model."),
        (openai({"content": "hi"}, {"content": None, "tool_calls": [{}]}), "messages[1].tool_calls: calls a tool."),
        (openai({"content": "hi"}, {"content": "yo", "weight": 0}), "messages[1].weight: is 0"),
        (openai({"content": "a"}, {"content": "b", "weight": 1}, {"content": "c"}, {"content": "d"}), "messages[1].weight: is 1"),
        (
            openai({"content": [{"type": "image_url", "image_url": {}}]}, {"content": "yo"}),
            "messages[0].content: holds a part of the type 'image_url'",
        ),
        ('{"messages": [], "messages": []}', "the key 'messages' stands twice"),
        ('{"messages": [{"role": "user", "role": "assistant", "content": "a"}]}', "the key 'role' stands twice"),
        (openai({"content": "a"}, {"content": "\u200b"}), "messages[1].content: shows nothing: it holds only U+200B."),
        (openai({"content": "\ufeff \u2060\u00ad"}, {"content": "a"}), "messages[0].content: shows nothing"),
        (openai({"content": "a"}, {"content": "\u3164\u2800"}), "messages[1].content: shows nothing"),
    ],
)
def test_what_would_be_learned_otherwise_than_it_is_meant_is_refused_with_its_remedy(tmp_path: Path, line: Any, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, line)
    assert "chats.jsonl:1" in str(caught.value) and expected in str(caught.value)


def test_emoji_and_persian_show_and_have_nothing_invisible() -> None:
    assert all(chats.shows(text) and not chats.invisible(text) for text in ("👩‍💻", "می‌خواهم", "❤️"))
    assert chats.invisible("a\u200bb\ufeff\u202e") == 3


def test_a_copy_with_a_zero_width_space_is_on_the_side_of_the_original() -> None:
    plain, marked = (Chat((Message("user", text), Message("assistant", "x"))) for text in ("What is 1?", "What\u200b is 1?"))
    assert all(plain.split(n / 100) == marked.split(n / 100) for n in range(1, 90))
