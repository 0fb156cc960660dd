"""All rules, as a file of Prometheus' and as objects of the Prometheus operator. Pure."""

from __future__ import annotations

from typing import Any

import yaml

from include.alerting import gpu, serving, upkeep
from include.alerting.rule import Rules, groups

PARTS: dict[str, Rules] = {"gpu": gpu.RULES, "serving": serving.RULES, "upkeep": upkeep.RULES}
API = "monitoring.coreos.com/v1"
PART_OF = {"app.kubernetes.io/part-of": "updraft"}
"""By this an operator's Prometheus chooses them: its ruleSelector and podMonitorSelector must name it."""
ANNOTATION = "__meta_kubernetes_pod_annotation_prometheus_io_"


def rule_file() -> str:
    """Return the YAML of all rules, as ``rule_files`` of prometheus.yml name it."""
    return str(yaml.safe_dump(groups(PARTS), sort_keys=False, width=1000, allow_unicode=True))


def prometheus_rule() -> dict[str, Any]:
    """Return the rules about GPUs and servers as an object of kind PrometheusRule: what watches the platform itself has its exporter."""
    parts = {name: PARTS[name] for name in ("gpu", "serving")}
    return {"apiVersion": API, "kind": "PrometheusRule", "metadata": {"name": "updraft", "labels": PART_OF}, "spec": groups(parts)}


def monitors() -> list[dict[str, Any]]:
    """Return what a cluster's Prometheus reads: servers' pods, at the port and path that each names itself; the DCGM exporter of the GPU
    operator."""
    label = "__meta_kubernetes_pod_label_updraft_io_"
    relabelings = [
        {"action": "keep", "sourceLabels": [f"{ANNOTATION}scrape"], "regex": "true"},
        # A pod has several ports; the figures are at one of them.
        {"action": "keepequal", "sourceLabels": [f"{ANNOTATION}port"], "targetLabel": "__meta_kubernetes_pod_container_port_number"},
        {"action": "replace", "sourceLabels": [f"{ANNOTATION}path"], "targetLabel": "__metrics_path__"},
        *({"action": "replace", "sourceLabels": [f"{label}{name}"], "targetLabel": name} for name in ("model", "revision")),
    ]
    chosen = {"app.kubernetes.io/name": "updraft", "app.kubernetes.io/component": "revision"}
    endpoints = [{"port": port, "interval": "15s", "relabelings": relabelings} for port in ("http", "metrics")]
    pods = {"namespaceSelector": {"any": True}, "selector": {"matchLabels": chosen}, "podMetricsEndpoints": endpoints}
    dcgm = {
        "namespaceSelector": {"any": True},
        "selector": {"matchLabels": {"app": "nvidia-dcgm-exporter"}},
        "endpoints": [{"port": "gpu-metrics", "interval": "15s"}],
    }
    return [
        {"apiVersion": API, "kind": "PodMonitor", "metadata": {"name": "updraft-servers", "labels": PART_OF}, "spec": pods},
        {"apiVersion": API, "kind": "ServiceMonitor", "metadata": {"name": "updraft-dcgm", "labels": PART_OF}, "spec": dcgm},
    ]
