"""The fit: optimiser, schedule, and a run that resumes after a kill as if nothing had happened."""

import csv
import importlib.util
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from fashionprobe.artifacts import write_text
from fashionprobe.errors import Situation, UserError

BACKUP = ".backup"
SEEDS = ".seeds.json"
BEST = ".best.weights.h5"
HISTORY = "history.csv"

Batches = Callable[[range], tf.data.Dataset]
"""Returns the training batches of these epochs, one epoch after the other, each with the same number of batches."""

Report = Callable[[int], object]
"""Told how many more batches are done."""


@dataclass(frozen=True)
class Plan:
    """How a classifier is trained.

    Attributes:
        epochs: Number of epochs.
        optimizer: "adam" (AdamW when there is weight decay) or "sgd" (Nesterov momentum 0.9).
        learning_rate: Its highest value.
        warmup: Epochs over which it rises from 0.
        decay: What follows: nothing, or half a cosine down to 0.
        weight_decay: Decoupled weight decay of kernels; biases and batch normalisation have none.
        xla: Compile with XLA.

    Reference:
        Loshchilov and Hutter, SGDR, ICLR 2017, https://arxiv.org/abs/1608.03983 (cosine), and Decoupled Weight Decay
        Regularization, ICLR 2019, https://arxiv.org/abs/1711.05101.
    """

    epochs: int
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    warmup: float = 0.0
    decay: Literal["none", "cosine"] = "none"
    weight_decay: float = 0.0
    xla: bool = False


def fit(
    model: keras.Model,
    batches: Batches,
    *,
    plan: Plan,
    steps: int,
    folder: Path,
    loss: keras.losses.Loss,
    metrics: Sequence[keras.metrics.Metric] = (),
    validation: tf.data.Dataset | None = None,
    best: str | None = None,
    class_weight: Mapping[int, float] | None = None,
    report: Report = lambda batches: None,
    tensorboard: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    slow: Sequence[keras.Variable] = (),
    share: float = 1.0,
) -> pd.DataFrame:
    """Train a model, and leave it with the weights of its best epoch.

    State is kept in hidden files of `folder`: the same call after a kill resumes after the last complete epoch and ends
    with the same history.

    Args:
        model: The model, not compiled.
        batches: Training batches of an input and its targets.
        plan: Schedule and optimiser.
        steps: Batches an epoch.
        folder: Where `history.csv` and the state are kept.
        loss: The loss.
        metrics: What else is measured.
        validation: Validation batches of the same form as those for training.
        best: The column of the history, such as "val_accuracy", whose highest value is the best epoch, the first among
            equals. None keeps the last epoch.
        class_weight: Factor of the loss by class number.
        report: Called with the number of batches done: 1 after each, all those of a killed run at once.
        tensorboard: Folder for TensorBoard's logs; used when TensorBoard is installed.
        callbacks: What else should happen; what they put into the logs of an epoch is a column of the history.
        slow: Weights that are trained at a lower rate; their weight decay is that of the others.
        share: Their learning rate, as a share of that of the others.

    Returns:
        One row per epoch: epoch (from 1), learning_rate (of the last batch), then loss, metrics, and the same of the
        validation images with "val_" before their names.

    Raises:
        UserError: If the loss is no longer a number, or the device is out of memory.
    """
    optimizer, rate = _optimizer(plan, steps)
    if slow:
        _slow_down(optimizer, slow, share)
    model.compile(optimizer, loss=loss, metrics=list(metrics), jit_compile=plan.xla)  # pyright: ignore[reportArgumentType]
    # Keras would build it while the first step is traced, and TensorFlow then traces that step a second time.
    model.optimizer.build(model.trainable_variables)
    backup = keras.callbacks.BackupAndRestore(str(folder / BACKUP), double_checkpoint=True, delete_checkpoint=False)
    start = _restore(model, backup, folder, steps)
    report(start * steps)
    history = _History(folder / HISTORY, start, rate, steps)
    watching = [_Watch(plan, report), *callbacks, history, *_tensorboard(tensorboard)]
    if best is not None:
        reached = max((row[best] for row in history.rows), default=None)
        watching.append(
            keras.callbacks.ModelCheckpoint(
                str(folder / BEST), monitor=best, mode="max", save_best_only=True, save_weights_only=True,
                initial_value_threshold=reached,
            )
        )  # fmt: skip
    # The backup comes last, so that what it calls done is done.
    watching += [_Seeds(folder / SEEDS), backup]
    if start < plan.epochs:
        try:
            model.fit(
                batches(range(start, plan.epochs)), epochs=plan.epochs, initial_epoch=start, steps_per_epoch=steps,
                validation_data=validation, class_weight=dict(class_weight) if class_weight else None,
                callbacks=watching, shuffle=False, verbose=0,  # pyright: ignore[reportArgumentType]
            )  # fmt: skip
        except tf.errors.ResourceExhaustedError as error:
            raise out_of_memory() from error
    if best is not None:
        model.load_weights(folder / BEST)
    return pd.DataFrame(history.rows)


