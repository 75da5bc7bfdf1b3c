"""The training loop: one code path for CPU, GPU and several ranks."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from caloforge.errors import TrainingError
from caloforge.files import file_hash, make_folder
from caloforge.models import Approach, Generator, Step, StepRandom, check_sample, get
from caloforge.progress import Progress, progress
from caloforge.training import checkpoint
from caloforge.training.coverage import covered
from caloforge.training.data import (
    Batches,
    check_file,
    held_out_showers,
    load_showers,
    split,
)
from caloforge.training.ema import Ema
from caloforge.training.interruption import InterruptionError, stopped
from caloforge.training.launch import fabric_facts, launch
from caloforge.training.metrics import MetricsLog
from caloforge.training.recipe import Recipe, read_recipe_json
from caloforge.training.run import (
    RunFolder,
    build,
    check_same,
    describe,
    origin,
    read_json,
    start_run,
    write_json,
)
from caloforge.training.sizing import report_choices, resumed, sized
from caloforge.training.state import Pending, State, step_seed
from caloforge.training.validation import Validator


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        folder: The folder of the run.
        steps: Steps done, earlier sessions included.
        best_step: Step of the best generator.
        best_score: Its physics score.
        last_score: Physics score of the last generator.
        seconds: Time of this session.
    """

    folder: Path
    steps: int
    best_step: int
    best_score: float
    last_score: float
    seconds: float


def train(
    recipe: Recipe,
    data: str | Path,
    folder: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    devices: int = 1,
    pdg: int | None = None,
    start_from: str | Path | None = None,
    command: str = "",
) -> Trained:
    """Train a model.

    Args:
        recipe: What to train and how.
        data: File of training showers.
        folder: Folder of the run.
        resume: Go on from the folder's last checkpoint; start if it has none.
        device: `cpu`, `cuda` or `auto`.
        devices: Number of ranks on this machine.
        pdg: PDG id of the incidents where the file of showers does not say.
        start_from: Weights to begin with, of a shipped model or a run (`.safetensors`); those that fit are taken.
        command: The command, kept in `run.json`.

    Raises:
        TrainingError: If the training cannot start or go on.
        InputError: If the showers vary in what the model is not conditioned on.
        InterruptionError: If it was stopped by Ctrl-C or SIGTERM; a checkpoint has been written.
        FileError: If a file cannot be read or written.
    """
    fabric = launch(recipe.training, device, devices)
    with torch.random.fork_rng(devices=[]):
        session = _Session(
            recipe,
            Path(data),
            RunFolder(Path(folder)),
            fabric,
            resume=resume,
            pdg=pdg,
            start_from=start_from,
            command=command,
        )
        return session.run()


