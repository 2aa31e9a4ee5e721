"""Numbers that several processes count down together, in memory that they share: what callers have left.

Each is a semaphore of POSIX, so that taking one is a single atomic step: of N no more than N are ever given, there is
no lock for a process to die with, and one that is killed takes with it what it had just taken and no more. Who may set
which, and when, is the business of one process alone.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import secrets
from typing import Final

PLACES: Final = 10_000
SENDER: Final = "sender "
"""What the name of a sender's window begins with. No key's name and no address has a space."""
MAX_COUNT: Final = 2**31 - 1
_PLACE_BYTES: Final = 64
"""A line of the processor's cache, and room for a semaphore on any system: 16 to 32 bytes."""
_SHARED: Final = 1
_SECRET_BYTES: Final = 64


def shared_memory() -> int | None:
    """A file descriptor of memory for one service, to be handed on; None where the system has none of this kind."""
    if not hasattr(os, "memfd_create"):
        return None
    descriptor: int = os.memfd_create("inquiry-svc allowances")
    os.ftruncate(descriptor, PLACES * _PLACE_BYTES)  # of which pages are there only once they are used
    os.pwrite(descriptor, secrets.token_bytes(_SECRET_BYTES), PLACES * _PLACE_BYTES)
    return descriptor


class Allowances:
    """Takes the memory as it is; the descriptor can be closed then."""

    def __init__(self, descriptor: int) -> None:
        memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        self.secret = memory[PLACES * _PLACE_BYTES :]
        """What all who share the memory know, and nobody else. Empty where it was made by a release without."""
        self._memory = ctypes.c_char.from_buffer(memory)  # keeps it mapped
        self._start = ctypes.addressof(self._memory)
        self._left = ctypes.c_int()
        self._left_at = ctypes.addressof(self._left)
        system = ctypes.CDLL(None, use_errno=True)
        self._sem_init, self._sem_trywait, self._sem_getvalue = (
            system.sem_init,
            system.sem_trywait,
            system.sem_getvalue,
        )
        self._sem_init.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint]
        self._sem_trywait.argtypes = [ctypes.c_void_p]
        self._sem_getvalue.argtypes = [ctypes.c_void_p, ctypes.c_void_p]

    def set(self, place: int, count: int) -> None:
        """By one process alone, and before it tells others of the place."""
        if self._sem_init(self._start + place * _PLACE_BYTES, _SHARED, min(count, MAX_COUNT)):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def take(self, place: int) -> int:
        """One of what is there: how many are left then, or -1 where there was none. Half a microsecond."""
        address = self._start + place * _PLACE_BYTES
        if self._sem_trywait(address):
            return -1
        self._sem_getvalue(address, self._left_at)
        return self._left.value
