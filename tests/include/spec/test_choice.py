from __future__ import annotations

import pytest

from include.errors import InputError
from include.spec.choice import choice


def test_a_kind_that_no_backend_serves_is_refused_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"no backend serves models of kind 'image'\. Give a backend a class of `serve`"):
        choice("image")
