"""Any HTTP server, as a command or a container image: its folder."""
