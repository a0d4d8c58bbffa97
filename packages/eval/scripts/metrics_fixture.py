"""Writes test/fixtures/metrics.json: streaming metrics, regressions and absorption by NumPy and scikit-learn.

    python packages/eval/scripts/metrics_fixture.py
"""
import json, pathlib
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

rng = np.random.default_rng(0)
S, N, D, L = 400, 12, 5, 4
f32 = lambda a: a.astype(np.float32).astype(np.float64)
flat = lambda a: np.asarray(a).ravel().tolist()
decoder = f32(rng.standard_normal((N, D)))
f = rng.random((S, N)) * (rng.random((S, N)) < np.linspace(0.6, 0.0, N))
f[:, 5] *= f[:, 1] > 0          # a child of latent 1
f[:, 7] = f[:, 5] * (rng.random(S) < 0.7)  # and its child
f = f32(f)
x = f32(f @ decoder + 0.3 * rng.standard_normal((S, D)) + 5.0)
xh = f32(f @ decoder * 0.9 + 4.8)
norm = lambda a: np.linalg.norm(a, axis=1)
var = ((x - x.mean(0)) ** 2).sum()
recon = dict(fvu=((x - xh) ** 2).sum() / var, mse=((x - xh) ** 2).sum(1).mean(),
             cosine=((x * xh).sum(1) / norm(x) / norm(xh)).mean(), l2Ratio=(norm(xh) / norm(x)).mean(),
             relativeBias=(xh ** 2).sum(1).mean() / (x * xh).sum(1).mean())
on = f > 0
dens = on.mean(0)
sparsity = dict(l0=on.sum(1).mean(), l1=f.sum(1).mean(), dead=int((dens == 0).sum()),
                over1Percent=(dens > .01).mean(), over10Percent=(dens > .1).mean(), densities=flat(dens),
                maxActivation=flat(f.max(0)), meanActivation=[float(f[on[:, i], i].mean()) if on[:, i].any() else 0 for i in range(N)])
together = on.T.astype(int) @ on.astype(int)
hist = [np.histogram(f[on[:, i], i], bins=32, range=(0, 1))[0].tolist() for i in range(N)]

# Regressions
labels = rng.integers(0, L, S)
cx = f32(x + 0.8 * np.eye(L, D)[labels] * 2)
y = labels == 1
w = LogisticRegression(C=0.7, tol=1e-12, max_iter=100000, solver="newton-cg").fit(cx, y)
lam = 0.004
l1y = (f[:, 2] + 0.3 * np.random.default_rng(0).standard_normal(S) > 0.3)
l1 = LogisticRegression(C=1 / (lam * S), l1_ratio=1.0, tol=1e-12, max_iter=200000, solver="saga").fit(f, l1y)

# Absorption: a direct transcription of SAEBench's rules, vectorised differently from the TypeScript
probe = rng.standard_normal(D)
p = probe / np.linalg.norm(probe)
main = [2, 3]
proj = f * (decoder @ p)
cos = decoder @ p / np.linalg.norm(decoder, axis=1)
P = x @ p
full, frac = np.zeros(S, bool), np.zeros(S)
for s in range(S):
    act = np.flatnonzero(f[s])
    if len(act) and (f[s, main] < 1e-8).all():
        top = act[np.argmax(proj[s, act])]
        full[s] = cos[top] >= .025 and P[s] > 0 and proj[s, top] / P[s] >= .4
    M = proj[s, main].sum()
    cand = sorted((proj[s, i] for i in range(N) if i not in main and cos[i] >= .1 and proj[s, i] > 0), reverse=True)[:3]
    A = sum(cand)
    if M >= P[s] or A / P[s] < .4: frac[s] = 0
    elif M <= 0: frac[s] = 1
    else:
        A2 = min(A, P[s] - M); frac[s] = A2 / (A2 + M)

# k-sparse probing, one-vs-rest, balanced: positives all, negatives evenly spaced; every fifth held out
def tasks(minimum):
    for lab in range(L):
        pos = np.flatnonzero(labels == lab)
        if len(pos) < minimum: continue
        rest = np.flatnonzero(labels != lab)
        neg = rest if len(rest) <= len(pos) else rest[(np.arange(len(pos)) * len(rest)) // len(pos)]
        te = lambda r: r[np.arange(len(r)) % 5 == 4]
        tr = lambda r: r[np.arange(len(r)) % 5 != 4]
        mk = lambda c: (np.concatenate([c(pos), c(neg)]), np.concatenate([np.ones(len(c(pos)), int), np.zeros(len(c(neg)), int)]))
        yield lab, mk(tr), mk(te)
g = f32(f + 0.5 * (rng.random((S, N)) < .5) * (np.arange(N)[None] % L == labels[:, None]))
probing = []
for lab, (tr, ytr), (te, yte) in tasks(50):
    diff = g[tr][ytr == 1].mean(0) - g[tr][ytr == 0].mean(0)
    order = np.argsort(-np.abs(diff), kind="stable")
    acc = []
    for k in (1, 2, 5):
        m = LogisticRegression(tol=1e-12, max_iter=100000, solver="newton-cg").fit(g[tr][:, order[:k]], ytr)
        acc.append(accuracy_score(yte, m.predict(g[te][:, order[:k]])))
    m = LogisticRegression(tol=1e-10, max_iter=100000, solver="newton-cg").fit(cx[tr], ytr)
    probing.append(dict(label=lab, accuracy=acc, dense=accuracy_score(yte, m.predict(cx[te])),
                        f1=f1_score(yte, m.predict(cx[te]))))
unemb = f32(rng.standard_normal((20, D)))
eff = decoder @ (unemb - unemb.mean(0)).T
out = dict(s=S, n=N, d=D, l=L, decoder=flat(decoder), f=flat(f), x=flat(x), xHat=flat(xh), recon=recon, sparsity=sparsity,
           together=flat(together), histograms=hist, labels=flat(labels), classX=flat(cx), g=flat(g),
           logistic=dict(weights=flat(w.coef_), intercept=float(w.intercept_[0])),
           l1=dict(labels=flat(l1y.astype(int)), weights=flat(l1.coef_), intercept=float(l1.intercept_[0])),
           absorption=dict(probe=flat(probe), main=main, full=float(full.mean()), fraction=float(frac.mean())),
           probing=probing, unembedding=flat(unemb),
           effects=dict(top=np.argsort(-eff, 1)[:, :3].tolist(), bottom=np.argsort(eff, 1)[:, :3].tolist(), topValue=flat(eff.max(1))))
path = pathlib.Path(__file__).parent.parent / "test" / "fixtures" / "metrics.json"
path.write_text(json.dumps(out, default=float))
