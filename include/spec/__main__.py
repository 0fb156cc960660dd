"""``python -m include.spec check PATH...`` validates specs; ``python -m include.spec schema [FILE]`` gives the JSON schema for editors.

Only a door: what a spec may say depends on the kinds of models there are, which are above this package.
"""

from __future__ import annotations

import runpy

if __name__ == "__main__":
    runpy.run_module("include.kinds.command", run_name="__main__")
