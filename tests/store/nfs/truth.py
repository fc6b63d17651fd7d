"""What must hold at every change on the server, whoever makes it and whatever he believes."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.store.nfs.server import Change, Node, Server, way
from tests.store.nfs.work import DIGEST, EPOCHS, old_result, own_place

LEASE_SECONDS = 120.0


@dataclass
class Truth:
    """Watches a server's changes; `who` tells the name of who makes one, `crashed` whose machine is off."""

    server: Server
    order: dict[str, int] = field(default_factory=dict)
    """Tokens of owners, in the order in which they got the claim."""
    alive_at: dict[str, list[float]] = field(default_factory=dict)
    """When an owner took the claim and beat."""
    begun: set[str] = field(default_factory=set)
    """Owners who have written something into their folders."""
    sealed: bytes | None = None
    """The result."""
    weak: bool = False
    """Whether a machine may list a folder as it was a minute ago: then a failure can be recorded late."""
    takeovers: int = 0
    """Claims that were taken over from an owner who had not given them back."""
    off: set[str] = field(default_factory=set)
    """Names of machines that are off."""
    ended: set[str] = field(default_factory=set)
    """Names of processes that have ended."""
    released: set[str] = field(default_factory=set)
    """Tokens of owners who have given their claims up where they could not end them."""
    tokens: dict[str, str] = field(default_factory=dict)
    """Token to the name of its process."""
    errors: list[str] = field(default_factory=list)

    def check(self, who: str, change: Change) -> None:
        """Note what is wrong with a change that `who` is about to make."""
        path = [*reversed(list(way(change.node))), *filter(None, [change.name])]
        if path[:1] != ["store"] or len(path) < 3:
            return
        match path[1]:
            case "claims":
                self._claims(who, change, path[2:])
            case "running":
                self._running(who, change, path[2:])
            case "jobs":
                self._jobs(who, change, path[2:])
            case "failed":
                self._failed(who, change)

    def believed(self, token: str) -> None:
        """Note that an owner believes that it has the claim."""
        if token not in self.order:
            self._wrong(self.tokens[token], f"believes {token} to have a claim that it does not have")

    def check_kept(self) -> None:
        """Note it where the result from before is not kept, whole and once."""
        folder = self.server.at("/store/replaced")
        found = list(_below(folder, self.server.now)) if folder is not None else []
        if found.count(sorted(old_result().items())) != 1 or len(found) != 1:
            self.errors.append(f"{len(found)} results are kept instead of the one that was set aside")

    def owners(self) -> list[str]:
        """Return the tokens in the claim's folder, as they are on the server; empty where it is free."""
        folder = self.server.at(f"/store/claims/{DIGEST}")
        return [] if folder is None else self._chain(folder)

    def _chain(self, folder: Node) -> list[str]:
        now, found, slot = self.server.now, [], folder
        while True:
            file = slot.entry("owner.json", now)
            if file is None:
                return found
            token = json.loads(file.content(now))["token"]
            found.append(token)
            after = folder.entry(f"after-{token}", now)
            if after is None:
                return found
            if not after.folder:
                return []
            slot = after

    def _wrong(self, who: str, what: str) -> None:
        self.errors.append(f"{who} at {self.server.now:.3f}: {what}")

    def _claims(self, who: str, change: Change, path: list[str]) -> None:
        if change.what == "write" and path[-1:] == ["beat"]:
            if change.content.startswith(b"released"):
                self.released |= {token for token in self.owners() if self.tokens[token] == who}
            for token in self.owners():
                if self.tokens[token] == who:
                    self.alive_at[token].append(self.server.now)
        if change.what == "rename to" and change.new is not None and change.new.folder:
            file = change.new.entry("owner.json", self.server.now)
            if file is None or path[0] != DIGEST:
                return
            before = self.owners()
            if len(path) == 2 and path[1][6:] in before[-1:]:
                last = before[-1]
                self.takeovers += 1
                if self.tokens[last] not in self.off | self.ended and last not in self.released:
                    signs = [*self.alive_at[last], self.server.now]
                    silence = max(after - before for before, after in itertools.pairwise(signs))
                    if silence < LEASE_SECONDS / 2:
                        self._wrong(
                            who, f"follows {last}, who was never silent for more than {silence:.0f} s"
                        )
            elif len(path) == 2:
                return  # Into a folder that has ended: he finds out before he believes it.
            token = json.loads(file.content(self.server.now))["token"]
            self.order[token], self.alive_at[token] = len(self.order), [self.server.now]
        if path == [DIGEST, "owner.json"] and change.new is None and self.owners():
            self._wrong(who, "clears a claim that is held")
        if path == [DIGEST] and change.new is None and self.owners():
            self._wrong(who, "takes a claim away that is held")

    def _running(self, who: str, change: Change, path: list[str]) -> None:
        token = path[0].removeprefix(own_place(""))
        if token not in self.order or self.tokens[token] == who:
            if token in self.order and len(path) > 1 and path[1] not in (".left", ".gone"):
                self.begun.add(token)
            return
        mine = [other for other in self.order if self.tokens[other] == who]
        rank = max((self.order[other] for other in mine), default=-1)
        if len(path) == 1:
            if rank < self.order[token]:
                self._wrong(who, f"takes the folder of {token}, who came later")
        elif path[1] not in (".left", ".gone") and rank < self.order[token]:
            self._wrong(who, f"changes {'/'.join(path[1:])} of {token}, who came later")

    def _jobs(self, who: str, change: Change, path: list[str]) -> None:
        if len(path) > 1:
            self._wrong(who, f"changes {'/'.join(path)} of the sealed job")
        if path != [DIGEST] or change.new is None:
            if path == [DIGEST] and (self.sealed is not None or change.what != "rename from"):
                self._wrong(who, "removes the sealed job")
            return
        if self.sealed is not None:
            self._wrong(who, "seals the job again")
        self.sealed = self._whole(who, change.new)

    def _whole(self, who: str, folder: Node) -> bytes:
        now = self.server.now
        files = {name: node.content(now) for name, node in folder.listed(now).items() if not node.folder}
        manifest = json.loads(files.get("manifest.json", b'{"files": {"manifest.json": ""}}'))
        for name, sha in manifest["files"].items():
            if hashlib.sha256(files.get(name, b"")).hexdigest() != sha:
                self._wrong(who, f"seals half a result: {name}")
        trace = files.get("trace.jsonl", b"").splitlines()
        if [json.loads(line)["epoch"] for line in trace] != list(range(EPOCHS)):
            self._wrong(who, "seals a trace with other epochs")
        return files.get("result.json", b"")

    def _failed(self, who: str, change: Change) -> None:
        if change.what != "rename to" or self.weak:
            return
        ranks = [self.order[token] for token in self.order if self.tokens[token] == who]
        later = [token for token in self.begun if self.order[token] > max(ranks, default=-1)]
        if later:
            self._wrong(who, f"records a failure while {later[0]}, who came later, is at work")


def _below(folder: Node, now: float) -> Iterator[list[tuple[str, bytes]]]:
    """Yield the files of each folder of files."""
    listed = folder.listed(now)
    files = sorted((name, node.content(now)) for name, node in listed.items() if not node.folder)
    if files:
        yield files
    for node in listed.values():
        if node.folder:
            yield from _below(node, now)
