"""What holds user code on this machine, in words for people."""

from __future__ import annotations

from dataclasses import dataclass

from include.runtime.sandbox import landlock, seccomp, users, view


@dataclass(frozen=True)
class Offered:
    """``user``: steps and servers have users of their own; ``view``: they don't see the platform's home; ``abi``: of Landlock;
    ``calls``: system calls that pass by Landlock's rules for TCP are refused."""

    user: bool
    view: bool
    abi: int
    calls: bool

    @classmethod
    def here(cls) -> Offered:
        """As this kernel and this user have it."""
        seen = view.possible()
        return cls(bool(users.numbers()) and seen, seen, landlock.abi(), seccomp.possible())

    def held(self) -> str:
        """What does hold user code."""
        ways = [
            "users of their own" if self.user else "",
            "a view without the platform's home" if self.view else "",
            f"Landlock (ABI {self.abi})" if self.abi else "",
            "a filter of system calls" if self.calls else "",
        ]
        return ", ".join(filter(None, ways)) or "nothing"

    def missing(self) -> list[str]:
        """What is not protected, a sentence each."""
        files = "" if self.view or self.abi >= landlock.FILES else "it reads and writes all that this user can, credentials.json too"
        shared = "" if self.user or self.view else "it shares /dev/shm and reaches Unix sockets of this user (Docker's, say)"
        ports = "" if self.abi >= landlock.PORTS else "it connects to any TCP port"
        past = "it connects to any TCP port by Multipath TCP and TCP Fast Open" if not ports and not self.calls else ""
        signals = "" if self.user or self.abi >= landlock.SIGNALS else "it can signal this user's processes"
        traced = "" if self.user or self.abi >= landlock.FILES else "it can trace them and read their environments"
        number = "" if self.user else "the number of its processes is not limited"
        return [sentence for sentence in (files, shared, ports, past, signals, traced, number) if sentence]
