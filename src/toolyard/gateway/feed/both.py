"""The snapshot in force of a gateway that has an operator's file and a control plane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from toolyard.contract.merging import merge
from toolyard.contract.snapshot import Snapshot
from toolyard.gateway.feed.file import Loaded


class Both:
    """Merges what either feed says, and counts the revisions of that. `control` is None until something came from the
    control plane. `prepare` is called in another thread, before `put_in_force`."""

    def __init__(self, file: Loaded, control: Snapshot | None) -> None:
        self.prepare: Callable[[Snapshot], None] = lambda _snapshot: None
        self.put_in_force: Callable[[Snapshot], None] = lambda _snapshot: None
        self._file = file
        self._control = control
        self.current = self._merged(file, control, file.snapshot.revision)
        """What is in force."""

    def prepare_file(self, loaded: Loaded) -> None:
        """Make ready what `offer_file` will put in force; in another thread."""
        self.prepare(self._merged(loaded, self._control, self.current.revision + 1))

    def offer_file(self, loaded: Loaded) -> None:
        """The file has changed."""
        self._file = loaded
        self._offer()

    async def take_control(self, control: Snapshot) -> None:
        """The control plane has said something new."""
        await asyncio.to_thread(self.prepare, self._merged(self._file, control, self.current.revision + 1))
        self._control = control
        self._offer()

    def _offer(self) -> None:
        merged = self._merged(self._file, self._control, self.current.revision + 1)
        if merged.digest != self.current.digest:
            self.current = merged
            self.put_in_force(merged)

    @staticmethod
    def _merged(file: Loaded, control: Snapshot | None, revision: int) -> Snapshot:
        if control is None:
            return replace(file.snapshot, revision=revision)
        return merge(file.snapshot, control, revision=revision, yields=file.made_up)
