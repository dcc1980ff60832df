"""The training loop of one recipe, on one device or several.

It averages weights, resumes an interrupted training from its last checkpoint, and rolls back when the sentinel detects
a failure.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import get_total_norm, parametrize
from tqdm import tqdm

from pipeline import plugins
from pipeline.config.recipe import Recipe
from pipeline.config.sections import Train
from pipeline.errors import UserError
from pipeline.models.generator import Generator
from pipeline.physics.torch_operator import as_torch
from pipeline.tables.training_events import TrainingEvent
from pipeline.training.average import MovingAverage
from pipeline.training.checkpoint import CheckpointFolder
from pipeline.training.gradient_checkpointing import checkpoint_trunk
from pipeline.training.loading import Sampler, batches
from pipeline.training.loss_inputs import LossInputs
from pipeline.training.patches import Patches
from pipeline.training.perceptual import PerceptualDistance
from pipeline.training.schedules import adversarial_weight_at, group_learning_rate_factor, learning_rate_factor
from pipeline.training.sentinel import Sentinel, Verdict

logger = logging.getLogger(__name__)

PROGRESS_EVERY = 10
"""Steps between log messages about the remaining time."""
HALVINGS = 20
"""Maximum number of consecutive steps that half precision skips while it adjusts its loss scale, initially 2**16."""


@dataclass(frozen=True)
class ValidationResult:
    """Result of a validation.

    Attributes:
        values: metrics by name; "psnr" is one of them.
        diversity: change of the result relative to a change of the input.
        excerpts: restored excerpts, shape (count, y, x), normalised intensities.
    """

    values: Mapping[str, float]
    diversity: float
    excerpts: Tensor


@dataclass
class Progress:
    """History and samples of a training. Rows of the history contain means since the previous row."""

    history: list[dict[str, float]] = field(default_factory=list)
    samples: dict[int, Tensor] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    waiting: float = 0.0

    def add(self, values: Mapping[str, float]) -> None:
        """Add the values of one step, ignoring those that are not finite, which a skipped step may have."""
        for name, value in values.items():
            if not math.isfinite(value):
                continue
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """Return the means since the last call."""
        means = {name: total / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means


@dataclass(frozen=True)
class Logits:
    """Logits of the discriminator for reference and generated patches, of any shape."""

    real: Tensor
    fake: Tensor


@dataclass(frozen=True)
class Networks:
    """The networks of a training.

    Attributes:
        generator: with its initial weights.
        discriminator: None if the recipe has none.
        perceptual: None if no loss term uses it.
        teacher: in evaluation mode; None if the recipe has none.
    """

    generator: Generator
    discriminator: nn.Module | None = None
    perceptual: PerceptualDistance | None = None
    teacher: Generator | None = None


class Trainer:
    """The training of one recipe.

    Args:
        networks: generator, discriminator, perceptual distance and teacher.
        sampler: source of the batches.
        recipe: losses and schedules.
        settings: the section `train`.
        checkpoints: folder of the resume state.
        validate: validates a network.
        engine: launched Fabric.
    """

    def __init__(
        self,
        networks: Networks,
        sampler: Sampler,
        recipe: Recipe,
        settings: Train,
        checkpoints: CheckpointFolder,
        validate: Callable[[Generator], ValidationResult],
        engine: Fabric,
    ) -> None:
        self._sampler, self._recipe, self._settings = sampler, recipe, settings
        self._checkpoints, self._validate, self._engine = checkpoints, validate, engine
        self._losses = {name: plugins.load("pipeline.training.losses", name).loss for name in recipe.losses}
        self._generator = _placed(networks.generator, engine)
        self._average = MovingAverage(self._generator, recipe.ema_decay)
        if settings.gradient_checkpointing:
            checkpoint_trunk(self._generator)
        self._discriminator = _placed(networks.discriminator, engine) if networks.discriminator else None
        self._perceptual = networks.perceptual.to(engine.device) if networks.perceptual else None
        self._teacher = _placed(networks.teacher, engine) if networks.teacher else None
        groups = [{"params": parameters, "name": name} for name, parameters in self._generator.layer_groups().items()]
        # A fused optimiser unscales gradients in its step, which is too late to compute their norm.
        self._half = settings.precision == "16-mixed"
        self._wrapped_generator, self._optimizer = engine.setup(
            self._generator, torch.optim.Adam(groups, lr=recipe.learning_rate, fused=not self._half)
        )
        if self._discriminator and recipe.adversarial:
            self._adversarial = plugins.load("pipeline.training.adversarial", recipe.adversarial.loss)
            rate = recipe.adversarial.learning_rate
            self._wrapped_discriminator, self._discriminator_optimizer = engine.setup(
                self._discriminator, torch.optim.Adam(self._discriminator.parameters(), lr=rate, fused=not self._half)
            )
        self._sentinel = Sentinel(settings.sentinel, HALVINGS if self._half else 0)
        self._progress = Progress()
        self._step = 0
        self._good: dict[str, Any] = {}
        self._batches: Iterator[Patches] | None = None

    def run(self) -> Generator:
        """Train to the last step, from the last checkpoint if there is one; return the network with averaged weights.

        Raises:
            UserError: the sentinel triggered more rollbacks than `max_rollbacks`.
        """
        state = self._checkpoints.latest()
        if state is not None:
            self._restore(state)
        elif self._engine.is_global_zero:
            self._checkpoints.remove_stale()
        if state is None:
            self._good = self._networks(self._average.network)
            self._run_validation()
        bar = tqdm(total=self._recipe.steps, initial=self._step, unit="step", disable=None)
        with bar:
            while self._step < self._recipe.steps:
                self.take_step()
                bar.update()
                self._finish_step()
        return self._average.network  # pyright: ignore[reportReturnType]

    @property
    def history(self) -> list[dict[str, float]]:
        """The rows of the history so far."""
        return self._progress.history

    @property
    def events(self) -> list[TrainingEvent]:
        """Events that the sentinel recorded."""
        return self._sentinel.events

    @property
    def samples(self) -> dict[int, Tensor]:
        """Restored validation excerpts, by step."""
        return self._progress.samples

    @property
    def waiting_share(self) -> float:
        """Fraction of the time spent waiting for data."""
        return self._progress.waiting / max(self._progress.seconds, 1e-9)

    # One step

    def take_step(self) -> None:
        """Take one step of the networks, or skip it if the sentinel requires it."""
        began = time.monotonic()
        parts = [self._inputs_of(part) for part in _cut(self._next_batch(), self._settings.accumulate)]
        verdict, estimates, logits = self._generator_step(parts)
        if verdict == "fine" and logits:
            verdict = self._discriminator_step(parts, estimates, logits)
        if verdict == "roll_back":
            self._roll_back()
        elif verdict == "fine":
            self._average.update(self._generator, self._step)
        self._step += 1
        self._progress.seconds += time.monotonic() - began

    def _next_batch(self) -> Patches:
        """Return the batch of this step; on a GPU, batches are drawn ahead."""
        began = time.monotonic()
        self._batches = self._batches or self._draw_from(self._step)
        batch = next(self._batches)
        self._progress.waiting += time.monotonic() - began
        return batch

    def _draw_from(self, step: int) -> Iterator[Patches]:
        count = self._recipe.batch_size // self._engine.world_size
        first = self._engine.global_rank * count
        # On a CPU, whose cores compute the network as well, one process keeps up. Images from label maps take a tenth
        # of the time of a step, and those of five slices a third.
        on_cpu = self._engine.device.type == "cpu"
        processes = min(1, self._settings.threads - 1) if on_cpu else self._settings.threads
        return batches(self._sampler, range(step, self._recipe.steps), slice(first, first + count), processes)

    def _inputs_of(self, patches: Patches) -> LossInputs:
        device = self._engine.device
        measured, reference, sigma = (
            torch.from_numpy(array).to(device, non_blocking=True)
            for array in (patches.measured, patches.reference, patches.sigma)
        )
        slices = None if patches.slices is None else torch.from_numpy(patches.slices).to(device, non_blocking=True)
        measured = measured.contiguous(memory_format=torch.channels_last)
        operator = as_torch(patches.operator, device)
        given = (measured, sigma) if slices is None else (measured, sigma, slices)
        averaged = self._estimate(self._average.network, given)
        teacher = self._estimate(self._teacher, given) if self._teacher else None
        return LossInputs(given, reference, operator, averaged, self._perceptual, teacher)

    def _estimate(self, network: Any, given: tuple[Tensor, ...]) -> Callable[[], Tensor]:
        """Return a function that computes the estimate of a network that is not trained, for given inputs."""

        def estimate() -> Tensor:
            with torch.no_grad(), self._engine.autocast():
                return network(*given)

        return estimate

    def _generator_step(self, parts: list[LossInputs]) -> tuple[Verdict, list[Tensor], list[Logits]]:
        """Take the step of the generator; return its estimates and, with an adversarial loss, their logits.

        The weights of the discriminator do not change before its own step, so that the logits serve both steps.
        """
        for group in self._optimizer.param_groups:
            share = group_learning_rate_factor(self._step, group["name"], self._recipe)
            group["lr"] = self._recipe.learning_rate * share
        self._optimizer.zero_grad(set_to_none=True)
        buffers = [buffer.clone() for buffer in self._generator.buffers()]
        estimates: list[Tensor] = []
        all_logits: list[Logits] = []
        total = 0.0
        for inputs, quiet in self._synchronised(parts, self._wrapped_generator):
            with quiet:
                estimate = self._wrapped_generator(*inputs.given)
                logits = self._logits(inputs, estimate, len(parts)) if self._adversarial_weight > 0 else None
                loss = self._generator_loss(estimate, inputs, logits, len(parts))
                # Gradients are computed for the generator alone; the step of the discriminator uses its graph again.
                self._engine.backward(loss, inputs=list(self._generator.parameters()), retain_graph=bool(logits))
            total += self._mean(loss)
            estimates.append(estimate.detach())
            all_logits += [logits] if logits else []
        gradient = self._gradient(self._wrapped_generator, self._optimizer)
        self._progress.add({"loss": total, "gradient_generator": gradient})
        verdict = self._sentinel.check_step(self._step, total, gradient)
        if verdict == "fine":
            self._optimizer.step()
        else:
            self._skip_step(buffers)
        return verdict, estimates, all_logits

    def _skip_step(self, buffers: list[Tensor]) -> None:
        """Undo the effects of a forward pass of the generator, such as changes of normalisation statistics."""
        for kept, now in zip(buffers, self._generator.buffers(), strict=True):
            now.copy_(kept)
        if self._half:
            # The loss scale is adjusted in the step of the optimiser, which changes no weights without gradients.
            self._optimizer.zero_grad(set_to_none=True)
            self._optimizer.step()

    @property
    def _adversarial_weight(self) -> float:
        """Weight of the adversarial loss of the generator at this step.

        Once it is zero it remains zero, and the discriminator is neither computed nor trained.
        """
        if self._recipe.adversarial is None:
            return 0.0
        weight = adversarial_weight_at(self._step, self._recipe.adversarial, self._recipe)
        return weight * self._sentinel.adversarial_factor

    def _logits(self, inputs: LossInputs, estimate: Tensor, parts: int) -> Logits:
        """Return the logits of a part of the batch during the step of the generator.

        If the batch has one part, the step of the discriminator uses them again. With several parts it recomputes them,
        since storing the graphs of all parts would need the memory that splitting the batch saves.
        """
        if parts == 1:
            return self._discriminate(inputs, estimate)
        with torch.no_grad():
            real = self._discriminator(inputs.reference)  # pyright: ignore[reportOptionalCall]
        return Logits(real, self._discriminator(estimate))  # pyright: ignore[reportOptionalCall]

    def _discriminate(self, inputs: LossInputs, estimate: Tensor) -> Logits:
        # The weights are normalised once for both passes, which saves a power iteration.
        with self._engine.autocast(), parametrize.cached():
            return Logits(self._wrapped_discriminator(inputs.reference), self._wrapped_discriminator(estimate))

    def _generator_loss(self, estimate: Tensor, inputs: LossInputs, logits: Logits | None, parts: int) -> Tensor:
        with self._engine.autocast():
            terms = {name: loss(estimate, inputs) for name, loss in self._losses.items()}
            weighted = [self._recipe.losses[name] * term for name, term in terms.items()]
            if self._recipe.adversarial:
                self._progress.add({"adversarial_weight": self._adversarial_weight})
            if logits:
                terms["adversarial"] = self._adversarial.generator_loss(logits.real, logits.fake)
                weighted.append(self._adversarial_weight * terms["adversarial"])
        self._progress.add({f"loss_{name}": self._mean(term) for name, term in terms.items()})
        # A recipe without other terms has no loss if the adversarial weight is zero.
        return torch.stack(weighted or [0 * estimate.sum()]).sum() / parts

    def _discriminator_step(
        self, parts: list[LossInputs], estimates: list[Tensor], all_logits: list[Logits]
    ) -> Verdict:
        assert self._discriminator is not None
        weights = list(self._discriminator.parameters())
        before = [parameter.detach().clone() for parameter in weights]
        self._discriminator_optimizer.zero_grad(set_to_none=True)
        probabilities: list[tuple[float, float]] = []
        for index, (inputs, quiet) in enumerate(self._synchronised(parts, self._wrapped_discriminator)):
            with quiet:
                logits = all_logits[index] if len(parts) == 1 else self._discriminate(inputs, estimates[index])
                loss = self._adversarial.discriminator_loss(logits.real, logits.fake) / len(parts)
                # Gradients are computed for the discriminator alone.
                self._engine.backward(loss, inputs=weights)
            self._progress.add({"loss_discriminator": self._mean(loss) * len(parts)})
            probabilities.append((self._mean(logits.real.sigmoid().mean()), self._mean(logits.fake.sigmoid().mean())))
        gradient = self._gradient(self._wrapped_discriminator, self._discriminator_optimizer)
        if math.isfinite(gradient) or self._half:
            self._discriminator_optimizer.step()
        unchanged = all(map(torch.equal, before, weights))
        real_mean, fake_mean = (sum(column) / len(probabilities) for column in zip(*probabilities, strict=True))
        self._progress.add(
            {"gradient_discriminator": gradient, "discriminator_real": real_mean, "discriminator_fake": fake_mean}
        )
        return self._sentinel.check_discriminator(self._step, real_mean, fake_mean, unchanged)

    def _synchronised(
        self, parts: list[LossInputs], module: Any
    ) -> Iterator[tuple[LossInputs, AbstractContextManager]]:
        """Yield the parts of a batch; devices synchronise their gradients after the last one only."""
        for index, inputs in enumerate(parts):
            last = index == len(parts) - 1
            yield inputs, nullcontext() if last else self._engine.no_backward_sync(module)

    def _gradient(self, module: Any, optimizer: Any) -> float:
        """Return the norm of the unscaled gradient."""
        self._engine.strategy.precision.unscale_gradients(optimizer.optimizer)
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        return float(get_total_norm(gradients))

    def _mean(self, value: Tensor) -> float:
        """Return the mean of a number over all processes, so that all of them make the same decisions."""
        return float(self._engine.all_reduce(value.detach().float(), reduce_op="mean"))  # pyright: ignore[reportArgumentType]

    # Between the steps

    def _finish_step(self) -> None:
        """Record, validate and save a checkpoint at the intervals of the settings, and after the last step."""
        if self._step % PROGRESS_EVERY == 0 and self._engine.is_global_zero:
            left = self._progress.seconds / self._step * (self._recipe.steps - self._step)
            logger.info("step %d of %d, about %.1f minutes remaining", self._step, self._recipe.steps, left / 60)
        validated = self._run_validation() if self._due(self._settings.validate_every) else {}
        if validated or self._due(self._settings.record_every):
            self._record(validated)
        if self._due(self._settings.checkpoint_every) and self._engine.is_global_zero:
            self._checkpoints.save(self._step, self._state())

    def _due(self, every: int) -> bool:
        return self._step == self._recipe.steps or self._step % every == 0

    def _record(self, validated: Mapping[str, float]) -> None:
        rate = self._recipe.learning_rate * learning_rate_factor(self._step - 1, self._recipe)
        row = {"step": self._step, "learning_rate": rate, **self._progress.means(), **validated}
        self._progress.history.append({**row, "seconds": self._progress.seconds})
        if validated and self._engine.is_global_zero:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "step")
            logger.info("step %d of %d: %s", self._step, self._recipe.steps, shown)

    def _run_validation(self) -> dict[str, float]:
        """Validate the averaged network; all processes compute the same numbers."""
        result = self._validate(self._average.network)  # pyright: ignore[reportArgumentType]
        self._progress.samples[self._step] = result.excerpts
        if self._sentinel.check_validation(self._step, result.values["psnr"], result.diversity) == "roll_back":
            self._roll_back()
        elif self._sentinel.healthy:
            self._good = self._networks(self._average.network)
        return {f"val_{name}": value for name, value in result.values.items()} | {"diversity": result.diversity}

    def _roll_back(self) -> None:
        event = self._sentinel.events[-1]
        if self._sentinel.exhausted:
            raise UserError(
                f"the training stopped at step {self._step}: {event.what} ({event.value:.4g}), after "
                f"{self._settings.sentinel.max_rollbacks} rollbacks (train.sentinel.max_rollbacks). Lower the "
                "learning rates or the adversarial weight of the recipe, or lengthen its ramp."
            )
        logger.warning("step %d: %s (%.4g); rolled back to the last good state", self._step, event.what, event.value)
        self._load_networks(self._good)
        for optimizer in self._optimizers():
            optimizer.state.clear()

    # Saving and resuming

    def _optimizers(self) -> list[Any]:
        return [self._optimizer, *([self._discriminator_optimizer] if self._discriminator else [])]

    def _networks(self, generator: nn.Module) -> dict[str, Any]:
        networks = {"generator": _copied(generator)}
        return {**networks, "discriminator": _copied(self._discriminator)} if self._discriminator else networks

    def _load_networks(self, state: Mapping[str, Any]) -> None:
        self._generator.load_state_dict(state["generator"])
        self._average.network.load_state_dict(state["generator"])
        if self._discriminator:
            self._discriminator.load_state_dict(state["discriminator"])

    def _state(self) -> dict[str, Any]:
        progress = self._progress
        return {
            "step": self._step,
            "networks": self._networks(self._generator),
            "averaged": _copied(self._average.network),
            "good": self._good,
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers()],
            "precision": self._engine.strategy.precision.state_dict(),
            "sentinel": self._sentinel.state(),
            "random": torch.get_rng_state(),
            "progress": {**vars(progress)},
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._step = state["step"]
        self._load_networks(state["networks"])
        self._average.network.load_state_dict(state["averaged"])
        self._good = state["good"]
        for optimizer, saved in zip(self._optimizers(), state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self._engine.strategy.precision.load_state_dict(state["precision"])
        self._sentinel.restore(state["sentinel"])
        torch.set_rng_state(state["random"])
        self._progress = Progress(**state["progress"])


def _placed(network: Any, engine: Fabric) -> Any:
    return network.to(engine.device).to(memory_format=torch.channels_last)


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _cut(patches: Patches, parts: int) -> list[Patches]:
    """Split a batch into equal parts; its size is a multiple of `parts` (see `pipeline.training.setup.check_batch`)."""
    size = len(patches.sigma) // parts
    places = [slice(index * size, (index + 1) * size) for index in range(parts)]
    return [patches.part(one) for one in places]
