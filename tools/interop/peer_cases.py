"""Writes SAEs with the peers' own code, and beside them what the peers themselves make of one batch.

    python peer_cases.py OUT [--fixtures]     --fixtures: one case of each kind, for packages/formats/test/fixtures

OUT/cases/<case>/...      as the peer writes it
OUT/expected/<case>.safetensors   x, f = peer.encode(x), xhat = peer.decode(f)
OUT/index.json            what each case is
"""

import json
import os
import re
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # its decoder on a machine without CUDA
warnings.filterwarnings("ignore")
torch.set_num_threads(1)
D, N, B, K = 8, 24, 12, 3

OUT = Path(sys.argv[1])
CASES = OUT / "cases"
EXPECTED = OUT / "expected"
INDEX: list[dict] = []


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Weights that make about half of the pre-activations positive, with decoder norms far from 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float32) * 0.4
            if "threshold" in name:
                values = values.abs()
            parameter.copy_(values.to(parameter.dtype))
            if "W_enc" in name or "encoder.weight" in name:
                parameter.mul_(1.5)


def batch(seed: int = 0) -> torch.Tensor:
    return torch.randn(B, D, generator=torch.Generator().manual_seed(100 + seed)) * 1.3 + 0.2


def record(case: str, f: torch.Tensor, xhat: torch.Tensor, x: torch.Tensor, **about) -> None:
    EXPECTED.mkdir(parents=True, exist_ok=True)
    tensors = {"x": x, "f": f, "xhat": xhat}
    tensors = {k: v.detach().to(torch.float32).contiguous().clone() for k, v in tensors.items()}
    save_file(tensors, EXPECTED / f"{case}.safetensors")
    INDEX.append({"case": case, **about})


def folder(case: str) -> Path:
    path = CASES / case
    path.mkdir(parents=True, exist_ok=True)
    return path


