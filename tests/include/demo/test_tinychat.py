"""What `make demo-llm` looks at before it begins."""

from dataclasses import replace

import pytest

from include.demo.tinychat import MODEL, check_one_backend, models_served_by
from include.errors import InputError
from include.kinds.load import load_as
from include.runtime.settings import Settings
from include.serving.revision import Revision
from include.spec.llm import LlmSpec


@pytest.mark.parametrize(("served", "asked", "fits"), [("llamacpp", "llamacpp", True), ("llamacpp", "vllm", False), (None, "vllm", True)])
def test_a_champion_behind_another_server_is_named_with_the_way_out(tmp_path, served, asked, fits):
    settings = replace(Settings.load(), home=tmp_path)
    if served:
        folder = settings.revisions / MODEL / "1"
        folder.mkdir(parents=True)
        Revision(MODEL, "1", "127.0.0.1", 1, 0, 0, "digest", backend=served).save(folder)
    models_served_by(asked, tmp_path / "models", settings.models)
    if fits:
        check_one_backend(settings, tmp_path / "models")
        return
    with pytest.raises(InputError, match="served by llamacpp already") as told:
        check_one_backend(settings, tmp_path / "models")
    assert "make clean" in told.value.remedy


def test_the_spec_of_another_backend_is_the_same_but_for_what_the_backend_asks(tmp_path):
    settings = Settings.load()
    models_served_by("vllm", tmp_path, settings.models)
    ours, theirs = (load_as(models / MODEL / "model.yaml", LlmSpec) for models in (settings.models, tmp_path))
    common, served = ours.serve.model_dump() | {"backend": "vllm"}, theirs.serve.model_dump()
    assert {name: served[name] for name in common} == common
    assert theirs.optimize == ours.optimize.model_copy(update={"min_speedup": 0.3})
    assert (theirs.train, theirs.canary, theirs.data) == (ours.train, ours.canary, ours.data)
