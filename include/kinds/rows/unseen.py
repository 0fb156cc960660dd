"""Which held-out rows the champion was not trained on: what a comparison with it may use. Pure.

A split by content keeps its promise as long as a row's content stays. Where columns were added, or ages count up, the rows of the
champion's own snapshot tell: by key, by group, by time, or by what of their content both snapshots have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.data.columns import typed
from include.kinds.rows.split import moments, row_hashes, sides
from include.spec.data import Data

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    Bools = npt.NDArray[np.bool_]

SAMPLE, MOST_TWINS = 200, 20_000
"""Rows that are looked at for a twin, and rows among which it is looked for."""
TWIN_BITS = 7
"""A row is another's earlier form when what they share is 2 ** 7 times as unlikely as the best match by chance."""
TWINS = 0.05
"""Share of rows with a twin from which rows count as changed, not new."""
REMEDY = "Name `data.key` (what identifies a row) or `data.time`"


@dataclass(frozen=True)
class Unseen:
    """``rows``: True for each held-out row that the champion was surely not trained on; ``note`` says how that is known, or why not."""

    rows: Bools
    note: str = ""


def unseen(table: pd.DataFrame, test: pd.DataFrame, data: Data, theirs: pd.DataFrame, their_data: Data) -> Unseen:
    """Of the held-out rows ``test`` of today's ``table``. ``theirs``: the champion's snapshot, and ``their_data`` how it was split."""
    import numpy as np

    theirs, table, test = typed(theirs), typed(table), typed(test)
    trained = sides(theirs, their_data).train
    by = list(data.key) or ([data.group] if data.group else [])
    if by and all(name in theirs.columns for name in by):
        seen = np.isin(row_hashes(test[by]), row_hashes(theirs[trained][by]))
        return Unseen(~seen, f"by {', '.join(by)}")
    if data.time is not None and data.time == their_data.time:
        latest = moments(theirs[data.time])[trained].max()
        return Unseen(moments(test[data.time]) > latest, f"by {data.time}")
    return _by_content(table, test, theirs, trained)


def _by_content(table: pd.DataFrame, test: pd.DataFrame, theirs: pd.DataFrame, trained: Bools) -> Unseen:
    import numpy as np

    shared = sorted(set(map(str, table.columns)) & set(map(str, theirs.columns)))
    if not shared:
        return Unseen(np.zeros(len(test), dtype=bool), f"the snapshots share no column. {REMEDY}")
    own, all_own, old = (row_hashes(frame[shared]) for frame in (test, table, theirs))
    seen, known = np.isin(own, old[trained]), np.isin(own, old)
    vanished = ~np.isin(old, all_own)
    unknown = ~known
    if not unknown.any() or not vanished.any() or not _changed(test[shared][unknown], theirs[shared][vanished]):
        return Unseen(~seen)
    note = f"{int(unknown.sum())} held-out rows seem to be rows of its snapshot that have changed since. {REMEDY}"
    return Unseen(known & ~seen, note)


def _changed(new: pd.DataFrame, gone: pd.DataFrame) -> bool:
    """Whether rows that are ``new`` are earlier ones that have changed: they share more with a row that is ``gone`` than chance gives."""
    import numpy as np
    import pandas as pd

    new = new.iloc[np.linspace(0, len(new) - 1, min(SAMPLE, len(new))).astype(int)]
    gone = gone.iloc[np.linspace(0, len(gone) - 1, min(MOST_TWINS, len(gone))).astype(int)]
    score = np.zeros((len(new), len(gone)), dtype=np.float32)
    bits = []
    for name in new.columns:
        codes = pd.factorize(pd.concat([new[name], gone[name]], ignore_index=True).astype(object), use_na_sentinel=False)[0]
        own, old = codes[: len(new)], codes[len(new) :]
        share = np.bincount(old, minlength=int(codes.max()) + 1) / len(old)
        own_bits = -np.log2(np.maximum(share, 1 / len(old)))
        score += np.where(own[:, None] == old[None, :], own_bits[own][:, None], 0).astype(np.float32)
        bits.append(float(own_bits[old].mean()))
    wanted = float(np.log2(max(len(gone), 2))) + TWIN_BITS
    if sum(bits) - max(bits) < wanted:
        return True  # the columns hold too little to tell a changed row from a new one
    return bool((score.max(axis=1) >= wanted).mean() >= TWINS)
