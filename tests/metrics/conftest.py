import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """Tests keep judges and true edits in a cache of their own, never in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNWEAVE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