def saelens_cases() -> None:
    import sae_lens as sl
    from sae_lens.training.activation_scaler import ActivationScaler, ActivationWhitening

    version = sl.__version__
    x = batch()

    def run(path: Path, case: str, **about) -> None:
        sae = sl.SAE.load_from_disk(path).to(torch.float32)
        sae.dtype = torch.float32
        f = sae.encode(x)
        xhat = sae(x) if "skip" in about["architecture"] else sae.decode(f)
        record(case, f, xhat, x, format="saelens", version=version, **about)

    inference = {
        "standard": (sl.StandardSAE, sl.StandardSAEConfig, {}),
        "topk": (sl.TopKSAE, sl.TopKSAEConfig, {"k": K}),
        "topk-rescaled": (sl.TopKSAE, sl.TopKSAEConfig, {"k": K, "rescale_acts_by_decoder_norm": True}),
        "abstopk": (sl.AbsTopKSAE, sl.AbsTopKSAEConfig, {"k": K}),
        "jumprelu": (sl.JumpReLUSAE, sl.JumpReLUSAEConfig, {}),
        "gated": (sl.GatedSAE, sl.GatedSAEConfig, {}),
        "transcoder": (sl.Transcoder, sl.TranscoderConfig, {"d_out": D}),
        "skip_transcoder": (sl.SkipTranscoder, sl.SkipTranscoderConfig, {"d_out": D}),
        "jumprelu_transcoder": (sl.JumpReLUTranscoder, sl.JumpReLUTranscoderConfig, {"d_out": D}),
        "jumprelu_skip_transcoder": (sl.JumpReLUSkipTranscoder, sl.JumpReLUSkipTranscoderConfig, {"d_out": D}),
        # to another width
        "transcoder_wide": (sl.Transcoder, sl.TranscoderConfig, {"d_out": D + 3}),
        "jumprelu_skip_transcoder_wide": (
            sl.JumpReLUSkipTranscoder,
            sl.JumpReLUSkipTranscoderConfig,
            {"d_out": D + 3},
        ),
    }
    modes = ["none", "expected_average_only_in", "constant_norm_rescale", "layer_norm"]
    for name, (cls, config, extra) in inference.items():
        transcoder = "transcoder" in name
        for mode in modes[:1] if transcoder else modes:
            for apply in [False] if transcoder else [True, False]:
                if not apply and mode != "none":
                    continue
                case = f"saelens-{name}-{mode}{'' if apply or transcoder else '-no_b_dec'}"
                sae = cls(config(d_in=D, d_sae=N, apply_b_dec_to_input=apply, normalize_activations=mode, **extra))
                randomise(sae, len(INDEX))
                sae.save_model(folder(case))
                run(folder(case), case, architecture=sae.cfg.architecture(), normalize=mode)

    for dtype in ["float16", "bfloat16", "float64"]:
        case = f"saelens-jumprelu-{dtype}"
        sae = sl.JumpReLUSAE(sl.JumpReLUSAEConfig(d_in=D, d_sae=N, dtype=dtype))
        randomise(sae, len(INDEX))
        sae.save_model(folder(case))
        run(folder(case), case, architecture="jumprelu", normalize="none", dtype=dtype)

    training = {
        "standard": (sl.StandardTrainingSAE, sl.StandardTrainingSAEConfig, {}),
        "topk": (sl.TopKTrainingSAE, sl.TopKTrainingSAEConfig, {"k": K}),
        "abstopk": (sl.AbsTopKTrainingSAE, sl.AbsTopKTrainingSAEConfig, {"k": K}),
        "jumprelu": (sl.JumpReLUTrainingSAE, sl.JumpReLUTrainingSAEConfig, {}),
        "gated": (sl.GatedTrainingSAE, sl.GatedTrainingSAEConfig, {}),
        "batchtopk": (sl.BatchTopKTrainingSAE, sl.BatchTopKTrainingSAEConfig, {"k": 2.5}),
        "batchtopk-plain": (
            sl.BatchTopKTrainingSAE,
            sl.BatchTopKTrainingSAEConfig,
            {"k": K, "rescale_acts_by_decoder_norm": False},
        ),
        "matryoshka_batchtopk": (
            sl.MatryoshkaBatchTopKTrainingSAE,
            sl.MatryoshkaBatchTopKTrainingSAEConfig,
            {"k": K, "matryoshka_widths": [4, 10, N]},
        ),
    }
    for name, (cls, config, extra) in training.items():
        for mode in ["none", "expected_average_only_in", "covariance_whitening"]:
            case = f"saelens-checkpoint-{name}-{mode}"
            sae = cls(config(d_in=D, d_sae=N, normalize_activations=mode, **extra))
            randomise(sae, len(INDEX))
            if hasattr(sae, "topk_threshold"):
                sae.topk_threshold = torch.tensor(0.35, dtype=torch.double)
            scaler = ActivationScaler()
            if mode == "expected_average_only_in":
                scaler.scaling_factor = 0.7
            elif mode == "covariance_whitening":
                matrix = torch.eye(D, dtype=torch.double) + 0.2 * torch.randn(
                    D, D, dtype=torch.double, generator=torch.Generator().manual_seed(7)
                )
                mean = torch.randn(D, dtype=torch.double, generator=torch.Generator().manual_seed(8))
                scaler.whitening = ActivationWhitening(mean, matrix.contiguous(), torch.linalg.inv(matrix).contiguous())
            # as SAETrainer.save_checkpoint: the weights unfolded, the constants beside them
            sae.save_model(folder(case))
            scaler.save(str(folder(case) / "activation_scaler.json"))
            # what SAELens makes of it at the end of training
            if scaler.scaling_factor is not None:
                sae.fold_activation_norm_scaling_factor(scaler.scaling_factor)
            if scaler.whitening is not None:
                w = scaler.whitening
                sae.fold_activation_whitening(w.mean, w.matrix, w.inverse_matrix)
            final = f"saelens-inference-{name}-{mode}"
            sae.save_inference_model(folder(final))
            loaded = sl.SAE.load_from_disk(folder(final))
            f = loaded.encode(x)
            about = dict(format="saelens", version=version, normalize=mode)
            if "matryoshka_widths" in extra:
                about["prefixes"] = extra["matryoshka_widths"]
            record(case, f, loaded.decode(f), x, architecture=sae.cfg.architecture(), **about)
            record(final, f, loaded.decode(f), x, architecture=loaded.cfg.architecture(), **about)

    # a configuration from before 6.0
    case = "saelens-legacy-topk"
    sae = sl.TopKSAE(sl.TopKSAEConfig(d_in=D, d_sae=N, k=K))
    randomise(sae, len(INDEX))
    sae.save_model(folder(case))
    legacy = {
        "d_in": D, "d_sae": N, "dtype": "torch.float32", "device": "cpu", "model_name": "toy",
        "hook_point": "blocks.0.hook_resid_post", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": K},
        "normalize_activations": False, "sae_lens_training_version": None,
    }
    (folder(case) / "cfg.json").write_text(json.dumps(legacy))
    run(folder(case), case, architecture="topk", normalize="none")


