"""What a gang's workers say, sorted: whose error counts, what is another's going, which node this is, what it is told in private."""

import json
import os
import stat
import time

import pytest

from include.errors import ComponentError, InputError
from include.steps import ending, gang, worker


def said(folder, rank: int, error) -> None:
    mine = gang.rank_folder(folder, rank)
    mine.mkdir(parents=True)
    ending.write_error(mine, error)
    os.utime(mine / ending.ERROR, (time.time() + rank, time.time() + rank))


def test_bad_input_counts_before_a_server_that_failed_and_that_before_workers_that_saw_another_go(tmp_path):
    assert gang.own_error(tmp_path) is None
    mine = gang.rank_folder(tmp_path, 0)
    mine.mkdir(parents=True)
    (mine / ending.ERROR).write_text(json.dumps({"kind": gang.LOST, "what": "Connection closed by peer", "where": "", "remedy": ""}))
    assert gang.own_error(tmp_path) is None
    said(tmp_path, 2, ComponentError("MLflow is away."))
    said(tmp_path, 1, ComponentError("the disk is full."))
    assert "disk" in str(gang.own_error(tmp_path))
    said(tmp_path, 3, InputError("no such column."))
    found = gang.own_error(tmp_path)
    assert isinstance(found, InputError) and "column" in found.what


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:3201"), True),
        (RuntimeError("NCCL communicator was aborted on rank 1."), True),
        (type("DistBackendError", (RuntimeError,), {})("NCCL error"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("the peer reviewed column is empty"), False),
        (InputError("connection refused by the bank."), False),
    ],
)
def test_what_torch_says_of_another_s_going_is_not_this_worker_s_error(error, lost):
    assert worker.lost_another(error) is lost
    outer = InputError("train() raised RuntimeError")
    outer.__cause__ = error
    assert worker.lost_another(outer) is lost


@pytest.mark.parametrize(
    ("environment", "rank"),
    [({}, 0), ({"RANK": "2"}, 0), ({"RANK": "2", "MASTER_ADDR": "a"}, 2), ({"PET_NODE_RANK": "1", "RANK": "2", "MASTER_ADDR": "a"}, 1)],
)
def test_which_node_this_is_the_controller_says(environment, rank, monkeypatch, tmp_path):
    for name in ("PET_NODE_RANK", "RANK", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert gang.node_rank() == rank
    assert gang.node_folder(tmp_path) == (tmp_path / "nodes" / str(rank) if rank else tmp_path)


def test_what_is_told_in_private_is_for_the_owner_alone_and_gone_once_it_is_read(tmp_path):
    gang.tell(tmp_path, {"PASSWORD": "x"})
    assert stat.S_IMODE((tmp_path / gang.ENVIRONMENT).stat().st_mode) == 0o600
    assert gang.told(tmp_path) == {"PASSWORD": "x"} and gang.told(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