class _Session:
    """One call of `train`."""

    def __init__(
        self,
        recipe: Recipe,
        data: Path,
        run: RunFolder,
        fabric: Fabric,
        *,
        resume: bool,
        pdg: int | None,
        start_from: str | Path | None,
        command: str,
    ) -> None:
        self.started = time.monotonic()
        self.recipe, self.run_folder, self.fabric = recipe, run, fabric
        self.settings = recipe.training
        self.detector = recipe.load_detector()
        approach = get(recipe.model.approach)
        if self.settings.precision not in ("32", *approach.precisions):
            raise TrainingError(
                f"approach {approach.name!r} cannot be trained in precision {self.settings.precision!r}: it supports "
                f"{', '.join(('32', *approach.precisions))}"
            )
        approach.check_readout(self.detector)
        check_file(data, self.detector, pdg)
        self._claim(resume, data, start_from)
        showers = load_showers(data, self.detector, recipe.data, run.path, pdg)
        training, held_out = split(len(showers), recipe.data.validation_fraction, self.settings.seed)
        if resume and run.last.exists():
            model = resumed(recipe.model, read_recipe_json(run.recipe).model, run.path)
        else:
            model = sized(recipe, self.detector, showers, training)
            if fabric.is_global_zero:
                report_choices(recipe.model, model)
        self.recipe = recipe.model_copy(update={"model": model})
        check_sample(showers.incidents, model.conditions, model.pdgs, model.approach, f"'{data}'")
        torch.manual_seed(self.settings.seed)
        self.approach: Approach[Any] = build(self.recipe, self.detector)
        self.batches = Batches(
            showers,
            training,
            self.detector,
            batch_size=self.settings.batch_size,
            seed=self.settings.seed,
            symmetries=recipe.data.symmetries,
            conditions=self.approach.conditions,
            rank=fabric.global_rank,
            world_size=fabric.world_size,
            device=fabric.device,
        )
        self.validator = Validator(
            held_out_showers(
                showers, held_out, self.settings.validation_showers, self.detector, self.settings.seed
            ),
            self.detector,
            self.settings.seed,
        )
        self.state = State()
        saved = checkpoint.read(run.last) if resume and run.last.exists() else None
        if saved is None:
            self.approach.prepare(self.batches.sample(self.approach.prepare_showers))
            if start_from is not None:
                n, of = checkpoint.load_fitting(self.approach.generator, Path(start_from))
                if fabric.is_global_zero:
                    print(f"{n} of {of} weights begin as in '{start_from}'", file=sys.stderr)
        self._set_up()
        if saved is not None:
            self._restore(*saved)
        elif fabric.is_global_zero:
            described = describe(self.recipe, self.approach, data.name, self.data_hash, command)
            chosen = showers.incidents[training]
            spectrum = covered(chosen, showers.declared, recipe.data, self.detector)
            described |= {
                **fabric_facts(fabric),
                "spectrum": asdict(spectrum),
                "physics": showers.physics,
                "n_showers": len(training),
            }
            if start_from is not None:
                described["start"] = origin(Path(start_from))
            start_run(run, self.recipe, self.detector, described)
        fabric.barrier()

    @property
    def generator(self) -> Generator:
        return self.approach.generator

    def _claim(self, resume: bool, data: Path, start_from: str | Path | None) -> None:
        run = self.run_folder
        if start_from is not None:
            checkpoint.check_exists(Path(start_from))
        self.data_hash = file_hash(data) if data.is_file() else ""
        if not resume and run.recipe.exists():
            raise TrainingError(
                f"'{run.path}' already holds a run: go on with it by --resume, or choose another folder"
            )
        if resume and run.last.exists():
            if start_from is not None:
                raise TrainingError(
                    f"run '{run.path}' goes on from its own weights: leave out --start-from, or --resume with another "
                    "folder"
                )
            check_same(read_recipe_json(run.recipe), self.recipe, run.path)
            hashed = read_json(run.info).get("data", {}).get("sha256")
            if self.data_hash and hashed != self.data_hash:
                raise TrainingError(
                    f"'{data}' is not the file that run '{run.path}' was trained on (its hash differs)"
                )
        self.fabric.barrier()
        for folder in (run.path, run.last.parent, run.best.parent):
            make_folder(folder)

    def _set_up(self) -> None:
        self.ema = Ema(self.generator, self.settings.ema_decay)
        self.ema.network.to(self.fabric.device)
        made = self.approach.optimizers()
        self.raw_optimizers = {name: optimizer for name, (_, optimizer) in made.items()}
        self.base_rates = {
            name: [group["lr"] for group in optimizer.param_groups]
            for name, optimizer in self.raw_optimizers.items()
        }
        if self.settings.gradient_clip:
            for optimizer in self.raw_optimizers.values():
                optimizer.register_step_pre_hook(self._clip)
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        for name, network in self.approach.networks.items():
            own = [key for key, (owner, _) in made.items() if owner == name]
            if own:
                wrapped = self.fabric.setup(network, *(self.raw_optimizers[key] for key in own))
                self.networks[name] = wrapped[0]
                self.optimizers.update(zip(own, wrapped[1:], strict=True))
            else:
                self.networks[name] = network.to(self.fabric.device)

    def _clip(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(weights, self.settings.gradient_clip)

    def _restore(self, tensors: checkpoint.Tensors, state: Mapping[str, Any]) -> None:
        where = str(self.run_folder.last)
        for name, network in self.approach.networks.items():
            checkpoint.load_network(network, checkpoint.under_prefix(f"network/{name}", tensors), where)
        checkpoint.load_network(self.ema.network, checkpoint.under_prefix("ema", tensors), where)
        for name, optimizer in self.raw_optimizers.items():
            checkpoint.load_optimizer(
                optimizer,
                checkpoint.under_prefix(f"optimizer/{name}", tensors),
                state["optimizers"].get(name, {}),
            )
        self.fabric.strategy.precision.load_state_dict(dict(state["precision"]))
        self.state = State.parse(state["state"])

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            tensors = checkpoint.with_prefix("ema", self.ema.network.state_dict())
            for name, network in self.approach.networks.items():
                tensors |= checkpoint.with_prefix(f"network/{name}", network.state_dict())
            numbers = {}
            for name, optimizer in self.raw_optimizers.items():
                kept, numbers[name] = checkpoint.optimizer_state(optimizer)
                tensors |= checkpoint.with_prefix(f"optimizer/{name}", kept)
            state = {
                "state": self.state.plain(),
                "optimizers": numbers,
                "precision": self.fabric.strategy.precision.state_dict(),
            }
            checkpoint.write(self.run_folder.last, tensors, state)
            write_json(self.run_folder.recipe, self.recipe.plain())
        self.fabric.barrier()

    def run(self) -> Trained:
        """Train to the end."""
        started = time.monotonic()
        before = self.state.seconds
        main = self.fabric.is_global_zero
        run = self.run_folder
        log = MetricsLog(run.metrics, run.tensorboard, self.state.step) if main else None
        for network in self.networks.values():
            network.train()
        try:
            with (
                stopped() as interrupted,
                progress("training", self.settings.steps, "steps", done=self.state.step, enabled=main) as bar,
            ):
                if self.approach.fitted:
                    self._conclude(log)
                else:
                    self._loop(bar, log, interrupted, started - before)
        finally:
            if log:
                log.close()
        return Trained(
            run.path,
            self.state.step,
            self.state.best_step,
            self.state.best_score,
            self.state.last_score,
            time.monotonic() - self.started,
        )

    def _loop(self, bar: Progress, log: MetricsLog | None, interrupted: Any, origin: float) -> None:
        settings, state = self.settings, self.state
        look_every = 1 if self.fabric.device.type == "cpu" else settings.log_every
        pending, recent = Pending(), []
        done = state.step >= settings.steps
        _, part = self._agree(False, self._progress(origin))
        while not done:
            pending.add(self._step(part))
            state.step += 1
            state.seconds = time.monotonic() - origin
            stop, part = self._agree(interrupted.is_set(), self._progress(origin))
            done = part >= 1
            save = state.step % settings.checkpoint_every == 0 or stop or done
            validate = state.step % settings.validate_every == 0 or done
            note = state.step % settings.log_every == 0 or done
            if state.step % look_every == 0 or save or validate or note:
                recent += self._finite(pending)
            if note:
                self._note(bar, log, pending.names, recent)
                recent = []
            if validate:
                self._validate(log)
            if save:
                self._check_weights()
                self._save()
            bar.advance()
            if stop and not done:
                raise InterruptionError(state.step, self.run_folder.path, interrupted.signal)

    def _conclude(self, log: MetricsLog | None) -> None:
        """Validate and save what `prepare` has fitted; a run that was resumed has nothing left to do."""
        if self.run_folder.last.exists():
            return
        self.state.seconds = time.monotonic() - self.started
        self._validate(log)
        self._save()

    def _progress(self, origin: float) -> float:
        by_steps = self.state.step / self.settings.steps
        if not self.settings.time_limit:
            return by_steps
        by_time = (time.monotonic() - origin) / (60 * self.settings.time_limit)
        return min(1.0, max(by_steps, by_time))

    def _agree(self, stop: bool, part: float) -> tuple[bool, float]:
        """Let all ranks stop, and end, at the same step."""
        if self.fabric.world_size == 1:
            return stop, part
        mine = torch.tensor([float(stop), part], device=self.fabric.device, dtype=torch.float64)
        both = cast(Tensor, self.fabric.all_reduce(mine, reduce_op="max")).tolist()
        return bool(both[0]), float(both[1])

    def _step(self, part: float) -> dict[str, Tensor]:
        step = self.state.step
        factor = self.settings.rate_factor(step, part)
        for name, optimizer in self.raw_optimizers.items():
            for group, rate in zip(optimizer.param_groups, self.base_rates[name], strict=True):
                group["lr"] = rate * factor
        torch.manual_seed(step_seed(self.settings.seed, self.fabric.global_rank, step))  # of dropout
        random = StepRandom(self.settings.seed, step, self.fabric.device)
        batch = self.batches[step]
        losses = self.approach.training_step(
            batch, Step(self.networks, self.optimizers, self.fabric.backward, random, part)
        )
        self.ema.update(self.generator, step)
        return losses

    def _finite(self, pending: Pending) -> list[list[float]]:
        first = self.state.step - len(pending.values) + 1
        rows = pending.take()
        bad = [
            f"loss {name!r} is {value} in step {first + offset}"
            for offset, row in enumerate(rows)
            for name, value in zip(pending.names, row, strict=True)
            if not math.isfinite(value)
        ]
        if self._agree(bool(bad), 0.0)[0]:
            self._fail(bad[0] if bad else "a loss of another rank is not finite")
        return rows

    def _check_weights(self) -> None:
        for name, network in self.approach.networks.items():
            if not all(bool(torch.isfinite(p).all()) for p in network.parameters()):
                self._fail(f"weights of network {name!r} are not finite after step {self.state.step}")

    def _fail(self, what: str) -> None:
        last = self.run_folder.last
        kept = (
            f"the last good checkpoint, '{last}', is kept" if last.exists() else "there is no checkpoint yet"
        )
        raise TrainingError(
            f"training stopped: {what}; {kept}. Lower the learning rate, set training.gradient_clip, or "
            "train in precision '32', then go on with --resume (unchanged settings lead to the same step)"
        )

    def _note(
        self, bar: Progress, log: MetricsLog | None, names: tuple[str, ...], rows: list[list[float]]
    ) -> None:
        if log is None or not rows:
            return
        means = dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))
        best = f" score {self.state.last_score:.3f}" if math.isfinite(self.state.last_score) else ""
        bar.note(" ".join(f"{name} {value:.3g}" for name, value in list(means.items())[:4]) + best)
        rates = {
            f"rate_{name}": optimizer.param_groups[0]["lr"] for name, optimizer in self.raw_optimizers.items()
        }
        log.write(self.state.step, {**means, **rates, "seconds": round(self.state.seconds, 3)}, "training")

    def _validate(self, log: MetricsLog | None) -> None:
        state = self.state
        if log is not None:
            score = self.validator.score(cast(Generator, self.ema.network))
            state.last_score = score.total
            log.write(state.step, {"score": score.total, **score.parts}, "validation")
            if score.total < state.best_score or state.best_step < 0:
                state.best_score, state.best_step = score.total, state.step
                found = {"step": state.step, "score": score.total if math.isfinite(score.total) else None}
                checkpoint.write(self.run_folder.best, self.ema.network.state_dict(), found)
                write_json(self.run_folder.best_info, {**found, "parts": score.parts})
        self.fabric.barrier()
