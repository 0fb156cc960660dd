"""Whether what is learned from a chat is what is asked and answered in serving: told before anything is trained.

Three texts must agree: the prompt that a server writes (`add_generation_prompt`), the whole chat that is learned, and where an answer ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = Sequence[dict[str, str]]

ASKED, ANSWERED = "Which number comes after 41?", "Forty-two it is."
SYSTEM = "You count numbers."
TEXTS = (
    "It's 12345.678 + 9 = ?\n\n\n  indented\tand\t\tspaced  \r\nEND",
    "naïve café — «Größe» ŁÓDŹ Ελλάδα Привет 日本語 한국어 مرحبا हिन्दी 🙂👩‍💻🏳️‍🌈",
    "decomposed: Cafe\u0301 A\u030angstro\u0308m \u1112\u1161\u11ab, zero width: a\u200bb, no break: a\u00a0b\u3000c",
    "123456789012345678901234567890 0x7f 3.14159265358979 1,000,000",
    "def f(x):\n    return {\"a\": [1, 2.5e-3, None], 'b': x**2}  # don't \\n </s> {{ x }} {% y %}",
    "              spaces\n\n\n\n\n\n\n\n\nand lines\t\t\t\t\t\t\t",
)
"""Texts that tokenizers and template engines tend to differ on."""
WORDS = 8
"""Answers of a single word that are tried."""
RENDERINGS = 4
"""A template that draws lots writes the same text so many times in a row only by luck."""


@dataclass(frozen=True)
class Misfit:
    """What is wrong with a chat as the template writes it, and what to do."""

    what: str
    remedy: str


@dataclass(frozen=True)
class Template:
    """What was found out about a template that fits: ``no_system``: why chats must have no system message ("" when they may)."""

    notes: tuple[str, ...]
    no_system: str


def render(tokenizer: PreTrainedTokenizerBase, messages: Messages, *, asked: bool) -> str:
    """The text of a whole chat, or, with ``asked``, of a prompt that waits for its answer. Raises what the template raises."""
    return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=asked))


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The tokens that are marks and no text: those of the template, the end, the padding."""
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return sorted({*added, *tokenizer.all_special_tokens})


def check(tokenizer: PreTrainedTokenizerBase, where: str) -> Template:
    """Raises InputError, naming cause and remedy, when chats can't be learned as they will be served."""
    one = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWERED}]
    for answer in (ANSWERED, *_words(tokenizer)):
        if fault := misfit(tokenizer, [one[0], {"role": "assistant", "content": answer}]):
            raise InputError(fault.what, where=where, remedy=fault.remedy)
    if len({render(tokenizer, one, asked=False) for _ in range(RENDERINGS)}) > 1:
        raise InputError(
            "its chat template writes another text each time.", where=where, remedy="Take `random` and the like out of the template."
        )
    notes = []
    lead = _lead(tokenizer, one)
    if lead.strip():
        notes.append(f"The template writes {lead!r:.120} before each answer: the model learns to say it, and callers get it.")
    if fault := misfit(tokenizer, [*one, {"role": "user", "content": "And then?"}, {"role": "assistant", "content": "Forty-three."}]):
        notes.append(f"Chats of several turns would be refused: {fault.what}")
    fault = misfit(tokenizer, [{"role": "system", "content": SYSTEM}, *one])
    if fault:
        notes.append(f"Chats with a system message would be refused: {fault.what}")
    return Template(tuple(notes), fault.what if fault else "")


