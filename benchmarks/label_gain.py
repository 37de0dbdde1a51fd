"""How often the studio's intervals hold: the accuracy of the probe now, and what 50 more labels bring.

    python benchmarks/label_gain.py [--draws 40]

Each draw labels some of scikit-learn's digits (1,797 images of 8 x 8 pixels), asks ``what_more_brings``, then labels 50 more at
random. The truth is measured on the images that remain.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from sklearn.datasets import load_digits

from pipekit.commands.labelling import DIMENSIONS, MORE, _fitted, what_more_brings
from pipekit.learning.out_of_fold import principal_components
from pipekit.rng import rng_for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--labels", type=int, nargs="+", default=[100, 150, 400])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    digits = load_digits()
    values, classes = principal_components(digits.data.astype(np.float32), DIMENSIONS), digits.target.astype(np.int64)
    print("labels  draws  accuracy inside  gain inside  mean gain  mean width of the gain's interval, points")
    for labels in arguments.labels:
        inside = np.zeros(2, int)
        gains, widths = [], []
        for draw in range(arguments.draws):
            order = rng_for(draw, labels).permutation(len(classes))
            first, second, rest = order[:labels], order[: labels + MORE], order[labels + MORE :]
            said = what_more_brings(values[first], classes[first], rng_for(draw, labels, "probe"))
            if "why" in said:
                continue
            models = [_fitted(values[some], classes[some]) for some in (first, second)]
            now, later = (float((model.predict(values[rest]) == classes[rest]).mean()) for model in models)
            (worst, best), (least, most) = said["accuracy"], said["gain"]
            inside += [worst <= now <= best, least <= later - now <= most]
            gains.append(later - now)
            widths.append(most - least)
        figures = f"{100 * np.mean(gains):9.1f}  {100 * np.mean(widths):.1f}"
        print(f"{labels:6}  {len(gains):5}  {inside[0]:15}  {inside[1]:11}  {figures}", flush=True)


if __name__ == "__main__":
    main()
