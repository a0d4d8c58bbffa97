"""Trains SAEs with SAELens for a few hundred steps on its own synthetic data; saves a checkpoint half-way and the end.

    python train_saelens.py DIR

DIR/trained/<case>/…, DIR/trained.json (L0 and FVU as SAELens' inference SAE gives them), DIR/trained-x.safetensors
"""

import contextlib
import io
import json
import os
import sys
import warnings
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"
warnings.filterwarnings("ignore")

import sae_lens as sl
import torch
from safetensors.torch import save_file
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.synthetic import ActivationGenerator, FeatureDictionary
from sae_lens.synthetic.training import SyntheticActivationIterator
from sae_lens.training.sae_trainer import SAETrainer

torch.set_num_threads(1)
root = Path(sys.argv[1])
D, N, FEATURES, STEPS, BATCH = 20, 40, 30, 400, 256

torch.manual_seed(0)
features = FeatureDictionary(FEATURES, D, seed=0, bias=0.5)
generator = ActivationGenerator(FEATURES, firing_probabilities=0.08, std_firing_magnitudes=0.2, mean_firing_magnitudes=3.0)
data = SyntheticActivationIterator(features, generator, BATCH)
with torch.no_grad():
    x = torch.cat([next(data) for _ in range(16)])
save_file({"x": x.contiguous()}, root / "trained-x.safetensors")


def measure(path: Path) -> dict:
    sae = sl.SAE.load_from_disk(path)
    with torch.no_grad():
        f = sae.encode(x)
        xhat = sae.decode(f).double()
    y = x.double()
    fvu = ((y - xhat) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()
    return {"l0": (f != 0).float().sum(-1).mean().item(), "fvu": fvu.item()}


configs = {
    "standard": sl.StandardTrainingSAEConfig(d_in=D, d_sae=N, l1_coefficient=0.3),
    "topk": sl.TopKTrainingSAEConfig(d_in=D, d_sae=N, k=3),
    "jumprelu": sl.JumpReLUTrainingSAEConfig(d_in=D, d_sae=N, l0_coefficient=0.2),
    "gated": sl.GatedTrainingSAEConfig(d_in=D, d_sae=N, l1_coefficient=0.3),
    "batchtopk": sl.BatchTopKTrainingSAEConfig(d_in=D, d_sae=N, k=3),
    "matryoshka_batchtopk": sl.MatryoshkaBatchTopKTrainingSAEConfig(d_in=D, d_sae=N, k=3, matryoshka_widths=[10, 20, N]),
}
classes = {
    "standard": sl.StandardTrainingSAE,
    "topk": sl.TopKTrainingSAE,
    "jumprelu": sl.JumpReLUTrainingSAE,
    "gated": sl.GatedTrainingSAE,
    "batchtopk": sl.BatchTopKTrainingSAE,
    "matryoshka_batchtopk": sl.MatryoshkaBatchTopKTrainingSAE,
}
results = []
for name, config in configs.items():
    for mode in ["none", "expected_average_only_in"]:
        config.normalize_activations = mode
        torch.manual_seed(1)
        sae = classes[name](config)
        folder = root / "trained" / f"{name}-{mode}"
        trainer_config = SAETrainerConfig(
            total_training_samples=STEPS * BATCH,
            train_batch_size_samples=BATCH,
            lr=3e-3,
            lr_end=3e-3,
            n_checkpoints=1,
            checkpoint_path=str(folder),
            save_final_checkpoint=True,
            n_batches_for_norm_estimate=50,
            logger=LoggingConfig(log_to_wandb=False, eval_every_n_wandb_logs=2**31 - 1),
        )
        with contextlib.redirect_stdout(io.StringIO()):
            sae = SAETrainer(cfg=trainer_config, sae=sae, data_provider=data).fit()
        sae.save_inference_model(folder / "inference")
        mid, final = sorted(
            (p for p in folder.iterdir() if p.name != "inference"), key=lambda p: p.name.startswith("final")
        )
        # the half-way checkpoint is unfolded: SAELens folds it as it does at the end of training
        half = classes[name].load_from_disk(mid)
        scale = json.loads((mid / "activation_scaler.json").read_text())["scaling_factor"]
        if scale is not None:
            half.fold_activation_norm_scaling_factor(scale)
        half.save_inference_model(folder / "half-inference")
        common = {"architecture": name, "normalize": mode, "version": sl.__version__}
        half_way = measure(folder / "half-inference") | common
        end = measure(folder / "inference") | common
        results += [
            {"case": f"{name}: checkpoint half-way", "path": str(mid.relative_to(root))} | half_way,
            {"case": f"{name}: last checkpoint", "path": str(final.relative_to(root))} | end,
            {"case": f"{name}: saved for inference", "path": str((folder / "inference").relative_to(root))} | end,
        ]
(root / "trained.json").write_text(json.dumps(results))
