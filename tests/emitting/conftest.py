import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest


def module_at(path: Path) -> ModuleType:
    """The module in that file, under its own name: types look for theirs by name."""
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def torture() -> ModuleType:
    """Models that are hard to write down."""
    return module_at(Path(__file__).parents[1] / "torture.py")
