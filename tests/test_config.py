import pytest
from pydantic import BaseModel, ConfigDict, Field

from caloforge.config import parse_toml, read_text, validate
from caloforge.errors import DetectorError, FileError, InputError


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    steps: int = Field(1, ge=1)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    inner: Inner = Inner()
    several: tuple[Inner, ...] = ()


def test_good_values():
    found = validate(Outer, {"name": "a", "inner": {"steps": 3}}, "file.toml")
    assert found.inner.steps == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "file.toml: key 'name' is missing"),
        ({"name": "a", "iner": {}}, "unknown key 'iner'; did you mean 'inner'?"),
        ({"name": "a", "inner": {"step": 1}}, "unknown key 'inner.step'; did you mean 'steps'?"),
        (
            {"name": "a", "several": [{}, {"stepps": 1}]},
            "unknown key 'several[1].stepps'; did you mean 'steps'?",
        ),
        ({"name": "a", "inner": {"steps": 0}}, "'inner.steps'"),
        ({"name": 3}, "(got 3)"),
    ],
)
def test_problems_are_placed(data, words):
    with pytest.raises(InputError) as caught:
        validate(Outer, data, "file.toml")
    assert words in str(caught.value)


def test_all_problems_are_listed():
    with pytest.raises(InputError, match=r"'name' is missing.*unknown key 'zzz'"):
        validate(Outer, {"zzz": 1}, "file.toml")


def test_broken_toml_says_where():
    with pytest.raises(DetectorError, match=r"my\.toml: no valid TOML.*line 2"):
        parse_toml("a = 1\nb = = 2\n", "my.toml", DetectorError)


def test_unreadable_text(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        read_text(tmp_path / "none.toml", "recipe")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match=r"recipe .* cannot be read"):
        read_text(tmp_path / "binary.toml", "recipe")
    with pytest.raises(FileError, match="cannot be read"):
        read_text(tmp_path, "recipe")
