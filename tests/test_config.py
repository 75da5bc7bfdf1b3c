from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

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


@dataclass(frozen=True)
class Square:
    kind: Literal["square"]
    side: float

    def __post_init__(self):
        if self.side > 10:
            raise InputError("the side is too long")


@dataclass(frozen=True)
class Circle:
    kind: Literal["circle"]
    radius: Annotated[float, Field(gt=0)]
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def __post_init__(self):
        if self.radius > 10:
            raise ValueError("the radius is too long")


@dataclass(frozen=True)
class Drawing:
    shape: Annotated[Square | Circle, Field(discriminator="kind")]
    scale: float | tuple[float, float] = 1.0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "circle", "radius": 0}, "'shape.radius': Input should be greater than 0 (got 0)"),
        ({"kind": "circle", "radus": 1}, "unknown key 'shape.radus'; did you mean 'radius'?"),
        ({"kind": "circle"}, "key 'shape.radius' is missing"),
        ({"kind": "circle", "radius": 11}, "'shape': the radius is too long"),
        ({"kind": "square", "side": 11}, "the side is too long"),
        ({"kind": "oval"}, "'shape.kind': 'oval' is not one of 'square', 'circle'"),
        ({}, "key 'shape.kind' is missing"),
    ],
)
def test_places_do_not_name_the_alternatives_of_a_union(data, message):
    """Errors of our own that `__post_init__` raises name the source as well."""
    with pytest.raises(DetectorError) as caught:
        validate(Drawing, {"shape": data}, "file.toml", DetectorError)
    assert str(caught.value).startswith("file.toml: ")
    assert message in str(caught.value)


def test_alternatives_are_one_problem():
    with pytest.raises(InputError) as caught:
        validate(Drawing, {"shape": {"kind": "square", "side": 1}, "scale": "big"}, "file.toml")
    assert str(caught.value).count("'scale'") == 1
    assert "(got 'big')" in str(caught.value)


def test_all_problems_are_listed():
    with pytest.raises(InputError, match=r"'name' is missing.*unknown key 'zzz'"):
        validate(Outer, {"zzz": 1}, "file.toml")


def test_broken_toml_says_where():
    with pytest.raises(DetectorError, match=r"my\.toml: not valid TOML.*line 2"):
        parse_toml("a = 1\nb = = 2\n", "my.toml", DetectorError)


def test_unreadable_text(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        read_text(tmp_path / "none.toml", "recipe")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match=r"recipe .* cannot be read"):
        read_text(tmp_path / "binary.toml", "recipe")
    with pytest.raises(FileError, match="cannot be read"):
        read_text(tmp_path, "recipe")
