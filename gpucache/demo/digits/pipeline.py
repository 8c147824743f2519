"""Handwritten digits: load, augment, describe, train, evaluate, draw. Written by `gpucache demo`; edit it and run it again.

    gpucache run pipeline.py            runs what your edit changed
    gpucache plan pipeline.py           says what would run, and why, without running it

What is slow to import is imported where it is used, so that a run in which everything hits does not pay for it.
"""

from pathlib import Path

import numpy as np

import gpucache as gpc

CLASSES = 10


@gpc.task
def load() -> tuple[np.ndarray, np.ndarray]:
    """1797 images of 8 by 8 pixels, 0 to 1, and the digit that each shows."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return (digits.images / 16).astype(np.float32), digits.target


@gpc.task
def augment(images: np.ndarray, copies: int, seed: int) -> np.ndarray:
    """Every image `copies` times at 16 by 16 pixels, turned, moved and with noise: [copies * images, 16, 16]."""
    from scipy import ndimage

    random = np.random.default_rng(seed)
    large = ndimage.zoom(images, (1, 2, 2), order=1)
    turned = [ndimage.rotate(large, random.uniform(-15, 15), (2, 1), reshape=False, order=1) for _ in range(copies)]
    moved = [np.roll(some, random.integers(-1, 2, size=2), (1, 2)) for some in turned]
    noise = random.normal(0, 0.05, size=(copies, *large.shape)).astype(np.float32)
    return (np.stack(moved) + noise).reshape(-1, 16, 16).astype(np.float32)


def gradients(images: np.ndarray) -> np.ndarray:
    """How the brightness changes, down and to the right."""
    return np.stack(np.gradient(images, axis=(1, 2)), axis=1)


def pooled(maps: np.ndarray) -> np.ndarray:
    """Means over squares of 4 by 4 pixels, as one row per image."""
    blocks = maps.reshape(*maps.shape[:-2], 4, 4, 4, 4)
    means: np.ndarray = blocks.mean(axis=(-3, -1))
    return means.reshape(len(maps), -1)


@gpc.task
def features(images: np.ndarray) -> np.ndarray:
    """What the classifier sees of each image: [images, 48], float32."""
    return np.concatenate([pooled(np.abs(gradients(images))), pooled(images[:, None])], axis=1)


@gpc.task
def train(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [10, 48] and biases [10] of a linear classifier."""
    from sklearn.linear_model import LogisticRegression

    strength = 0.01
    model = LogisticRegression(C=strength, tol=0.01, max_iter=300)
    model.fit(rows, np.resize(labels, len(rows)))
    return model.coef_, model.intercept_


@gpc.task
def evaluate(weights: np.ndarray, biases: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How often each digit was taken for which: [truth, guess]."""
    guesses = np.argmax(rows @ weights.T + biases, axis=1)
    matrix = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    np.add.at(matrix, (labels, guesses), 1)
    return matrix


@gpc.task
def draw(matrix: np.ndarray) -> gpc.File:
    """The confusion matrix as a picture."""
    import tempfile

    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 5))
    axes.imshow(np.log1p(matrix), cmap="Blues")
    for (truth, guess), count in np.ndenumerate(matrix):
        axes.text(guess, truth, str(count), ha="center", va="center", color="white" if truth == guess else "black")
    axes.set(xlabel="guess", ylabel="truth", xticks=range(CLASSES), yticks=range(CLASSES), title="digits")
    path = Path(tempfile.mkdtemp()) / "confusion.png"
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return gpc.File(path)


@gpc.flow
def digits(copies: int = 80, seed: int = 0) -> dict[str, object]:
    """Train on augmented images, test on others; gives the accuracy and the picture's path."""
    images, labels = load()
    split = 1400
    rows = features(augment(images[:split], copies, seed))
    weights, biases = train(rows, labels[:split])
    test = features(augment(images[split:], 1, seed + 1))
    matrix = evaluate(weights, biases, test, labels[split:])
    picture = draw(matrix)
    return {"accuracy": float(np.trace(matrix) / matrix.sum()), "picture": str(picture.path)}


if __name__ == "__main__":
    print(digits())
