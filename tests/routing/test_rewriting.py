"""Exact names before any name, the first rewrite before later ones: as a naive reading of the rules has it."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.spec import ModelServer, Rewrite, RewriteTarget
from proxy.routing.rewriting import Rewriter

NAMES = st.sampled_from(["a", "b", "c"])
REWRITES = st.lists(st.lists(NAMES, max_size=2).map(tuple), max_size=6).map(
    lambda rules: tuple(Rewrite((RewriteTarget(f"r{place}"),), models) for place, models in enumerate(rules))
)


def naive(rewrites: tuple[Rewrite, ...], model: str | None) -> str | None:
    for rewrite in rewrites:
        if model in rewrite.models:
            return rewrite.targets[0].model
    return next((rewrite.targets[0].model for rewrite in rewrites if not rewrite.models), None)


@given(REWRITES, NAMES | st.none() | st.just(""))
def test_the_rewrite_that_is_used_is_the_naive_one(rewrites: tuple[Rewrite, ...], model: str | None) -> None:
    split = Rewriter(ModelServer("pool", (), rewrites=rewrites)).split_for(model)
    assert (None if split is None else split.pick()) == naive(rewrites, model)


def test_a_target_of_weight_0_is_never_sent() -> None:
    rewrite = Rewrite((RewriteTarget("never", 0), RewriteTarget("always", 5)))
    split = Rewriter(ModelServer("pool", (), rewrites=(rewrite,))).split_for("m")
    assert split is not None
    assert {split.pick() for _ in range(20)} == {"always"}


def test_its_repr_tells_what_it_rewrites() -> None:
    rewrites = (Rewrite((RewriteTarget("x"),), ("a", "b")), Rewrite((RewriteTarget("y"),)))
    assert repr(Rewriter(ModelServer("pool", (), rewrites=rewrites))) == "<Rewriter of pool: 2 models and any other>"
