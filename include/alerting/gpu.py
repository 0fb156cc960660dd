"""Rules about GPUs, out of the DCGM exporter's figures and the GPU pool's.

Three things of DCGM's that a plain threshold gets wrong. ``DCGM_FI_DEV_XID_ERRORS`` holds the last Xid for ever: what counts is that it is
another than before. ``DCGM_FI_DEV_GPU_UTIL`` is 0 or absent under MIG: there ``DCGM_FI_PROF_GR_ENGINE_ACTIVE`` counts, by instance, and
without it nothing is known. ``DCGM_FI_DEV_FB_*`` is absent on an H100 under MIG: that is said, and is no full memory and no empty one.
"""

from __future__ import annotations

from include.alerting.rule import Alert, Recorded, Rules, Severity

UTILISATION = "updraft:gpu_utilisation:ratio"
MEMORY = "updraft:gpu_memory_used:ratio"
HARDWARE_XIDS = (48, 63, 64, 74, 79, 92, 94, 95, 119, 120, 140)
"""Of memory, NVLink, bus and GSP, as NVIDIA's list of Xids has them; most of the others are a program's own fault."""
HOTTEST_C = 85
"""Below the slowdown temperature of the data center GPUs, 87 to 93 degrees."""
IDLE_MIB = 512
"""What a device's memory holds that nobody uses; with more, somebody has it."""
_DEVICE = "GPU {{ $labels.gpu }}{{ with $labels.GPU_I_ID }}, instance {{ . }},{{ end }} of {{ $labels.Hostname }}"
_UNDER_MIG = 'count by (UUID) ({__name__=~"DCGM_FI_.+", GPU_I_ID!=""})'
_HARDWARE = " or ".join(f"DCGM_FI_DEV_XID_ERRORS == {number}" for number in HARDWARE_XIDS)
_IS_NEW = "(last_over_time(DCGM_FI_DEV_XID_ERRORS[1d] offset 5m) == DCGM_FI_DEV_XID_ERRORS)"

RULES: Rules = (
    Recorded(
        UTILISATION,
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE or "
        f'((DCGM_FI_DEV_GPU_UTIL{{GPU_I_ID=""}} / 100) unless on (UUID) ({_UNDER_MIG} or count by (UUID) (DCGM_FI_PROF_GR_ENGINE_ACTIVE)))',
    ),
    Recorded(MEMORY, "DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE)"),
    Alert(
        "GpuTemperatureHigh",
        f"DCGM_FI_DEV_GPU_TEMP > {HOTTEST_C}",
        "5m",
        Severity.WARNING,
        f"{_DEVICE} has been at {{{{ $value }}}} °C for five minutes.",
        "Look after the node's cooling; the GPU slows itself down soon.",
        f"up to {HOTTEST_C} °C",
    ),
    Alert(
        "GpuUtilisationLow",
        # Who holds a device shows by its memory; a device whose memory is not told is taken as held.
        f"avg_over_time({UTILISATION}[30m]) < 0.5 unless on (UUID) max by (UUID) (DCGM_FI_DEV_FB_USED) < {IDLE_MIB}",
        "30m",
        Severity.INFO,
        f"{_DEVICE} is held, and used to {{{{ $value | humanizePercentage }}}} only.",
        "Raise max-num-seqs or the batch, or ask for a share of a GPU.",
        "70 to 90 %",
    ),
    Alert(
        "GpuUtilisationHigh",
        f"avg_over_time({UTILISATION}[15m]) > 0.95",
        "15m",
        Severity.WARNING,
        f"{_DEVICE} has been used to {{{{ $value | humanizePercentage }}}} for half an hour.",
        "Lower max-num-seqs, or add a replica.",
        "70 to 90 %",
    ),
    Alert(
        "GpuMemoryHigh",
        f"{MEMORY} > 0.95",
        "5m",
        Severity.WARNING,
        f"{_DEVICE} has {{{{ $value | humanizePercentage }}}} of its memory in use.",
        "Lower gpu-memory-utilization, or ask for a larger device.",
        "under 90 %",
    ),
    Alert(
        "GpuMemoryUnknown",
        "DCGM_FI_DEV_GPU_TEMP unless on (UUID) DCGM_FI_DEV_FB_USED",
        "15m",
        Severity.INFO,
        f"{_DEVICE} does not tell how full its memory is.",
        "Under MIG an H100 has no such figure in DCGM; the GPU pool's own (updraft_gpu_device_used_mebibytes) has it.",
    ),
    Alert(
        "GpuXid",
        f"(DCGM_FI_DEV_XID_ERRORS != 0) unless {_IS_NEW}",
        "0s",
        Severity.WARNING,
        f"{_DEVICE} has met Xid {{{{ $value }}}}.",
        "See dmesg on the node, and what NVIDIA's list of Xids says of it.",
        keep_firing="10m",
    ),
    Alert(
        "GpuXidHardware",
        f"({_HARDWARE}) unless {_IS_NEW}",
        "0s",
        Severity.CRITICAL,
        f"{_DEVICE} has met Xid {{{{ $value }}}}, a fault of the hardware.",
        "Cordon the node on the page GPUs; drain it, reset the device, and have it looked at if it comes again.",
        keep_firing="30m",
    ),
    Alert(
        "GpuFiguresMissing",
        "last_over_time(DCGM_FI_DEV_GPU_TEMP[1h]) unless DCGM_FI_DEV_GPU_TEMP",
        "5m",
        Severity.WARNING,
        f"{_DEVICE} tells no figures any more.",
        "Is the node up, and its DCGM exporter? A GPU that has fallen off the bus is silent, too.",
    ),
    Alert(
        "GpuNodeOut",
        "updraft_gpu_node_in_service == 0",
        "5m",
        Severity.WARNING,
        "Node {{ $labels.node }} gets no new leases: it is cordoned, or its agent is silent.",
        "See the page GPUs.",
    ),
)
