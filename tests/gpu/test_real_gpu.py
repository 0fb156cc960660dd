"""The NVML adapter and the estimator against real allocations on a real GPU. Skipped where there is none; never yet run on one."""

from __future__ import annotations

import pytest

from include.estimate.engines import gpu
from include.estimate.kv_cache import BLOCK_TOKENS
from include.estimate.model import known_model
from include.estimate.serving import Serving, estimate
from include.inventory.model_names import known_memory_mib
from tests.gpu.conftest import LEASE, MIB, settled

GRAIN_MIB = 2
"""The driver maps memory in pieces of this size: an allocation may take up to one more than it asked for."""
NOISE_MIB = 64
MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen2.5-7B-Instruct")


def test_total_memory_is_the_tables(look, record):
    device = look()
    known = known_memory_mib(device.model)
    if not known:
        pytest.skip(f"{device.model} is not in the estimator's table")
    record.row(f"total, NVML ({device.model})", known, device.memory_mib)
    assert device.memory_mib == pytest.approx(known, rel=0.01)


def test_what_cuda_may_have_is_the_tables(look, hold, record):
    device = look()
    if not known_memory_mib(device.model):
        pytest.skip(f"{device.model} is not in the estimator's table")
    total = hold().context["total"] / MIB
    record.row(f"total, CUDA ({device.model})", gpu(device.model).cuda_mib, total)
    assert total == pytest.approx(gpu(device.model).cuda_mib, rel=0.01)


def test_readings_are_those_of_a_gpu(look):
    readings = look().readings
    assert 0 <= readings["temperature_c"] < 120
    assert 0 <= readings["utilisation_pct"] <= 100


def test_an_allocation_shows_as_used_and_goes_with_its_process(look, hold, record):
    holder = hold()
    before = settled(look, look().used_mib, 0)
    asked = 1024
    holder.allocate(asked * MIB)
    after = settled(look, before + asked, GRAIN_MIB)
    record.row("one allocation, NVML used", asked, after - before)
    assert after - before == pytest.approx(asked, abs=NOISE_MIB)
    holder.close()
    assert settled(look, before - 256, 256) <= before + NOISE_MIB


def test_a_process_is_listed_with_its_memory_and_its_lease(look, hold, record):
    holder = hold()
    holder.allocate(512 * MIB)
    listed = {process.pid: process for process in look().processes}
    if holder.process.pid not in listed:
        pytest.skip("the driver knows processes by other numbers here (a container without the host's process ids)")
    ours = listed[holder.process.pid]
    record.row("a process with one allocation of 512 MiB: its CUDA context on top", 512, ours.memory_mib)
    assert ours.lease == LEASE
    assert 512 <= ours.memory_mib <= 512 + 2048


def test_a_process_without_a_lease_is_a_stranger(look, hold):
    holder = hold("")
    holder.allocate(256 * MIB)
    assert [process.lease for process in look().processes if process.pid == holder.process.pid] in ([""], [])


@pytest.mark.parametrize("name", MODELS)
def test_weights_take_what_is_estimated(look, hold, record, name):
    """Every tensor in an allocation of its own, as the checkpoint lists them."""
    model = known_model(name)
    found = estimate(model, gpu(f"{look().memory_mib}MiB"), Serving(context=BLOCK_TOKENS))
    _fits(look, found.parameters)
    holder = hold()
    before = holder.context["free"]
    after = holder.allocate(*(tensor.bytes for tensor in model.tensors()))["free"]
    taken = (before - after) / MIB
    record.row(f"weights of {name}", found.parameters, taken)
    assert taken == pytest.approx(found.parameters, rel=0.02, abs=NOISE_MIB)


@pytest.mark.parametrize("name", MODELS)
def test_the_cache_takes_what_is_estimated(look, hold, record, name):
    """One allocation a layer, as engines make them: keys and values in 16 bit for 8 requests of 4,096 tokens."""
    model = known_model(name)
    found = estimate(model, gpu(f"{look().memory_mib}MiB"), Serving(context=4096, concurrency=8))
    _fits(look, found.kv_need)
    holder = hold()
    arch = model.architecture
    layer = 2 * arch.kv_heads * arch.head_dim * 2 * 8 * 4096
    after = holder.allocate(*[layer] * arch.layers)["free"]
    taken = (holder.context["free"] - after) / MIB
    record.row(f"cache of {name}, 8 x 4,096 tokens", found.kv_need, taken)
    assert taken == pytest.approx(found.kv_need, rel=0.02, abs=NOISE_MIB)


def _fits(look, needed_mib):
    device = look()
    free = device.memory_mib - device.used_mib - 2048
    if needed_mib > free:
        pytest.skip(f"needs {needed_mib:,.0f} MiB, {free:,.0f} are free")
