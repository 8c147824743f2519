"""The graph of what a root reaches, and the digest of that graph.

A node is a symbol of the project: a function, a class, a module that counts whole, or a container that holds code. It is
described by items in a fixed order: bytes, values by their digest, and other nodes. Nodes are numbered as they are first met,
the root first, and the digest is that of all descriptions in this order, with numbers for nodes. So recursion, mutual
recursion and shared helpers need no care, no name or place of a symbol counts, and the cost is linear. (A Merkle tree over
strongly connected components gives every node a digest of its own, which nobody asks for, and needs a rule for each cycle.)

For people, each node has a local digest: of its own description, with names for what it refers to. So an edit of one
function changes one component, not those of all its callers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gpucache.digests import combine

Parts = Mapping[str, tuple[bytes, str]]


@dataclass(frozen=True, slots=True)
class Value:
    """A value by its digest, and where it was read: the component and the text for people.

    Attributes:
        local: The digest of its data alone, if code in it counts, too: that has components of its own.
    """

    component: str
    digest: bytes
    shown: str
    local: bytes


@dataclass(slots=True, eq=False)
class Node:
    """A symbol.

    Attributes:
        obj: The live object.
        component: Its name for people, "code:helpers.norm".
        shown: Where it is, "helpers.py:12 norm".
        items: What it is.
    """

    obj: object
    component: str = ""
    shown: str = ""
    items: list[Item] = field(default_factory=list)


Item = bytes | Value | Node


def digest_of(nodes: list[Node], *more: bytes) -> bytes:
    """The digest of the graph. `nodes` is in order of first meeting, the root first."""
    number = {id(node): b"#%d" % index for index, node in enumerate(nodes)}
    described = [combine(*(_canonical(item, number) for item in node.items)) for node in nodes]
    return combine(*described, *more)


def parts_of(nodes: list[Node]) -> dict[str, tuple[bytes, str]]:
    """The components: each node with its local digest, each value with its own. Equal names are told apart by a number."""
    parts: dict[str, tuple[bytes, str]] = {}
    for node in nodes:
        local = combine(*(_local(item) for item in node.items))
        parts[_free(parts, node.component, local)] = (local, node.shown)
        for item in node.items:
            if isinstance(item, Value) and item.component:
                parts[_free(parts, item.component, item.local)] = (item.local, item.shown)
    return parts


def _canonical(item: Item, number: Mapping[int, bytes]) -> bytes:
    if isinstance(item, bytes):
        return b"b" + item
    return b"v" + item.digest if isinstance(item, Value) else number[id(item)]


def _local(item: Item) -> bytes:
    if isinstance(item, bytes):
        return b"b" + item
    # A value without a name has no component of its own, so it counts here.
    return (
        b"v" + (item.component.encode() or item.digest) if isinstance(item, Value) else b"#" + item.component.encode()
    )


def _free(parts: Mapping[str, tuple[bytes, str]], component: str, digest: bytes) -> str:
    name, count = component, 1
    while name in parts and parts[name][0] != digest:
        count += 1
        name = f"{component}#{count}"
    return name
