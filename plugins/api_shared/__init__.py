"""What the plugins' REST APIs have in common: who may call, how long a body may be, how errors read, what every answer carries."""
