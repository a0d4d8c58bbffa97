/** WGSL that the passes of the prefix loss share: the penalty, sums over a workgroup, the layout of `aux`. */
import type { PenaltyKind } from '@msae/core';

/** s(u) − s(0) and s′(u) of a penalty, as WGSL functions. */
export function penaltyCode(kind: PenaltyKind): string {
  const value = {
    none: '0.0',
    l1: 'v',
    log: 'log((v + u.epsilon) / u.epsilon)',
    sqrt: 'sqrt(v + u.epsilon) - sqrt(u.epsilon)',
    tanh: 'tanh(v)',
  }[kind];
  const slope = {
    none: '0.0',
    l1: '1.0',
    log: '1.0 / (v + u.epsilon)',
    sqrt: '0.5 / sqrt(v + u.epsilon)',
    tanh: '1.0 - tanh(v) * tanh(v)',
  }[kind];
  return `
fn penaltyExtra(v: f32) -> f32 { return ${value}; }
fn penaltySlope(v: f32) -> f32 { return ${slope}; }`;
}

export const treeSum = (threads: number, type: string): string => `
var<workgroup> parts: array<${type}, ${threads}>;
fn total(li: u32, own: ${type}) -> ${type} {
  parts[li] = own;
  workgroupBarrier();
  for (var step = ${threads / 2}u; step > 0u; step >>= 1u) {
    if (li < step) { parts[li] += parts[li + step]; }
    workgroupBarrier();
  }
  let sum = parts[0];
  workgroupBarrier();
  return sum;
}`;

/** aux = [C(0…N) | V(0…N) | b_dec (d) | ‖d_i‖ (N)] */
export const auxLayout: string = `
fn C(k: i32) -> f32 { return aux[k]; }
fn V(k: i32) -> f32 { return aux[i32(u.n) + 1 + k]; }
fn bias(c: u32) -> f32 { return aux[2u * (u.n + 1u) + c]; }
fn norm(k: i32) -> f32 { return aux[2u * (u.n + 1u) + u.d + u32(k)]; }`;
