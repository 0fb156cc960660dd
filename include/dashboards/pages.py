"""The four pages: GPUs, serving, lifecycle, cost."""

from __future__ import annotations

from include.alerting import gpu, serving
from include.dashboards.panel import Dashboard, Panel, Query

_GPU = "{{Hostname}} GPU {{gpu}} {{GPU_I_ID}}"
_REVISION = "{{model}} v{{revision}}"
_TIMES = "sum by (model, revision, le) (rate(envoy_cluster_upstream_rq_time_bucket{model!=''}[5m]))"


def _gpu(name: str, scale: str = "") -> list[Query]:
    return [Query(f"DCGM_FI_{name}{scale}", _GPU)]


GPU = Dashboard(
    "updraft-gpu",
    "Updraft · GPUs",
    (
        Panel("Utilisation", [Query(gpu.UTILISATION, _GPU)], "percentunit", "Healthy: 70 to 90 %. Under MIG by instance.", (0.9, 0.95)),
        Panel("Memory in use", [Query(gpu.MEMORY, _GPU)], "percentunit", "Healthy: under 90 %. An H100 under MIG tells none.", (0.9, 0.95)),
        Panel("Temperature", _gpu("DEV_GPU_TEMP"), "celsius", "", (80, gpu.HOTTEST_C)),
        Panel("Power", _gpu("DEV_POWER_USAGE"), "watt"),
        Panel("SM clock", _gpu("DEV_SM_CLOCK", " * 1e6"), "hertz"),
        Panel("Memory clock", _gpu("DEV_MEM_CLOCK", " * 1e6"), "hertz"),
        Panel("PCIe, to the device", _gpu("PROF_PCIE_RX_BYTES"), "Bps"),
        Panel("PCIe, from the device", _gpu("PROF_PCIE_TX_BYTES"), "Bps"),
        Panel("Last Xid", _gpu("DEV_XID_ERRORS"), "none", "The last that the device has met, however long ago: 0 is none.", kind="stat"),
        Panel(
            "Leased",
            [Query("updraft_gpu_device_leased_milli / updraft_gpu_device_capacity_milli", "{{node}} GPU {{gpu}}")],
            "percentunit",
            "What the GPU pool has lent of each device.",
        ),
        Panel("Waiting for GPUs", [Query("sum by (team) (updraft_gpu_requests_waiting)", "{{team}}")], "short"),
        Panel("Longest wait", [Query("updraft_gpu_oldest_wait_seconds", "")], "s"),
    ),
)

SERVING = Dashboard(
    "updraft-serving",
    "Updraft · Serving",
    (
        Panel("Requests", [Query(serving.REQUESTS, _REVISION)], "reqps"),
        Panel("Errors (5xx)", [Query(serving.ERRORS, _REVISION)], "percentunit", "Healthy: under 0.1 %.", (0.001, 0.01)),
        Panel(
            "Time of an answer",
            [Query(f"histogram_quantile({share}, {_TIMES}) / 1000", f"{_REVISION} p{round(share * 100)}") for share in (0.5, 0.95)],
            "s",
            "At the gateway, whole answers.",
        ),
        Panel("Time to the first token, p95", [Query(serving.TTFT, _REVISION)], "s", "Healthy: under 500 ms.", (0.5, 1)),
        Panel("Time a token, p95", [Query(serving.TPOT, _REVISION)], "s", "Healthy: under 50 ms.", (0.05, 0.1)),
        Panel("Requests that wait", [Query(serving.QUEUE, _REVISION)], "short", "Healthy: under 20.", (20, 50)),
        Panel("KV cache in use", [Query("max by (model, revision) (vllm:kv_cache_usage_perc)", _REVISION)], "percentunit", "", (0.9, 0.95)),
        Panel(
            "Tokens written",
            [Query("sum by (model) (rate(updraft_llm_tokens_total{kind='completion'}[5m]))", "{{model}}")],
            "short",
            "A second, as callers were told.",
        ),
        Panel(
            "Champions", [Query("updraft_champion_up", _REVISION)], "bool_on_off", "Whether who has the traffic is healthy.", kind="stat"
        ),
    ),
)

LIFECYCLE = Dashboard(
    "updraft-lifecycle",
    "Updraft · Lifecycle",
    (
        Panel("Runs", [Query("sum by (model, dag, state) (updraft_runs_total)", "{{model}} {{dag}} {{state}}")], kind="stat"),
        Panel("What the latest run took", [Query("updraft_run_last_duration_seconds", "{{model}} {{dag}} {{state}}")], "s"),
        Panel("Verdicts", [Query("updraft_verdicts_total", "{{model}} {{kind}} {{decision}}")]),
        Panel(
            "Since the latest verdict",
            [Query("time() - max by (model, kind) (updraft_verdict_last_seconds)", "{{model}} {{kind}}")],
            "s",
            kind="stat",
        ),
        Panel(
            "Looks at production",
            [Query("sum by (model, decision) (updraft_verdicts_total{kind='drift'})", "{{model}} {{decision}}")],
            about="Of kind drift: ALARM is harm, NOTICE a change, NOT_KNOWN that nothing told.",
        ),
        Panel(
            "Since a look has found harm",
            [Query("time() - max by (model) (updraft_verdict_last_seconds{kind='drift',decision='ALARM'})", "{{model}}")],
            "s",
            kind="stat",
        ),
        Panel("Revisions", [Query("count by (state) (updraft_revision_state)", "{{state}}")], kind="stat"),
        Panel("Airflow", [Query("updraft_airflow_component_up", "{{component}}")], "bool_on_off", kind="stat"),
        Panel("Alerts", [Query("count by (alertname, severity) (ALERTS{alertstate='firing'})", "{{alertname}}")]),
        Panel(
            "Disks",
            [Query("updraft_disk_free_bytes / updraft_disk_size_bytes", "{{folder}}")],
            "percentunit",
            "Free.",
        ),
        Panel("Certificates", [Query("updraft_certificate_ends_seconds - time()", "{{name}}")], "s", "Until they end.", kind="stat"),
    ),
)

COST = Dashboard(
    "updraft-cost",
    "Updraft · Cost",
    (
        Panel(
            "Cost of a day, by caller", [Query("sum by (client) (increase(updraft_llm_cost_usd_total[1d]))", "{{client}}")], "currencyUSD"
        ),
        Panel("Cost of a day, by model", [Query("sum by (model) (increase(updraft_llm_cost_usd_total[1d]))", "{{model}}")], "currencyUSD"),
        Panel("Budget of a day", [Query("updraft_budget_usd_per_day", "")], "currencyUSD", kind="stat"),
        Panel("Tokens, by caller", [Query("sum by (client, kind) (rate(updraft_llm_tokens_total[5m]))", "{{client}} {{kind}}")]),
        Panel(
            "Servers' time", [Query("sum by (model) (rate(updraft_llm_server_seconds_total[5m]))", "{{model}}")], "s", "Seconds a second."
        ),
        Panel("GPUs held, by team", [Query("updraft_gpu_team_gpus", "{{team}}")]),
    ),
)

PAGES = (GPU, SERVING, LIFECYCLE, COST)
