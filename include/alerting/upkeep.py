"""Rules about the platform itself: what is measured at all, Airflow, drift, budget, certificates, disks."""

from __future__ import annotations

from include.alerting.rule import Alert, Rules, Severity

DAY_S = 24 * 3600

RULES: Rules = (
    Alert(
        "FiguresMissing",
        "up == 0",
        "2m",
        Severity.WARNING,
        "Prometheus gets no figures from {{ $labels.job }}{{ with $labels.model }} ({{ . }}){{ end }}: what its rules watch is not known.",
        "See whether it runs, and its own log.",
    ),
    Alert(
        "PlatformUnwatched",
        'absent(up{job="platform"})',
        "2m",
        Severity.CRITICAL,
        "Nothing is measured: Prometheus has no target `platform`.",
        "Is the program `exporter` running? `make status`; its log is exporter.log.",
    ),
    Alert(
        "AirflowDown",
        "updraft_airflow_component_up == 0",
        "2m",
        Severity.CRITICAL,
        "Airflow's {{ $labels.component }} is not healthy: runs stand still.",
        "`make status`; its log is airflow-{{ $labels.component }}.log.",
    ),
    Alert(
        "ChampionHarmed",
        # By its time and not by an increase: a series that begins with 1 has never increased.
        'time() - updraft_verdict_last_seconds{kind="watch",decision=~"ROLLBACK|FAIL"} < 3600',
        "0s",
        Severity.CRITICAL,
        "{{ $labels.model }} did harm in production: the watch has proved it ({{ $labels.decision }}).",
        "ROLLBACK: the version before serves. FAIL: nothing was done; the verdict says why. `make rollback` takes it back by hand.",
    ),
    Alert(
        "DriftAlarm",
        # Two of the usual hourly looks. No more than a warning: the verdict itself is what `on_alert: {drift: ...}` acts on.
        f'time() - updraft_verdict_last_seconds{{kind="drift",decision="ALARM"}} < {2 * 3600}',
        "0s",
        Severity.WARNING,
        "{{ $labels.model }}: a look at production has proved that its answers have become worse.",
        "The verdict says by what it was proved; `monitor.on_alert: {drift: retrain}` begins a run, and `make rollback` goes back.",
    ),
    Alert(
        "BudgetExceeded",
        "sum (increase(updraft_llm_cost_usd_total[1d])) > on () updraft_budget_usd_per_day",
        "5m",
        Severity.WARNING,
        "Language models have cost {{ $value | printf `%.2f` }} US dollars within a day: more than the budget.",
        "The page Usage says who asked what; limits are set by `python -m include.gateway limit`.",
    ),
    Alert(
        "CertificateEnds",
        f"(updraft_certificate_ends_seconds or probe_ssl_earliest_cert_expiry) - time() < {14 * DAY_S}",
        "5m",
        Severity.WARNING,
        "The certificate {{ $labels.name }}{{ $labels.instance }} ends in {{ $value | humanizeDuration }}.",
        "Renew it.",
    ),
    Alert(
        "CertificateUnreadable",
        "updraft_certificate_readable == 0",
        "5m",
        Severity.WARNING,
        "The certificate {{ $labels.name }} cannot be read: when it ends is not known.",
        "UPDRAFT_CERTIFICATES names it; it must be a PEM file that the platform's user can read.",
    ),
    Alert(
        "DiskFull",
        "updraft_disk_free_bytes / updraft_disk_size_bytes < 0.1",
        "5m",
        Severity.CRITICAL,
        "The disk of {{ $labels.folder }} has {{ $value | humanizePercentage }} free.",
        "`make status`; old revisions, steps and logs are what grows.",
        "over 20 % free",
    ),
    Alert(
        "DiskFills",
        "predict_linear(updraft_disk_free_bytes[6h], 24 * 3600) < 0 and updraft_disk_free_bytes / updraft_disk_size_bytes < 0.4",
        "1h",
        Severity.WARNING,
        "The disk of {{ $labels.folder }} will be full within a day if it goes on like this.",
        "See what grows there.",
    ),
)
