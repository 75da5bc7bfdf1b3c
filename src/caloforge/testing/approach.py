"""What every approach must do, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from caloforge import detectors, models
from caloforge.detectors import Detector
from caloforge.errors import DetectorError, InputError
from caloforge.models import Approach, Batch
from caloforge.showers import CONDITIONS, Condition
from caloforge.testing.comparing import change, distance, draw, same_state
from caloforge.testing.synthetic import READOUTS, draw_incidents, synthetic_showers
from caloforge.testing.training import step_of, train, train_on_two_ranks


class ApproachTestCase:
    """Inherit from this in a class whose name begins with `Test`, and say what is tested.

    Each test runs for each detector, but for those of training and export, which take the first one.

    Attributes:
        approach: Name of the approach, as recipes write it.
        detectors: Detector files by any name, all readouts that it supports; those of `READOUTS` that are not among
            them must be refused.
        config: Hyper-parameters other than the defaults, such that it is small.
        sample_size: Showers that it is prepared with.
        overfit_showers: In the tiny sample that it overfits.
        overfit_steps: Steps that it gets for that.
        overfit_limit: What must remain of the distance to the sample at most, as a fraction of that before (or .15).
        exact_ranks: Two ranks make exactly the step of one, to rounding: not so where the statistics of a batch are
            part of the network, as with batch normalisation.
    """

    approach: ClassVar[str]
    detectors: ClassVar[Mapping[str, str]] = READOUTS
    config: ClassVar[Mapping[str, Any]] = {}
    sample_size: ClassVar[int] = 64
    overfit_showers: ClassVar[int] = 32
    overfit_steps: ClassVar[int] = 60
    overfit_limit: ClassVar[float] = 0.5
    exact_ranks: ClassVar[bool] = True

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test that takes a `detector` for each detector."""
        if "detector" in metafunc.fixturenames:
            names = list(self.detectors)
            metafunc.parametrize("detector", [_parse(self.detectors[name]) for name in names], ids=names)

    @classmethod
    def kind(cls) -> type[Approach[Any]]:
        """The class that is tested."""
        return models.get(cls.approach)

    @classmethod
    def supported(cls, detector: Detector) -> tuple[Condition, ...]:
        """Conditions that the approach supports for a detector."""
        return cls.kind().supported_conditions(detector)

    @classmethod
    def sample(cls, detector: Detector, n: int = 0, empty: int = 0) -> Batch:
        """Synthetic showers that vary in all conditions that the approach supports."""
        incidents = draw_incidents(detector, n or cls.sample_size, cls.supported(detector))
        return synthetic_showers(detector, incidents, empty)

    @classmethod
    def make(
        cls, detector: Detector, seed: int = 1, sample: Batch | None = None, **config: Any
    ) -> Approach[Any]:
        """An approach that is sized, not prepared."""
        kind = cls.kind()
        asked = kind.config_type(**{"approach": cls.approach, **cls.config, **config})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return kind(detector, kind.size(asked, detector, sample or cls.sample(detector)))

    @classmethod
    def prepared(cls, detector: Detector) -> Approach[Any]:
        """An approach prepared on the sample, in eval mode; made once."""
        if (cls, detector.name) not in _PREPARED:
            approach = cls.make(detector)
            approach.prepare(cls.sample(detector))
            for network in approach.networks.values():
                network.eval()
            _PREPARED[cls, detector.name] = approach
        return _PREPARED[cls, detector.name]

    @classmethod
    def first(cls) -> Detector:
        """The detector of tests that take one only."""
        return _parse(next(iter(cls.detectors.values())))

    @classmethod
    def inputs(cls, detector: Detector, n: int = 8, seed: int = 2) -> tuple[Tensor, Tensor]:
        """Incidents and noise for some showers."""
        noise_size = cls.prepared(detector).generator.noise_size
        drawn = draw_incidents(detector, n, cls.supported(detector), seed=7)
        noise = torch.randn(n, noise_size, generator=torch.Generator().manual_seed(seed))
        return torch.from_numpy(drawn.matrix()), noise

    def test_readouts_are_supported_or_refused(self) -> None:
        """Readouts that are not among `detectors` raise an error that names the approach."""
        for name, text in READOUTS.items():
            if name not in self.detectors:
                with pytest.raises(DetectorError, match=self.approach):
                    self.kind().check_readout(_parse(text))
        for text in self.detectors.values():
            self.kind().check_readout(_parse(text))

    def test_shape_and_values(self, detector: Detector) -> None:
        """Showers have the shape of the detector, and are finite and not negative."""
        approach = self.prepared(detector)
        assert approach.name == self.approach
        showers = draw(approach, *self.inputs(detector))
        assert showers.shape == (8, *detector.shape)
        assert showers.dtype == torch.float32
        assert bool(torch.isfinite(showers).all())
        assert bool((showers >= 0).all())
        assert bool((showers > 0).any())

    def test_showers_are_a_function_of_their_inputs(self, detector: Detector) -> None:
        """The same noise makes the same showers, whatever torch's global seed; other noise makes others."""
        approach = self.prepared(detector)
        incident, noise = self.inputs(detector)
        showers = draw(approach, incident, noise)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(99)
            assert torch.equal(draw(approach, incident, noise), showers)
        assert not torch.equal(draw(approach, incident, self.inputs(detector, seed=3)[1]), showers)

    def test_each_shower_is_independent_of_its_batch(self, detector: Detector) -> None:
        """A shower is the same alone and among others, to rounding."""
        approach = self.prepared(detector)
        incident, noise = self.inputs(detector)
        together = draw(approach, incident, noise)
        alone = torch.cat([draw(approach, incident[i : i + 1], noise[i : i + 1]) for i in range(len(noise))])
        torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize("condition", CONDITIONS)
    def test_it_responds_to_its_conditions_and_no_others(
        self, detector: Detector, condition: Condition
    ) -> None:
        """Another particle, energy, direction or impact point changes showers if it is a condition, else nothing."""
        approach = self.prepared(detector)
        incident, noise = self.inputs(detector)
        showers = draw(approach, incident, noise)
        changed = draw(approach, change(incident, condition, detector), noise)
        if condition in approach.conditions:
            assert not torch.allclose(changed, showers)
        else:
            assert torch.equal(changed, showers)

    def test_conditions_can_be_left_out(self, detector: Detector) -> None:
        """A model for normal incidence at the centre does not respond to direction and position."""
        supported = self.supported(detector)
        wanted = [name for name in supported if name in {"particle", "energy"}]
        if len(wanted) == len(supported):
            pytest.skip("nothing to leave out")
        sample = synthetic_showers(detector, draw_incidents(detector, self.sample_size, wanted))
        approach = self.make(detector, sample=sample)
        assert set(approach.conditions) == set(wanted)
        approach.prepare(sample)
        incident = sample.incident[:8]
        noise = torch.randn(8, approach.generator.noise_size, generator=torch.Generator().manual_seed(1))
        approach.generator.eval()
        showers = draw(approach, incident, noise)
        for condition in ("direction", "position"):
            assert torch.equal(draw(approach, change(incident, condition, detector), noise), showers)
        alone = torch.cat([draw(approach, incident[i : i + 1], noise[i : i + 1]) for i in range(8)])
        torch.testing.assert_close(alone, showers, rtol=1e-3, atol=1e-3)

    def test_what_it_cannot_be_conditioned_on_must_be_central(self, detector: Detector) -> None:
        """Showers that are all tilted, or all beside the centre, are refused where that cannot be a condition."""
        supported = self.supported(detector)
        central = self.sample(detector, 4)
        for name, column in (("direction", 2), ("position", 4)):
            if name in supported:
                continue
            incident = central.incident.clone()
            incident[:, column] = 0.3
            with pytest.raises(InputError, match=self.approach):
                self.make(detector, sample=replace(central, incident=incident))

    def test_other_conditions_are_refused(self, detector: Detector) -> None:
        """Conditions that are not supported are refused, and samples that vary in them."""
        approach = self.prepared(detector)
        for condition in CONDITIONS:
            if condition in approach.conditions:
                continue
            with pytest.raises(InputError, match=condition):
                self.make(detector, conditions=(condition,))
            varied = draw_incidents(detector, 8, {*approach.conditions, condition})
            with pytest.raises(InputError, match=condition):
                models.check_sample(
                    varied, approach.conditions, approach.config.pdgs, self.approach, "sample"
                )

    def test_other_particles_are_refused(self, detector: Detector) -> None:
        """Samples with particles that the model does not know are refused."""
        approach = self.prepared(detector)
        muons = replace(draw_incidents(detector, 2, ()), pdg=np.array([13, 13], dtype=np.int32))
        with pytest.raises(InputError, match="mu-"):
            models.check_sample(muons, approach.conditions, approach.config.pdgs, self.approach, "sample")

    def test_the_same_seed_makes_the_same_weights(self) -> None:
        """Weights are a function of torch's seed, and of the sample."""
        detector = self.first()
        sample = self.sample(detector)
        one, two, other = (self.make(detector, seed, sample) for seed in (1, 1, 2))
        if one.fitted:  # what is fitted must repeat
            one.prepare(sample)
            two.prepare(sample)
        assert same_state(one, two)
        assert not same_state(one, other)

    def test_save_and_load(self, detector: Detector, tmp_path: Path) -> None:
        """The generator's state holds all that it needs, as tensors that safetensors can keep."""
        safetensors = pytest.importorskip("safetensors.torch")
        approach = self.prepared(detector)
        path = tmp_path / "generator.safetensors"
        state = approach.generator.state_dict()
        safetensors.save_file({name: tensor.clone().contiguous() for name, tensor in state.items()}, path)
        other = self.make(detector, seed=5)
        other.generator.load_state_dict(safetensors.load_file(path))
        other.generator.eval()
        inputs = self.inputs(detector)
        assert torch.equal(draw(other, *inputs), draw(approach, *inputs))

    def test_showers_without_hits(self, detector: Detector) -> None:
        """A sample in which some showers have no hit at all is learnt from like any other."""
        sample = self.sample(detector, empty=5)
        approach = self.make(detector, sample=sample)
        approach.prepare(sample)
        if not approach.fitted:
            assert all(map(np.isfinite, train(approach, sample.select(torch.arange(8)), 2).values()))
        approach.generator.eval()
        assert bool(torch.isfinite(draw(approach, *self.inputs(detector))).all())

    def test_networks_and_optimisers(self) -> None:
        """Each optimiser has weights of its network, each weight one optimiser at most; fitted ones have neither."""
        approach = self.make(self.first())
        if approach.fitted:
            assert approach.optimizers() == {}
            assert list(approach.generator.parameters()) == []
            with pytest.raises(TypeError, match="no training steps"):
                approach.training_step(self.sample(self.first(), 2), step_of(approach, {}, 0, 1))
            return
        owned: list[int] = []
        for name, optimizer in approach.optimizers().values():
            inside = {id(weight) for weight in approach.networks[name].parameters()}
            own = [id(weight) for group in optimizer.param_groups for weight in group["params"]]
            assert set(own) <= inside
            owned += own
        assert len(owned) == len(set(owned))
        assert "generator" in {name for name, _ in approach.optimizers().values()}

    def test_every_weight_learns(self, detector: Detector) -> None:
        """All weights that an optimiser has get a gradient in each step, as distributed training needs."""
        if self.kind().fitted:
            pytest.skip("fitted")
        approach = self.make(detector)
        approach.prepare(self.sample(detector))
        train(approach, self.sample(detector, 8), 2)
        for name, network in approach.networks.items():
            for weight_name, weight in network.named_parameters():
                assert weight.grad is not None, f"{name}: {weight_name}"

    def test_it_overfits_a_tiny_sample(self) -> None:
        """Some steps on few showers bring visible energy and longitudinal profile nearer, and leave all finite."""
        detector = self.first()
        sample = self.sample(detector, self.overfit_showers)
        approach = self.make(detector, sample=sample)
        approach.prepare(sample)
        before = distance(approach, sample)
        losses = {} if approach.fitted else train(approach, sample, self.overfit_steps)
        assert all(map(np.isfinite, losses.values()))
        after = distance(approach, sample)
        assert after < (0.15 if approach.fitted else max(self.overfit_limit * before, 0.15)), (before, after)

    def test_two_ranks_equal_one(self) -> None:
        """Two halves of a batch on two ranks make the step of the whole batch: losses are means over showers."""
        if self.kind().fitted or not self.exact_ranks:
            pytest.skip("fitted" if self.kind().fitted else "statistics of the batch are part of the network")
        detector = self.first()
        approach = self.make(detector)
        approach.prepare(self.sample(detector))
        for whole, halves in zip(*train_on_two_ranks(approach, self.sample(detector, 8)), strict=True):
            assert float((whole - halves).norm()) <= 1e-3 * float(whole.norm()) + 1e-6

    def test_it_draws_the_same_as_an_onnx_graph(self) -> None:
        """The exported graph draws what torch draws, for any number of showers."""
        for needed in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(needed)
        import onnxruntime

        from caloforge.export.graph import trace

        detector = self.first()
        approach = self.prepared(detector)
        incident, noise = self.inputs(detector, 24)
        graph = trace(approach.generator, incident[:3], noise[:3]).SerializeToString()
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        expected = draw(approach, incident, noise).flatten(1).numpy()
        for n in (1, 24):
            (drawn,) = session.run(None, {"incident": incident[:n].numpy(), "noise": noise[:n].numpy()})
            drawn = drawn.reshape(n, -1)
            near = np.isclose(drawn, expected[:n], rtol=1e-3, atol=1e-4)
            assert near.mean() > 0.995  # a cell within rounding of a cut may flip
            np.testing.assert_allclose(drawn.sum(1), expected[:n].sum(1), rtol=1e-2, atol=0.05)


@cache
def _parse(text: str) -> Detector:
    return detectors.parse(text)


_PREPARED: dict[tuple[Any, str], Approach[Any]] = {}
"""Approaches that tests share, by suite and detector."""
