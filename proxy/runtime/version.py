"""Which Penstock this is."""

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """The installed distribution's version; "source" where it runs without being installed."""
    try:
        return version("penstock")
    except PackageNotFoundError:
        return "source"
