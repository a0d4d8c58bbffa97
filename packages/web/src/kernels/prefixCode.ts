/** WGSL that the passes of the prefix loss share: the penalty and the layout of `aux`. */
import type { Penalty } from '@msae/core/backend';

/** s(v) − s(0) and s′(v) in WGSL; `u.epsilon` is the penalty's ε. */
interface PenaltyFormulas {
  readonly extra: string;
  readonly slope: string;
}

const formulas: Partial<Record<string, PenaltyFormulas>> = {
  none: { extra: '0.0', slope: '0.0' },
  l1: { extra: 'v', slope: '1.0' },
  log: { extra: 'log((v + u.epsilon) / u.epsilon)', slope: '1.0 / (v + u.epsilon)' },
  sqrt: { extra: 'sqrt(v + u.epsilon) - sqrt(u.epsilon)', slope: '0.5 / sqrt(v + u.epsilon)' },
  tanh: { extra: 'tanh(v)', slope: '1.0 - tanh(v) * tanh(v)' },
};

/** Is there WGSL for this penalty? Without it the loss runs composed. */
export function hasPenaltyCode({ kind }: Penalty): boolean {
  return formulas[kind] !== undefined;
}

/** The functions `penaltyExtra` and `penaltySlope` of a penalty for which {@link hasPenaltyCode} holds. */
export function penaltyCode({ kind }: Penalty): string {
  const { extra, slope } = formulas[kind]!;
  return `
fn penaltyExtra(v: f32) -> f32 { return ${extra}; }
fn penaltySlope(v: f32) -> f32 { return ${slope}; }`;
}

/** ε of a penalty that has one, else 0. */
export function penaltyEpsilon(penalty: Penalty): number {
  return 'epsilon' in penalty ? penalty.epsilon : 0;
}

/** aux = [C(0…N) | V(0…N) | b_dec (d) | ‖d_i‖ (N)] */
export const auxLayout: string = `
fn C(k: i32) -> f32 { return aux[k]; }
fn V(k: i32) -> f32 { return aux[i32(u.n) + 1 + k]; }
fn bias(c: u32) -> f32 { return aux[2u * (u.n + 1u) + c]; }
fn norm(k: i32) -> f32 { return aux[2u * (u.n + 1u) + u.d + u32(k)]; }`;
