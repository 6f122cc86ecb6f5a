"""How a model is made, in one flat record that is saved with it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.files import read_limited

from .errors import ConfigError

__all__ = [
    "ARCHITECTURES",
    "AUGMENTATIONS",
    "CONFIGS",
    "ELSEWHERE",
    "HANDWRITING",
    "TrainConfig",
    "load_config",
]

ARCHITECTURES = ("seed", "digits", "nano", "teacher")
# A network that came in a file, to be fine-tuned; nothing here can build it.
ELSEWHERE = "elsewhere"
SCHEDULES = ("constant", "cosine")
AUGMENTATIONS = (
    "rotation_degrees", "scale", "shear", "shift", "elastic", "stroke", "blur", "contrast",
    "coarse", "noise", "european", "negatives",
)  # fmt: skip
MAX_CONFIG_BYTES = 2**20
# Of these, what supposes light strokes on dark ground.
HANDWRITING_ONLY = ("stroke", "contrast", "european", "negatives")


@dataclass(frozen=True)
class TrainConfig:
    """A training run: network, recipe and seed. The data are chosen beside it.

    Attributes:
        name: Name of the model; begins the names of its files.
        architecture: The network, "seed", "digits", "nano" or "teacher", see `train.model`; or
            "elsewhere" for one that came in a file, see `train.finetune`.
        epochs: Times that training goes through the images.
        batch_size: Images per step.
        learning_rate: Adam's step size; with the cosine schedule its largest.
        weight_decay: AdamW's, as a share of the step size; 0 is plain Adam.
        schedule: "constant", or "cosine": rises over the first twentieth, then falls to 0.
        dropout: Share of features dropped before the dense layers.
        label_smoothing: Share of the target that is spread over all classes.
        teacher: Configuration of the models to learn from beside the labels; "" for none.
        teacher_weight: Share of the loss that is the distance from the teacher's answers.
        temperature: Both answers' logits are divided by it before they are compared.
        validation_fraction: Share of the training images held out to validate on.
        rotation_degrees: Augmentation turns an image by up to this, either way.
        scale: Augmentation enlarges or shrinks each side by up to this share.
        shear: Augmentation slants by up to this, as a share of the height.
        shift: Augmentation moves by up to this share of the side.
        elastic: Augmentation bends by up to this share of the side.
        stroke: Augmentation makes strokes up to a pixel thicker or thinner all round, times this.
        blur: Augmentation blurs by up to this, 1 being a standard deviation of a pixel.
        contrast: Augmentation makes edges up to black and white, or strokes paler, by this.
        coarse: Share of the images that are seen as if scanned with fewer pixels.
        noise: Augmentation adds noise of up to this standard deviation, white being 1.
        european: Share of 1s and 7s that get the flag, foot and bar of European handwriting.
        negatives: Share of the images that are replaced by pictures of nothing.
        varied_epochs: After so many epochs the same changed images come again, and the teacher has
            answered for them already; 0 for other images in every epoch.
        min_steps: Fewest steps that the recipe needs; see `scaled_to`.
        seed: Of weights, order of images, dropout and augmentation.
        split_seed: Of the choice of validation images. A teacher must have held out the same.
    """

    name: str
    architecture: str
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str = "constant"
    weight_decay: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    teacher: str = ""
    teacher_weight: float = 0.0
    temperature: float = 1.0
    validation_fraction: float = 0.2
    rotation_degrees: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    stroke: float = 0.0
    blur: float = 0.0
    contrast: float = 0.0
    coarse: float = 0.0
    noise: float = 0.0
    european: float = 0.0
    negatives: float = 0.0
    varied_epochs: int = 0
    min_steps: int = 0
    seed: int = 1
    split_seed: int = 1

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            # Annotations are text here (PEP 563); an int will do where a float is asked for.
            kinds = {"str": (str,), "int": (int,), "float": (int, float)}[str(field.type)]
            if type(value) not in kinds:
                raise ConfigError(
                    f"{field.name} is {value!r}",
                    {"str": "text", "int": "a whole number", "float": "a number"}[str(field.type)],
                )
            holds, expected = LIMITS[field.name]
            if not holds(value):
                raise ConfigError(f"{field.name} is {value!r}", expected)

    @property
    def augments(self) -> bool:
        """Whether images are changed while training."""
        return any(getattr(self, name) for name in AUGMENTATIONS)

    def scaled_to(self, training_images: int) -> TrainConfig:
        """The same recipe for a data set of another size: enough epochs for `min_steps`.

        Few images take few steps an epoch; what a network needs is steps.

        Args:
            training_images: Images of the training set, before validation images are held out.

        Returns:
            The configuration with as many epochs as it takes, never fewer than it has.
        """
        trained_on = round(training_images * (1 - self.validation_fraction))
        steps = max(1, math.ceil(trained_on / self.batch_size))
        return dataclasses.replace(self, epochs=max(self.epochs, math.ceil(self.min_steps / steps)))

    def for_pictures(self) -> TrainConfig:
        """The same recipe for images that are not handwriting.

        Strokes to thicken and digits to cross are not in photographs, and paper is not black.
        """
        nothing: dict[str, Any] = dict.fromkeys(HANDWRITING_ONLY, 0.0)
        return dataclasses.replace(self, **nothing)

    @property
    def different_epochs(self) -> int:
        """Epochs whose images differ from those of every other."""
        return min(self.varied_epochs or self.epochs, self.epochs)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return dataclasses.asdict(self)


def _among(names: tuple[str, ...]) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: value in names), " or ".join(names)


SHARE = (lambda value: 0 <= value < 1), "0 or more and less than 1"
SEED = (lambda value: 0 <= value < 2**31), f"0 to {2**31 - 1}"
PART = (lambda value: 0 <= value <= 1), "0 to 1"
# What each field may be, and how to say so.
LIMITS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    # The same as a contract's name, which it becomes.
    "name": (
        lambda value: (
            value.isprintable()
            and 0 < len(value) <= 64
            and not set(value) & set('/\\:*?"<>|')
            and not value.startswith(".")
        ),
        "a name of at most 64 characters that can stand in a file name",
    ),
    "architecture": (
        lambda value: value in (*ARCHITECTURES, ELSEWHERE),
        " or ".join(ARCHITECTURES),
    ),
    "epochs": (lambda value: value >= 1, "1 or more"),
    "batch_size": (lambda value: value >= 1, "1 or more"),
    "learning_rate": (lambda value: 0 < value < math.inf, "more than 0"),
    "schedule": _among(SCHEDULES),
    "weight_decay": SHARE,
    "dropout": SHARE,
    "label_smoothing": SHARE,
    "teacher": ((lambda value: value in ("", "teacher")), '"teacher" or ""'),
    "teacher_weight": PART,
    "temperature": ((lambda value: 0 < value <= 100), "more than 0 and at most 100"),
    "validation_fraction": ((lambda value: 0 < value < 1), "more than 0 and less than 1"),
    "rotation_degrees": ((lambda value: 0 <= value <= 180), "0 to 180"),
    "scale": SHARE,
    "shear": SHARE,
    "shift": SHARE,
    "elastic": SHARE,
    "stroke": PART,
    "blur": PART,
    "contrast": PART,
    "coarse": PART,
    "noise": PART,
    "european": PART,
    "negatives": SHARE,
    "varied_epochs": (lambda value: value >= 0, "0 or more"),
    "min_steps": (lambda value: value >= 0, "0 or more"),
    "seed": SEED,
    "split_seed": SEED,
}

# What the three networks for handwriting share. Figures behind the choices: docs/model.md.
HANDWRITING: Mapping[str, Any] = {
    # On two cores a step with 64 images takes as long; larger batches save little.
    "batch_size": 128,
    # AdamW bears it with batch normalization after every convolution; the decay is usual for it.
    "learning_rate": 0.003,
    "schedule": "cosine",
    "weight_decay": 0.02,
    # 10,000 of MNIST's 60,000 training images.
    "validation_fraction": 1 / 6,
    # How people differ: most slants lie within 15 degrees, which rotation and shear make up
    # together; size and place differ by what a careless crop leaves.
    "rotation_degrees": 12,
    "scale": 0.15,
    "shear": 0.25,
    "shift": 0.07,
    # On 28 pixels the field moves strokes by a pixel or so: Simard's strength for MNIST.
    "elastic": 0.1,
    # Almost a pixel all round: from a hair line to a marker.
    "stroke": 0.7,
    # A webcam out of focus, once its picture is 28 pixels wide; beyond it an 8's holes close.
    "blur": 1.0,
    # From pencil, which keeps 70 % of a stroke's brightness, to a scanner's black and white.
    "contrast": 0.6,
    # Scans of few pixels are rare in the world, but nothing else prepares for them.
    "coarse": 0.25,
    # A sensor in poor light: what the fit leaves of it after it has made the picture smaller.
    "noise": 0.1,
    # Enough to learn the crossed 7; more would teach that a 1 has a foot.
    "european": 0.15,
    # One in twelve: doubt is easier to learn than ten digits.
    "negatives": 0.08,
}

# An eighth of the weights has less room for what is rare.
GENTLY: Mapping[str, Any] = {
    # It learns slowly, and bears a larger step.
    "learning_rate": 0.004,
    "rotation_degrees": 10,
    "scale": 0.12,
    "shear": 0.2,
    "shift": 0.05,
    "elastic": 0.06,
    "stroke": 0.5,
    "blur": 0.7,
    "contrast": 0.4,
    "coarse": 0.15,
    "noise": 0.05,
    "european": 0.1,
    "negatives": 0.05,
}

# The labels count for three parts in ten: they are right more often than any teacher, and say less.
# The temperature is the usual 2; twenty epochs of images are a million, more than these networks
# can learn by heart, and the teachers answer for them once.
TAUGHT: Mapping[str, Any] = {
    "teacher": "teacher",
    "teacher_weight": 0.7,
    "temperature": 2.0,
    "varied_epochs": 20,
}

CONFIGS: Mapping[str, TrainConfig] = {
    # The public notebook Classification_Chiffres_MNIST: its network and its training. What it
    # leaves open is Keras's default (batch of 32, Adam's 0.001).
    "seed": TrainConfig(
        name="seed",
        architecture="seed",
        epochs=10,
        batch_size=32,
        learning_rate=0.001,
        dropout=0.5,
        # Of the seeds 1 to 4 the one with the best validation accuracy: 99.19 % (the others 99.01,
        # 99.06 and 99.03 %).
        seed=3,
        split_seed=3,
    ),
    "teacher": TrainConfig(
        name="teacher",
        architecture="teacher",
        # Over the last five its validation accuracy moved by 0.03 points at most.
        epochs=50,
        # It has four times the weights of `digits`, and would learn the images by heart.
        dropout=0.3,
        **HANDWRITING,
    ),
    "digits": TrainConfig(
        name="digits",
        architecture="digits",
        # Half an hour on two cores.
        epochs=120,
        **HANDWRITING,
        **TAUGHT,
    ),
    "nano": TrainConfig(
        name="nano",
        architecture="nano",
        epochs=120,
        # Of the seeds 1 to 3 the one with the best validation accuracy: 99.51 % (the others 99.42
        # and 99.48 %). For `digits` that is 1: 99.71 % (99.68 and 99.68 %).
        seed=3,
        min_steps=5000,
        **{**HANDWRITING, **GENTLY},
        **TAUGHT,
    ),
}


def load_config(choice: str) -> TrainConfig:
    """A configuration by name or from a JSON file.

    Args:
        choice: "seed", "nano", or a file that holds fields of `TrainConfig`, and perhaps
            ``"base"``: the name of a configuration that gives the fields it leaves out.

    Returns:
        The configuration.

    Raises:
        ConfigError: There is no such configuration, or the file says something impossible.
    """
    if choice in CONFIGS:
        return CONFIGS[choice]
    path = Path(choice)
    names = ", ".join(CONFIGS)
    if not path.exists():
        raise ConfigError(f"there is no configuration {choice!r}", f"{names} or a JSON file")
    try:
        values = json.loads(read_limited(path, MAX_CONFIG_BYTES))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a JSON {type(values).__name__}", "an object")
    base = values.pop("base", None)
    if base is not None:
        if not isinstance(base, str) or base not in CONFIGS:
            raise ConfigError(f"{path} builds on {base!r}", names)
        values = {**CONFIGS[base].to_dict(), "name": path.stem, **values}
    fields = dataclasses.fields(TrainConfig)
    if unknown := sorted(set(values) - {field.name for field in fields}):
        raise ConfigError(
            f"{path} has the unknown key {unknown[0]!r}",
            "any of " + ", ".join(field.name for field in fields),
        )
    required = [field.name for field in fields if field.default is dataclasses.MISSING]
    if missing := [name for name in required if name not in values]:
        raise ConfigError(f"{path} lacks {missing[0]!r}", 'it, or a "base"')
    if values["architecture"] == ELSEWHERE:
        raise ConfigError(
            f"{path} has the architecture {ELSEWHERE!r}, which came in a file",
            " or ".join(ARCHITECTURES),
            "fine-tune that file with --from",
        )
    try:
        return TrainConfig(**values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
