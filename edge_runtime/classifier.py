"""A model ready to use: pictures in, labels out."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .backend import Interpreter, TensorInfo, open_interpreter, probe
from .contract import ModelContract, SealedModel, load_sealed, read_sealed
from .errors import InputError, ModelError
from .images import FROM_CONTRACT, FittedImage, fit_image, read_image, to_uint8
from .models import default_model_path
from .page import read_page
from .quantization import dequantize, quantize, softmax, top_k
from .reading import Reading

if TYPE_CHECKING:
    from .frames import LiveReading
    from .live import LiveSource

__all__ = ["Classifier", "Picture", "Prediction", "Score"]

Picture = str | os.PathLike[str] | NDArray[Any]
"""A picture's path, or its pixels (see `Classifier.classify`)."""


@dataclass(frozen=True)
class Score:
    """One class and its probability (0 to 1)."""

    label: str
    index: int
    score: float


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture.

    Attributes:
        label: The most probable label, also when the prediction is rejected.
        index: Its index among the labels.
        score: Its probability, 0 to 1.
        top: The most probable classes, best first.
        rejected: The picture is empty, or the score is below the threshold.
        latency_ms: Milliseconds from the picture to this answer; for a batch, the picture's share.
    """

    label: str
    index: int
    score: float
    top: tuple[Score, ...]
    rejected: bool
    latency_ms: float

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        values = asdict(self)
        values["top"] = list(values["top"])
        return values


class Classifier:
    """An image classifier: a model, its contract and an interpreter.

        digits = Classifier()                    # the released model
        digits.classify("seven.png").label       # '7'
        digits.classify(array).score             # pixels as a NumPy array

    Not for use by several threads at once; one `Classifier` a thread is right.

    Attributes:
        contract: What the model expects and what its outputs mean.
        interpreter: The loaded model.
        threshold: Predictions scored below this probability are rejected; None rejects none.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes | bytearray | memoryview | SealedModel | None = None,
        *,
        contract: ModelContract | None = None,
        backend: str = "auto",
        num_threads: int = 1,
        threshold: float | None = None,
    ) -> None:
        """Loads a model.

        Args:
            model: Path of a ``.tflite`` file, its bytes, or a `SealedModel`, which counts as tried
                if it has a contract; None for the released model.
            contract: Taken instead of the contract that the model carries. A model that carries
                none is first tried in a child process, because nothing says that it is whole.
            backend: "auto", or a name from `edge_runtime.backend.BACKENDS`.
            num_threads: Threads for one inference.
            threshold: Rejection threshold (0 to 1) instead of the contract's.

        Raises:
            InputError: No such file, or an impossible option.
            ModelError: The file is not a model, is damaged, has no contract, or model and
                contract disagree.
            InterpreterError: No interpreter is installed, or it refuses the model.
        """
        if threshold is not None and not 0 <= threshold <= 1:
            raise InputError(f"the threshold is {threshold}", "a probability from 0 to 1")
        if isinstance(model, (bytes, bytearray, memoryview)):
            model = read_sealed(bytes(model))
        elif not isinstance(model, SealedModel):
            model = load_sealed(default_model_path() if model is None else model)
        self.contract = contract or model.require_contract()
        if model.contract is None:
            probe(model.flatbuffer, backend)
        self.threshold = self.contract.rejection_threshold if threshold is None else threshold
        self.interpreter: Interpreter = open_interpreter(model.flatbuffer, backend, num_threads)
        _check_tensors(self.interpreter, self.contract, model.source)
        self._table = _input_table(self.contract, self.interpreter.input)

    def prepare(self, image: Picture, fit: str | None = FROM_CONTRACT) -> FittedImage:
        """A picture as the model sees it.

        Args:
            image: See `classify`.
            fit: See `classify`.

        Returns:
            uint8 pixels in the contract's input shape, and whether the picture is empty.

        Raises:
            ImageError: The file cannot be read.
            InputError: The array is of the wrong kind.
        """
        return fit_image(self._pixels(image), self.contract, fit)

    def scores(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities for pictures that are ready.

        Args:
            pixels: uint8 array of shape (N, height, width, channels), N at least 1.

        Returns:
            float32 array of shape (N, number of labels); dequantized, and with softmax applied
            where the model ends in logits.

        Raises:
            InputError: Another shape or dtype.
            InterpreterError: The interpreter failed.
        """
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self.contract.input_shape:
            raise InputError(
                f"the pictures are {pixels.dtype}{list(pixels.shape)}",
                f"uint8[N, {', '.join(map(str, self.contract.input_shape))}]",
            )
        output = self.interpreter.run(self.model_input(pixels)).reshape(len(pixels), -1)
        info = self.interpreter.output
        if info.quantized:
            output = dequantize(output, info.scale, info.zero_point)
        if self.contract.output == "logits":
            return softmax(output)
        return output.astype(np.float32, copy=False)

    def model_input(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """The model's input tensor for pictures that are ready.

        Every pixel has one of 256 values, so the whole arithmetic of scaling and quantization is
        a table, made once.

        Args:
            pixels: uint8 array of shape (N, height, width, channels).

        Returns:
            Array of the same shape in the input tensor's dtype.
        """
        if self._table.shape[1] == 1:
            return np.take(self._table[:, 0], pixels)
        return np.asarray(self._table[pixels, np.arange(self._table.shape[1])])

    def classify(
        self, image: Picture, *, top_k: int = 3, fit: str | None = FROM_CONTRACT
    ) -> Prediction:
        """Classifies one picture.

        Args:
            image: Path of a picture, or its pixels: shape (H, W), (H, W, 1), (H, W, 3) RGB or
                (H, W, 4) RGBA; uint8, uint16, bool, or float from 0 to 1.
            top_k: How many classes to report.
            fit: How the picture comes to the model's input size: by default as the contract
                says; "stretch", "letterbox", "ink"; None for pixels that are ready.

        Returns:
            The prediction. A picture with nothing in it is rejected, not an error.

        Raises:
            ImageError: The file cannot be read.
            InputError: The array is of the wrong kind.
            InterpreterError: The interpreter failed.
        """
        return self.classify_batch([image], top_k=top_k, fit=fit)[0]

    def classify_batch(
        self,
        images: Iterable[Picture] | NDArray[Any],
        *,
        top_k: int = 3,
        fit: str | None = FROM_CONTRACT,
    ) -> list[Prediction]:
        """Classifies several pictures with one call of the interpreter.

        Args:
            images: Pictures as for `classify`; also one array with a picture along its first axis.
            top_k: How many classes to report.
            fit: As for `classify`.

        Returns:
            One prediction a picture, in order; none for no pictures.

        Raises:
            ImageError: A file cannot be read.
            InputError: An array is of the wrong kind.
            InterpreterError: The interpreter failed.
        """
        started = time.perf_counter()
        return self.predict([self.prepare(i, fit) for i in images], top_k=top_k, started=started)

    def read(self, image: Picture) -> Reading:
        """Finds and reads every handwritten character in a picture.

        Args:
            image: See `classify`.

        Returns:
            The characters with their boxes, and their text in reading order. If nothing is found,
            the text is empty. With a contract whose fit is not "ink" the whole picture counts as
            one character.

        Raises:
            ImageError: The file cannot be read.
            InputError: The array is of the wrong kind.
            InterpreterError: The interpreter failed.
        """
        pixels = to_uint8(self._pixels(image))
        return read_page(pixels, self.contract, self.scores, self.threshold)

    def watch(
        self,
        source: LiveSource,
        *,
        stable: int = 1,
        max_frames: int | None = None,
        seconds: float | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[LiveReading]:
        """Reads a camera's newest frame, again and again; see `edge_runtime.live.watch`.

        Args:
            source: What `open_source` gave or takes, or a running `Capture`.
            stable: The text changes only once so many frames more show the new one than do not.
            max_frames: End after so many results.
            seconds: End after so many seconds.
            stop: End when it is set.

        Returns:
            An iterator with a result for each frame that was read, never of one that is older than
            another that was there.

        Raises:
            InputError: An impossible option.
            EdgeRuntimeError: The source cannot be used at all, or the interpreter failed.
        """
        from .live import watch

        return watch(self, source, stable=stable, max_frames=max_frames, seconds=seconds, stop=stop)

    def predict(
        self, fitted: Sequence[FittedImage], *, top_k: int = 3, started: float | None = None
    ) -> list[Prediction]:
        """Predictions for pictures from `prepare`, with one call of the interpreter.

        Args:
            fitted: What `prepare` gave.
            top_k: How many classes to report.
            started: `time.perf_counter` at the start of what `latency_ms` should cover.

        Returns:
            One prediction a picture, in order.

        Raises:
            InterpreterError: The interpreter failed.
        """
        if top_k < 1:
            raise InputError(f"top-k is {top_k}", "a whole number from 1")
        if not fitted:
            return []
        started = time.perf_counter() if started is None else started
        scores = self.scores(np.stack([image.pixels for image in fitted]))
        latency_ms = (time.perf_counter() - started) * 1000 / len(fitted)
        return [
            self._prediction(row, image.empty, top_k, latency_ms)
            for row, image in zip(scores, fitted, strict=True)
        ]

    @staticmethod
    def _pixels(image: Picture) -> NDArray[Any]:
        if isinstance(image, (str, os.PathLike)):
            image = read_image(image)
        if not isinstance(image, np.ndarray):
            raise InputError(
                f"the picture is a {type(image).__name__}", "a path, or pixels as a NumPy array"
            )
        return image

    def _prediction(
        self, scores: NDArray[np.float32], empty: bool, k: int, latency_ms: float
    ) -> Prediction:
        labels = self.contract.labels
        top = tuple(Score(labels[i], int(i), float(scores[i])) for i in top_k(scores, k))
        best = top[0]
        below = self.threshold is not None and best.score < self.threshold
        return Prediction(best.label, best.index, best.score, top, empty or below, latency_ms)


def _input_table(contract: ModelContract, tensor: TensorInfo) -> NDArray[Any]:
    """The input tensor's value for each 8-bit pixel: (256, 1) if the same for all channels."""
    values = contract.pixel_values()
    if (values == values[:, :1]).all():
        values = values[:, :1]
    if tensor.quantized:
        return quantize(values, tensor.scale, tensor.zero_point, tensor.dtype)
    return values.astype(tensor.dtype)


def _check_tensors(interpreter: Interpreter, contract: ModelContract, source: str) -> None:
    given, wanted = interpreter.input, contract.input_shape
    if given.shape[1:] != wanted:
        raise ModelError(
            f"the input of {source} is {list(given.shape[1:])}, its contract says {list(wanted)}"
        )
    if given.dtype not in ("float32", "float16") and not given.quantized:
        raise ModelError(
            f"the input of {source} is {given.dtype} without a scale",
            "float32, or int8, uint8 or int16 with a scale and a zero point",
        )
    classes = int(np.prod(interpreter.output.shape[1:]))
    if classes != len(contract.labels):
        raise ModelError(
            f"{source} has {classes} outputs, its contract {len(contract.labels)} labels"
        )
