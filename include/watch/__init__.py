"""The judge that stays on: the champion is watched after its promotion. Why so: docs/decisions/0020-watch.md."""
