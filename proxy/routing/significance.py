"""Exact statistical tests: whether what was seen may be chance. Chances are from 0 to 1."""

from math import erfc, exp, inf, lgamma, log, log1p, sqrt

_NEGLIGIBLE = 1e-17
"""A term of this share of a sum changes no digit of a double."""

_FRACTION_STEPS = 20_000
_NEARLY_NORMAL = 1e7
"""Degrees of freedom from which Student's distribution is the normal one, to seven digits."""


def binomial_chance(trials: int, failures: int, threshold: float) -> float:
    """The chance of so few successes or fewer, were each trial to succeed with the chance `threshold`.

    The exact one-sided binomial test (Clopper, Pearson, Biometrika 26, 1934): P(X <= successes) for X of
    Binomial(trials, threshold).
    """
    successes = trials - failures
    if failures == 0 or threshold <= 0:
        return 1.0
    if threshold >= 1:
        return 0.0
    odds = (1 - threshold) / threshold
    if successes >= trials * threshold:  # the larger part: the smaller one is summed up, from its largest term on
        term = exp(_log_binomial(trials, successes + 1, threshold))
        above, count = 0.0, successes + 1
        while term > above * _NEGLIGIBLE:
            above += term
            term *= (trials - count) / ((count + 1) * odds)
            count += 1
        return 1.0 - above
    term = exp(_log_binomial(trials, successes, threshold))
    below, count = 0.0, successes
    while term > below * _NEGLIGIBLE:
        below += term
        term *= count * odds / (trials - count + 1)
        count -= 1
    return min(1.0, below)


def fisher_chance(trials: int, failures: int, other_trials: int, other_failures: int) -> float:
    """The chance that the first of two groups has so many of all failures or more, were both to fail alike.

    Fisher's exact test, one-sided (Fisher, The Design of Experiments, 1935): P(X >= failures) for X of
    Hypergeometric(all trials, all failures, trials).
    """
    if failures == 0:
        return 1.0
    together = failures + other_failures
    if failures * (trials + other_trials) <= together * trials:  # the larger part, as above
        return 1.0 - _hypergeometric_tail(trials, other_trials, together, failures - 1, -1)
    return min(1.0, _hypergeometric_tail(trials, other_trials, together, failures, 1))


def _hypergeometric_tail(ours: int, theirs: int, failures: int, count: int, direction: int) -> float:
    """The sum of the chances of `count` failures among ours, and of one more (or fewer) at each step to the end."""
    if count < max(0, failures - theirs):
        return 0.0
    term = exp(_log_choose(ours, count) + _log_choose(theirs, failures - count) - _log_choose(ours + theirs, failures))
    total = 0.0
    while term > total * _NEGLIGIBLE:
        total += term
        if direction > 0:
            term *= (ours - count) * (failures - count) / ((count + 1) * (theirs - failures + count + 1))
        else:
            term *= count * (theirs - failures + count) / ((ours - count + 1) * (failures - count + 1))
        count += direction
    return total


def welch_chance(excess: float, sample: tuple[int, float], other: tuple[int, float]) -> float:
    """The chance that a mean is so far above another one or further, were both the same.

    A sample is its size, at least 2, and the variance of its mean. Welch's t-test, one-sided, with the degrees of
    freedom after Satterthwaite (Welch, Biometrika 34, 1947).
    """
    (size, variance), (other_size, other_variance) = sample, other
    error = variance + other_variance
    if error <= 0:
        return 0.0 if excess > 0 else 1.0
    freedom = error**2 / (variance**2 / (size - 1) + other_variance**2 / (other_size - 1))
    return student_tail(excess / sqrt(error), freedom)


def student_tail(statistic: float, freedom: float) -> float:
    """P(T > statistic) of Student's distribution (Abramowitz, Stegun, Handbook of Mathematical Functions, 26.7.1)."""
    if statistic < 0:
        return 1.0 - student_tail(-statistic, freedom)
    if statistic == inf:
        return 0.0
    if freedom >= _NEARLY_NORMAL:
        return erfc(statistic / sqrt(2)) / 2
    square = statistic * statistic
    return _regularized_beta(freedom / 2, 0.5, freedom / (freedom + square), square / (freedom + square)) / 2


def _regularized_beta(left: float, right: float, at: float, rest: float) -> float:
    """The regularized incomplete beta function at `at`; `rest` is 1 - at, exactly."""
    if at <= 0:
        return 0.0
    if rest <= 0:
        return 1.0
    if at > (left + 1) / (left + right + 2):
        return 1.0 - _regularized_beta(right, left, rest, at)
    # ln x is taken from the smaller of x and 1 - x, which holds more digits of it.
    log_at = log1p(-rest) if rest < 0.5 else log(at)
    log_rest = log1p(-at) if at < 0.5 else log(rest)
    front = lgamma(left + right) - lgamma(left) - lgamma(right) + left * log_at + right * log_rest
    return exp(front) * _beta_fraction(left, right, at) / left


def _beta_fraction(left: float, right: float, at: float) -> float:
    """The continued fraction of the incomplete beta function by Lentz's method (Press and others, Numerical Recipes in
    C, 6.4).
    """
    tiny = 1e-300
    above, below = 1.0, 1.0 / ((1.0 - (left + right) * at / (left + 1)) or tiny)
    value = below
    for step in range(1, _FRACTION_STEPS):
        double = left + 2 * step
        even = step * (right - step) * at / ((double - 1) * double)
        odd = -(left + step) * (left + right + step) * at / (double * (double + 1))
        for term in (even, odd):
            below = 1.0 / ((1.0 + term * below) or tiny)
            above = (1.0 + term / above) or tiny
            value *= above * below
        if abs(above * below - 1.0) < 1e-14:
            break
    return value


def _log_choose(whole: int, part: int) -> float:
    """The logarithm of a binomial coefficient; of none, minus infinity."""
    if not 0 <= part <= whole:
        return -inf
    return lgamma(whole + 1) - lgamma(part + 1) - lgamma(whole - part + 1)


def _log_binomial(trials: int, successes: int, chance: float) -> float:
    """The logarithm of the chance of exactly so many successes."""
    return _log_choose(trials, successes) + successes * log(chance) + (trials - successes) * log1p(-chance)
