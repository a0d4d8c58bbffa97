/** Takes the branch of an If that a harvest takes, and drops the other: decoders that were merged with their cached step. */
import type { onnx } from 'onnx-proto';
import { makeNode, type Node, withTensors } from '../nodes.ts';
import type { Draft } from './normalise.ts';

/** Input of merged decoders; a harvest feeds false: it starts from an empty cache. */
const cacheSwitch = 'use_cache_branch';

export function withoutUntakenBranches(draft: Draft): void {
  const taken: Node[] = [];
  const names = new Set([...draft.inputs, ...draft.initializers.map((tensor) => tensor.name ?? '')]);
  for (const node of draft.nodes) for (const output of node.output) names.add(output);
  const place = (node: Node): void => {
    const branch = branchTaken(node, draft);
    if (branch === undefined) {
      taken.push(node);
      return;
    }
    for (const inner of inlined(branch, node, names, draft)) place(inner);
  };
  for (const node of draft.nodes) place(node);
  draft.nodes = taken;
}

/** Undefined for what is no If, or one whose condition is not known. */
function branchTaken(node: Node, draft: Draft): onnx.IGraphProto | undefined {
  if (node.opType !== 'If') return undefined;
  const [condition] = node.input;
  const held =
    condition === cacheSwitch && draft.inputs.includes(cacheSwitch) ? false : constantOf(condition!, draft);
  if (held === undefined) return undefined;
  const wanted = held ? 'then_branch' : 'else_branch';
  return node.attribute?.find((one) => one.name === wanted)?.g ?? undefined;
}

function constantOf(name: string, draft: Draft): boolean | undefined {
  const constant = draft.nodes.find((node) => node.opType === 'Constant' && node.output[0] === name);
  const tensor =
    constant?.attribute?.find((one) => one.name === 'value')?.t ??
    draft.initializers.find((one) => one.name === name);
  const value = tensor?.rawData?.[0] ?? tensor?.int32Data?.[0];
  return value === undefined ? undefined : value !== 0;
}

/** The branch's nodes under names of their own, its outputs under those of the If. */
function inlined(branch: onnx.IGraphProto, node: Node, names: Set<string>, draft: Draft): Node[] {
  const inner = (branch.node ?? []) as Node[];
  const made = inner.flatMap((one) => one.output.filter((name) => name !== ''));
  const weights = (branch.initializer ?? []).map((tensor) => tensor.name ?? '');
  const renamed = new Map<string, string>();
  const outputs = (branch.output ?? []).map((output) => output.name ?? '');
  const passed: Node[] = [];
  const produced = new Set(made);
  node.output.forEach((outer, i) => {
    const own = outputs[i];
    if (outer === '' || own === undefined) return;
    if (produced.has(own) && !renamed.has(own)) renamed.set(own, outer);
    else passed.push(makeNode('Identity', [own], [outer]));
  });
  for (const name of [...made, ...weights]) {
    if (renamed.has(name)) continue;
    let free = name;
    for (let i = 1; names.has(free); i++) free = `${name}::${i}`;
    if (free !== name) renamed.set(name, free);
    names.add(free);
  }
  const rename = (name: string): string => renamed.get(name) ?? name;
  for (const tensor of branch.initializer ?? [])
    draft.initializers.push({ ...tensor, name: rename(tensor.name ?? '') });
  for (const info of branch.valueInfo ?? []) draft.valueInfo.push({ ...info, name: rename(info.name ?? '') });
  return [...inner, ...passed].map((one) => withTensors(one, rename));
}
