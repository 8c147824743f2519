"""Handwritten digits: load, augment, describe, train, judge, draw. Written by `gpucache demo`; edit it and run it again.

    gpucache plan pipeline.py           says what your edit would run, and why, without running it
    gpucache run pipeline.py            runs that, and nothing else

What is slow to import is imported where it is used, so that a run in which everything hits does not pay for it.
"""

from pathlib import Path

import numpy as np

import gpucache as gpc

CLASSES = 10
TRAINING = 1400  # images; the others are for the test


@gpc.task
def load() -> tuple[np.ndarray, np.ndarray]:
    """1797 images of 8 by 8 pixels, 0 to 1, and the digit that each shows."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return (digits.images / 16).astype(np.float32), digits.target


def moved(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The images turned by up to 15 degrees, shifted by up to a pixel, and with noise."""
    from scipy import ndimage

    turned = ndimage.rotate(images, random.uniform(-15, 15), (2, 1), reshape=False, order=1)
    shifted = np.roll(turned, random.integers(-1, 2, size=2), (1, 2))
    return shifted + random.normal(0, 0.05, size=images.shape).astype(np.float32)


@gpc.task
def augment(images: np.ndarray, copies: int, seed: int) -> np.ndarray:
    """Every image `copies` times at 16 by 16 pixels, each time a bit different: float32 [copies * images, 16, 16]."""
    from scipy import ndimage

    random = np.random.default_rng(seed)
    large = ndimage.zoom(images, (1, 2, 2), order=1)
    return np.concatenate([moved(large, random) for _ in range(copies)]).astype(np.float32)


def edges(images: np.ndarray) -> np.ndarray:
    """How the brightness changes, down and to the right: [images, 2, 16, 16]."""
    return np.stack(np.gradient(images, axis=(1, 2)), axis=1)


def pooled(maps: np.ndarray) -> np.ndarray:
    """Means over squares of 2 by 2 pixels, as one row per image."""
    squares = maps.reshape(len(maps), -1, 8, 2, 8, 2)
    return squares.mean(axis=(-3, -1)).reshape(len(maps), -1)


@gpc.task
def features(images: np.ndarray) -> np.ndarray:
    """What the classifier sees of each image: float32 [images, 192]."""
    return np.concatenate([pooled(np.abs(edges(images))), pooled(images)], axis=1)


@gpc.task
def train(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [10, 192] and biases [10] of a linear classifier."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    model = LinearDiscriminantAnalysis(solver="lsqr").fit(rows, np.resize(labels, len(rows)))
    return model.coef_, model.intercept_


def scores(rows: np.ndarray, weights: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """How much each image looks like each digit: [images, 10]."""
    return rows @ weights.T + biases


@gpc.task
def evaluate(rows: np.ndarray, labels: np.ndarray, weights: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """How often each digit was taken for which: counts [truth, guess]."""
    matrix = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    np.add.at(matrix, (labels, scores(rows, weights, biases).argmax(axis=1)), 1)
    return matrix


@gpc.task
def certainty(rows: np.ndarray, weights: np.ndarray, biases: np.ndarray) -> float:
    """How far the best guess is ahead of the second, on average."""
    second, best = np.sort(scores(rows, weights, biases), axis=1)[:, -2:].T
    return float((best - second).mean())


@gpc.task
def draw(matrix: np.ndarray) -> gpc.File:
    """The confusion matrix as a picture."""
    import tempfile

    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 5))
    axes.imshow(np.log1p(matrix), cmap="Blues")
    for (truth, guess), count in np.ndenumerate(matrix):
        axes.text(guess, truth, str(count), ha="center", va="center", color="white" if truth == guess else "black")
    axes.set(xlabel="guess", ylabel="truth", xticks=range(CLASSES), yticks=range(CLASSES), title="digits")
    path = Path(tempfile.mkdtemp()) / "confusion.png"
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    return gpc.File(path)


@gpc.flow
def digits(copies: int = 80, seed: int = 0) -> dict[str, object]:
    """Train on augmented images, test on others; gives the accuracy, the certainty and the picture's path."""
    images, labels = load()
    weights, biases = train(features(augment(images[:TRAINING], copies, seed)), labels[:TRAINING])
    test = features(augment(images[TRAINING:], 1, seed + 1))
    matrix = evaluate(test, labels[TRAINING:], weights, biases)
    return {
        "accuracy": float(np.trace(matrix) / matrix.sum()),
        "certainty": certainty(test, weights, biases),
        "picture": str(draw(matrix).path),
    }


if __name__ == "__main__":
    print(digits())
