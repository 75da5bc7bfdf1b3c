import pytest

from caloforge import errors
from caloforge.errors import CaloForgeError, MissingExtraError, did_you_mean, require


def test_exit_codes_differ_and_are_not_success():
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, CaloForgeError)]
    assert all(kind.exit_code > 0 for kind in kinds)
    direct = [kind.exit_code for kind in kinds if kind.__base__ is CaloForgeError]
    assert len(direct) == len(set(direct))


def test_require_names_the_extra():
    with pytest.raises(MissingExtraError, match=r"pip install 'caloforge\[report\]'"):
        require("no_such_module_anywhere", "report")


def test_require_returns_the_module():
    import json

    assert require("json", "report") is json


def test_require_keeps_errors_inside_a_dependency(tmp_path, monkeypatch):
    (tmp_path / "broken_dependency.py").write_text("import no_such_module_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere") as caught:
        require("broken_dependency", "report")
    assert not isinstance(caught.value, MissingExtraError)


def test_did_you_mean_without_names():
    assert did_you_mean("x", []) == ""
