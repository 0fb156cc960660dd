"""What an alert or a stored verdict brings about: `monitor.on_alert`. Why so: docs/decisions/0020-watch.md and docs/alerts.md."""
