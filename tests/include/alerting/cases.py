"""For each alert: figures under which it fires, and figures, however close, under which it does not. Values as promtool writes them."""

from __future__ import annotations

from dataclasses import dataclass, field

Series = dict[str, str]
GPU = 'gpu="0", UUID="GPU-1", Hostname="node1"'
MIG = f'{GPU}, GPU_I_ID="1"'
MODEL = 'model="digits", revision="3"'
CLASS = MODEL + ', envoy_cluster_name="digits-3", envoy_response_code_class="{}"'


@dataclass(frozen=True)
class Case:
    """Each of ``fires`` and of ``quiet``: series → values, one a minute, looked at after ``at`` minutes. ``missing``: it fires without."""

    fires: tuple[Series, ...]
    quiet: tuple[Series, ...] = field(default=())
    at: int = 90
    missing: bool = False


def gpu(name: str, labels: str = GPU) -> str:
    return f"DCGM_FI_{name}{{{labels}}}"


def buckets(name: str, slow: int) -> Series:
    """A hundred observations a minute, of which ``slow`` take more than two seconds and all others less than 10 ms."""
    return {
        f'{name}_bucket{{{MODEL}, le="0.01"}}': f"0+{100 - slow}x90",
        f'{name}_bucket{{{MODEL}, le="2"}}': f"0+{100 - slow}x90",
        f'{name}_bucket{{{MODEL}, le="4"}}': "0+100x90",
        f'{name}_bucket{{{MODEL}, le="+Inf"}}': "0+100x90",
    }


def answers(fine: float, failed: float) -> Series:
    """So many a minute."""
    found = {f"envoy_cluster_upstream_rq_xx{{{CLASS.format('2')}}}": f"0+{fine}x90" if fine else ""}
    found |= {f"envoy_cluster_upstream_rq_xx{{{CLASS.format('5')}}}": f"0+{failed}x90" if failed else ""}
    return {name: values for name, values in found.items() if values}


def constant(name: str, value: float) -> Series:
    return {name: f"{value}x90"}


HELD = {gpu("DEV_FB_USED"): "40000x90", gpu("DEV_FB_FREE"): "40000x90"}
YEAR_S = 365 * 24 * 3600