def dictionary_learning_cases() -> None:
    from importlib.metadata import version

    from dictionary_learning import dictionary as dl
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    x = batch(1)
    groups = [4, 6, N - 10]
    made = {
        "AutoEncoder": lambda: dl.AutoEncoder(D, N),
        "AutoEncoderNew": lambda: dl.AutoEncoderNew(D, N),
        "GatedAutoEncoder": lambda: dl.GatedAutoEncoder(D, N),
        "JumpReluAutoEncoder": lambda: dl.JumpReluAutoEncoder(D, N),
        "AutoEncoderTopK": lambda: AutoEncoderTopK(D, N, K),
        "BatchTopKSAE": lambda: BatchTopKSAE(D, N, K),
        "MatryoshkaBatchTopKSAE": lambda: MatryoshkaBatchTopKSAE(D, N, K, groups),
    }
    for name, make in made.items():
        for threshold in [0.35, -1.0] if name in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE") else [None]:
            case = f"dictionary_learning-{name}{'-unset' if threshold == -1.0 else ''}"
            ae = make()
            randomise(ae, len(INDEX))
            if threshold is not None:
                ae.threshold.fill_(threshold)
            path = folder(case)
            torch.save(ae.state_dict(), path / "ae.pt")
            trainer = {"dict_class": name, "activation_dim": D, "dict_size": N, "lr": 1e-4, "layer": 0, "lm_name": "toy"}
            about = {}
            if hasattr(ae, "k"):
                trainer["k"] = K
            if "Matryoshka" in name:
                trainer |= {"group_fractions": [g / N for g in groups], "group_weights": [0.5, 0.3, 0.2]}
                about = {"prefixes": [4, 10, N], "prefixWeights": [0.5, 0.3, 0.2]}
            (path / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"ctx_len": 128}}))
            kwargs = {"normalize_decoder": False} if name == "AutoEncoder" else {}
            loaded = type(ae).from_pretrained(str(path / "ae.pt"), device="cpu", **kwargs)
            f = loaded.encode(x)
            record(case, f, loaded.decode(f), x, format="dictionary_learning", architecture=name,
                   normalize="none", version=version("dictionary-learning"), **about)


def sparsify_cases() -> None:
    from importlib.metadata import version

    from sparsify import SparseCoder, SparseCoderConfig

    x = batch(2)
    for name, extra in {
        "topk": {},
        "topk-bfloat16": {},
        "transcoder": {"transcode": True},
        "skip_transcoder": {"transcode": True, "skip_connection": True},
    }.items():
        case = f"sparsify-{name}"
        coder = SparseCoder(D, SparseCoderConfig(num_latents=N, k=K, **extra))
        randomise(coder, len(INDEX))
        if name.endswith("bfloat16"):
            coder = coder.to(torch.bfloat16)
        coder.save_to_disk(folder(case))
        loaded = SparseCoder.load_from_disk(folder(case)).to(torch.float32)
        acts, indices, _ = loaded.encode(x)
        f = torch.zeros(B, N).scatter_(-1, indices, acts)
        xhat = loaded.decode(acts, indices)
        if loaded.W_skip is not None:
            xhat = xhat + x @ loaded.W_skip.mT
        record(case, f, xhat, x, format="sparsify", architecture="transcoder" if extra else "topk",
               normalize="none", version=version("eai-sparsify"))


