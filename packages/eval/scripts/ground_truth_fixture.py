"""Writes test/fixtures/ground-truth.json: matching and ground-truth metrics by NumPy, SciPy and scikit-learn.

    python packages/eval/scripts/ground_truth_fixture.py
"""
import json, pathlib
import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

rng = np.random.default_rng(0)
N, F, D, S = 9, 7, 6, 200
parent = [-1, 0, 0, -1, 3, 3, -1]
features = (rng.random((S, F)) < 0.3).astype(float)
for j, p in enumerate(parent):
    if p >= 0:
        features[:, j] *= features[:, p]
features *= rng.random((S, F))
truth = rng.standard_normal((F, D))
decoder = np.concatenate([truth + 0.3 * rng.standard_normal((F, D)), rng.standard_normal((2, D))])[rng.permutation(N)]
unit = lambda w: w / np.linalg.norm(w, axis=1, keepdims=True)
cos = unit(decoder) @ unit(truth).T
latents = np.maximum(features @ np.linalg.pinv(cos.T).T + 0.05 * rng.standard_normal((S, N)) - 0.05, 0)

rows, cols = linear_sum_assignment(-np.abs(cos))
latent_of = -np.ones(F, int); latent_of[cols] = rows
unitc = lambda a: a / np.where((n := np.linalg.norm(a, axis=0)) > 0, n, 1)
ra, ca = linear_sum_assignment(-(unitc(latents).T @ unitc(features)))
latent_of_act = -np.ones(F, int); latent_of_act[ca] = ra
nearest = np.abs(cos).argmax(1)
score = lambda i, j: dict(
    precision=precision_score(features[:, j] > 0, latents[:, i] > 0, zero_division=0),
    recall=recall_score(features[:, j] > 0, latents[:, i] > 0, zero_division=0),
    f1=f1_score(features[:, j] > 0, latents[:, i] > 0, zero_division=0),
    accuracy=accuracy_score(features[:, j] > 0, latents[:, i] > 0))
per_feature = [score(latent_of[j], j) for j in range(F)]
per_latent = [score(i, nearest[i]) for i in range(N)]
mean = lambda ss: {k: float(np.mean([s[k] for s in ss])) for k in ss[0]}
absorption = {}
for p in (0, 3):
    kids = [j for j in range(F) if parent[j] == p]
    m = (features[:, kids] > 0).any(1)
    absorption[p] = float((latents[m, latent_of[p]] <= 0).mean())
pairs = [(j, p) for j, p in enumerate(parent) if p >= 0]
cp = [cos[latent_of[j], p] for j, p in pairs]
pc = [cos[latent_of[p], j] for j, p in pairs]
dec_cos = unit(decoder) @ unit(decoder).T
np.fill_diagonal(dec_cos, -2)
out = dict(
    n=N, f=F, d=D, s=S, parent=parent, truth=truth.ravel().tolist(), decoder=decoder.ravel().tolist(),
    features=features.ravel().tolist(), latents=latents.ravel().tolist(),
    latentOfFeature=latent_of.tolist(), latentOfFeatureByActivation=latent_of_act.tolist(), nearest=nearest.tolist(),
    mcc=float(np.abs(cos)[rows, cols].mean()), mmcs=float(np.abs(cos).max(0).mean()),
    uniqueness=len(set(nearest.tolist())) / N, l0=float((latents > 0).sum(1).mean()),
    trueL0=float((features > 0).sum(1).mean()), dead=int(((latents > 0).sum(0) == 0).sum()),
    matched=mean(per_feature), minF1=min(s["f1"] for s in per_feature), nearestScore=mean(per_latent),
    absorption=float(np.mean(list(absorption.values()))), perParent=absorption,
    childParent=[float(np.mean(cp)), float(np.mean(np.abs(cp)))],
    parentChild=[float(np.mean(pc)), float(np.mean(np.abs(pc)))],
    selfSimilarity=[float(dec_cos.max(1).mean()), float(dec_cos.max())])
rng2 = np.random.default_rng(1)
out["assignments"] = []
for r, c in [(1, 1), (5, 5), (4, 9), (9, 4), (40, 40), (30, 60)]:
    m = rng2.standard_normal((r, c)).round(2)
    a, b = linear_sum_assignment(m, maximize=True)
    out["assignments"].append(dict(rows=r, columns=c, score=m.ravel().tolist(), total=float(m[a, b].sum())))
path = pathlib.Path(__file__).parent.parent / "test" / "fixtures" / "ground-truth.json"
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps(out))
