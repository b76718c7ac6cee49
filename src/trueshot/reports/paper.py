"""The accuracies published in the paper, for comparison with ours. Unit: per cent.

Source: Zhao et al. 2018, tables 1 to 3. `TGSM` in the tables is the least-likely-class method.
"""

from __future__ import annotations

SIDES = (64, 128, 256, 512)
BUDGETS = (1.0, 2.0, 3.0, 4.0, 5.0)
ATTACK_NAMES = {"fgsm": "FGSM", "llcm": "LLCM (TGSM)"}

CLEAN = {
    "plain": {64: 96.7, 128: 98.2, 256: 99.1, 512: 99.4},
    "secure": {64: 96.6, 128: 98.1, 256: 98.5, 512: 99.0},
}

_PLAIN = {
    (64, "fgsm"): (2.8, 0.9, 0.5, 0.6, 2.6),
    (64, "llcm"): (7.5, 5.7, 5.2, 5.3, 6.9),
    (128, "fgsm"): (1.1, 0.2, 1.4, 4.9, 6.5),
    (128, "llcm"): (2.9, 2.0, 3.1, 6.1, 7.5),
    (256, "fgsm"): (2.6, 3.6, 5.4, 7.5, 9.9),
    (256, "llcm"): (3.9, 4.9, 6.6, 8.6, 11.1),
    (512, "fgsm"): (3.3, 1.6, 0.9, 0.7, 1.0),
    (512, "llcm"): (4.6, 2.8, 2.2, 1.9, 2.1),
}

_SECURE = {
    (64, "fgsm"): (93.6, 94.5, 96.1, 96.3, 95.9),
    (64, "llcm"): (90.0, 91.6, 93.0, 93.3, 93.0),
    (128, "fgsm"): (95.9, 97.1, 97.8, 98.4, 98.7),
    (128, "llcm"): (94.5, 95.6, 96.2, 96.8, 97.1),
    (256, "fgsm"): (97.4, 98.5, 98.8, 98.9, 98.6),
    (256, "llcm"): (94.3, 95.1, 95.3, 95.4, 95.2),
    (512, "fgsm"): (99.2, 99.3, 99.3, 99.4, 99.3),
    (512, "llcm"): (98.1, 98.2, 98.3, 98.3, 98.2),
}

ATTACKED = {"plain": _PLAIN, "secure": _SECURE}
