"""Every public function of losses, ops and metrics has complete annotations."""

import importlib
import inspect
import pkgutil

import pytest

from repr_jax import losses, metrics, ops

NOT_YET = ("hierarchy", "taxonomy")  # arrays of trees, by their docstrings


def modules():
    for package in (losses, metrics, ops):
        for module in pkgutil.iter_modules(package.__path__):
            if module.name not in NOT_YET:
                yield f"{package.__name__}.{module.name}"


@pytest.mark.parametrize("name", modules())
def test_annotations_are_complete(name):
    module = importlib.import_module(name)
    for function, value in inspect.getmembers(module, inspect.isfunction):
        if value.__module__ == name and not function.startswith("_"):
            signature = inspect.signature(value)
            found = {k: p.annotation for k, p in signature.parameters.items()}
            found["return"] = signature.return_annotation
            bare = [k for k, kind in found.items() if kind is inspect.Signature.empty]
            assert not bare, f"{name}.{function}: {bare}"
