"""What an alert or a stored verdict brings about: `monitor.on_alert`. Why so: docs/decisions/0023-alerts-act.md."""
