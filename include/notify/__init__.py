"""What people are told, and the channels by which they are: webhook, Slack-compatible, mail. See docs/alerts.md."""
