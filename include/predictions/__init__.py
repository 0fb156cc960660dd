"""What callers sent and got: kept as Parquet by a process of its own, read back as a DataFrame; and what turned out to be right."""

from include.predictions.reader import labels, read

__all__ = ["labels", "read"]
