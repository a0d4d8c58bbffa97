/** The activation functions of a sparse autoencoder, as plain data: they survive JSON and are matched by `kind`. */

export type Activation =
  | { readonly kind: 'identity' }
  | { readonly kind: 'relu' }
  /** Keeps the k largest relu'd values of each row. */
  | { readonly kind: 'topk'; readonly k: number }
  /** Keeps the k·B largest relu'd values of a batch of B rows; a threshold takes their place in inference. */
  | { readonly kind: 'batchtopk'; readonly k: number }
  /**
   * pre · 1[pre > θ] with a threshold θ per latent. `threshold` is its initial value; `bandwidth` h is the width of the
   * straight-through estimator's rectangle kernel (Rajamanoharan et al. 2024).
   */
  | { readonly kind: 'jumprelu'; readonly threshold: number; readonly bandwidth: number };

/** f = pre. Every latent is always active: only for tests and linear baselines. */
export function identity(): Activation {
  return { kind: 'identity' };
}

/** f = max(pre, 0). */
export function relu(): Activation {
  return { kind: 'relu' };
}

/** The k largest positive pre-activations of each row (Gao et al. 2024). @throws RangeError unless k is an integer ≥ 1. */
export function topK(k: number): Activation {
  return checkActivation({ kind: 'topk', k });
}

/** The k·B largest positive pre-activations of a batch (Bussmann et al. 2024). @throws RangeError unless k > 0. */
export function batchTopK(k: number): Activation {
  return checkActivation({ kind: 'batchtopk', k });
}

/** JumpReLU with a learned threshold per latent. @throws RangeError unless threshold ≥ 0 and bandwidth > 0. */
export function jumpRelu({
  threshold = 0.001,
  bandwidth = 0.001,
}: {
  threshold?: number;
  bandwidth?: number;
} = {}): Activation {
  return checkActivation({ kind: 'jumprelu', threshold, bandwidth });
}

/**
 * Checks an activation, and its k against the number of latents where that is given.
 *
 * @throws RangeError that names the option, its value and what would be allowed.
 */
export function checkActivation(
  activation: Activation,
  nLatents: number = Number.POSITIVE_INFINITY,
): Activation {
  switch (activation.kind) {
    case 'identity':
    case 'relu':
      return activation;
    case 'topk':
      if (!Number.isInteger(activation.k) || activation.k < 1) {
        throw new RangeError(`topK: k must be an integer of at least 1, got ${activation.k}`);
      }
      break;
    case 'batchtopk':
      if (!(activation.k > 0)) throw new RangeError(`batchTopK: k must be above 0, got ${activation.k}`);
      break;
    case 'jumprelu':
      if (!(activation.threshold >= 0) || !(activation.bandwidth > 0)) {
        throw new RangeError(
          `jumpRelu: threshold must be at least 0 and bandwidth above 0, got ${activation.threshold} and ${activation.bandwidth}`,
        );
      }
      return activation;
    default:
      throw new RangeError(
        `activation: unknown kind ${JSON.stringify((activation as { kind?: unknown }).kind)}; expected identity, relu, topk, batchtopk or jumprelu`,
      );
  }
  if (activation.k > nLatents) {
    throw new RangeError(
      `${activation.kind}: k = ${activation.k} is more than the ${nLatents} latents there are; lower k or raise nLatents`,
    );
  }
  return activation;
}

/** How many values a batch of `rows` rows keeps under topk (per row) or batchtopk (in all). */
export function keptValues(
  activation: { kind: 'topk' | 'batchtopk'; k: number },
  rows: number,
  nLatents: number,
): number {
  return activation.kind === 'topk'
    ? activation.k
    : Math.max(1, Math.min(Math.round(activation.k * rows), rows * nLatents));
}
