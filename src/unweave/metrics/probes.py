"""Leakage: what can be read from a code that should not know it."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from unweave.metrics import intervals
from unweave.metrics.intervals import Estimate

TRAIN = 2000  # codes of each class that a probe learns from


def leakage(train: ArrayLike, labels: ArrayLike, test: ArrayLike, test_labels: ArrayLike, seed: int = 0) -> dict[str, Estimate]:
    """Balanced accuracy on held-out codes of two readers: `leakage_linear` and `leakage_mlp`; 1 / classes means that nothing is known.

    train, test: (N, ...) codes, flattened; labels: (N,). The readers: logistic regression, and a network with one hidden layer of 256,
    both on codes standardised by the training ones. A code that does not vary gives chance.
    """
    x, y = (_rows(codes) for codes in (train, test))
    scale = StandardScaler().fit(x)
    x, y = (scale.transform(rows).astype(np.float32) for rows in (x, y))
    known, asked = np.asarray(labels), np.asarray(test_labels)
    readers = {
        "leakage_linear": LogisticRegression(max_iter=300),
        "leakage_mlp": MLPClassifier((256,), early_stopping=True, n_iter_no_change=5, max_iter=40, random_state=seed),
    }
    found = {}
    for name, reader in readers.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a reader that is still improving after so long has read what it could
            reader.fit(x, known)
        found[name] = intervals.balanced(reader.predict(y) == asked, asked)
    return found


def _rows(codes: ArrayLike) -> NDArray[np.float32]:
    array = np.asarray(codes, dtype=np.float32)
    return array.reshape(len(array), -1)


def zero_residual(foreign: ArrayLike, own: ArrayLike) -> Estimate:
    """How much of a separate code is left for pictures that lack the part: mean |E_s(a)| / mean |E_s(b)|; 0 is right.

    foreign: codes of set a, own: codes of set b, (N, ...) with one N.
    """
    return intervals.ratio(*(np.abs(_rows(codes)).mean(1) for codes in (foreign, own)))