def scope_cases() -> None:
    """Gemma Scope and Llama Scope, read by SAELens' own loaders from files laid out as on the hub."""
    import sae_lens as sl
    from sae_lens.loading import pretrained_sae_loaders as loaders

    x = batch(3)

    def fake_hub(repo_id, filename, subfolder=None, **_):
        return str(CASES / current / (subfolder or "") / filename)

    loaders.hf_hub_download = fake_hub
    g = torch.Generator().manual_seed(3)

    def weights(upper: bool) -> dict[str, np.ndarray]:
        shapes = {"w_enc": (D, N), "w_dec": (N, D), "b_enc": (N,), "b_dec": (D,), "threshold": (N,)}
        made = {k: (torch.randn(s, generator=g) * 0.5).numpy().astype(np.float32) for k, s in shapes.items()}
        made["threshold"] = np.abs(made["threshold"])
        return {k.replace("w_", "W_") if upper else k: v for k, v in made.items()}

    def finish(case, cfg, state, scale=None, **about):
        cfg = loaders.handle_config_defaulting(cfg)
        sae = sl.SAE.from_dict(cfg)
        sae.load_state_dict(state)
        if scale is not None:
            sae.fold_activation_norm_scaling_factor(scale)
        f = sae.encode(x)
        xhat = sae(x) if "skip" in about["architecture"] else sae.decode(f)
        record(case, f, xhat, x, version=sl.__version__, normalize="folded" if scale else "none", **about)

    overrides = {"d_in": D, "d_sae": N, "dtype": "float32"}
    for case, sub, upper in [
        ("gemma_scope-npz", "layer_3/width_16k/average_l0_71", True),
        ("gemma_scope-npz-lower", "layer_3/width_16k/average_l0_72", False),
        ("gemma_scope-npz-embedding", "embedding/width_4k/average_l0_6", True),
        ("gemma_scope-npz-compressed", "layer_3/width_16k/average_l0_73", True),
    ]:
        current = case
        path = folder(f"{case}/{sub}")
        arrays = weights(upper)
        if case.endswith("compressed"):  # deflated, column-major, double: allowed, if unusual
            arrays["W_enc"] = np.asfortranarray(arrays["W_enc"])
            arrays["W_dec"] = arrays["W_dec"].astype(np.float64)
            np.savez_compressed(path / "params.npz", **arrays)
        else:
            np.savez(path / "params.npz", **arrays)
        cfg, state, _ = loaders.gemma_2_sae_huggingface_loader("google/gemma-scope-2b-pt-res", sub, cfg_overrides=dict(overrides))
        finish(case, cfg, state, format="gemma_scope", architecture="jumprelu")

    for case, sub in [
        ("gemma_scope-2", "resid_post/layer_3_width_16k_l0_small"),
        ("gemma_scope-2-transcoder", "transcoder/layer_3_width_16k_l0_small_affine"),
    ]:
        current = case
        path = folder(f"{case}/{sub}")
        tensors = {k: torch.from_numpy(v) for k, v in weights(False).items()}
        affine = "affine" in sub
        if affine:
            tensors["affine_skip_connection"] = torch.randn(D, D, generator=g) * 0.3
        save_file(tensors, path / "params.safetensors")
        config = {"architecture": "jump_relu", "model_name": "gemma-v3-270m", "affine_connection": affine,
                  "hf_hook_point_in": "model.layers.3.output"}
        if affine:
            config["hf_hook_point_out"] = "model.layers.3.post_feedforward_layernorm.output"
        (path / "config.json").write_text(json.dumps(config))
        loaders.get_safetensors_tensor_shapes = lambda *_: {k: list(v.shape) for k, v in tensors.items()}
        cfg, state, _ = loaders.gemma_3_sae_huggingface_loader("google/gemma-scope-2-270m-pt", sub, device="cpu")
        cfg["dtype"] = "float32"
        architecture = "jumprelu_skip_transcoder" if affine else "jumprelu"
        finish(case, cfg, state, format="gemma_scope", architecture=architecture)

    def llama_tensors(**more):
        shapes = {"encoder.weight": (N, D), "encoder.bias": (N,), "decoder.weight": (D, N), "decoder.bias": (D,)}
        return {k: torch.randn(s, generator=g) * 0.5 for k, s in shapes.items()} | more

    case = current = "llama_scope"
    path = folder(f"{case}/Llama3_1-8B-Base-L3R-8x/checkpoints")
    save_file({k: v.to(torch.bfloat16) for k, v in llama_tensors().items()}, path / "final.safetensors")
    (path.parent / "hyperparams.json").write_text(json.dumps({
        "d_model": D, "d_sae": N, "jump_relu_threshold": 0.5, "hook_point_in": "blocks.3.hook_resid_post",
        "dataset_average_activation_norm": {"in": 4.0, "out": 4.0}}))
    cfg, state, _ = loaders.llama_scope_sae_huggingface_loader(
        "fnlp/Llama3_1-8B-Base-LXR-8x", "Llama3_1-8B-Base-L3R-8x", cfg_overrides={"dtype": "float32"})
    finish(case, cfg, state, scale=D**0.5 / 4.0, format="llama_scope", architecture="jumprelu")

    case = current = "llama_scope-r1"
    path = folder(f"{case}/L3R")
    save_file(llama_tensors(log_jumprelu_threshold=torch.randn(N, generator=g) * 0.3 - 1), path / "sae_weights.safetensors")
    (path / "config.json").write_text(json.dumps({
        "d_model": D, "expansion_factor": N // D, "hook_point_in": "blocks.3.hook_resid_post",
        "dataset_average_activation_norm": {"in": 4.0, "out": 4.0}}))
    cfg, state, _ = loaders.llama_scope_r1_distill_sae_huggingface_loader("fnlp/Llama-Scope-R1-Distill", "L3R", device="cpu")
    finish(case, cfg, state, scale=D**0.5 / 4.0, format="llama_scope", architecture="jumprelu")


