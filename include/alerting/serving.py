"""Rules about what serves: the gateway, champions, errors, and how language models answer."""

from __future__ import annotations

from include.alerting.rule import Alert, Recorded, Rules, Severity

ERRORS = "updraft:error:ratio5m"
REQUESTS = "updraft:requests:rate5m"
TTFT, TPOT, QUEUE = "updraft:ttft:p95_seconds", "updraft:tpot:p95_seconds", "updraft:queue:requests"
WAITING = ("vllm:num_requests_waiting", "llamacpp:requests_deferred", "nv_inference_pending_request_count")
FEWEST = 0.1
"""Requests a second below which a share of errors says nothing."""
_BY = "by (model, revision)"


def _p95(*histograms: str) -> str:
    """Return the query of the 95th percentile over five minutes; the first of the names that a server has counts."""
    rates = " or ".join(f"sum by (model, revision, le) (rate({name}_bucket[5m]))" for name in histograms)
    return f"histogram_quantile(0.95, {rates})"


RULES: Rules = (
    Recorded(REQUESTS, f'sum {_BY} (rate(envoy_cluster_upstream_rq_xx{{model!=""}}[5m]))'),
    # A revision that has never failed has no series of class 5, and one that never succeeded none of class 2: hence the sum of all.
    Recorded(ERRORS, f'sum {_BY} (rate(envoy_cluster_upstream_rq_xx{{model!="", envoy_response_code_class="5"}}[5m])) / {REQUESTS}'),
    Recorded(TTFT, _p95("vllm:time_to_first_token_seconds")),
    Recorded(TPOT, _p95("vllm:request_time_per_output_token_seconds", "vllm:time_per_output_token_seconds")),
    Recorded(
        QUEUE,
        " or ".join(f"sum {_BY} ({name})" for name in WAITING),
    ),
    Alert(
        "GatewayDown",
        "updraft_gateway_up == 0",
        "1m",
        Severity.CRITICAL,
        "The gateway does not answer: no model can be called.",
        "`make status` says whether it runs; `make up` starts it again. Its log is envoy.log.",
    ),
    Alert(
        "ChampionDown",
        "updraft_champion_up == 0",
        "30s",
        Severity.CRITICAL,
        "{{ $labels.model }} version {{ $labels.revision }}, which has the traffic, is not healthy.",
        "See its log, revision-{{ $labels.model }}-{{ $labels.revision }}.log; take it back by `make rollback MODEL={{ $labels.model }}`.",
    ),
    Alert(
        "ErrorRateHigh",
        f"{ERRORS} > 0.01 and on (model, revision) {REQUESTS} > {FEWEST}",
        "1m",
        Severity.CRITICAL,
        "{{ $labels.model }} version {{ $labels.revision }} fails {{ $value | humanizePercentage }} of its requests.",
        "Take it back: `make rollback MODEL={{ $labels.model }}`.",
        "under 0.1 %",
    ),
    Alert(
        "TtftHigh",
        f"{TTFT} > 1",
        "5m",
        Severity.WARNING,
        "{{ $labels.model }} version {{ $labels.revision }}: one answer in twenty begins after {{ $value | humanizeDuration }} or later.",
        "Switch on prefix caching, or let fewer requests in at once.",
        "under 500 ms",
    ),
    Alert(
        "TpotHigh",
        f"{TPOT} > 0.1",
        "5m",
        Severity.WARNING,
        "{{ $labels.model }} version {{ $labels.revision }}: a token takes {{ $value | humanizeDuration }} in one answer of twenty.",
        "Lower the batch size; look at the GPU's utilisation.",
        "under 50 ms",
    ),
    Alert(
        "QueueLong",
        f"{QUEUE} > 50",
        "2m",
        Severity.WARNING,
        "{{ $labels.model }} version {{ $labels.revision }}: {{ $value }} requests wait.",
        "Add a replica (serve.replicas, or an autoscaler's limit).",
        "under 20",
    ),
    Alert(
        "CacheFull",
        "max by (model, revision) (vllm:kv_cache_usage_perc or vllm:gpu_cache_usage_perc) > 0.95",
        "5m",
        Severity.INFO,
        "{{ $labels.model }} version {{ $labels.revision }} has {{ $value | humanizePercentage }} of its KV cache in use: requests wait.",
        "Shorten contexts, let fewer requests in at once, or give it more memory.",
        "under 90 %",
    ),
)
