"""Makes the limit variables, each once, over one graph of scalars: sums and products of them, roots and linear forms, functions and closed sums."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import Any

from tensorprog.interpret.limit.scalar import Index, S, Scalars, Total, number_of, rename
from tensorprog.interpret.limit.variable import Atom, Closed, Composite, Lin, LinTerm, Part, Poly, Root, Term, Use, relabel, sizes_of, unread
from tensorprog.language.expr import Fn


def _bound(term: Term) -> list[Index]:
    return list(dict.fromkeys(i for idx in (*(u.idx for u in term.uses), term.coef.idx) for i in idx if isinstance(i, int)))


def _sums_a_form(term: Term) -> bool:
    return len(term.uses) == 1 and isinstance(term.uses[0].factor, Lin) and any(isinstance(i, int) for i in term.uses[0].idx)


class Variables:
    """Makes roots, factors and sums, each once, over one graph of scalars."""

    def __init__(self, scalars: Scalars, sizes: Mapping[str, int]) -> None:
        self.scalars = scalars
        self.sizes = sizes
        self.sums: dict[Lin, tuple[Part, ...]] = {}
        self._made: dict[Hashable, Any] = {}
        self._fresh = 1 << 20

    def _intern(self, key: Hashable, make: Callable[[int], Any]) -> Any:
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = make(len(self._made))
        return found

    def remember(self, key: Hashable, make: Callable[[], Any]) -> Any:
        return self._intern(key, lambda _: make())

    def apart(self, term: Term) -> Term:
        """The term with summed indices that occur nowhere else."""
        bound = _bound(term)
        if not bound:
            return term
        self._fresh += len(bound)
        return relabel(term, {i: self._fresh - k for k, i in enumerate(bound)})

    # Sums.

    def poly(self, terms: Iterable[Term]) -> Poly:
        """The sum of the terms: the coefficients of like terms added, in a canonical order."""
        collected: dict[Hashable, tuple[tuple[Use, ...], list[tuple[float, S]]]] = {}
        for term in terms:
            uses = tuple(sorted(term.uses, key=lambda u: u.factor.id))
            rest = self._summed(term.coef, [i for u in uses for i in u.idx])
            bound: dict[Index, Index] = {i: k for k, i in enumerate(_bound(Term(self.scalars.one, uses)))}
            coef, uses = relabel(Term(rest, uses), bound) if bound else Term(rest, uses)
            key = tuple((u.factor.id, u.idx) for u in uses)
            collected.setdefault(key, (uses, []))[1].append((1.0, coef))
        summed = {key: Term(self._added(coefs), uses) for key, (uses, coefs) in collected.items()}
        kept = sorted((key for key, t in summed.items() if not self.scalars.is_zero(t.coef)), key=repr)  # an index is a name or a number
        final = tuple(summed[key] for key in kept)
        parts = tuple((t.coef.node.id, t.coef.idx, key) for t, key in zip(final, kept, strict=True))
        return self._intern(("poly", parts), lambda i: _make_poly(i, final))

    def _added(self, coefs: list[tuple[float, S]]) -> S:
        return coefs[0][1] if len(coefs) == 1 and coefs[0][0] == 1.0 else self.scalars.total(coefs)

    def _added_numbered(self, coefs: list[tuple[float, S]]) -> tuple[float, S]:
        """The sum as (number, rest), the rest with first coefficient 1; number 0 where it vanishes."""
        number, rest = self.scalars.split(self._added(coefs))
        op = rest.node.op
        if not isinstance(op, Total) or op.terms[0][0] == 1.0:
            return number, rest
        first = op.terms[0][0]
        named = [(c / first, s.inside(rest.idx)) for c, s in op.terms]
        return number * first, self.scalars.total(named)

    def _summed(self, coef: S, read: Collection[Index]) -> S:
        """The coefficient summed over indices that it alone reads: a chain of mixing matrices is one matrix."""
        kept = [i for i in coef.idx if not isinstance(i, int) or i in read]
        return coef if len(kept) == len(coef.idx) else self.scalars.product((coef,), kept)

    def constant(self, s: S) -> Poly:
        return self.poly(() if self.scalars.is_zero(s) else (Term(s, ()),))

    def add(self, *polys: Poly) -> Poly:
        return self.poly(t for p in polys for t in p.terms)

    def scale(self, p: Poly, s: S) -> Poly:
        if self.scalars.is_zero(s):
            return self.poly(())
        return self.poly(Term(self.scalars.product((t.coef, s)), t.uses) for t in p.terms)

    def multiply(self, *polys: Poly) -> Poly:
        """The product; a factor of several terms stays closed, so that products are distributed only where an expectation asks."""
        if any(not p.terms for p in polys):
            return self.poly(())
        parts = [self.apart(self.close(p)) for p in polys]
        return self.poly((Term(self.scalars.product(t.coef for t in parts), tuple(u for t in parts for u in t.uses)),))

    def close(self, p: Poly) -> Term:
        """p as one term; a linear form that is read at summed indices is made another form."""
        if len(p.terms) == 1 and not _sums_a_form(p.terms[0]):
            return p.terms[0]
        affine = self.affine(p)
        if affine is not None:
            scale, shift, use = affine
            if shift == 0.0:
                return Term(self.scalars.num(scale), (use,))
        local: dict[Index, Index] = {name: k for k, name in enumerate(p.axes)}
        sizes = tuple(_size(p, name) for name in p.axes)
        closed = self._intern(("closed", p.id), lambda i: Closed(i, sizes, p.axes, p, p.roots))
        return Term(self.scalars.one, (Use(closed, tuple(local)),))

    def open(self, use: Use, wanted: Callable[[Term], bool] = lambda _: True) -> list[Term]:
        """The terms of a closed factor at the indices of its use; of all, or of those that are wanted."""
        assert isinstance(use.factor, Closed)
        by = dict(zip(use.factor.axes, use.idx, strict=True))
        return [relabel(self.apart(t), by) for t in use.factor.poly.terms if wanted(t)]

    def rename(self, p: Poly, by: Mapping[Any, Index]) -> Poly:
        return self.poly(relabel(t, by) for t in p.terms) if any(a in by for a in p.axes) else p

    def sum_axis(self, p: Poly, axis: str, size: int | None = None) -> Poly:
        """Sum over a free index (of the given size, where it is no axis of the program)."""
        out: list[Term] = []
        for t in p.terms:
            self._fresh += 1
            present = axis in t.coef.idx or any(axis in u.idx for u in t.uses)
            count = self.scalars.num(self.sizes[axis] if size is None else size)
            out.append(relabel(t, {axis: self._fresh}) if present else Term(self.scalars.product((t.coef, count)), t.uses))
        return self.poly(out)

    def gather(self, p: Poly, axis: str, into: str | None, index: tuple[int, ...]) -> Poly:
        """Members index[i] along an axis, 0 where -1 (`expr.Gather`)."""
        size = self.sizes[axis]
        if into is not None and index == tuple(range(size)):
            return self.rename(p, {axis: into})
        out: list[Term] = []
        for t in p.terms:
            self._fresh += 2
            k, j = self._fresh, self._fresh - 1
            present = axis in t.coef.idx or any(axis in u.idx for u in t.uses)
            hot = self.scalars.hot(index, size, j if into is None else into, k)
            moved = relabel(t, {axis: k}) if present else t
            keep = {*moved.coef.idx, *(hot.idx if present else hot.idx[:1])}
            out.append(Term(self.scalars.product((moved.coef, hot), keep), moved.uses))
        return self.poly(out)

    # Roots and linear forms.

    def root(self, key: Hashable, group: Hashable, label: str, axes: tuple[str, ...], argument: Poly | None = None, twin: Root | None = None) -> Root:
        sizes = tuple(self.sizes[a] for a in axes)
        return self._intern(("root", key), lambda i: Root(i, group, label, axes, sizes, argument, twin))

    def of_root(self, r: Root) -> Poly:
        _, _, use = self.linear([(1.0, None, r, r.axes)], self.scalars.zero)
        return self.poly((Term(self.scalars.one, (use,)),))

    def affine(self, p: Poly, split_shift: bool = False) -> tuple[float, float, Use] | None:
        """p as scale * linear form + shift, or None where it is no linear form of roots (or has no root at all).

        A constant that is not a plain number, and with `split_shift` False any constant, belongs to the form.
        """
        terms: list[LinTerm] = []
        consts: list[tuple[float, S]] = []
        for t in p.terms:
            if not t.uses:
                consts.append((1.0, self._sum_bound(t.coef)))
            elif len(t.uses) == 1 and isinstance(t.uses[0].factor, Lin):
                self.expand(self.apart(t), terms, consts)
            else:
                return None
        if not terms:
            return None
        const = self.scalars.total(consts)
        number, rest = self.scalars.split(const)
        if split_shift and rest.node is self.scalars.one.node:
            scale, _, use = self.linear(terms, self.scalars.zero)
            return scale, number, use
        scale, shift, use = self.linear(terms, const)
        self._remember_sum(p, scale, use)
        return scale, shift, use

    def _remember_sum(self, p: Poly, scale: float, use: Use) -> None:
        """Keep that a form is a sum of earlier ones of several roots: its covariances are then found from theirs, which other forms share.

        Not where roots may cancel, wholly or in part.
        """
        form, forms = use.factor, [t.uses[0].factor for t in p.terms if t.uses]
        if not isinstance(form, Lin) or form in self.sums or all(len(f.roots) == 1 for f in forms) or any(f.id >= form.id for f in forms):
            return
        local: dict[Index, Index] = {name: k for k, name in enumerate(use.idx)}
        parts: list[Part] = []
        for number, coef, (part, idx) in ((*self.scalars.split(t.coef), t.uses[0]) for t in p.terms if t.uses):
            assert isinstance(part, Lin)
            by = local | {i: len(local) + i for i in (*idx, *coef.idx) if isinstance(i, int)}
            parts.append((number / scale, rename(coef, by), part, tuple(by[i] for i in idx)))
        if all(c > 0 for c, *_ in parts) or sum(len(f.roots) for f in forms) == len(form.roots):
            self.sums[form] = tuple(parts)

    def settled(self, p: Poly) -> Poly:
        """p as one linear form, where it is a sum of some."""
        summed = len(p.terms) > 1 or any(map(_sums_a_form, p.terms))
        return self.poly((self.close(p),)) if summed and self.affine(p) is not None else p

    def _sum_bound(self, s: S) -> S:
        return self.scalars.product((s,), [i for i in s.idx if isinstance(i, str)])

    def expand(self, t: Term, terms: list[LinTerm], consts: list[tuple[float, S]], free: Collection[Index] = ()) -> None:
        """The roots and the constant of a form at its indices, of which the integer ones are summed, but for those that are `free`."""
        lin, idx = t.uses[0]
        sizes = {i: n for i, n in sizes_of(t.uses).items() if i not in free}
        assert isinstance(lin, Lin)
        number, rest = self.scalars.split(t.coef)
        by: dict[Index, Index] = dict(enumerate(idx))
        for c, s, root, where in lin.terms:
            self._fresh += 64
            full = {i: by[i] if i in by else self._fresh - number_of(i) - 1 for i in (*(s.idx if s else ()), *where)}
            parts = [rest] if s is None else [rest, rename(s, full)]
            coef = self.scalars.product(parts)
            at = tuple(full[i] for i in where)
            times = unread(sizes, coef.idx, at)
            extra, coef = self.scalars.split(coef)
            terms.append((number * c * extra * times, None if coef.node is self.scalars.one.node else coef, root, at))
        if lin.const is not None:
            const = self.scalars.product((rest, rename(lin.const, by)))
            consts.append((number * unread(sizes, const.idx), self._sum_bound(const)))

    def linear(self, terms: list[LinTerm], const: S) -> tuple[float, float, Use]:
        """The form of the terms as (scale, 0, use): first coefficient 1, like terms collected, indices numbered by appearance."""
        keyed: dict[Hashable, tuple[Root, tuple[Index, ...], list[tuple[float, S]]]] = {}
        for c, s, root, where in terms:
            bound: dict[Index, Index] = {i: k for k, i in enumerate(dict.fromkeys(i for i in where if isinstance(i, int)))}
            coef = self.scalars.one if s is None else rename(self._summed(s, where), bound)
            at = tuple(bound.get(i, i) for i in where)
            keyed.setdefault((root.id, at), (root, at, []))[2].append((c, coef))
        merged = ((*self._added_numbered(coefs), root, at) for root, at, coefs in keyed.values())
        live: list[LinTerm] = [(c, None if s.node is self.scalars.one.node else s, root, at) for c, s, root, at in merged if c != 0.0]
        live.sort(key=lambda v: (v[2].id, v[1].node.id if v[1] else -1))
        scale = live[0][0] if live else 1.0
        free = list(dict.fromkeys(i for _, s, _, w in live for i in (*w, *(s.idx if s else ())) if isinstance(i, str)))
        free += [i for i in const.idx if i not in free]
        local: dict[Index, Index] = {name: k for k, name in enumerate(free)}

        def place(i: Index) -> Index:
            return local[i] if isinstance(i, str) else len(free) + number_of(i)

        inner = tuple((c / scale, s and S(s.node, tuple(map(place, s.idx))), r, tuple(map(place, w))) for c, s, r, w in live)
        offset = None if self.scalars.is_zero(const) else rename(self.scalars.product((const,), None, 1.0 / scale), local)
        parts = tuple((c, s and (s.node.id, s.idx), r.id, w) for c, s, r, w in inner)
        key = ("lin", len(free), parts, offset and (offset.node.id, offset.idx))
        size = {i: n for _, s, r, w in inner for i, n in (*zip(w, r.sizes, strict=True), *(zip(s.idx, s.node.sizes, strict=True) if s else ()))}
        size |= dict(zip(offset.idx, offset.node.sizes, strict=True)) if offset else {}
        sizes = tuple(size[k] for k in range(len(free)))
        form = self._intern(key, lambda i: Lin(i, sizes, inner, offset, frozenset(r for _, _, r, _ in inner)))
        return scale, 0.0, Use(form, tuple(free))

    def atom(self, fn: Fn, scale: float, shift: float, use: Use) -> Poly:
        form = use.factor
        assert isinstance(form, Lin)
        coef = 1.0
        if fn.name == "ramp" and shift == 0.0:  # ramp_k(s u) = |s|^k ramp_k(sign(s) u), also for delta (k = -1)
            coef, scale = abs(scale) ** fn.constants[0], 1.0 if scale > 0 else -1.0
        made = self._intern(("atom", fn, scale, shift, form.id), lambda i: Atom(i, form.sizes, fn, scale, shift, form, form.roots))
        return self.poly((Term(self.scalars.num(coef), (Use(made, use.idx),)),))

    def composite(self, fn: Fn, args: tuple[Poly, ...]) -> Poly:
        axes = tuple(sorted({a for p in args for a in p.axes}))
        sizes = tuple(next(_size(p, a) for p in args if a in p.axes) for a in axes)
        roots = frozenset(r for p in args for r in p.roots)
        made = self._intern(("composite", fn, tuple(p.id for p in args)), lambda i: Composite(i, sizes, fn, axes, args, roots))
        return self.poly((Term(self.scalars.one, (Use(made, axes),)),))


def _make_poly(i: int, terms: tuple[Term, ...]) -> Poly:
    free = {k for t in terms for idx in (t.coef.idx, *(u.idx for u in t.uses)) for k in idx if isinstance(k, str)}
    return Poly(i, tuple(sorted(free)), terms, frozenset(r for t in terms for u in t.uses for r in u.factor.roots))


def _size(p: Poly, axis: str) -> int:
    for t in p.terms:
        for idx, sizes in ((t.coef.idx, t.coef.node.sizes), *((u.idx, u.factor.sizes) for u in t.uses)):
            if axis in idx:
                return sizes[idx.index(axis)]
    raise KeyError(axis)