def out_of_memory() -> UserError:
    """Make the error that says what to lower."""
    return UserError(
        "batch_size", expected="small enough for the memory of this device", received="a batch that was too large",
        remedy="Lower --batch-size or --size, freeze more blocks with --freeze, or use --precision bfloat16.",
    )  # fmt: skip


def _optimizer(plan: Plan, steps: int) -> tuple[keras.optimizers.Optimizer, Callable[[int], float]]:
    """Return the optimiser, and its learning rate by number of batches seen."""
    warmup, total = round(plan.warmup * steps), plan.epochs * steps
    rate: Any = float(plan.learning_rate)
    if plan.decay == "cosine" or warmup:
        # Keras' cosine also knows the warm-up; alpha = 1 keeps the rate where the warm-up left it.
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate,
            decay_steps=max(total - warmup, 1),
            alpha=0.0 if plan.decay == "cosine" else 1.0,
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    if plan.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=plan.weight_decay or None)
    elif plan.weight_decay:
        optimizer = keras.optimizers.AdamW(rate, weight_decay=plan.weight_decay)
    else:
        optimizer = keras.optimizers.Adam(rate)
    if plan.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer, lambda seen: _rate_at(rate, seen)


def _slow_down(optimizer: keras.optimizers.Optimizer, weights: Sequence[keras.Variable], share: float) -> None:
    """Let an optimiser change some weights at a share of its learning rate.

    A factor on their gradients would not do: Adam's steps do not depend on the scale of the gradient.
    """
    step, slow = optimizer.update_step, {id(weight.value) for weight in weights}

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        step(gradient, variable, learning_rate * (share if id(variable) in slow else 1.0))

    optimizer.update_step = update_step


def _rate_at(rate: Any, seen: int) -> float:
    return float(rate(seen)) if callable(rate) else rate  # pyright: ignore[reportArgumentType]


def _restore(model: keras.Model, backup: keras.callbacks.BackupAndRestore, folder: Path, steps: int) -> int:
    """Bring the model to where a killed run left it; return the number of epochs done.

    Keras writes the weights first and the number of the epoch after. The optimiser, which is among the weights, has
    counted the batches: when the kill came in between, it knows better.
    """
    note = folder / BACKUP / "training_metadata.json"
    if not (folder / BACKUP / "latest.weights.h5").is_file():
        return 0
    backup.set_model(model)
    backup.on_train_begin()
    noted = json.loads(note.read_text(encoding="utf-8"))["epoch"] if note.is_file() else 0
    counted = round(int(model.optimizer.iterations) / steps)
    done = counted if counted == noted + 1 else noted
    write_text(note, json.dumps({"epoch": done, "batch": 0}))
    if done:
        kept = json.loads((folder / SEEDS).read_text(encoding="utf-8"))[str(done)]
        for state, value in zip(_seed_states(model), kept, strict=True):
            state.assign(value)
    return done


def _seed_states(model: Any) -> list[keras.Variable]:
    """Return where dropout and augmentation are in their random numbers."""
    return [state for state in model.non_trainable_variables if state.path.endswith("seed_generator_state")]


def _tensorboard(folder: Path | None) -> list[keras.callbacks.Callback]:
    if folder is None or importlib.util.find_spec("tensorboard") is None:
        return []
    return [keras.callbacks.TensorBoard(str(folder))]


class _Watch(keras.callbacks.Callback):
    """Reports progress, and stops when the loss is not a number."""

    def __init__(self, plan: Plan, report: Report) -> None:
        super().__init__()
        self._plan, self._report, self._epoch = plan, report, 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._report(1)
        if not math.isfinite(float((logs or {})["loss"])):
            self._stop(f"in epoch {self._epoch}, batch {batch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not math.isfinite(float((logs or {}).get("val_loss", 0.0))):
            self._stop(f"on the validation images after epoch {self._epoch}")

    def _stop(self, where: str) -> None:
        rate = self._plan.learning_rate
        raise Situation(
            "learning_rate", f"{rate:g} made the loss NaN or infinite {where}.",
            f"Most often the steps are too large: try --learning-rate {rate / 10:g} and --warmup 1; with "
            "--precision float16 also try bfloat16 or float32.",
        )  # fmt: skip


class _Seeds(keras.callbacks.Callback):
    """Keeps, for every epoch, the state of the random numbers, which Keras leaves out of the weights it saves."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        states = [np.asarray(state).tolist() for state in _seed_states(self.model)]
        self._kept[str(epoch + 1)] = states
        write_text(self._path, json.dumps(self._kept))


class _History(keras.callbacks.Callback):
    """Keeps one row per epoch in a CSV file, less what a killed run wrote for the epoch that is computed again."""

    def __init__(self, path: Path, start: int, rate: Callable[[int], float], steps: int) -> None:
        super().__init__()
        self._path, self._rate, self._steps = path, rate, steps
        self.rows: list[dict[str, Any]] = []
        if start:
            with path.open(encoding="utf-8", newline="") as file:
                rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
            self.rows = [{**row, "epoch": int(row["epoch"])} for row in rows[:start]]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        rate = self._rate((epoch + 1) * self._steps - 1)
        self.rows.append({"epoch": epoch + 1, "learning_rate": rate, **(logs or {})})
        write_text(self._path, pd.DataFrame(self.rows).to_csv(index=False))