def _words(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """A few answers that are one token with the space before them: behind a prompt that ends with a space they would be cut otherwise."""
    merged = sorted((number, token) for token, number in tokenizer.get_vocab().items() if token[:1] in ("Ġ", "▁") and token[1:].isalpha())
    return [token[1:] for _, token in merged if token[1:].isascii()][:WORDS]


def misfit(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> Misfit | None:
    """The first thing by which what is learned from a chat differs from what is served."""
    try:
        prompt, whole = render(tokenizer, messages[:-1], asked=True), render(tokenizer, messages, asked=False)
    except Exception as error:  # a template is a program of the model's author, and raises what it likes
        return Misfit(f"is refused by the base model's chat template: {error}.", "Write the chats as the model was made for.")
    ids = tokenizer([prompt, whole], add_special_tokens=False)["input_ids"]
    return misfit_of(tokenizer, messages, (prompt, whole), (list(ids[0]), list(ids[1])))


def misfit_of(
    tokenizer: PreTrainedTokenizerBase, messages: Messages, texts: tuple[str, str], ids: tuple[list[int], list[int]]
) -> Misfit | None:
    """The same for a chat whose prompt and whole have been written (``texts``) and cut into tokens (``ids``)."""
    return _of_texts(tokenizer, messages, *texts) or _of_tokens(tokenizer, messages, *ids)


def _of_texts(tokenizer: PreTrainedTokenizerBase, messages: Messages, prompt: str, whole: str) -> Misfit | None:
    *before, last = messages
    answer = last["content"].strip()
    for number, message in enumerate(before):
        if message["role"] != "assistant" and message["content"].strip() not in prompt:
            return Misfit(
                f"the chat template leaves out or changes messages[{number}] ({message['role']}).", "Leave it out, or use another template."
            )
    if not whole.startswith(prompt):
        at = next((at for at, (one, other) in enumerate(zip(prompt, whole, strict=False)) if one != other), min(len(prompt), len(whole)))
        return Misfit(
            "what is learned does not begin with the prompt that is served: the template ends a prompt with "
            f"{prompt[max(0, at - 20) :]!r:.100}, and a whole chat has {whole[max(0, at - 20) : at + 60]!r:.100} there.",
            "Use a template whose prompt is the beginning of the whole chat (for a model that thinks first: one that keeps <think> in the "
            "answers, or does not open it in the prompt).",
        )
    rest = whole[len(prompt) :]
    if answer not in rest:
        return Misfit(
            f"the chat template leaves out or changes the answer: {rest!r:.100}.", "Use a template that writes answers as they are."
        )
    lead = rest[: rest.index(answer)]
    if lead.strip() and prompt == render(tokenizer, before, asked=False):
        return Misfit(
            f"the chat template ignores add_generation_prompt: {lead!r:.60} stands before the answer, and a prompt does not end with it.",
            "Add `{% if add_generation_prompt %}...{% endif %}` with it to the end of the template.",
        )
    return None


def _of_tokens(tokenizer: PreTrainedTokenizerBase, messages: Messages, prompt: list[int], whole: list[int]) -> Misfit | None:
    if whole[: len(prompt)] != prompt:
        at = next((at for at, (one, other) in enumerate(zip(prompt, whole, strict=False)) if one != other), min(len(prompt), len(whole)))
        ours, theirs = (tokenizer.convert_ids_to_tokens(part[at : at + 3]) for part in (prompt, whole))
        return Misfit(
            f"a prompt ends with the tokens {ours!r}, and a whole chat has {theirs!r} there: the answer melts into the prompt.",
            "End the template's prompt with a line break or a control token, not with a space, and begin answers without white space.",
        )
    rest, end = whole[len(prompt) :], tokenizer.eos_token_id
    if end is None or end not in rest:
        marks = [token for token in tokenizer.convert_ids_to_tokens(rest) if token in set(control_tokens(tokenizer))]
        if not marks or end is None:
            return Misfit(
                f"no token ends an answer: the template writes {tokenizer.decode(rest[-8:])!r:.60} at its end, and a model learns to stop "
                f"by its eos_token ({tokenizer.eos_token!r}).",
                "Write `{{ eos_token }}` behind each answer in the template.",
            )
        return Misfit(
            f"the template ends an answer with {marks[0]!r}, but evaluation and server stop at the eos_token {tokenizer.eos_token!r}.",
            f'Set "eos_token": "{marks[0]}" in tokenizer_config.json (and its id as eos_token_id in config.json).',
        )
    at = rest.index(end)
    said, behind = tokenizer.decode(rest[:at]), tokenizer.decode(rest[at + 1 :])
    if not _holds(tokenizer, said, messages[-1]["content"]):
        return Misfit(
            f"the answer's end {tokenizer.eos_token!r} comes within it, behind {said!r:.60}.", "Write it once, behind the answer."
        )
    if behind.strip():
        return Misfit(
            f"the template goes on behind the answer's end, with {behind!r:.60}: that would be learned too.",
            "End the whole chat with the eos_token (a line break may follow).",
        )
    return None


def _holds(tokenizer: PreTrainedTokenizerBase, said: str, answer: str) -> bool:
    """Whether decoded tokens hold the answer; a normaliser may have written its letters otherwise."""
    normal = tokenizer.decode(tokenizer(answer.strip(), add_special_tokens=False)["input_ids"]).strip()
    return answer.strip() in said or normal in said


def _lead(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> str:
    """What the template writes between the prompt and the answer."""
    rest = render(tokenizer, messages, asked=False).removeprefix(render(tokenizer, messages[:-1], asked=True))
    return rest[: rest.index(messages[-1]["content"].strip())]


def probes(tokenizer: PreTrainedTokenizerBase, *, system: bool) -> list[list[dict[str, str]]]:
    """Prompts to compare with a server's: awkward texts, control tokens inside of texts, several turns, a system message."""
    marks = control_tokens(tokenizer)
    texts = [*TEXTS, *(f"a{mark}b {mark}" for mark in marks[:16]), "".join(marks[:64])]
    found = [[{"role": "user", "content": text}] for text in texts]
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": TEXTS[0]},
        {"role": "assistant", "content": f"  {ANSWERED} \n"},
        {"role": "user", "content": TEXTS[1]},
    ]
    candidates = [turns, *([[{"role": "system", "content": f" {SYSTEM}\n"}, turns[0]]] if system else [])]
    for one in candidates:
        try:
            render(tokenizer, one, asked=True)
        except Exception:
            continue
        found.append(one)
    return found