def reference_pt_cases() -> None:
    """OpenAI's and the write-up's state dicts, by torch.save; their forward pass written out here from their source."""
    x = batch(4)
    g = torch.Generator().manual_seed(4)
    randn = lambda *s: torch.randn(*s, generator=g) * 0.5
    for kind in ["TopK", "ReLU"]:
        case = f"openai-{kind}"
        sd = {"pre_bias": randn(D), "latent_bias": randn(N), "stats_last_nonzero": torch.zeros(N, dtype=torch.long),
              "encoder.weight": randn(N, D), "decoder.weight": randn(D, N),
              "latents_activation_frequency": torch.ones(N), "latents_mean_square": torch.zeros(N), "activation": kind}
        sd["activation_state_dict"] = {"k": K, "postact_fn": "ReLU"} if kind == "TopK" else {}
        torch.save(sd, folder(case) / "ae.pt".replace("ae", "autoencoder"))
        h, mu, std = x, 0.0, 1.0
        if kind == "TopK":
            mu = x.mean(-1, keepdim=True)
            std = (x - mu).std(-1, keepdim=True)
            h = (x - mu) / (std + 1e-5)
        pre = (h - sd["pre_bias"]) @ sd["encoder.weight"].T + sd["latent_bias"]
        f = torch.relu(pre)
        if kind == "TopK":
            top = torch.topk(pre, K)
            f = torch.zeros_like(pre).scatter_(-1, top.indices, torch.relu(top.values))
        xhat = (f @ sd["decoder.weight"].T + sd["pre_bias"]) * std + mu
        record(case, f, xhat, x, format="openai", architecture=kind, normalize="layer_norm" if kind == "TopK" else "none", version="-")

    for legacy in [False, True]:
        case = f"write_up{'-legacy_torch' if legacy else ''}"
        sd = {"W_enc": randn(D, N), "b_enc": randn(N), "W_dec": randn(N, D), "b_dec": randn(D),
              "sq_act_running_avg": torch.ones(N), "normalizer.running_avg": torch.tensor([3.7])}
        torch.save(sd, folder(case) / "sae.pt", _use_new_zipfile_serialization=not legacy)
        s = D**0.5 / 3.7
        f = torch.relu((x * s) @ sd["W_enc"] + sd["b_enc"])
        record(case, f, (f @ sd["W_dec"] + sd["b_dec"]) / s, x, format="write_up", architecture="matryoshka",
               normalize="folded", version="-")


with torch.no_grad():
    saelens_cases()
    dictionary_learning_cases()
    sparsify_cases()
    scope_cases()
    reference_pt_cases()
if "--fixtures" in sys.argv:
    alike = re.compile(
        r"saelens-(?!jumprelu-|topk-rescaled-none).*-(constant_norm_rescale|layer_norm)$|saelens-inference-(?!matryoshka).*"
        r"|saelens-checkpoint-(?!matryoshka|batchtopk-none).*-(none|covariance_whitening)$|saelens-.*transcoder-none"
    )
    for entry in [entry for entry in INDEX if alike.match(entry["case"])]:
        INDEX.remove(entry)
        shutil.rmtree(CASES / entry["case"])
        (EXPECTED / f"{entry['case']}.safetensors").unlink()
(OUT / "index.json").write_text("[\n" + ",\n".join(json.dumps(entry) for entry in INDEX) + "\n]\n")
print(f"{len(INDEX)} cases")