CASES = {
    "GpuTemperatureHigh": Case(
        (constant(gpu("DEV_GPU_TEMP"), 90),), (constant(gpu("DEV_GPU_TEMP"), 85), {gpu("DEV_GPU_TEMP"): "60x88 95x1"})
    ),
    "GpuUtilisationLow": Case(
        (
            constant(gpu("DEV_GPU_UTIL"), 20) | HELD,
            # Its memory isn't told: it may be held.
            constant(gpu("PROF_GR_ENGINE_ACTIVE", MIG), 0.2),
        ),
        (
            constant(gpu("DEV_GPU_UTIL"), 80) | HELD,
            # Nobody holds it.
            constant(gpu("DEV_GPU_UTIL"), 0) | {gpu("DEV_FB_USED"): "4x90", gpu("DEV_FB_FREE"): "80000x90"},
            # Under MIG the figure of the whole device is 0, whatever its instances do.
            constant(gpu("DEV_GPU_UTIL"), 0) | constant(gpu("PROF_GR_ENGINE_ACTIVE", MIG), 0.8) | HELD,
            # The same where the instances don't tell theirs: it is not known.
            constant(gpu("DEV_GPU_UTIL"), 0) | constant(gpu("DEV_GPU_TEMP", MIG), 60) | HELD,
        ),
    ),
    "GpuUtilisationHigh": Case(
        (constant(gpu("DEV_GPU_UTIL"), 99), constant(gpu("DEV_GPU_UTIL"), 0) | constant(gpu("PROF_GR_ENGINE_ACTIVE", MIG), 0.99)),
        (constant(gpu("DEV_GPU_UTIL"), 90), {gpu("DEV_GPU_UTIL"): "50x80 100x9"}),
    ),
    "GpuMemoryHigh": Case(
        ({gpu("DEV_FB_USED"): "79000x90", gpu("DEV_FB_FREE"): "1000x90"},),
        ({gpu("DEV_FB_USED"): "75000x90", gpu("DEV_FB_FREE"): "5000x90"}, {gpu("DEV_FB_USED"): "79000x90"}),
    ),
    "GpuMemoryUnknown": Case(
        (constant(gpu("DEV_GPU_TEMP", MIG), 50),), (constant(gpu("DEV_GPU_TEMP"), 50) | constant(gpu("DEV_FB_USED"), 1),)
    ),
    "GpuXid": Case(
        (
            {gpu("DEV_XID_ERRORS"): "0x87 31x3"},
            {gpu("DEV_XID_ERRORS"): "31x85 43x5"},
            # Its first figure is an error: there was no zero before.
            {gpu("DEV_XID_ERRORS"): "_x87 31x3"},
        ),
        # An Xid of long ago stands there for ever, and an exporter's restart or a gap doesn't make it new.
        (constant(gpu("DEV_XID_ERRORS"), 31), constant(gpu("DEV_XID_ERRORS"), 0), {gpu("DEV_XID_ERRORS"): "31x60 _x20 31x10"}),
    ),
    "GpuXidHardware": Case(
        ({gpu("DEV_XID_ERRORS"): "0x87 79x3"},), ({gpu("DEV_XID_ERRORS"): "0x87 31x3"}, constant(gpu("DEV_XID_ERRORS"), 79))
    ),
    "GpuFiguresMissing": Case(({gpu("DEV_GPU_TEMP"): "50x70"},), (constant(gpu("DEV_GPU_TEMP"), 50),)),
    "GpuNodeOut": Case(
        (constant('updraft_gpu_node_in_service{node="node1"}', 0),), (constant('updraft_gpu_node_in_service{node="node1"}', 1),)
    ),
    "GatewayDown": Case((constant("updraft_gateway_up", 0),), (constant("updraft_gateway_up", 1),)),
    "ChampionDown": Case(
        (constant(f"updraft_champion_up{{{MODEL}}}", 0),),
        (constant(f"updraft_champion_up{{{MODEL}}}", 1), {f"updraft_champion_up{{{MODEL}}}": "1x88 0x0"}),
        at=89,
    ),
    "ErrorRateHigh": Case(
        (answers(95, 5), answers(0, 100)),
        # Few failures; none; so few requests that one of two says nothing; no requests any more, where a share is 0/0.
        (
            answers(999, 1),
            answers(100, 0),
            answers(1, 1),
            {name: values.replace("x90", "x30") + " 999x59" for name, values in answers(95, 5).items()},
        ),
    ),
    "TtftHigh": Case(
        (buckets("vllm:time_to_first_token_seconds", 10),),
        (
            buckets("vllm:time_to_first_token_seconds", 2),
            # Nobody asks: 0/0.
            {name: "5x90" for name in buckets("vllm:time_to_first_token_seconds", 10)},
        ),
    ),
    "TpotHigh": Case(
        (buckets("vllm:request_time_per_output_token_seconds", 10), buckets("vllm:time_per_output_token_seconds", 10)),
        (buckets("vllm:request_time_per_output_token_seconds", 2),),
    ),
    "QueueLong": Case(
        tuple(
            constant(f"{name}{{{MODEL}}}", 60)
            for name in ("vllm:num_requests_waiting", "llamacpp:requests_deferred", "nv_inference_pending_request_count")
        ),
        (constant(f"vllm:num_requests_waiting{{{MODEL}}}", 50),),
    ),
    "CacheFull": Case((constant(f"vllm:kv_cache_usage_perc{{{MODEL}}}", 0.99),), (constant(f"vllm:kv_cache_usage_perc{{{MODEL}}}", 0.9),)),
    "FiguresMissing": Case((constant('up{job="lifecycle"}', 0),), (constant('up{job="lifecycle"}', 1),)),
    "PlatformUnwatched": Case(({'up{job="platform"}': "1x30"},), (constant('up{job="platform"}', 1),), missing=True),
    "AirflowDown": Case(
        (constant('updraft_airflow_component_up{component="scheduler"}', 0),),
        (constant('updraft_airflow_component_up{component="scheduler"}', 1),),
    ),
    "ChampionHarmed": Case(
        # promtool's clock begins at 0. It fires with the first figure there is.
        ({'updraft_verdict_last_seconds{model="digits", kind="watch", decision="ROLLBACK"}': "_x85 5000x4"},),
        (
            {'updraft_verdict_last_seconds{model="digits", kind="watch", decision="ROLLBACK"}': "60x90"},
            {'updraft_verdict_last_seconds{model="digits", kind="watch", decision="PASS"}': "5000x90"},
        ),
    ),
    "DriftAlarm": Case(
        ({'updraft_verdict_last_seconds{model="digits", kind="drift", decision="ALARM"}': "_x145 8500x4"},),
        (
            {'updraft_verdict_last_seconds{model="digits", kind="drift", decision="ALARM"}': "60x150"},
            {'updraft_verdict_last_seconds{model="digits", kind="drift", decision="NOTICE"}': "8500x150"},
        ),
        at=150,
    ),
    "BudgetExceeded": Case(
        ({'updraft_llm_cost_usd_total{client="a"}': "0+1x90", "updraft_budget_usd_per_day": "10x90"},),
        (
            {'updraft_llm_cost_usd_total{client="a"}': "0+1x90", "updraft_budget_usd_per_day": "1000x90"},
            # No budget is no budget of nothing.
            {'updraft_llm_cost_usd_total{client="a"}': "0+1x90"},
        ),
    ),
    "CertificateEnds": Case(
        (
            constant('updraft_certificate_ends_seconds{name="gateway"}', 7 * 24 * 3600),
            constant('updraft_certificate_ends_seconds{name="gateway"}', 60),
            constant('probe_ssl_earliest_cert_expiry{instance="https://updraft"}', 7 * 24 * 3600),
        ),
        (constant('updraft_certificate_ends_seconds{name="gateway"}', YEAR_S),),
    ),
    "CertificateUnreadable": Case(
        (constant('updraft_certificate_readable{name="gateway"}', 0),), (constant('updraft_certificate_readable{name="gateway"}', 1),)
    ),
    "DiskFull": Case(
        (constant('updraft_disk_free_bytes{folder="home"}', 5e9) | constant('updraft_disk_size_bytes{folder="home"}', 1e11),),
        (constant('updraft_disk_free_bytes{folder="home"}', 3e10) | constant('updraft_disk_size_bytes{folder="home"}', 1e11),),
    ),
    "DiskFills": Case(
        ({'updraft_disk_free_bytes{folder="home"}': "35000-100x90", 'updraft_disk_size_bytes{folder="home"}': "100000x90"},),
        (
            constant('updraft_disk_free_bytes{folder="home"}', 35000) | constant('updraft_disk_size_bytes{folder="home"}', 100000),
            {'updraft_disk_free_bytes{folder="home"}': "90000-100x90", 'updraft_disk_size_bytes{folder="home"}': "100000x90"},
        ),
    ),
}
