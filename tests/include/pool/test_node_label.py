"""Work that must run on one machine names it."""

import pytest

from include.pool.errors import Impossible
from include.pool.grants import NODE_LABEL
from tests.include.pool.floor import Floor


def test_every_node_is_found_by_its_name():
    floor = Floor(a=2, b=2)
    for name in ("b", "a", "b"):
        (grant,) = floor.grants(floor.start(f"{name}{floor.now}", gpus=1, labels={NODE_LABEL: name}))
        assert grant.node == name
        floor.at(floor.now + 1)


def test_a_name_that_no_node_has_is_refused():
    with pytest.raises(Impossible, match="no node has the labels"):
        Floor(a=2).ask("k", gpus=1, labels={NODE_LABEL: "elsewhere"})


def test_a_label_of_that_name_deceives_nobody():
    floor = Floor(a=1, b=1)
    floor.labels["b"] = {NODE_LABEL: "a"}
    floor.report("b")
    (grant,) = floor.grants(floor.start("k", gpus=1, labels={NODE_LABEL: "a"}))
    assert grant.node == "a"
