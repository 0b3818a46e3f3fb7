"""A document of any length passes by as small subtrees; no more than one chunk's worth is in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from xml.etree.ElementTree import Element, TreeBuilder

from connectors.stil.gate import SEPARATOR, Gate, Limits

Opens = Callable[[str | None, str], bool]
"""Whether an element (second) found in a container (first; None for the document) is a container itself."""

_text = attrgetter("text")


@dataclass(frozen=True, slots=True)
class Opened:
    """A container has begun."""

    name: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Subtree:
    """A complete child of the container `parent` that is no container itself."""

    parent: str
    name: str
    element: Element


@dataclass(frozen=True, slots=True)
class Closed:
    """A container has ended."""

    name: str


Event = Opened | Subtree | Closed


def stream(body: bytes, opens: Opens, limits: Limits) -> Iterator[Event]:
    """Yield the containers and subtrees of an XML document in document order, in one pass.

    Names are written namespace, `SEPARATOR`, local name; prefixes play no part. The root should be a container.
    Raises `SnapshotInvalid` (see `Gate`), perhaps after events, so nothing counts before the end is reached.
    """
    harvest = _Harvest(Gate(limits), opens, limits)
    yield from harvest.events(body)


def local_name(name: str) -> str:
    """Return a qualified name without its namespace."""
    return name.rpartition(SEPARATOR)[2]


def namespace(name: str) -> str:
    """Return the namespace of a qualified name, empty when it has none."""
    return name.rpartition(SEPARATOR)[0]


class _Harvest:
    """Takes what is complete off the growing tree, between two chunks.

    The handlers are the C builder's own methods: a Python function for each tag would double the time of
    the whole parse. So what grows too large is seen here, one chunk late, and never later.
    """

    __slots__ = ("_builder", "_elements", "_gate", "_limits", "_open", "_opens", "_root")

    def __init__(self, gate: Gate, opens: Opens, limits: Limits) -> None:
        self._gate, self._opens, self._limits = gate, opens, limits
        self._builder = TreeBuilder()
        self._root: Element | None = None
        self._open: set[Element] = set()
        self._elements = 0
        gate.parser.StartElementHandler = self._start_root
        gate.parser.EndElementHandler = self._builder.end
        gate.parser.CharacterDataHandler = self._builder.data

    def events(self, body: bytes) -> Iterator[Event]:
        """Yield the events of the document, chunk by chunk."""
        for is_complete in self._gate.feed(body):
            if self._root is not None:
                yield from self._take(None, [self._root], 0, is_complete)

    def _start_root(self, name: str, attributes: dict[str, str]) -> None:
        self._root = self._builder.start(name, attributes)
        self._gate.parser.StartElementHandler = self._builder.start

    def _take(self, parent: str | None, found: list[Element], depth: int, is_complete: bool) -> Iterator[Event]:
        """Yield the events of a container's children; the last is incomplete unless the container is complete."""
        last = None if is_complete or not found else found[-1]
        containers = {child for child in found if child in self._open or self._opens(parent, child.tag)}
        ready = [child for child in found if child is not last and child not in containers]
        self._elements += self._survey(ready, depth) + len(containers - self._open)
        if last is not None and last not in containers:
            self._check_unfinished(last, depth)
        for child in found:
            if child in containers:
                yield from self._pass_through(child, depth, child is not last)
            elif child is not last:
                yield Subtree(parent or "", child.tag, child)

    def _check_unfinished(self, record: Element, depth: int) -> None:
        if self._survey([record], depth) > self._limits.record_elements:
            self._gate.refuse("record_too_large")

    def _pass_through(self, container: Element, depth: int, is_complete: bool) -> Iterator[Event]:
        if container not in self._open:
            self._open.add(container)
            self._check_container(container, depth)
            yield Opened(container.tag, container.attrib)
        found = container[:]
        # The builder still writes to the last child, so it stays where it is.
        del container[: len(found) if is_complete else -1]
        yield from self._take(container.tag, found, depth + 1, is_complete)
        if is_complete:
            self._open.discard(container)
            yield Closed(container.tag)

    def _check_container(self, container: Element, depth: int) -> None:
        if depth >= self._limits.depth:
            self._gate.refuse("too_deep")
        if len(container.keys()) > self._limits.attributes:
            self._gate.refuse("too_many_attributes")

    def _survey(self, level: list[Element], depth: int) -> int:
        """Count the elements below and at `level`, and refuse what is beyond the limits."""
        limits, count = self._limits, 0
        while level:
            count, depth = count + len(level), depth + 1
            if depth > limits.depth:
                self._gate.refuse("too_deep")
            if max(map(len, map(Element.keys, level))) > limits.attributes:
                self._gate.refuse("too_many_attributes")
            if max(map(len, filter(None, map(_text, level))), default=0) > limits.text_characters:
                self._gate.refuse("text_too_long")
            level = list(chain.from_iterable(level))
        if self._elements + count > limits.elements:
            self._gate.refuse("too_many_elements")
        return count
