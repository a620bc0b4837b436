"""Covariances of roots and of linear forms: bilinear, and asked in an order that needs no deep recursion, whatever the depth of the program."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from tensorprog.interpret.limit.interned import Variables
from tensorprog.interpret.limit.scalar import Index, S, number_of, rename
from tensorprog.interpret.limit.variable import Lin, Part, Root, Use, unread

NESTED = 20  # covariances inside each other; one takes some fifteen frames of the interpreter's stack


class _Deeper(Exception):
    """A covariance that is asked too deep inside others: it is found first, and they are asked again."""

    def __init__(self, pair: tuple[Root, Root]) -> None:
        self.pair = pair


class Covariances:
    """Answers Cov, each once.

    Args:
        root_covariance: Cov of two roots of one group, with the indices of the first numbered 0 .. and those of the second after them.
    """

    def __init__(self, v: Variables, root_covariance: Callable[[Root, Root], S]) -> None:
        self.v, self.s = v, v.scalars
        self._root_covariance = root_covariance
        self._roots: dict[tuple[int, int], S] = {}
        self._forms: dict[tuple[int, int], S] = {}
        self._grouped: dict[int, frozenset[Hashable]] = {}
        self._nested = 0

    def of_roots(self, a: Root, b: Root) -> S:
        """Cov of two roots of one group: indices 0 .. of a, then those of b."""
        key = (a.id, b.id)
        found = self._roots.get(key)
        if found is None:
            mirrored = self._roots.get((b.id, a.id))
            if mirrored is not None:
                turn = {**{k: len(a.axes) + k for k in range(len(b.axes))}, **{len(b.axes) + k: k for k in range(len(a.axes))}}
                found = rename(mirrored, turn)
            else:
                found = self._inside(a, b) if self._nested else self._outermost(a, b)
            self._roots[key] = found
        return found

    def _outermost(self, a: Root, b: Root) -> S:
        """A covariance asks for those of the layers before, down to the inputs: at most NESTED inside each other, whatever the depth."""
        asked = [(a, b)]
        while True:
            try:
                found = self._inside(*asked[-1])
            except _Deeper as first:
                asked.append(first.pair)
                continue
            r, q = asked.pop()
            if not asked:
                return found
            self._roots[r.id, q.id] = found

    def _inside(self, a: Root, b: Root) -> S:
        if self._nested == NESTED:
            raise _Deeper((a, b))
        self._nested += 1
        try:
            return self._root_covariance(a, b)
        finally:
            self._nested -= 1

    def of_forms(self, a: Use, b: Use) -> S:
        """Cov of two linear forms, at their indices."""
        x, y = a.factor, b.factor
        assert isinstance(x, Lin)
        assert isinstance(y, Lin)
        found = self._of_whole(x, y)
        by: dict[Index, Index] = {**dict(enumerate(a.idx)), **{len(a.idx) + k: i for k, i in enumerate(b.idx)}}
        return S(found.node, tuple(by[i] for i in found.idx))

    def _of_whole(self, x: Lin, y: Lin) -> S:
        """Root by root, or, where forms are sums of others, by those: what deep forms share is found once, and first, whatever the depth."""
        asked = [(x, y)]
        while asked:
            a, b = asked[-1]
            if (a.id, b.id) not in self._forms:
                left, right = self._parts(a, b)
                pairs = [(f, g) for _, _, f, _ in left for _, _, g, _ in right if isinstance(f, Lin) and isinstance(g, Lin)]
                missing = [(f, g) for f, g in pairs if (f.id, g.id) not in self._forms and not self._apart(f, g)]
                if missing:
                    asked.extend(missing)
                    continue
                self._forms[a.id, b.id] = self._bilinear(a, b, left, right)
            asked.pop()
        return self._forms[x.id, y.id]

    def _parts(self, x: Lin, y: Lin) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
        """The sums that two forms are taken as: of the longer one first, so that forms of one depth meet."""
        p, q, longer = self.v.sums.get(x), self.v.sums.get(y), len(x.terms) - len(y.terms)
        if p is None and q is None:
            return x.terms, y.terms
        left = _whole(x) if p is None or (q is not None and longer < 0) else p
        right = _whole(y) if q is None or (p is not None and longer > 0) else q
        return left, right

    def _apart(self, x: Lin, y: Lin) -> bool:
        return self._groups(x).isdisjoint(self._groups(y))

    def _groups(self, form: Lin) -> frozenset[Hashable]:
        """The groups of a form's roots."""
        found = self._grouped.get(form.id)
        if found is None:
            found = self._grouped[form.id] = frozenset(r.group for r in form.roots)
        return found

    def _bilinear(self, x: Lin, y: Lin, left: tuple[Part, ...], right: tuple[Part, ...]) -> S:
        """sum over the parts of both: indices 0 .. of x, and then those of y; below 0 what is summed, odd numbers in x and even ones in y."""
        m, n = len(x.sizes), len(y.sizes)
        terms: list[tuple[float, S]] = []
        for c, s, r, where in left:
            here = {i: i if i < m else -1 - 2 * i for i in map(number_of, (*where, *(s.idx if s else ())))}
            for d, t, q, there_where in right:
                cov = self._of_parts(r, q)
                if self.s.is_zero(cov):
                    continue
                there = {i: m + i if i < n else -2 - 2 * i for i in map(number_of, (*there_where, *(t.idx if t else ())))}
                places = (*(here[number_of(i)] for i in where), *(there[number_of(i)] for i in there_where))
                parts = [cov.inside(places)]
                parts += [rename(s, here)] if s else []
                parts += [rename(t, there)] if t else []
                sizes: dict[Index, int] = dict(zip(places, (*r.sizes, *q.sizes), strict=True))
                times = unread(sizes, range(m + n), *(part.idx for part in parts))
                terms.append((c * d, self.s.product(parts, range(m + n), times)))
        return self.s.total(terms)

    def _of_parts(self, a: Root | Lin, b: Root | Lin) -> S:
        if isinstance(a, Root) and isinstance(b, Root):
            return self.of_roots(a, b) if a.group == b.group else self.s.zero
        return self._forms.get((a.id, b.id), self.s.zero)  # those that are not known have no group of roots in common


def _whole(x: Lin) -> tuple[Part, ...]:
    return ((1.0, None, x, tuple(range(len(x.sizes)))),)
