"""The servers of one revision: how many there shall be, and what is due for each.

Why so: docs/decisions/0045-replicas.md.
"""
